import { LINT } from './apic-layout.ts'
import {
  APIC_LVT_CMCI,
  APIC_LVT_ERROR,
  APIC_LVT_LINT0,
  APIC_LVT_LINT1,
  APIC_LVT_PMC,
  APIC_LVT_THERMAL,
  APIC_LVT_TIMER,
  DM_FIXED,
  DM_INIT,
  DM_NMI,
  DM_SMI,
  LVT_LEVEL,
  LVT_MASKED,
  LVT_REMOTE_IRR,
  LVT_WRITABLE,
} from './apic-registers.ts'

const DELIVERY_MODE = 0x700

/** Offset of each entry, by the name that saved states have for it. */
const ENTRIES = {
  cmci: APIC_LVT_CMCI,
  timer: APIC_LVT_TIMER,
  thermal: APIC_LVT_THERMAL,
  performance: APIC_LVT_PMC,
  lint0: APIC_LVT_LINT0,
  lint1: APIC_LVT_LINT1,
  error: APIC_LVT_ERROR,
} as const
type EntryName = keyof typeof ENTRIES
const NAMES = Object.keys(ENTRIES) as EntryName[]

/** Holds the saved state of the local vector table: each entry, and the levels of the pins. */
export interface LocalVectorTableState {
  /** LVT CMCI. */
  readonly cmci: number
  /** LVT timer. */
  readonly timer: number
  /** LVT thermal monitor. */
  readonly thermal: number
  /** LVT performance counter. */
  readonly performance: number
  /** LVT LINT0. */
  readonly lint0: number
  /** LVT LINT1. */
  readonly lint1: number
  /** LVT error. */
  readonly error: number
  /** Levels of LINT0 and LINT1. */
  readonly pins: readonly [boolean, boolean]
}

/** Receives the events that entries of the table cause. */
export interface LvtEvents {
  /** Requests a fixed interrupt; false if the APIC does not take it. */
  accept(vector: number, level: boolean): boolean
  /** Latches an NMI. */
  nmi(): void
  /** Latches an SMI. */
  smi(): void
  /** Latches an INIT. */
  init(): void
}

/**
 * The local vector table and the two pins that it has entries for.
 *
 * Source: Intel SDM vol. 3A, "Local Vector Table".
 */
export class LocalVectorTable {
  readonly #words: Int32Array
  readonly #events: LvtEvents

  /** @param words - the local APIC's state */
  constructor(words: Int32Array, events: LvtEvents) {
    this.#words = words
    this.#events = events
  }

  /** All entries masked and otherwise 0. */
  reset(): void {
    for (const name of NAMES) this.#words[ENTRIES[name] >> 4] = LVT_MASKED
  }

  /** Sets the mask bit of every entry. */
  maskAll(): void {
    for (const name of NAMES) this.#words[ENTRIES[name] >> 4]! |= LVT_MASKED
  }

  /**
   * Writes an entry.
   *
   * @param masked - the APIC is disabled by software, so that no entry can be unmasked
   */
  write(offset: number, value: number, masked: boolean): void {
    const index = offset >> 4
    let next = (value & LVT_WRITABLE[offset]!) | (this.#words[index]! & LVT_REMOTE_IRR)
    if (masked) next |= LVT_MASKED
    // Only a fixed, level-triggered interrupt waits for its EOI.
    if ((next & (LVT_LEVEL | DELIVERY_MODE)) !== LVT_LEVEL) next &= ~LVT_REMOTE_IRR
    this.#words[index] = next
    if (offset === APIC_LVT_LINT0) this.#raise(0)
    else if (offset === APIC_LVT_LINT1) this.#raise(1)
  }

  /** The level of a pin. */
  level(pin: 0 | 1): boolean {
    return (this.#words[LINT]! & (1 << pin)) !== 0
  }

  /**
   * Drives a pin.
   *
   * @param connected - the pin leads to its entry; without its APIC the processor has it for itself
   */
  drive(pin: 0 | 1, level: boolean, connected: boolean): void {
    const bit = 1 << pin
    const old = this.#words[LINT]!
    this.#words[LINT] = level ? old | bit : old & ~bit
    if (!level || !connected) return
    const offset = pin === 0 ? APIC_LVT_LINT0 : APIC_LVT_LINT1
    if ((this.#words[offset >> 4]! & (LVT_LEVEL | DELIVERY_MODE)) === LVT_LEVEL) this.#raise(pin)
    else this.deliver(offset)
  }

  /** Raises a pin's level-triggered interrupt while its line is up and it does not wait for an EOI. */
  #raise(pin: 0 | 1): void {
    const index = (pin === 0 ? APIC_LVT_LINT0 : APIC_LVT_LINT1) >> 4
    const entry = this.#words[index]!
    const wanted = (entry & (LVT_MASKED | LVT_LEVEL | LVT_REMOTE_IRR | DELIVERY_MODE)) === LVT_LEVEL
    if (!wanted || !this.level(pin)) return
    if (this.#events.accept(entry & 0xff, true)) this.#words[index]! |= LVT_REMOTE_IRR
  }

  /** A level-triggered interrupt has ended: a pin that is still up interrupts again. */
  endOfInterrupt(vector: number): void {
    for (const pin of [0, 1] as const) {
      const index = (pin === 0 ? APIC_LVT_LINT0 : APIC_LVT_LINT1) >> 4
      const entry = this.#words[index]!
      if ((entry & LVT_REMOTE_IRR) === 0 || (entry & 0xff) !== vector) continue
      this.#words[index] = entry & ~LVT_REMOTE_IRR
      this.#raise(pin)
    }
  }

  /** An entry's event has happened. */
  deliver(offset: number): void {
    const entry = this.#words[offset >> 4]!
    if ((entry & LVT_MASKED) !== 0) return
    // Timer and error entries have no mode field; it reads as fixed.
    switch ((entry & DELIVERY_MODE) >>> 8) {
      case DM_FIXED:
        this.#events.accept(entry & 0xff, false)
        return
      case DM_SMI:
        this.#events.smi()
        return
      case DM_NMI:
        this.#events.nmi()
        return
      case DM_INIT:
        this.#events.init()
        return
      default:
      // ExtINT follows the line and not the edge; the rest is reserved.
    }
  }

  /** Returns the entries and pins by name. */
  save(): LocalVectorTableState {
    const entries = Object.fromEntries(NAMES.map((name) => [name, this.#words[ENTRIES[name] >> 4]!]))
    return { ...(entries as Record<EntryName, number>), pins: [this.level(0), this.level(1)] }
  }

  /** Takes saved entries and pins. */
  restore(state: LocalVectorTableState): void {
    for (const name of NAMES) this.#words[ENTRIES[name] >> 4] = state[name]
    this.#words[LINT] = (state.pins[0] ? 1 : 0) | (state.pins[1] ? 2 : 0)
  }
}
