import { I64, type I64Like, type Value } from '@retrap/wasm-emitter'

/** How far a value may lie from what it is relative to. */
const FARTHEST = 1 << 20
const MASK_32 = 0xffff_ffffn

/** Which sum a {@link RelativeValue} is: of 64 bits; of 32, the others being zero; or of 32 plus a carry that nothing has cut off. */
export type SumWidth = 'wide' | 'narrow' | 'open'

/** The base of a value. */
export interface Origin {
  /** Number of a value that is not known. */
  readonly root: number
  /** The distance from it. */
  readonly offset: number
  readonly width: SumWidth
}

/** A value that is known to be the sum of another one and a constant: where one of two lies is known by where the other does. */
export class RelativeValue extends I64 {
  readonly origin: Origin

  constructor(value: I64, origin: Origin) {
    super(
      (out) => value.emit(out),
      undefined,
      value.extended,
      () => value.toI32(),
    )
    this.origin = origin
  }

  /** The same value in a local. */
  kept(local: I64): I64 {
    return new RelativeValue(local, this.origin)
  }

  override add(other: I64Like): I64 {
    return this.#moved(super.add(other), I64.of(other).known)
  }

  override sub(other: I64Like): I64 {
    const { known } = I64.of(other)
    return this.#moved(super.sub(other), known === undefined ? undefined : -known)
  }

  override and(other: I64Like): I64 {
    const masked = super.and(other)
    return I64.of(other).known === MASK_32 ? new RelativeValue(masked, { ...this.origin, width: 'narrow' }) : masked
  }

  #moved(sum: I64, by: bigint | undefined): I64 {
    const { root, offset, width } = this.origin
    const to = offset + Number(by ?? 0n)
    if (by === undefined || Math.abs(to) > FARTHEST) return sum
    if (by === 0n) return this
    return new RelativeValue(sum, { root, offset: to, width: width === 'narrow' ? 'open' : width })
  }
}

/** The bases of the general registers, along one path of a unit. */
export class RegisterOrigins {
  #roots = 0
  /** The bases that are known where code is generated now. */
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

  /** Returns the value of a register whose 64 bits are in a local. Registers beyond the first ones are known from here on. */
  read(i: number, local: I64): I64 {
    while (i >= this.known.length) this.known = [...this.known, this.#fresh()]
    return new RelativeValue(local, this.known[i]!)
  }

  /** A register has been set to a value. @param isOnEveryPath - what follows here is reached only by this code */
  write(i: number, value: Value, isOnEveryPath: boolean): void {
    const isKnown = isOnEveryPath && value instanceof RelativeValue && value.origin.width !== 'open'
    if (i < this.known.length) this.known = this.known.with(i, isKnown ? value.origin : this.#fresh())
  }

  /** Registers may have been set. @param mask - bit i: register i */
  forget(mask: number = -1): void {
    this.known = this.known.map((origin, i) => (((mask >>> i) & 1) === 0 ? origin : this.#fresh()))
  }
}
