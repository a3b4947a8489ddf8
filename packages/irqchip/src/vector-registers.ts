import { IRR, ISR, TMR } from './apic-layout.ts'

/** Words of a register with a bit for each vector. */
const WORDS = 8

/** Holds the saved state of the registers with a bit for each vector: eight words each, the lowest vectors first. */
export interface VectorRegistersState {
  /** Interrupt request register. */
  readonly requests: readonly number[]
  /** In-service register. */
  readonly inService: readonly number[]
  /** Trigger mode register. */
  readonly triggerMode: readonly number[]
}

/**
 * The registers with a bit for each vector: requests, in service, trigger mode.
 *
 * Requests come from any thread, so IRR and TMR change atomically; ISR is the vCPU's own.
 *
 * Source: Intel SDM vol. 3A, "Interrupt Acceptance for Fixed Interrupts".
 */
export class VectorRegisters {
  readonly #words: Int32Array

  /** @param words - the local APIC's state */
  constructor(words: Int32Array) {
    this.#words = words
  }

  /** The highest vector that is requested, or −1. */
  get highestRequest(): number {
    return this.#highest(IRR)
  }
  /** The highest vector in service, or −1. */
  get highestInService(): number {
    return this.#highest(ISR)
  }

  #highest(first: number): number {
    const words = this.#words
    for (let i = WORDS - 1; i >= 0; i--) {
      const word = words[first + i]!
      if (word !== 0) return 32 * i + 31 - Math.clz32(word)
    }
    return -1
  }

  /** Requests a vector. */
  request(vector: number, level: boolean): void {
    const index = vector >> 5
    const bit = 1 << (vector & 31)
    if (level) Atomics.or(this.#words, TMR + index, bit)
    else Atomics.and(this.#words, TMR + index, ~bit)
    Atomics.or(this.#words, IRR + index, bit)
  }

  /** Moves a vector from the requests into service. */
  accept(vector: number): void {
    const index = vector >> 5
    const bit = 1 << (vector & 31)
    Atomics.and(this.#words, IRR + index, ~bit)
    this.#words[ISR + index]! |= bit
  }

  /** Ends the service of a vector. */
  end(vector: number): void {
    this.#words[ISR + (vector >> 5)]! &= ~(1 << (vector & 31))
  }

  /** Whether the last request of a vector was level-triggered. */
  isLevel(vector: number): boolean {
    return (this.#words[TMR + (vector >> 5)]! & (1 << (vector & 31))) !== 0
  }

  /** Returns the registers by name. */
  save(): VectorRegistersState {
    const from = (first: number): number[] =>
      Array.from(this.#words.subarray(first, first + WORDS), (word) => word >>> 0)
    return { requests: from(IRR), inService: from(ISR), triggerMode: from(TMR) }
  }

  /** Takes saved registers, whose shape was checked. */
  restore(state: VectorRegistersState): void {
    for (const [name, first] of [
      ['requests', IRR],
      ['inService', ISR],
      ['triggerMode', TMR],
    ] as const) {
      this.#words.set(state[name], first)
    }
  }
}
