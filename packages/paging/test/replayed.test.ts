import { AccessLog, LoggedTables } from '@retrap/replay'
import { describe, expect, test } from 'vitest'
import { ACCESS_READ, ACCESS_USER, ACCESS_WRITE, walk, WalkResult } from '../src/index.ts'
import { contextOf, Memory, randomOf, registersFor, tableOf } from './support/guest.ts'

/** Counts what reaches memory. */
class Counted extends Memory {
  reads = 0

  override read64(gpa: number, into: Uint32Array): boolean {
    this.reads++
    return super.read64(gpa, into)
  }
}

/**
 * Tables for linear addresses 0 to 32 KiB and 1 GiB to 1 GiB + 32 KiB, small enough for walks to share entries and for
 * random stores to hit them.
 */
function build(memory: Memory, random: () => number): number[] {
  const entries: number[] = []
  const store = (gpa: number, value: number): void => {
    // A is missing from some, so that walks exchange at every level.
    memory.store(gpa, BigInt(value | (random() < 0.5 ? 0x20 : 0)))
    entries.push(gpa)
  }
  store(tableOf(4), 0x3007)
  for (const slot of [0, 1]) {
    store(0x3000 + slot * 8, (0x6000 + slot * 0x1000) | 7)
    store(0x6000 + slot * 0x1000, (0x8000 + slot * 0x1000) | 7)
    for (let page = 0; page < 8; page++) store(0x8000 + slot * 0x1000 + page * 8, (0x2_0000 + page * 0x1000) | 7)
  }
  return entries
}

describe('walks of a logged instruction (SDM vol. 3A, "Caching Translation Information")', () => {
  test('any instruction sees in each pass the translations of its first, whatever other vCPUs store', () => {
    let races = 0
    for (let seed = 0; seed < 3000; seed++) {
      const random = randomOf(seed)
      const below = (bound: number): number => Math.floor(random() * bound)
      const memory = new Counted()
      const entries = build(memory, random)
      const scribble = (): void => {
        const gpa = entries[below(entries.length)] as number
        races++
        // Cleared, pointed at another page, or A and D taken away.
        const now = memory.at(gpa)
        memory.store(gpa, random() < 0.3 ? 0n : random() < 0.5 ? (now & ~0x60n) ^ 0x1000n : now & ~0x60n)
      }
      memory.race = () => {
        if (random() < 0.15) scribble()
      }
      const context = contextOf(registersFor(4))
      const log = new AccessLog()
      const tables = new LoggedTables(log, memory)
      const result = new WalkResult()
      const accesses = Array.from({ length: 1 + below(12) }, () => ({
        linear: below(2) * 0x4000_0000 + below(8) * 0x1000 + below(0x1000),
        access: (random() < 0.4 ? ACCESS_WRITE : ACCESS_READ) | (random() < 0.5 ? ACCESS_USER : 0),
      }))
      const pass = (between: () => void): string[] => {
        const seen: string[] = []
        for (const { linear, access } of accesses) {
          between()
          log.beginWalk()
          const status = walk(context, tables, linear, 0, access, result)
          seen.push(`${status} ${status === 0 ? result.gpa : result.pfec} ${result.flags}`)
          // A fault ends the instruction.
          if (status !== 0) break
        }
        return seen
      }

      log.begin()
      const first = pass(() => {
        if (random() < 0.3) scribble()
      })
      const { reads, exchanges } = memory
      // A table that was not there is not recorded: its fault has ended the instruction.
      const faulted = first.at(-1)?.startsWith('1') === true
      const repeated = faulted ? first.slice(0, -1) : first
      accesses.length = repeated.length
      for (let i = 0; i < 2; i++) {
        for (let n = below(20); n > 0; n--) scribble()
        log.restart()
        expect(pass(scribble), `seed ${seed}`).toEqual(
          // A page that a later access dirtied is dirty from the start of the next pass on; nothing depends on it.
          repeated.map((text) => expect.stringMatching(new RegExp(`^${text.slice(0, text.lastIndexOf(' '))} `))),
        )
        expect([memory.reads, memory.exchanges], `seed ${seed}`).toEqual([reads, exchanges])
      }
    }
    expect(races).toBeGreaterThan(10_000)
  })
})
