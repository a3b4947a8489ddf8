import type { Form as Row } from '@retrap/arm-decoder'
import type { MachineMemory } from '@retrap/memory'
import { PSTATE_BTYPE, PSTATE_BTYPE_SHIFT } from '../state/pstate.ts'
import { S_BRANCH, S_BUDGET, S_PC, S_PSTATE } from '../state/state-layout.ts'
import { branchTargetFault } from '../state/syndrome.ts'
import { SCTLR_BT_SHIFT } from '../state/controls.ts'
import type { Exceptions } from './exceptions.ts'
import { S_SCTLR_EL1 } from '../state/places.ts'
import type { SystemState } from '../state/system-state.ts'

/**
 * Branches to computed addresses, and the instructions that they may lead to in a guarded page: FEAT_BTI.
 *
 * Source: Arm ARM (DDI 0487) D8.4.7 "Guarded pages", shared pseudocode "BTypeCompatible_BTI", "BTypeCompatible_PACIXSP".
 */

/** `ArmTranslation.key` of a guarded page. */
export const KEY_GUARDED = 1

/** PSTATE.BTYPE after a BR through X16 or X17, or of a page that is not guarded; */
export const BTYPE_JUMP = 1
/** after a BLR; */
export const BTYPE_CALL = 2
/** and after other BR instructions. */
export const BTYPE_GUARDED_JUMP = 3

/** Bit of {@link landingsOf}: with {@link BTYPE_GUARDED_JUMP} too, unless SCTLR_EL1.BT0 or BT1 is set. */
const LANDS_UNLESS_STRICT = 1

const BOTH = (1 << BTYPE_JUMP) | (1 << BTYPE_CALL)
const ALL = BOTH | (1 << BTYPE_GUARDED_JUMP)
/** BTI, BTI c, BTI j, BTI jc. */
const OF_BTI: readonly number[] = [0, BOTH, (1 << BTYPE_JUMP) | (1 << BTYPE_GUARDED_JUMP), ALL]

/**
 * Returns the branch types by which an instruction may be reached: bit n for a PSTATE.BTYPE of n, and {@link
 * LANDS_UNLESS_STRICT}.
 */
export function landingsOf(word: number): number {
  if ((word & 0xffff_ff3f) >>> 0 === 0xd503_241f) return OF_BTI[(word >>> 6) & 3]!
  // PACIASP, PACIBSP.
  if ((word & 0xffff_ffbf) >>> 0 === 0xd503_233f) return BOTH | LANDS_UNLESS_STRICT
  // BRK, HLT.
  const call = (word & 0xffe0_001f) >>> 0
  return call === 0xd420_0000 || call === 0xd440_0000 ? ALL : 0
}

/** The kind of a branch to a register, authenticated or not: bits 22:21. */
export const branchKind = ({ value }: Row): 'jump' | 'call' | 'return' =>
  (['jump', 'call', 'return', 'return'] as const)[(value >>> 21) & 3]!

/** Returns PSTATE.BTYPE after a branch to a register, if its page is guarded; 0 of RET. @param register - its number */
export function branchTypeOf(row: Row, register: number): number {
  const kind = branchKind(row)
  if (kind === 'call') return BTYPE_CALL
  if (kind === 'return') return 0
  return register === 16 || register === 17 ? BTYPE_JUMP : BTYPE_GUARDED_JUMP
}

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
   * Checks the target instruction of a branch. An instruction that cannot be fetched raises its abort later.
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
