import { AccessLog, LoggedTables } from '@retrap/replay'
import { describe, expect, test } from 'vitest'
import * as paging from '../src/index.ts'
import { buildPath, contextOf, CR4, entryGpa, Memory, registersFor } from './support/guest.ts'

const TWO_52 = 2 ** 52

/** Guest-physical frames, some of which are elsewhere in host memory, paged out, read-only, or in no memory at all. */
class SecondLevel implements paging.TableReader {
  readonly host = new Memory()
  readonly #map = new Map<number, { to: number; read: boolean; write: boolean }>()

  map(gfn: number, to: number, read = true, write = true): void {
    this.#map.set(gfn, { to, read, write })
  }

  /** Copies a guest's tables to where the map says. */
  load(guest: Memory): void {
    for (const [gpa, value] of guest.words) this.host.store(this.at(gpa) % TWO_52, value)
  }

  /** Host address; −1: no memory; else beyond 2^52: a fault of the second level. */
  at(gpa: number, write = false): number {
    const entry = this.#map.get(Math.floor(gpa / 4096))
    if (entry === undefined) return -1
    const allowed = write ? entry.write : entry.read
    return entry.to * 4096 + (gpa % 4096) + (allowed ? 0 : TWO_52)
  }

  #through(gpa: number, write: boolean, access: (at: number) => paging.TableStatus): paging.TableStatus {
    const at = this.at(gpa, write)
    return at < 0 ? write : at >= TWO_52 ? paging.SECOND_LEVEL_FAULT : access(at)
  }
  read32(gpa: number, into: Uint32Array): paging.TableStatus {
    return this.#through(gpa, false, (at) => this.host.read32(at, into))
  }
  read64(gpa: number, into: Uint32Array): paging.TableStatus {
    return this.#through(gpa, false, (at) => this.host.read64(at, into))
  }
  compareExchange32(gpa: number, expect: number, value: number): paging.TableStatus {
    return this.#through(gpa, true, (at) => this.host.compareExchange32(at, expect, value))
  }
  compareExchange64(gpa: number, expectLo: number, expectHi: number, lo: number, hi: number): paging.TableStatus {
    return this.#through(gpa, true, (at) => this.host.compareExchange64(at, expectLo, expectHi, lo, hi))
  }
}

/** Tables of a mode with all A bits clear, each in a host frame of its own. */
function guest(mode: number): { level: SecondLevel; context: ReturnType<typeof contextOf>; gfns: number[] } {
  const tables = new Memory()
  buildPath(tables, mode, 0n, 0x7000n)
  for (const [gpa, value] of tables.words) tables.store(gpa, value & ~0x20n)
  const level = new SecondLevel()
  const gfns = Array.from({ length: mode }, (_, i) => i + 1)
  for (const gfn of gfns) level.map(gfn, 0x100 + 7 * gfn)
  level.load(tables)
  const registers = registersFor(mode)
  const context = contextOf({ ...registers, cpu: { amd: true }, cr4: registers.cr4 | CR4.PSE })
  return { level, context, gfns }
}

