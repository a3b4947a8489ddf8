import type { MachineMemory } from '@retrap/memory'
import { BTYPE_GUARDED_JUMP, LANDS_UNLESS_STRICT, landingsOf } from './landings.ts'
import { PSTATE_BTYPE, PSTATE_BTYPE_SHIFT } from './pstate.ts'
import { S_BRANCH, S_BUDGET, S_PC, S_PSTATE } from './state-layout.ts'
import { branchTargetFault } from './syndrome.ts'
import { SCTLR_BT_SHIFT } from './system/controls.ts'
import type { Exceptions } from './system/exceptions.ts'
import { S_SCTLR_EL1 } from './system/places.ts'
import type { SystemState } from './system/system-state.ts'

/**
 * PSTATE.BTYPE before and after generated code, which does not clear it with each instruction: it notes what was left of the
 * budget after a branch.
 */
export class BranchTypes {
  readonly #i32: Int32Array
  readonly #system: SystemState
  readonly #exceptions: Exceptions

  /** @param state - machine address of the processor's state */
  constructor(memory: MachineMemory, state: number, system: SystemState, exceptions: Exceptions) {
    this.#i32 = memory.i32.subarray(state >>> 2)
    this.#system = system
    this.#exceptions = exceptions
  }

  /** Generated code is about to run, with the budget that it has got. */
  depart(): void {
    const i32 = this.#i32
    const pstate = i32[S_PSTATE >>> 2]!
    const type = pstate & PSTATE_BTYPE
    i32[(S_BRANCH >>> 2) + 1] = type >>> PSTATE_BTYPE_SHIFT
    if (type === 0) return
    i32[S_BRANCH >>> 2] = i32[S_BUDGET >>> 2]!
    i32[S_PSTATE >>> 2] = pstate & ~PSTATE_BTYPE
  }

  /** Generated code has returned. */
  arrive(): void {
    const i32 = this.#i32
    const type = i32[(S_BRANCH >>> 2) + 1]!
    if (type !== 0 && i32[S_BRANCH >>> 2] === i32[S_BUDGET >>> 2]) i32[S_PSTATE >>> 2]! |= type << PSTATE_BTYPE_SHIFT
  }

  /**
   * Looks at the next instruction where a branch has led to it. An instruction that cannot be fetched raises its abort when it
   * is.
   *
   * @returns whether it may be executed; if not, the exception has been raised
   */
  lands(): boolean {
    const s = this.#system
    const type = (s.pstate & PSTATE_BTYPE) >>> PSTATE_BTYPE_SHIFT
    if (type === 0) return true
    const word = s.translation.guardedWordAt(s.word(S_PC), s.word(S_PC + 4))
    if (word < 0) return true
    const lands = landingsOf(word)
    if (((lands >>> type) & 1) !== 0) return true
    const isStrict = ((s.word(S_SCTLR_EL1 + 4) >>> (SCTLR_BT_SHIFT + s.level)) & 1) !== 0
    if (type === BTYPE_GUARDED_JUMP && (lands & LANDS_UNLESS_STRICT) !== 0 && !isStrict) return true
    this.#exceptions.raise(branchTargetFault(type))
    return false
  }
}
