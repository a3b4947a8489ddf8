import { STATUS_EXIT, STATUS_FAULT } from '@retrap/engine'
import * as P from '../state/pstate.ts'
import { bitsOfIt, itOf } from '../state/pstate.ts'
import * as S from '../state/state-layout.ts'
import * as E from '../state/syndrome.ts'
import { HCR_TEA, HCR_TGE, MDCR_TDE, SCTLR_DSSBS, SCTLR_SPAN } from '../state/controls.ts'
import * as places from '../state/places.ts'
import { returnedStep } from './watchpoints.ts'
import type { SystemState } from '../state/system-state.ts'

/** Offsets of the vectors, by the kind of exception. */
const VECTOR_SYNCHRONOUS = 0
const VECTOR_IRQ = 0x80
const VECTOR_FIQ = 0x100
const VECTOR_SERROR = 0x180
/** Vector offsets by origin: the same level with its own stack; EL0 in AArch64; EL0 in AArch32. */
export const FROM_OWN_STACK = 0x200
export const FROM_EL0 = 0x400
const FROM_AARCH32 = 0x600

/** N, Z, C and V. */
const FLAGS = 0xf000_0000
/** Fields of PSTATE that an exception return restores if it is legal. */
const RETURNED = P.PSTATE_EL | P.PSTATE_SP | P.PSTATE_BTYPE | P.PSTATE_SSBS | P.PSTATE_IL | P.PSTATE_UAO | P.PSTATE_DIT
/** Bits that a return always restores. */
const ALWAYS_RETURNED = P.PSTATE_PAN | P.PSTATE_DAIF

/** Classes whose lowest bit says that the exception comes from the level that it is taken to. */
const HAS_LEVEL: ReadonlySet<number> = new Set([
  E.EC_INSTRUCTION_ABORT,
  E.EC_DATA_ABORT,
  E.EC_BREAKPOINT,
  E.EC_SOFTWARE_STEP,
  E.EC_WATCHPOINT,
])

/**
 * Exceptions: raised by instructions, taken to EL1, left to EL2, and returned from.
 *
 * Source: Arm ARM (DDI 0487), shared pseudocode "AArch64.TakeException", "AArch64.ExceptionReturn".
 */
export class Exceptions {
  readonly #state: SystemState

  constructor(state: SystemState) {
    this.#state = state
  }

  /** Raises an exception for the current instruction. @returns a status */
  raise(syndrome: number): number {
    const s = this.#state
    s.setWord(S.S_FAULT_SYNDROME, syndrome)
    s.setWord(S.S_FAULT_STAGE, 0)
    s.setWord(S.S_FAULT_ADDRESS, 0)
    s.setWord(S.S_FAULT_ADDRESS + 4, 0)
    return STATUS_FAULT
  }

  /** Raises an exception to EL2. */
  raiseToEl2(syndrome: number): number {
    this.raise(syndrome)
    this.#state.setWord(S.S_FAULT_STAGE, 1)
    return STATUS_FAULT
  }

  /** Takes the exception that the state has, unless it is EL2's. @returns whether it was taken */
  take(): boolean {
    const s = this.#state
    const syndrome = s.word(S.S_FAULT_SYNDROME)
    if (this.isForEl2) return false
    if (E.hasFaultAddress(syndrome)) s.copy(S.S_FAULT_ADDRESS, places.S_FAR_EL1)
    s.setWord(places.S_ESR_EL1, this.syndrome)
    s.setWord(places.S_ESR_EL1 + 4, 0)
    s.setWord(S.S_FAULT_SYNDROME, 0)
    this.#enter(VECTOR_SYNCHRONOUS)
    return true
  }

  /** The syndrome for ESR_EL1 when EL1 takes the exception that the state has. */
  get syndrome(): number {
    const s = this.#state
    const syndrome = s.word(S.S_FAULT_SYNDROME)
    const isSame = s.level === 1 && HAS_LEVEL.has(E.exceptionClassOf(syndrome))
    return isSame ? (syndrome | (1 << 26)) >>> 0 : syndrome
  }

