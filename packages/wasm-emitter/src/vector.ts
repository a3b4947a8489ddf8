import type { ByteWriter } from './bytes.ts'
import { check, checkIndex } from './checks.ts'
import { checkEmit, Value, type Emit } from './value.ts'

/** A 128-bit vector. */
export class V128 extends Value<'v128'> {
  readonly #emit: Emit
  constructor(emit: Emit) {
    super('v128')
    checkEmit(emit)
    this.#emit = emit
  }
  /** A constant from its 16 bytes, in memory order. */
  static of(bytes: ArrayLike<number>): V128 {
    const copy = sixteen('byte', bytes, 256)
    return new V128((out) => {
      out.raw([0xfd, 0x0c])
      out.raw(copy)
    })
  }
  /** Appends the instructions that leave the value on the stack. */
  emit(out: ByteWriter): void {
    this.#emit(out)
  }
  /** Picks 16 bytes out of the 32 of `this` (0–15) and `other` (16–31). */
  shuffle(other: V128, lanes: ArrayLike<number>): V128 {
    if (!(other instanceof V128)) throw check.wrong('a value', other, 'a v128')
    const copy = sixteen('lane', lanes, 32)
    return new V128((out) => {
      this.emit(out)
      other.emit(out)
      out.raw([0xfd, 0x0d])
      out.raw(copy)
    })
  }
}

/** Copies up to 16 numbers below `limit`, padded with 0. */
function sixteen(what: string, numbers: ArrayLike<number>, limit: number): number[] {
  check.object(`list of ${what}s`, numbers)
  return Array.from({ length: 16 }, (_, i) => {
    const number = numbers[i] ?? 0
    checkIndex(`${what} ${i}`, number, limit)
    return number
  })
}
