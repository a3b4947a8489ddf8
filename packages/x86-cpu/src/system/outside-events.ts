import { ATTENTION_ASKED } from '@retrap/engine'
import type { Neighbour } from '@retrap/memory'
import * as S from '../state/state-layout.ts'
import * as systemState from '../state/system-state.ts'

/**
 * The signals to a running processor: its pins, and its owner's wish that it come back. Kept in the state area, where other
 * threads may raise them: first the event, then the attention; the processor takes them back in the other order.
 */
export class OutsideEvents {
  readonly #u32: Uint32Array
  /** A debugger holds interrupts off: of all kinds but INIT. */
  held = false
  /** This thread, where others execute code of the memory, too: their requests ask for attention as events do. */
  neighbour: Neighbour | undefined = undefined

  /** @param u32 - the state area */
  constructor(u32: Uint32Array) {
    this.#u32 = u32
  }

  /** `EVENT_*`: it waits, and generated code is to come back for it. */
  raise(event: number): void {
    Atomics.or(this.#u32, S.S_EVENTS >>> 2, event)
    this.#u32[S.S_ATTENTION >>> 2] = ATTENTION_ASKED
  }

  clear(events: number): void {
    Atomics.and(this.#u32, S.S_EVENTS >>> 2, ~events)
  }

  /** A start-up IPI, for a processor that waits for one or is about to; lost in system-management mode. */
  startup(vector: number): void {
    const u32 = this.#u32
    if (u32[systemState.S_ACTIVITY >>> 2] !== systemState.ACTIVITY_WAIT_FOR_SIPI && !this.init) return
    u32[systemState.S_SIPI_VECTOR >>> 2] = vector & 0xff
    this.raise(S.EVENT_SIPI)
  }

  /** Queues an event for delivery before the next instruction; see `Vcpu.inject`. */
  inject(vector: number, external: boolean, errorCode: number, addressLo: number, addressHi: number): boolean {
    const u32 = this.#u32
    if (
      u32[systemState.S_PENDING_FAULT >>> 2] !== 0 ||
      u32[systemState.S_ACTIVITY >>> 2] === systemState.ACTIVITY_WAIT_FOR_SIPI
    )
      return false
    u32[systemState.S_PENDING_FAULT >>> 2] = ((vector & 0xff) + 1) | (external ? systemState.PENDING_EXTERNAL : 0)
    u32[systemState.S_PENDING_FAULT_HAS_ERROR >>> 2] = errorCode === -1 || external ? 0 : 1
    u32[systemState.S_PENDING_FAULT_ERROR >>> 2] = errorCode
    u32[systemState.S_PENDING_FAULT_ADDRESS >>> 2] = addressLo
    u32[(systemState.S_PENDING_FAULT_ADDRESS >>> 2) + 1] = addressHi
    u32[S.S_ATTENTION >>> 2] = ATTENTION_ASKED
    return true
  }

  /** Page number of the entry point that the start-up IPI named. */
  get startupVector(): number {
    return this.#u32[systemState.S_SIPI_VECTOR >>> 2]!
  }

  /** An INIT waits that is not held off by system-management mode, or by an SMI that is being delivered. */
  get init(): boolean {
    return (
      (this.#u32[S.S_EVENTS >>> 2]! & S.EVENT_INIT) !== 0 &&
      this.#u32[systemState.S_SMM >>> 2] === systemState.SMM_OUTSIDE
    )
  }

  /** An SMI waits, and the processor is not in system-management mode. */
  get smi(): boolean {
    return (
      !this.held &&
      (this.#u32[S.S_EVENTS >>> 2]! & S.EVENT_SMI) !== 0 &&
      this.#u32[systemState.S_SMM >>> 2] === systemState.SMM_OUTSIDE
    )
  }

  /** An NMI waits that is not held off. */
  get nmi(): boolean {
    return (
      !this.held &&
      (this.#u32[S.S_EVENTS >>> 2]! & S.EVENT_NMI) !== 0 &&
      this.#u32[systemState.S_NMI_BLOCKED >>> 2] === 0
    )
  }

  /** A maskable interrupt waits, and RFLAGS.IF is set. */
  get interrupt(): boolean {
    if (this.held) return false
    return (this.#u32[S.S_EVENTS >>> 2]! & S.EVENT_INTERRUPT) !== 0 && (this.#u32[S.S_EFLAGS >>> 2]! & S.FLAG_IF) !== 0
  }

  /** An event waits that comes before the next instruction, or a neighbour's request. */
  get urgent(): boolean {
    if (this.neighbour?.isAsked === true) return true
    const events = this.#u32[S.S_EVENTS >>> 2]!
    if (events === 0) return false
    return (events & S.EVENT_STOP) !== 0 || this.interrupt || this.nmi || this.smi || this.init
  }

  /** Attention is asked for only where something can be done about it. */
  settleAttention(): void {
    Atomics.store(this.#u32, S.S_ATTENTION >>> 2, 0)
    if (this.urgent) this.#u32[S.S_ATTENTION >>> 2] = ATTENTION_ASKED
  }
}
