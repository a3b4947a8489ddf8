import { STATUS_DONE } from '@retrap/engine'
import type { ArmHost } from '../state/host.ts'
import * as S from '../state/state-layout.ts'
import { ofHalfword, waitTrap } from '../state/syndrome.ts'
import { HCR_TWE, HCR_TWI, SCTLR_NTWE, SCTLR_NTWI } from '../state/controls.ts'
import type { Exceptions } from './exceptions.ts'
import { S_DISR_EL1, S_HCR_EL2, S_SCTLR_EL1, S_VSESR_EL2 } from '../state/places.ts'
import type { SystemState } from '../state/system-state.ts'

/** Hints, by CRm:op2. */
const WFE = 2
const WFI = 3
const SEV = 4
const SEVL = 5
const ESB = 16

/** DISR_EL1: an SError was deferred. */
const DEFERRED = 1 << 31

/** The hints that wait, signal events, and defer SErrors. */
export class Waits {
  readonly #state: SystemState
  readonly #exceptions: Exceptions
  readonly #host: ArmHost

  constructor(state: SystemState, exceptions: Exceptions, host: ArmHost) {
    this.#state = state
    this.#exceptions = exceptions
    this.#host = host
  }

  /** Executes a hint. @param number - CRm:op2 @param bytes - its length @returns a status */
  execute(number: number, bytes = 4): number {
    const s = this.#state
    switch (number) {
      case WFI:
        if ((s.word(S.S_EVENTS) & (S.EVENT_FIQ | S.EVENT_IRQ | S.EVENT_SERROR)) !== 0) return STATUS_DONE
        return this.#wait(S.WAIT_INTERRUPT, SCTLR_NTWI, HCR_TWI, bytes)
      case WFE:
        if (s.takeEvent()) return STATUS_DONE
        return this.#wait(this.#watchesStores ? S.WAIT_MONITOR : S.WAIT_EVENT, SCTLR_NTWE, HCR_TWE, bytes)
      case SEV:
        this.#host.eventSent?.()
        s.setEvent(S.EVENT_REGISTER, true)
        return STATUS_DONE
      case SEVL:
        s.setEvent(S.EVENT_REGISTER, true)
        return STATUS_DONE
      case ESB:
        this.#defer()
        return STATUS_DONE
      default:
        return STATUS_DONE
    }
  }

  /** Whether the exclusive monitor has marked memory, which others may write. */
  get #watchesStores(): boolean {
    const marked = this.#state.word(S.S_EXCLUSIVE_BYTES)
    return marked !== 0 && marked !== S.EXCLUSIVE_ELSEWHERE
  }

  #wait(what: number, admitted: number, trapped: number, bytes: number): number {
    const s = this.#state
    const whole = waitTrap(what !== S.WAIT_INTERRUPT)
    const syndrome = bytes === 2 ? ofHalfword(whole) : whole
    if (s.level === 0 && (s.word(S_SCTLR_EL1) & admitted) === 0) return this.#exceptions.raise(syndrome)
    if ((s.word(S_HCR_EL2) & trapped) !== 0) return this.#exceptions.raiseToEl2(syndrome)
    // Without EL1 nothing wakes EL0: its host continues it.
    if (!s.isHosted) s.setWord(S.S_WAITING, what)
    return STATUS_DONE
  }

  /** An SError that is pending, and masked, is deferred. An unmasked SError is taken before. */
  #defer(): void {
    const s = this.#state
    if ((s.word(S.S_EVENTS) & S.EVENT_SERROR) === 0 || s.dueInterrupt === S.EVENT_SERROR) return
    s.setEvent(S.EVENT_SERROR, false)
    s.setWord(S_DISR_EL1, (DEFERRED | (s.word(S_VSESR_EL2) & 0x01ff_ffff)) >>> 0)
  }
}
