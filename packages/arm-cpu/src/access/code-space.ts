import { STATUS_DONE, STATUS_STEP, type CodeSpace } from '@retrap/engine'
import type { DebugSlot } from './debug-stops.ts'
import { newTranslation, type ArmTranslation } from '../state/host.ts'
import { KEY_GUARDED } from '../system/branch-types.ts'
import * as S from '../state/state-layout.ts'
import type { Translation } from './translation.ts'
import { FSC_EXTERNAL, instructionAbort, PC_ALIGNMENT_FAULT } from '../state/syndrome.ts'

/** Where a processor's instructions may lie, and the translation of fetches. */
export class ArmCodeSpace implements CodeSpace<ArmTranslation> {
  readonly #u32: Uint32Array
  readonly #translation: Translation
  readonly #reached = newTranslation()
  readonly #debug: DebugSlot
  /** One instruction is looked up, to be executed alone. */
  alone = false

  /** @param u32 - the state area */
  constructor(u32: Uint32Array, translation: Translation, debug: DebugSlot) {
    this.#u32 = u32
    this.#translation = translation
    this.#debug = debug
  }

  get executeSet(): number {
    return this.#translation.executeSet
  }

  get secondPageSet(): number {
    return this.#translation.executeSet
  }

  breakpoints(lo: number, hi: number): ReadonlySet<number> | undefined {
    return this.#debug.hooks?.points.breakpointsIn(lo, hi)
  }

  /**
   * The upper half of the address that control goes to: without its tag, where pointers to code have one.
   *
   * Source: Arm ARM (DDI 0487), shared pseudocode "AArch64.BranchAddr".
   */
  untagged(hi: number): number {
    const isUpper = (hi >>> 23) & 1
    const high = isUpper === 0 ? 0 : 0xff
    if (hi >>> 24 === high) return hi
    const isTagged = (this.#u32[S.S_POINTERS >>> 2]! >>> (8 * isUpper + S.POINTER_TAGGED + 1)) & 1
    return isTagged === 0 ? hi : ((hi & 0xff_ffff) | (high << 24)) >>> 0
  }

  /** Takes the tag off the program counter. */
  untag(): void {
    const at = (S.S_PC >>> 2) + 1
    this.#u32[at] = this.untagged(this.#u32[at]!)
  }

  check(lo: number, hi: number): number {
    // Thumb's have bit 0 set.
    const isThumb = (lo & 1) !== 0 && (this.#u32[S.S_MODE >>> 2]! & S.MODE_A32) !== 0
    return (lo & 3) === 0 || isThumb ? STATUS_DONE : this.#translation.raise(lo, hi, PC_ALIGNMENT_FAULT)
  }

  /** Only AArch32 instructions cross a page, and only its translation can prevent their execution. */
  checkSecondPage(): number {
    return STATUS_DONE
  }

  translate(lo: number, hi: number, into: ArmTranslation): number {
    const status = this.#translate(lo, hi, into)
    if (status !== STATUS_DONE || into.key !== KEY_GUARDED || this.#u32[S.S_GUARDS >>> 2] !== 0) return status
    // Set for the first guarded page: the branch to it was not checked.
    this.#u32[S.S_GUARDS >>> 2] = 1
    return this.alone ? STATUS_DONE : STATUS_STEP
  }

  #translate(lo: number, hi: number, into: ArmTranslation): number {
    const translation = this.#translation
    if (!translation.code(lo, hi, into)) {
      return translation.raiseAbort((lo & ~1) >>> 0, hi, instructionAbort(into.faultStatus), into)
    }
    return into.ma >= 0 ? STATUS_DONE : translation.raise((lo & ~1) >>> 0, hi, instructionAbort(FSC_EXTERNAL))
  }

  /** Finds the instruction at the program counter. @returns as `translate` */
  reach(): number {
    const [lo, hi] = [this.#u32[S.S_PC >>> 2]!, this.#u32[(S.S_PC >>> 2) + 1]!]
    const status = this.check(lo, hi)
    return status === STATUS_DONE ? this.#translate(lo, hi, this.#reached) : status
  }

  newTranslation(): ArmTranslation {
    return newTranslation()
  }

  nextHigh(hi: number): number {
    return (hi + 1) >>> 0
  }

  dropFault(): void {
    this.#u32[S.S_FAULT_SYNDROME >>> 2] = 0
    this.#u32[S.S_FAULT_STAGE >>> 2] = 0
  }
}
