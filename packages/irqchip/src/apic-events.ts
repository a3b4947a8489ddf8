import { EVENTS, SIPI_VECTOR } from './apic-layout.ts'
import { EVENT_EXTINT, EVENT_INIT, EVENT_INTERRUPT, EVENT_NMI, EVENT_SIPI, EVENT_SMI } from './apic-registers.ts'

/** Bit of the event word: an input of the deliverable events has changed. */
const RECHECK = 1 << 0
/** An ExtINT came as a message; `EVENT_EXTINT` accompanies it. */
const EXTINT_MESSAGE = 1 << 8

/** Events that depend on other state; the others are latched. */
export const DELIVERABLE: number = EVENT_INTERRUPT | EVENT_EXTINT

/** Holds the saved state of the latched events. */
export interface ApicEventsState {
  /** An NMI is pending. */
  readonly nmi: boolean
  /** An SMI is pending. */
  readonly smi: boolean
  /** An INIT is pending. */
  readonly init: boolean
  /** Vector of a pending start-up message; −1 for none. */
  readonly startup: number
  /** An ExtINT message is pending. */
  readonly extInt: boolean
}

/**
 * The event word of a local APIC: one look tells a vCPU whether there is anything to do.
 *
 * Any thread sets bits in it; the vCPU's own look computes the deliverable events anew where a bit says so.
 */
export class ApicEvents {
  readonly #words: Int32Array

  /** @param words - the local APIC's state */
  constructor(words: Int32Array) {
    this.#words = words
  }

  /** The events, as they were computed last. */
  get current(): number {
    return this.#words[EVENTS]!
  }

  /** Whether the deliverable events must be computed again. */
  get stale(): boolean {
    return (this.#words[EVENTS]! & RECHECK) !== 0
  }

  /** Notes that an input of the deliverable events has changed. */
  touch(): void {
    Atomics.or(this.#words, EVENTS, RECHECK)
  }

  /** To be called before the inputs are read: a change from here on is noted again. */
  beginLook(): void {
    Atomics.and(this.#words, EVENTS, ~RECHECK)
  }

  /** Notes the deliverable events. @returns all events */
  endLook(deliverable: number): number {
    const words = this.#words
    let old = Atomics.load(words, EVENTS)
    for (;;) {
      const message = (old & EXTINT_MESSAGE) !== 0 ? EVENT_EXTINT : 0
      const next = (old & ~DELIVERABLE) | deliverable | message
      const seen = Atomics.compareExchange(words, EVENTS, old, next)
      if (seen === old) return next & ~RECHECK
      old = seen
    }
  }

  /** Latches an event. */
  latch(event: number): void {
    Atomics.or(this.#words, EVENTS, event)
  }

  /** Latches an INIT, which overtakes a start-up message that was not taken. */
  latchInit(): void {
    Atomics.and(this.#words, EVENTS, ~EVENT_SIPI)
    this.latch(EVENT_INIT)
  }

  /** Latches a start-up message. */
  latchStartup(vector: number): void {
    this.#words[SIPI_VECTOR] = vector & 0xff
    this.latch(EVENT_SIPI)
  }

  /** Latches an ExtINT message. */
  latchExtInt(): void {
    this.latch(EVENT_EXTINT | EXTINT_MESSAGE)
  }

  /** Takes a latched event. @returns whether it was there */
  take(event: number): boolean {
    return (Atomics.and(this.#words, EVENTS, ~event) & event) !== 0
  }

  /** Takes the start-up message. @returns its vector, or −1 */
  takeStartup(): number {
    return this.take(EVENT_SIPI) ? this.#words[SIPI_VECTOR]! : -1
  }

  /** Takes the ExtINT, message or wire. */
  takeExtInt(): void {
    Atomics.and(this.#words, EVENTS, ~(EVENT_EXTINT | EXTINT_MESSAGE))
  }

  /** Forgets all but what an INIT leaves. */
  initReset(): void {
    Atomics.and(this.#words, EVENTS, EVENT_SIPI | EVENT_INIT)
  }

  /** Returns the latched events by name. */
  save(): ApicEventsState {
    const events = this.#words[EVENTS]!
    return {
      nmi: (events & EVENT_NMI) !== 0,
      smi: (events & EVENT_SMI) !== 0,
      init: (events & EVENT_INIT) !== 0,
      startup: (events & EVENT_SIPI) === 0 ? -1 : this.#words[SIPI_VECTOR]!,
      extInt: (events & EXTINT_MESSAGE) !== 0,
    }
  }

  /** Takes saved events. */
  restore(state: ApicEventsState): void {
    this.#words[SIPI_VECTOR] = Math.max(0, state.startup)
    this.#words[EVENTS] =
      (state.nmi ? EVENT_NMI : 0) |
      (state.smi ? EVENT_SMI : 0) |
      (state.init ? EVENT_INIT : 0) |
      (state.startup >= 0 ? EVENT_SIPI : 0) |
      (state.extInt ? EVENT_EXTINT | EXTINT_MESSAGE : 0)
    this.touch()
  }
}