  /** Whether the exception that the state has is EL2's. */
  get isForEl2(): boolean {
    const s = this.#state
    const syndrome = s.word(S.S_FAULT_SYNDROME)
    if (s.word(S.S_FAULT_STAGE) !== 0 || (s.level === 0 && (s.word(places.S_HCR_EL2) & HCR_TGE) !== 0)) return true
    const exceptionClass = E.exceptionClassOf(syndrome)
    if (exceptionClass >= E.EC_BREAKPOINT && exceptionClass <= E.EC_BRK64)
      return (s.word(places.S_MDCR_EL2) & MDCR_TDE) !== 0
    if (exceptionClass !== E.EC_INSTRUCTION_ABORT && exceptionClass !== E.EC_DATA_ABORT) return false
    // External aborts, of the access or of its walk.
    const isExternal = (syndrome & 0x3f) === E.FSC_EXTERNAL || (syndrome & 0x3c) === (E.FSC_EXTERNAL | 4)
    return isExternal && (s.word(places.S_HCR_EL2 + 4) & HCR_TEA) !== 0
  }

  /** Takes an interrupt to EL1. @param event - `EVENT_*` */
  interrupt(event: number): void {
    const s = this.#state
    if (event === S.EVENT_SERROR) {
      s.setWord(places.S_ESR_EL1, (E.SERROR | (s.word(places.S_VSESR_EL2) & 0x01ff_ffff)) >>> 0)
      s.setWord(places.S_ESR_EL1 + 4, 0)
      s.setEvent(S.EVENT_SERROR, false)
    }
    this.#enter(event === S.EVENT_SERROR ? VECTOR_SERROR : event === S.EVENT_FIQ ? VECTOR_FIQ : VECTOR_IRQ)
  }

  /** PSTATE.IL is set, and an instruction is to be executed: it ends with an exception of that. */
  illegalState(): void {
    this.raise(E.ILLEGAL_STATE)
  }

  #enter(vector: number): void {
    const s = this.#state
    const { pstate } = s
    const control = s.word(places.S_SCTLR_EL1)
    s.setWord(places.S_SPSR_EL1, s.status)
    s.setWord(places.S_SPSR_EL1 + 4, 0)
    s.copy(S.S_PC, places.S_ELR_EL1)
    if ((pstate & P.PSTATE_NRW) !== 0) s.setWord(places.S_ELR_EL1, (s.word(S.S_PC) & ~1) >>> 0)
    s.setWord(S.S_IT, 0)
    const isLower = (pstate & P.PSTATE_EL) === 0
    const from = isLower
      ? (pstate & P.PSTATE_NRW) === 0
        ? FROM_EL0
        : FROM_AARCH32
      : (pstate & P.PSTATE_SP) === 0
        ? 0
        : FROM_OWN_STACK
    s.copy(places.S_VBAR_EL1, S.S_PC)
    s.setWord(S.S_PC, (s.word(places.S_VBAR_EL1) | from | vector) >>> 0)
    let next = (pstate & (P.PSTATE_DIT | P.PSTATE_PAN)) | P.PSTATE_EL1 | P.PSTATE_SP | P.PSTATE_DAIF
    if ((control & SCTLR_SPAN) === 0) next |= P.PSTATE_PAN
    if ((s.word(places.S_SCTLR_EL1 + 4) & SCTLR_DSSBS) !== 0) next |= P.PSTATE_SSBS
    s.setPstate(next)
  }

  /** ERET. @param address - place of the address that it returns to @returns a status */
  return(address: number): number {
    const s = this.#state
    if (s.level === 0) return this.raise(E.UNDEFINED)
    const saved = s.word(places.S_SPSR_EL1)
    const { pstate } = s
    s.copy(address, S.S_PC)
    s.setWord(S.S_EXCLUSIVE_BYTES, 0)
    const isLegal = this.#isLegal(saved)
    if (isLegal && (saved & P.PSTATE_NRW) !== 0) return this.#returnToAArch32(saved)
    s.flags = saved
    const always = saved & ALWAYS_RETURNED
    const next = isLegal ? saved & RETURNED : (pstate & ~(ALWAYS_RETURNED | P.PSTATE_SS)) | P.PSTATE_IL
    s.setWord(S.S_STEPPED, 0)
    s.setPstate(next | always | returnedStep(s, next | always, saved))
    return STATUS_EXIT
  }

  /** The program counter is that of the return. */
  #returnToAArch32(saved: number): number {
    const s = this.#state
    const isThumb = (saved & P.PSTATE_T) !== 0
    const it = itOf(saved)
    // Reserved values, and values in A32 code, are ignored.
    const hasIt = isThumb && (it & 15) !== 0
    s.setWord(S.S_PC, (s.word(S.S_PC) & (isThumb ? ~1 : ~3)) >>> 0)
    s.setWord(S.S_PC + 4, 0)
    s.setWord(S.S_STEPPED, 0)
    const next = saved & (P.PSTATE_FIELDS32 & ~P.PSTATE_SS)
    const step = returnedStep(s, next, saved)
    s.status = ((saved & FLAGS) | next | step | (saved & P.PSTATE_T) | (hasIt ? bitsOfIt(it) : 0)) >>> 0
    return STATUS_EXIT
  }

  #isLegal(saved: number): boolean {
    // EL0 alone has AArch32.
    if ((saved & P.PSTATE_NRW) !== 0) return (saved & 15) === 0
    switch (saved & (P.PSTATE_EL | 3)) {
      case 0:
        return true
      case P.PSTATE_EL1:
      case P.PSTATE_EL1 | P.PSTATE_SP:
        return (this.#state.word(places.S_HCR_EL2) & HCR_TGE) === 0
      default:
        return false
    }
  }
}