describe('a walk over a second level (SDM vol. 3C, "EPT Violations"; AMD APM vol. 2, "Nested Page Faults")', () => {
  test.each([2, 3, 4, 5])('%s levels: tables are read and marked where the second level has them', (mode) => {
    const { level, context } = guest(mode)
    const result = new paging.WalkResult()
    expect(paging.walk(context, level, 0x123, 0, paging.ACCESS_WRITE, result)).toBe(paging.WALK_OK)
    expect(result.gpa).toBe(0x7123)
    const bits = [...level.host.words.values()].map((value) => Number(value & 0x60n))
    expect(bits.toSorted()).toEqual([...(mode === 3 ? [0] : []), ...Array(mode === 3 ? 1 : mode - 1).fill(0x20), 0x60])
  })

  test.each([2, 3, 4, 5])(
    '%s levels: a table that is paged out is told with its address, and is no page fault',
    (mode) => {
      const { level, context, gfns } = guest(mode)
      const result = new paging.WalkResult()
      for (const gfn of gfns) {
        const to = 0x100 + 7 * gfn
        level.map(gfn, to, false)
        expect(paging.walk(context, level, 0, 0, paging.ACCESS_WRITE, result)).toBe(paging.WALK_SECOND_LEVEL)
        expect(result).toMatchObject({ tableGpa: entryGpa(mode, gfn, 0n), tableWrite: 0, level: gfn, pfec: 0 })
        level.map(gfn, to)
      }
      expect(level.host.exchanges).toBe(0)
      expect(paging.walk(context, level, 0, 0, paging.ACCESS_WRITE, result)).toBe(paging.WALK_OK)
    },
  )

  test.each([2, 3, 4, 5])(
    '%s levels: an A or D bit that may not be set yet is told, and set when it may be',
    (mode) => {
      for (let gfn = 1; gfn <= (mode === 3 ? 2 : mode); gfn++) {
        const { level, context } = guest(mode)
        const to = 0x100 + 7 * gfn
        const result = new paging.WalkResult()
        level.map(gfn, to, true, false)
        expect(paging.walk(context, level, 0, 0, paging.ACCESS_WRITE, result)).toBe(paging.WALK_SECOND_LEVEL)
        expect(result).toMatchObject({ tableGpa: entryGpa(mode, gfn, 0n), tableWrite: 1, level: gfn })
        level.map(gfn, to)
        expect(paging.walk(context, level, 0, 0, paging.ACCESS_WRITE, result)).toBe(paging.WALK_OK)
        expect(Number(level.host.at(level.at(entryGpa(mode, gfn, 0n))) & 0x20n)).toBe(0x20)
      }
    },
  )

  test('a table in no memory is not present: the guest’s own fault', () => {
    const { level, context } = guest(4)
    const result = new paging.WalkResult()
    const bare = new SecondLevel()
    for (const gfn of [4, 3]) bare.map(gfn, 0x100 + 7 * gfn)
    for (const [at, value] of level.host.words) bare.host.store(at, value)
    expect(paging.walk(context, bare, 0, 0, paging.ACCESS_WRITE, result)).toBe(paging.WALK_FAULT)
    expect(result).toMatchObject({ pfec: 2, level: 2 })
  })

  test('a cached upper entry does not hide that a table has been paged out since', () => {
    const { level, context } = guest(4)
    const cache = new paging.PagingStructureCache()
    const result = new paging.WalkResult()
    expect(paging.walk(context, level, 0, 0, paging.ACCESS_READ, result, cache)).toBe(paging.WALK_OK)
    level.map(1, 0x107, false)
    expect(paging.walk(context, level, 0, 0, paging.ACCESS_READ, result, cache)).toBe(paging.WALK_SECOND_LEVEL)
    expect(result).toMatchObject({ tableGpa: 0x1000, level: 1 })
  })

  test.each([
    { given: 'A set in what it has read: it goes on from there', accessed: true, status: paging.WALK_OK },
    { given: 'A to be set in an entry that has changed: it starts again', accessed: false, status: paging.WALK_FAULT },
  ])('a logged walk that is refused in the middle, with $given', ({ accessed, status }) => {
    const { level, context } = guest(4)
    if (accessed) for (const [at, value] of level.host.words) level.host.store(at, value | 0x20n)
    const log = new AccessLog()
    const tables = new LoggedTables(log, level)
    const result = new paging.WalkResult()
    const step = (): number => {
      log.beginWalk()
      return paging.walk(context, tables, 0, 0, paging.ACCESS_READ, result)
    }
    log.begin()
    level.map(1, 0x107, false)
    expect(step()).toBe(paging.WALK_SECOND_LEVEL)
    // While the host brings the page table back, the guest's directory entry is cleared.
    level.host.store(level.at(entryGpa(4, 2, 0n)), 0n)
    level.map(1, 0x107)
    log.restart()
    expect(step()).toBe(status)
  })
})
