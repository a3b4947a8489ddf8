import type { ApicBase } from './apic-base.ts'
import type { ApicEvents } from './apic-events.ts'
import { ERRORS } from './apic-layout.ts'
import {
  APIC_LVT_ERROR,
  ESR_RECEIVED_ILLEGAL_VECTOR,
  EVENT_NMI,
  EVENT_SMI,
  FIRST_LEGAL_VECTOR,
  LVT_MASKED,
} from './apic-registers.ts'
import type { LocalApicBus } from './local-apic-options.ts'
import type { LvtEvents } from './local-vector-table.ts'
import type { VectorRegisters } from './vector-registers.ts'

/** The parts of a local APIC that its messages reach. */
export interface ApicArrivalParts {
  readonly cpu: number
  readonly words: Int32Array
  readonly base: ApicBase
  readonly bus: LocalApicBus
  readonly events: ApicEvents
  readonly vectors: VectorRegisters
}

/**
 * Interrupts that arrive at a local APIC, from the bus and from its own local vector table. Each wakes the vCPU.
 *
 * Source: Intel SDM vol. 3A, "Handling Interrupts", "Error Handling".
 */
export class ApicArrivals implements LvtEvents {
  readonly #cpu: number
  readonly #words: Int32Array
  readonly #base: ApicBase
  readonly #bus: LocalApicBus
  readonly #events: ApicEvents
  readonly #vectors: VectorRegisters

  constructor(parts: ApicArrivalParts) {
    this.#cpu = parts.cpu
    this.#words = parts.words
    this.#base = parts.base
    this.#bus = parts.bus
    this.#events = parts.events
    this.#vectors = parts.vectors
  }

  /** Requests a fixed interrupt. @returns whether the APIC took it: it must be enabled */
  accept(vector: number, level: boolean): boolean {
    if (!this.#base.enabled) return false
    if (vector < FIRST_LEGAL_VECTOR) {
      this.error(ESR_RECEIVED_ILLEGAL_VECTOR)
      return false
    }
    this.#vectors.request(vector, level)
    this.#events.touch()
    this.#bus.wake(this.#cpu)
    return true
  }

  /** Notes an error, and requests the interrupt of the LVT error entry. */
  error(bit: number): void {
    const lvt = this.#words[APIC_LVT_ERROR >> 4]!
    const vector = lvt & 0xff
    if ((lvt & LVT_MASKED) !== 0) {
      this.#words[ERRORS]! |= bit
    } else if (vector < FIRST_LEGAL_VECTOR) {
      // The error's own interrupt is an error as well, and goes no further.
      this.#words[ERRORS]! |= bit | ESR_RECEIVED_ILLEGAL_VECTOR
    } else {
      this.#words[ERRORS]! |= bit
      this.accept(vector, false)
    }
  }

  nmi(): void {
    this.#events.latch(EVENT_NMI)
    this.#bus.wake(this.#cpu)
  }

  smi(): void {
    this.#events.latch(EVENT_SMI)
    this.#bus.wake(this.#cpu)
  }

  init(): void {
    this.#events.latchInit()
    this.#bus.wake(this.#cpu)
  }

  startup(vector: number): void {
    this.#events.latchStartup(vector)
    this.#bus.wake(this.#cpu)
  }

  extInt(): void {
    if (this.#base.present && !this.#base.enabled) return
    this.#events.latchExtInt()
    this.#bus.wake(this.#cpu)
  }
}
