import { Stateful } from '@retrap/device'
import type { PirqWiring } from '../architecture.ts'
import { XenErrno } from '../numbers.ts'

/** Interrupts that a guest can be told of by event channels. */
const PIRQS = 256
/** Inputs of ISA devices, which are edges. */
const ISA_GSIS = 16

/** `MAP_PIRQ_TYPE_*` (public header physdev.h). */
const TYPE_GSI = 1

/** A number stands for an input of the I/O APIC, or for one of these. */
const UNBOUND = -1
const MSI = -2

/** A pirq in a saved state. Its source is an input of the I/O APIC, or −2 for messages. */
interface SavedPirq {
  readonly pirq: number
  readonly source: number
}

/**
 * The interrupts of emulated devices that a guest takes by event channel instead of the I/O APIC and MSI: "physical" ones,
 * by their numbers. A message whose vector is 0 has such a number as its destination.
 */
export class Pirqs extends Stateful {
  readonly #wiring: PirqWiring
  readonly #sources: Int16Array = new Int16Array(PIRQS).fill(UNBOUND)
  /** Handed out, and not connected with anything yet. */
  readonly #reserved = new Set<number>()

  constructor(wiring: PirqWiring) {
    super()
    this.#wiring = wiring
    this.keeps({
      version: 1,
      sources: { save: () => this.#mapped(), restore: (all: readonly SavedPirq[]) => this.#map(all) },
      reserved: this.#reserved,
    })
  }

  /** Whether the pirq number exists. */
  exists(pirq: number): boolean {
    return pirq < PIRQS
  }

  /** Whether a number stands for an interrupt. */
  isMapped(pirq: number): boolean {
    return (this.#sources[pirq] ?? UNBOUND) !== UNBOUND
  }

  #isFree(pirq: number): boolean {
    return !this.isMapped(pirq) && !this.#reserved.has(pirq)
  }

  /** A number that nobody uses, for an input of the I/O APIC or for messages; an error if there is none. */
  #find(type: number): number {
    if (type === TYPE_GSI)
      for (let pirq = ISA_GSIS; pirq < this.#wiring.inputs; pirq++) if (this.#isFree(pirq)) return pirq
    for (let pirq = PIRQS - 1; pirq >= this.#wiring.inputs; pirq--) if (this.#isFree(pirq)) return pirq
    return XenErrno.NOSPC
  }

  /** Hands out a number for messages to come. */
  reserve(type: number): number {
    const pirq = this.#find(type)
    if (pirq >= 0) this.#reserved.add(pirq)
    return pirq
  }

  /**
   * Connects a number with an input of the I/O APIC. Connections that either has already stay.
   *
   * @param pirq - the pirq number, or negative for any free one
   * @returns the number, or an error
   */
  mapGsi(gsi: number, pirq: number): number {
    const number = pirq < 0 ? this.#find(TYPE_GSI) : pirq
    if (number < 0) return number
    if (!this.exists(number) || gsi < 0 || gsi >= this.#wiring.inputs) return XenErrno.INVAL
    if (!this.isMapped(number) && !this.#sources.includes(gsi)) {
      this.#sources[number] = gsi
      this.#reserved.delete(number)
    }
    return number
  }

  unmap(pirq: number): void {
    if (!this.exists(pirq)) return
    this.#sources[pirq] = UNBOUND
    this.#reserved.delete(pirq)
  }

  /** An input of the I/O APIC has been asserted. @returns whether it has become an event */
  assert(gsi: number): boolean {
    const pirq = this.#sources.indexOf(gsi)
    return pirq >= 0 && this.#wiring.send(pirq)
  }

  /** A message has been sent. @returns whether it was for an event channel */
  message(address: number, data: number): boolean {
    if ((data & 0xff) !== 0) return false
    const pirq = ((Math.floor(address / 0x1_0000_0000) & 0xffff_ff00) | ((address >>> 12) & 0xff)) >>> 0
    if (pirq === 0 || !this.exists(pirq)) return false
    // The first message says what the number is for.
    if (!this.isMapped(pirq)) this.#sources[pirq] = MSI
    if (this.#sources[pirq] === MSI) this.#wiring.send(pirq)
    return true
  }

  /** The guest is done with an interrupt: one whose level is still up comes again. */
  endOfInterrupt(pirq: number): void {
    const gsi = this.#sources[pirq] ?? UNBOUND
    if (gsi >= ISA_GSIS && this.#wiring.asserted(gsi)) this.#wiring.send(pirq)
  }

  #mapped(): SavedPirq[] {
    return Array.from(this.#sources, (source, pirq) => ({ pirq, source })).filter(({ source }) => source !== UNBOUND)
  }

  #map(all: readonly SavedPirq[]): void {
    this.#sources.fill(UNBOUND)
    for (const { pirq, source } of all) this.#sources[pirq] = source
  }

  /** Power-on. */
  override reset(): void {
    this.#sources.fill(UNBOUND)
    this.#reserved.clear()
  }
}
