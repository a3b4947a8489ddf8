import type { ApicBase } from './apic-base.ts'
import { DELIVERABLE } from './apic-events.ts'
import type { ApicEvents } from './apic-events.ts'
import { SVR } from './apic-layout.ts'
import { APIC_LVT_LINT0, DM_EXTINT, EVENT_EXTINT, EVENT_INTERRUPT, LVT_MASKED } from './apic-registers.ts'
import type { LocalApicBus } from './local-apic-options.ts'
import type { LocalVectorTable } from './local-vector-table.ts'
import type { TaskPriority } from './task-priority.ts'
import type { VectorRegisters } from './vector-registers.ts'

/** The parts of a local APIC that decide what its vCPU can take. */
export interface ApicDeliveryParts {
  readonly cpu: number
  readonly words: Int32Array
  readonly base: ApicBase
  readonly bus: LocalApicBus
  readonly events: ApicEvents
  readonly vectors: VectorRegisters
  readonly priority: TaskPriority
  readonly lvt: LocalVectorTable
}

/**
 * Delivery of a local APIC's interrupts to its vCPU: which of them can be taken now, and the INTA cycle.
 *
 * Source: Intel SDM vol. 3A, "Interrupt Acceptance for Fixed Interrupts", "Task and Processor Priorities".
 */
export class ApicDelivery {
  readonly #cpu: number
  readonly #words: Int32Array
  readonly #base: ApicBase
  readonly #bus: LocalApicBus
  readonly #events: ApicEvents
  readonly #vectors: VectorRegisters
  readonly #priority: TaskPriority
  readonly #lvt: LocalVectorTable

  constructor(parts: ApicDeliveryParts) {
    this.#cpu = parts.cpu
    this.#words = parts.words
    this.#base = parts.base
    this.#bus = parts.bus
    this.#events = parts.events
    this.#vectors = parts.vectors
    this.#priority = parts.priority
    this.#lvt = parts.lvt
  }

  /** Priority of the processor: the higher of task priority and service. */
  get processorPriority(): number {
    return this.#priority.processorPriority(this.#vectors.highestInService)
  }

  /** Returns the pending events: `EVENT_*` bits. */
  events(): number {
    return this.#events.stale || this.#priority.record !== null ? this.#look() : this.#events.current
  }

  /** Returns the vector that {@link acknowledge} would yield from this APIC, or −1; an ExtINT does not count. */
  peek(): number {
    return (this.events() & EVENT_INTERRUPT) === 0 ? -1 : this.#vectors.highestRequest
  }

  /** Performs the INTA cycle. @returns the vector */
  acknowledge(): number {
    const events = this.events()
    if ((events & EVENT_EXTINT) !== 0) {
      // The vector of an external controller is not subject to this APIC's priorities.
      this.#events.takeExtInt()
      const vector = this.#bus.acknowledgePic()
      this.#look()
      return vector
    }
    if ((events & EVENT_INTERRUPT) === 0) return this.#words[SVR]! & 0xff
    const vector = this.#vectors.highestRequest
    this.#vectors.accept(vector)
    // The vCPU that acknowledges looks by itself: it is not told.
    this.#look()
    return vector
  }

  /** An input of the events has changed: tells the vCPU if that makes a difference to it. */
  changed(): void {
    const before = this.#events.current & DELIVERABLE
    if ((this.#look() & DELIVERABLE) !== before) this.#bus.wake(this.#cpu)
  }

  /** Computes the deliverable events from their inputs. @returns all events */
  #look(): number {
    this.#events.beginLook()
    let events = 0
    const inService = this.#vectors.highestInService
    const pending = this.#vectors.highestRequest
    const priority = this.#priority.processorPriority(inService)
    this.#priority.record?.publish(inService < 0 ? 0 : inService & 0xf0, pending < 0 ? 0 : pending)
    if (this.#base.enabled && pending >> 4 > priority >> 4) events |= EVENT_INTERRUPT
    if (this.#lvt.level(0) && this.#acceptsExtInt()) events |= EVENT_EXTINT
    return this.#events.endLook(events)
  }

  /** LINT0 as ExtINT (virtual wire), or an APIC that is off, whose LINT0 is the processor's INTR pin. */
  #acceptsExtInt(): boolean {
    if (!this.#base.present) return true
    const lvt = this.#words[APIC_LVT_LINT0 >> 4]!
    return (lvt & LVT_MASKED) === 0 && ((lvt >>> 8) & 7) === DM_EXTINT
  }
}
