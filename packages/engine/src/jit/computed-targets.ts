import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { MISSED_BRANCHES, MISSED_BRANCHES_AT, MISSED_BRANCH_BYTES } from '../hot-counters.ts'
import { BoundedMap } from '../bounded-map.ts'
import type { LinearPage, LiveUnit } from './unit.ts'

/** Most targets that a branch to a computed address is compared with; a return has fewer, as units of callers contain it. */
const MOST_TARGETS = 48
const MOST_RETURN_TARGETS = 4
/** Most branches whose targets are remembered. */
const MOST_BRANCHES = 16_384
/** Farther targets of computed branches are not made part of a unit. */
const FARTHEST_TARGET = 1 << 24

/** The empty list of targets, which most instructions have. */
export const NONE: readonly number[] = []

/** Frequent targets of computed branches that leave their units. */
export class ComputedTargets {
  readonly #memory: MachineMemory
  readonly #countersAt: number
  /** Known targets of a branch by its record: distances from the beginnings of their pages. */
  readonly known: BoundedMap<number, readonly number[]> = new BoundedMap<number, readonly number[]>(MOST_BRANCHES)

  /** @param countersAt - machine address of the counters of hot code */
  constructor(memory: MachineMemory, countersAt: number) {
    this.#memory = memory
    this.#countersAt = countersAt
  }

  /** Returns the targets of a branch: distances from the beginning of its page. */
  of(branch: number): readonly number[] {
    return this.known.get(branch) ?? NONE
  }

  /** Copies known targets from an equal branch. */
  adopt(branch: number, targets: readonly number[]): void {
    if (this.of(branch).length < targets.length) this.known.set(branch, targets)
  }

  /** Returns how many targets of a unit's branches are known. */
  count({ branches }: LiveUnit): number {
    let count = 0
    for (const branch of branches.keys()) count += this.of(branch).length
    return count
  }

  /** Learns the noted targets of a unit's branches. @param start - linear address of its first page */
  learn(unit: LiveUnit, { lo, hi }: LinearPage): void {
    const { u32 } = this.#memory
    for (let i = 0; i < MISSED_BRANCHES; i++) {
      const at = (this.#countersAt + MISSED_BRANCHES_AT + i * MISSED_BRANCH_BYTES) >>> 2
      const branch = u32[at + 2]!
      const from = unit.branches.get(branch)
      if (u32[at + 3] !== unit.record || from === undefined || u32[at + 1] !== hi) continue
      const distance = u32[at]! - lo - from.delta
      const targets = this.of(branch)
      const isFar = from.isReturn ? distance !== (distance & (PAGE_BYTES - 1)) : Math.abs(distance) > FARTHEST_TARGET
      const most = from.isReturn ? MOST_RETURN_TARGETS : MOST_TARGETS
      if (isFar || targets.length >= most || targets.includes(distance)) continue
      this.known.set(branch, [...targets, distance])
    }
  }
}
