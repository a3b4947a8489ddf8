import * as vectors from '../state/vectors.ts'
import * as S from '../state/state-layout.ts'
import { Delivery, SOURCE_EVENT, deliver } from './segments/interrupt-delivery.ts'
import { enterSystemManagement } from './system-management.ts'
import { Abandon, type System } from './system.ts'
import * as systemState from '../state/system-state.ts'

/** Kinds of events, numbered as in VM-entry interruption information (SDM vol. 3C, "VM-Entry Controls for Event Injection"). */
export const EVENT_TYPE_EXTERNAL = 0
export const EVENT_TYPE_NMI = 2
const EVENT_TYPE_EXCEPTION = 3
/** A system-management interrupt, which has no such number. */
export const EVENT_TYPE_SMI = 8

const DR6_OFFSET = S.S_DR + 6 * 8
const DR7_OFFSET = S.S_DR + 7 * 8
const DR7_GD = 1 << 13
/** DR6 bits that read as one. */
const DR6_FIXED = 0xffff_0ff0
/** BD, BS, BT and B3–B0. */
const DR6_CONDITIONS = 0xe00f

/**
 * An event that waits for delivery. It is latched before the first access that its delivery makes and does not change
 * until delivery has succeeded, so that delivery can be abandoned at a device and begun again.
 */
export class PendingEvent {
  type: number = EVENT_TYPE_EXCEPTION
  vector = 0
  hasError = false
  errorCode = 0
  /** #PF: what CR2 is to hold. */
  addressLo = 0
  addressHi = 0
  /** #DB: conditions for DR6. */
  debugBits = 0
  /** RF in the pushed RFLAGS is set: faults, and interrupts between two iterations of a string instruction. */
  resume = false

  /** A maskable interrupt or an NMI. */
  setInterrupt(type: number, vector: number, resume: boolean): void {
    this.type = type
    this.vector = vector
    this.hasError = false
    this.errorCode = 0
    this.debugBits = 0
    this.resume = resume
  }

  /** A system-management interrupt. */
  setSystemManagement(): void {
    this.type = EVENT_TYPE_SMI
    this.resume = false
  }

  /** A #DB trap, or with `fault` one that comes before its instruction. */
  setDebug(bits: number): void {
    this.type = EVENT_TYPE_EXCEPTION
    this.vector = vectors.VECTOR_DB
    this.hasError = false
    this.errorCode = 0
    this.debugBits = bits
    // An instruction breakpoint does not set RF: the handler does (SDM vol. 3B, "Instruction-Breakpoint Exception
    // Condition").
    this.resume = false
  }

  /** The exception that a task switch ended with in its new task; or what somebody outside has injected. */
  latchPendingFault(s: System): void {
    const pending = s.get(systemState.S_PENDING_FAULT)
    this.type = pending > systemState.PENDING_EXTERNAL ? EVENT_TYPE_EXTERNAL : EVENT_TYPE_EXCEPTION
    this.vector = (pending & 0x1ff) - 1
    this.hasError = s.get(systemState.S_PENDING_FAULT_HAS_ERROR) !== 0
    this.errorCode = s.get(systemState.S_PENDING_FAULT_ERROR)
    this.addressLo = s.get(systemState.S_PENDING_FAULT_ADDRESS)
    this.addressHi = s.get(systemState.S_PENDING_FAULT_ADDRESS + 4)
    this.debugBits = 0
    this.resume = this.type === EVENT_TYPE_EXCEPTION
  }

  /** The exception in S_FAULT_*, after an instruction ended with STATUS_FAULT. */
  latchFault(s: System): void {
    this.type = EVENT_TYPE_EXCEPTION
    this.vector = s.get(S.S_FAULT_VECTOR)
    this.hasError = s.get(S.S_FAULT_HAS_ERROR) !== 0
    this.errorCode = s.get(S.S_FAULT_ERROR)
    this.addressLo = s.get(S.S_FAULT_ADDRESS)
    this.addressHi = s.get(S.S_FAULT_ADDRESS + 4)
    // A #DB that an instruction raises itself is the general-detect fault.
    this.debugBits = this.vector === vectors.VECTOR_DB ? this.errorCode : 0
    if (this.vector === vectors.VECTOR_DB) this.errorCode = 0
    this.resume = true
  }
}

function isContributory(vector: number): boolean {
  return (
    vector === vectors.VECTOR_DE ||
    vector === vectors.VECTOR_TS ||
    vector === vectors.VECTOR_NP ||
    vector === vectors.VECTOR_SS ||
    vector === vectors.VECTOR_GP ||
    vector === 21
  )
}

/**
 * Whether a second exception while the first is delivered makes a double fault.
 *
 * Source: SDM vol. 3A, "Interrupt 8—Double Fault Exception", table "Conditions for Generating a Double Fault".
 */
