import type { I64, Value } from '@retrap/wasm-emitter'
import { RelativeValue } from './relative-value.ts'
import type { Origin } from './relative-value.ts'

/** What the general registers are relative to, along one path of a unit. */
export class RegisterOrigins {
  #roots = 0
  /** What is known where code is generated now. */
  known: readonly Origin[]

  /** @param count - of the registers */
  constructor(count: number) {
    this.known = Array.from({ length: count }, () => this.#fresh())
  }

  #fresh(): Origin {
    return { root: this.#roots++, offset: 0, width: 'wide' }
  }

  /** Returns what is known both here and by another path. */
  meet(others: readonly Origin[]): readonly Origin[] {
    return this.known.map((origin, i) => (origin === others[i] ? origin : this.#fresh()))
  }

  /** Returns the value of a register whose 64 bits are in a local. */
  read(i: number, local: I64): I64 {
    return new RelativeValue(local, this.known[i]!)
  }

  /** A register has been set to a value. @param isOnEveryPath - what follows here is reached only by this code */
  write(i: number, value: Value, isOnEveryPath: boolean): void {
    const isKnown = isOnEveryPath && value instanceof RelativeValue && value.origin.width !== 'open'
    this.known = this.known.with(i, isKnown ? value.origin : this.#fresh())
  }

  /** Registers may have been set. @param mask - bit i: register i */
  forget(mask: number = -1): void {
    this.known = this.known.map((origin, i) => (((mask >>> i) & 1) === 0 ? origin : this.#fresh()))
  }
}