/** An event taken to EL1, with the reason for its vector. */
export interface ArmDeliveredEvent {
  /** Kind of the event. SVC is not an event, nor is an exception taken to EL2. */
  readonly kind: 'exception' | 'irq' | 'fiq' | 'serror'
  /** ESR_EL1 for an exception; 0 otherwise. */
  readonly syndrome: number
  /** FAR_EL1; undefined: not set by the exception. */
  readonly address: bigint | undefined
}

/** Called for what a processor executes: for tracers. A watcher changes nothing, and the guest cannot tell. */
export interface ArmExecutionWatch {
  /** The instruction at the program counter is about to be executed. With it instructions are executed one by one. */
  readonly instruction?: (() => void) | undefined
  /** An event is taken now, with the program counter at the instruction that it comes before. */
  readonly event?: ((event: ArmDeliveredEvent) => void) | undefined
}

/** The {@link ArmExecutionWatch} of a processor, for the parts of the processor that call it. */
export class WatchedExecution {
  /** {@link ArmExecutionWatch.instruction}, or null: nothing observes it. */
  instruction: (() => void) | null = null
  /** {@link ArmExecutionWatch.event}, or null: nothing observes it. */
  event: ((event: ArmDeliveredEvent) => void) | null = null

  /** All of it. */
  current: ArmExecutionWatch | null = null

  /** Takes a watch, or with null ends that. */
  set(watch: ArmExecutionWatch | null): void {
    this.current = watch
    this.instruction = watch?.instruction ?? null
    this.event = watch?.event ?? null
  }

  /** Reports the exception that the state has, if EL1 is about to take it. */
  exception(system: SystemState, exceptions: Exceptions): void {
    if (this.event === null || exceptions.isForEl2) return
    const raised = system.word(S.S_FAULT_SYNDROME)
    const exceptionClass = E.exceptionClassOf(raised)
    if (exceptionClass === E.EC_SVC64 || exceptionClass === E.EC_SVC32) return
    const address = (BigInt(system.word(S.S_FAULT_ADDRESS + 4)) << 32n) | BigInt(system.word(S.S_FAULT_ADDRESS))
    const { syndrome } = exceptions
    this.event({ kind: 'exception', syndrome, address: E.hasFaultAddress(raised) ? address : undefined })
  }

  /** Reports an interrupt that EL1 is about to take. */
  interrupt(kind: 'irq' | 'fiq' | 'serror'): void {
    this.event?.({ kind, syndrome: 0, address: undefined })
  }
}