export function isDoubleFault(first: number, second: number): boolean {
  if (first === vectors.VECTOR_PF) return second === vectors.VECTOR_PF || isContributory(second)
  return isContributory(first) && isContributory(second)
}

const delivery = new Delivery()

/** Writes CR2, DR6 and DR7 as a delivery that has ended leaves them, whether a handler is reached or not. */
function recordExceptions(s: System, event: PendingEvent): void {
  s.set64(S.S_CR2, delivery.addressLo, delivery.addressHi)
  if (event.type === EVENT_TYPE_EXCEPTION && event.vector === vectors.VECTOR_DB) recordDebug(s, event.debugBits)
}

/** Writes DR6 and DR7 as a debug exception with these conditions leaves them. */
export function recordDebug(s: System, bits: number): void {
  // B0–B3 are those of this exception; BD, BS, BT stay until software clears them.
  const old = s.get(DR6_OFFSET)
  s.set(DR6_OFFSET, (old & ~0xf) | (bits & DR6_CONDITIONS) | DR6_FIXED)
  s.set(DR7_OFFSET, s.get(DR7_OFFSET) & ~DR7_GD)
}

/**
 * Delivers an event in the usual cases.
 *
 * @returns whether it has been delivered; else nothing has changed
 */
export type QuickDelivery = (what: Delivery) => boolean

/**
 * Delivers an event, and whatever goes wrong on the way: a further exception, a double fault, shutdown.
 *
 * A replay unit of its own: after STATUS_RETRY or STATUS_RESTART nothing has changed, and the same event is delivered
 * again.
 *
 * @returns STATUS_JUMP or STATUS_EXIT when a handler has been entered; STATUS_EXIT with S_ACTIVITY = ACTIVITY_SHUTDOWN
 *   after a triple fault; STATUS_RETRY; STATUS_RESTART
 */
export function deliverEvent(s: System, event: PendingEvent, deliverQuickly: QuickDelivery): number {
  if (event.type === EVENT_TYPE_SMI) return attempt(s, enterSystemManagement)
  let exception = event.type === EVENT_TYPE_EXCEPTION
  const paged = exception && event.vector === vectors.VECTOR_PF
  delivery.addressLo = paged ? event.addressLo : s.get(S.S_CR2)
  delivery.addressHi = paged ? event.addressHi : s.get(S.S_CR2 + 4)
  delivery.vector = event.vector
  delivery.source = SOURCE_EVENT
  delivery.hasError = event.hasError
  delivery.errorCode = event.errorCode
  delivery.returnLo = s.get(S.S_RIP)
  delivery.returnHi = s.get(S.S_RIP + 4)
  delivery.resume = event.resume
  for (;;) {
    const status = deliverQuickly(delivery) ? 0 : attempt(s, deliverLatched)
    if (status !== S.STATUS_FAULT) {
      if (status !== 0) return status
      recordExceptions(s, event)
      s.set(S.S_SHADOW, 0)
      s.set(systemState.S_ACTIVITY, systemState.ACTIVITY_RUNNING)
      s.cpu.endMonitor()
      if (event.type === EVENT_TYPE_NMI) s.set(systemState.S_NMI_BLOCKED, 1)
      return s.retired()
    }
    const second = s.get(S.S_FAULT_VECTOR)
    if (second === vectors.VECTOR_PF) {
      delivery.addressLo = s.get(S.S_FAULT_ADDRESS)
      delivery.addressHi = s.get(S.S_FAULT_ADDRESS + 4)
    }
    if (exception && delivery.vector === vectors.VECTOR_DF) {
      recordExceptions(s, event)
      s.set(systemState.S_ACTIVITY, systemState.ACTIVITY_SHUTDOWN)
      return S.STATUS_EXIT
    }
    if (exception && isDoubleFault(delivery.vector, second)) {
      delivery.vector = vectors.VECTOR_DF
      delivery.hasError = true
      delivery.errorCode = 0
      // RIP is the interrupted instruction's again, unless a task switch has been made.
    } else {
      delivery.vector = second
      delivery.hasError = s.get(S.S_FAULT_HAS_ERROR) !== 0
      delivery.errorCode = s.get(S.S_FAULT_ERROR)
    }
    delivery.resume = true
    delivery.returnLo = s.get(S.S_RIP)
    delivery.returnHi = s.get(S.S_RIP + 4)
    exception = true
  }
}

function deliverLatched(s: System): number {
  deliver(s, delivery)
  return 0
}

/** One delivery. @returns what it returned, or the status that ended it */
function attempt(s: System, make: (s: System) => number): number {
  s.ext = 1
  s.dropWrites()
  try {
    return make(s)
  } catch (error) {
    if (error instanceof Abandon) return error.status
    throw error
  } finally {
    s.ext = 0
  }
}
