// Targets of computed branches: taken from the words that compiled code leaves, as many as a branch may have.
import { MachineMemory } from '@retrap/memory'
import { describe, expect, test } from 'vitest'
import { MISSED_BRANCHES, MISSED_BRANCHES_AT, MISSED_BRANCH_BYTES } from '../../src/hot-counters.ts'
import { ComputedTargets } from '../../src/jit/computed-targets.ts'
import type { LiveUnit } from '../../src/jit/unit.ts'

const COUNTERS = 0x1_0000
const UNIT = 0x5000
const BRANCH = 0x6000
const PAGE = { lo: 0x8000_1000, hi: 0x7fff }

/** A unit with a branch to a computed address, in its second page. */
function world(isReturn: boolean) {
  const memory = MachineMemory.create({ bytes: 1 << 20 })
  const targets = new ComputedTargets(memory, COUNTERS)
  const branches = new Map([[BRANCH, { at: 0, delta: 0x1000, isReturn }]])
  const unit = { record: UNIT, branches } as unknown as LiveUnit
  let next = 0
  const miss = (lo: number, { hi = PAGE.hi, branch = BRANCH, record = UNIT } = {}): void => {
    const at = (COUNTERS + MISSED_BRANCHES_AT + (next++ % MISSED_BRANCHES) * MISSED_BRANCH_BYTES) >>> 2
    memory.u32.set([lo, hi, branch, record], at)
  }
  /** Learns a branch to a distance from the beginning of its page. */
  const learn = (...distances: readonly number[]): readonly number[] => {
    for (const distance of distances) miss(PAGE.lo + 0x1000 + distance)
    targets.learn(unit, PAGE)
    return targets.of(BRANCH)
  }
  return { targets, unit, miss, learn }
}

describe('targets', () => {
  test('are distances from the beginning of the branch’s page, each once', () => {
    const { learn, targets, unit } = world(false)
    expect(learn(4, -8, 4, 0x2000)).toEqual([4, -8, 0x2000])
    expect([targets.count(unit), targets.of(BRANCH + 32)]).toEqual([3, []])
    targets.known.clear()
    expect(targets.of(BRANCH)).toEqual([])
  })

  test('of a branch are 48, of a return 4, and those within its page', () => {
    const many = (count: number): number[] => Array.from({ length: count }, (_, i) => 16 * i)
    const branch = world(false)
    branch.learn(...many(32))
    expect(branch.learn(...many(64).slice(32)).length).toBe(48)
    expect(world(true).learn(...many(6))).toEqual([0, 16, 32, 48])
    expect(world(true).learn(-1, 0xfff, 0x1000, 0)).toEqual([0xfff, 0])
  })

  test('lie within 16 MiB of the page', () => {
    const far = 1 << 24
    expect(world(false).learn(far, far + 1, -far, -far - 1)).toEqual([far, -far])
  })

  test('are those of this unit, of its branches, and of its half of the address space', () => {
    const { miss, learn } = world(false)
    miss(PAGE.lo + 0x1004, { hi: PAGE.hi + 1 })
    miss(PAGE.lo + 0x1008, { branch: BRANCH + 32 })
    miss(PAGE.lo + 0x100c, { record: UNIT + 32 })
    expect(learn()).toEqual([])
    expect(learn(0x10)).toEqual([0x10])
  })

  test('are taken over from a branch that has more of them', () => {
    const { targets, learn } = world(false)
    learn(1, 2)
    targets.adopt(BRANCH, [7, 8])
    expect(targets.of(BRANCH)).toEqual([1, 2])
    targets.adopt(BRANCH, [7, 8, 9])
    expect(targets.of(BRANCH)).toEqual([7, 8, 9])
  })
})
