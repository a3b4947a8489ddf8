import { extractLane, I32, I64, numeric, replaceLane, select, V128, type Value } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'

/** Elements of vectors as values of 64 bits, which hold what arithmetic on elements of up to 32 bits gives exactly. */

/** An element, sign- or zero-extended. @param bits - 8, 16, 32 or 64 */
export function element(vector: V128, index: number, bits: number, isSigned: boolean): I64 {
  switch (bits) {
    case 8: {
      const lane = isSigned
        ? extractLane('i8x16.extract_lane_s', vector, index)
        : extractLane('i8x16.extract_lane_u', vector, index)
      return isSigned ? lane.toI64S() : lane.toI64U()
    }
    case 16: {
      const lane = isSigned
        ? extractLane('i16x8.extract_lane_s', vector, index)
        : extractLane('i16x8.extract_lane_u', vector, index)
      return isSigned ? lane.toI64S() : lane.toI64U()
    }
    case 32: {
      const lane = extractLane('i32x4.extract_lane', vector, index)
      return isSigned ? lane.toI64S() : lane.toI64U()
    }
    default:
      return extractLane('i64x2.extract_lane', vector, index)
  }
}

/** A vector with an element replaced by the low bits of a value. */
export function withElement(vector: V128, index: number, bits: number, value: I64): V128 {
  switch (bits) {
    case 8:
      return replaceLane('i8x16.replace_lane', vector, index, value.toI32())
    case 16:
      return replaceLane('i16x8.replace_lane', vector, index, value.toI32())
    case 32:
      return replaceLane('i32x4.replace_lane', vector, index, value.toI32())
    default:
      return replaceLane('i64x2.replace_lane', vector, index, value)
  }
}

/** Returns a vector of zeros. */
export const zeros = (): V128 => V128.of([])

/** A vector of elements, the first lowest; zeros above them. */
export function vectorOf(c: ArmContext, bits: number, values: readonly I64[], from: V128 = zeros()): V128 {
  const { f } = c
  const vector = f.local('v128')
  f.set(vector, from)
  for (const [i, value] of values.entries()) f.set(vector, withElement(vector.get, i, bits, value))
  return vector.get
}

/**
 * An instruction of WebAssembly for elements of a size, such as `add` of 8, 16, 32 or 64 bits.
 *
 * @param name - opcode after the dot, for an instruction that returns a vector
 */
export function wholeVector(name: string, bits: number, ...operands: readonly Value[]): V128 {
  const generic = numeric as unknown as (op: string, ...operands: readonly Value[]) => V128
  return generic(`i${bits}x${128 / bits}.${name}`, ...operands)
}

/** The 64 bits that an element of some bits is repeated to. */
export function repeated(value: bigint, bits: number): bigint {
  let result = 0n
  for (let at = 0; at < 64; at += bits) result |= value << BigInt(at)
  return BigInt.asUintN(64, result)
}

/** Returns a vector with a cleared upper half. */
export const lowHalf = (vector: V128): V128 => replaceLane('i64x2.replace_lane', vector, 1, I64.of(0))

/** The largest and smallest numbers of some bits. */
export function limits(bits: number, isSigned: boolean): readonly [least: bigint, greatest: bigint] {
  const size = BigInt(bits)
  return isSigned ? [-(1n << (size - 1n)), (1n << (size - 1n)) - 1n] : [0n, (1n << size) - 1n]
}

/** The value sign- or zero-extended from its low bits. */
export function extendedFrom(value: I64, bits: number, isSigned: boolean): I64 {
  switch (bits) {
    case 8:
      return isSigned ? value.extend8S() : value.and(0xff)
    case 16:
      return isSigned ? value.extend16S() : value.and(0xffff)
    case 32:
      return isSigned ? value.extend32S() : value.toI32().toI64U()
    default:
      return value
  }
}

/** Notes saturated results, and sets FPSR.QC at the end. */
export class Saturation {
  readonly #c: ArmContext
  readonly #happened

  constructor(c: ArmContext) {
    this.#c = c
    this.#happened = c.f.local('i32')
    c.f.set(this.#happened, I32.of(0))
  }

  /** Notes a saturated result if a condition (0 or 1) holds. */
  note(condition: I32): void {
    this.#c.f.set(this.#happened, this.#happened.get.or(condition))
  }

  /** A value that is exact in 64 bits (of up to 32 result bits, or of 64 bits with a sign), cut to the range of some bits. */
  clamp(value: I64, bits: number, isSigned: boolean): I64 {
    const exact = this.#c.let(value)
    const [least, greatest] = limits(bits, isSigned)
    const below = this.#c.let(exact.ltS(least))
    const above = this.#c.let(exact.gtS(greatest))
    this.note(below.or(above))
    return this.#c.let(select(below, I64.of(least), select(above, I64.of(greatest), exact)))
  }

  /** `a + b` of 64 bits. */
  add64(a: I64, b: I64, isSigned: boolean): I64 {
    const sum = this.#c.let(a.add(b))
    if (!isSigned) return this.replaceIf(sum.ltU(a), I64.of(-1), sum)
    const overflow = a.xor(sum).and(b.xor(sum)).ltS(0)
    return this.replaceIf(overflow, limitOf(a), sum)
  }

  /** `a − b` of 64 bits. */
  subtract64(a: I64, b: I64, isSigned: boolean): I64 {
    const difference = this.#c.let(a.sub(b))
    if (!isSigned) return this.replaceIf(a.ltU(b), I64.of(0), difference)
    const overflow = a.xor(b).and(a.xor(difference)).ltS(0)
    return this.replaceIf(overflow, limitOf(a), difference)
  }

  /** Returns a value, or another if a condition holds, and notes the condition. */
  replaceIf(condition: I32, other: I64, value: I64): I64 {
    const happens = this.#c.let(condition)
    this.note(happens)
    return this.#c.let(select(happens, other, value))
  }

  /** Emits the store into FPSR. */
  end(): void {
    this.#c.setSaturated(this.#happened.get)
  }
}

/** The limit of signed 64 bits on the side of a value's sign. */
export const limitOf = (value: I64): I64 => value.shrS(63).xor(0x7fff_ffff_ffff_ffffn)
