import type { ApicBase } from './apic-base.ts'
import { matchesX2apicLogical, matchesXapicLogical } from './apic-destination.ts'
import { DFR, ID, LDR } from './apic-layout.ts'
import { DESTINATION_ALL } from './apic-registers.ts'

/**
 * The names that messages reach a local APIC by: APIC ID, logical destination, destination format.
 *
 * Source: Intel SDM vol. 3A, "Determining IPI Destination".
 */
export class ApicIdentity {
  readonly #words: Int32Array
  readonly #base: ApicBase
  readonly #apicId: number

  /** @param words - the local APIC's state */
  constructor(words: Int32Array, base: ApicBase, apicId: number) {
    this.#words = words
    this.#base = base
    this.#apicId = apicId
  }

  /** APIC ID: 8 bits in xAPIC mode. */
  get id(): number {
    return this.#base.x2apic ? this.#apicId : this.#apicId & 0xff
  }

  /** Sets the ID register, and in x2APIC mode the logical destination, which software cannot choose there. */
  reset(): void {
    const words = this.#words
    const { x2apic } = this.#base
    words[ID] = x2apic ? this.#apicId : this.#apicId << 24
    if (x2apic) words[LDR] = ((this.#apicId >>> 4) << 16) | (1 << (this.#apicId & 15))
  }

  /**
   * Returns whether a message's destination names this APIC.
   *
   * @param destination - in x2APIC width; `DESTINATION_ALL` names every APIC
   */
  matches(destination: number, logical: boolean): boolean {
    if (!this.#base.present) return false
    if (destination === DESTINATION_ALL) return true
    if (!logical) return destination === this.id
    const ldr = this.#words[LDR]!
    return this.#base.x2apic
      ? matchesX2apicLogical(ldr, destination)
      : matchesXapicLogical(ldr >>> 24, this.#words[DFR]! >>> 28, destination)
  }
}
