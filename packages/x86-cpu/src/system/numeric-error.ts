import { ATTENTION_ASKED } from '@retrap/engine'
import type { CpuHost } from '../state/host.ts'
import { VECTOR_MF } from '../state/vectors.ts'
import * as S from '../state/state-layout.ts'
import { ACTIVITY_HALTED, S_ACTIVITY, S_IGNNE } from '../state/system-state.ts'
import { CR0_NE } from '../state/architecture.ts'

/** ES and B. */
const FSW_SUMMARY = 0x8080
const FSW_EXCEPTIONS = 0x3f
/** S_IGNNE: asserted; and the instruction that runs has its pending exception hidden. */
const ASSERTED = 1
const HIDDEN = 2

/** The error is #MF. */
export const NUMERIC_FAULT = 0
/** The processor stands still before the instruction, until an interrupt. */
export const NUMERIC_STAND_STILL = 1
/** The instruction executes, whatever is pending. */
export const NUMERIC_IGNORE = 2

/**
 * x87 exceptions with CR0.NE clear: FERR#, of which a PC makes interrupt 13, and IGNNE#.
 *
 * Source: SDM vol. 1, appendix D, "Guidelines for Writing x87 FPU Exception Handlers".
 */
export class NumericError {
  readonly #u32: Uint32Array
  readonly #host: CpuHost

  /** @param u32 - the state area */
  constructor(u32: Uint32Array, host: CpuHost) {
    this.#u32 = u32
    this.#host = host
  }

  /** The fault, of the `NUMERIC_*`; where it is none any more, nothing of it is left. */
  take(): number {
    const u32 = this.#u32
    if (u32[S.S_FAULT_VECTOR >>> 2] !== VECTOR_MF || (u32[S.S_CR0 >>> 2]! & CR0_NE) !== 0) return NUMERIC_FAULT
    if (this.#host.numericError === undefined) return NUMERIC_FAULT
    u32[S.S_FAULT_VECTOR >>> 2] = -1
    if (u32[S_IGNNE >>> 2] === 0) {
      u32[S_ACTIVITY >>> 2] = ACTIVITY_HALTED
      this.#host.numericError()
      return NUMERIC_STAND_STILL
    }
    u32[S.S_FSW >>> 2]! &= ~FSW_SUMMARY
    u32[S_IGNNE >>> 2] = HIDDEN
    return NUMERIC_IGNORE
  }

  /** IGNNE# is asserted: for as long as the exception is pending. */
  ignore(): void {
    const u32 = this.#u32
    if ((u32[S.S_FSW >>> 2]! & FSW_SUMMARY) === 0) return
    u32[S_IGNNE >>> 2] = ASSERTED
    u32[S.S_ATTENTION >>> 2] = ATTENTION_ASKED
  }

  /** An instruction has ended with a status: what it did not clear is pending again. */
  settle(status: number): void {
    if (status === S.STATUS_RESTART || status === S.STATUS_RETRY || status === S.STATUS_STEP) return
    const u32 = this.#u32
    const pending = (u32[S.S_FSW >>> 2]! & ~u32[S.S_FCW >>> 2]! & FSW_EXCEPTIONS) !== 0
    if (pending) u32[S.S_FSW >>> 2]! |= FSW_SUMMARY
    u32[S_IGNNE >>> 2] = pending ? ASSERTED : 0
  }
}
