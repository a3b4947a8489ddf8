import { extractLane, I32, I64, numeric, replaceLane, select, V128, type Value } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import { R_D } from '../../state/record.ts'

/** Elements of vectors as values of 64 bits, which hold what arithmetic on elements of up to 32 bits gives exactly. */

const SHAPES: Readonly<Record<number, 'i8x16' | 'i16x8'>> = { 8: 'i8x16', 16: 'i16x8' }

/** An element, sign- or zero-extended. @param bits - 8, 16, 32 or 64 */
export function element(vector: V128, index: number, bits: number, isSigned: boolean): I64 {
  if (bits === 64) return extractLane('i64x2.extract_lane', vector, index)
  const shape = SHAPES[bits]
  const op = shape === undefined ? 'i32x4.extract_lane' : (`${shape}.extract_lane_${isSigned ? 's' : 'u'}` as const)
  const lane = extractLane(op, vector, index)
  return isSigned ? lane.toI64S() : lane.toI64U()
}

/** A vector with an element replaced by the low bits of a value. */
export function withElement(vector: V128, index: number, bits: number, value: I64): V128 {
  if (bits === 64) return replaceLane('i64x2.replace_lane', vector, index, value)
  return replaceLane(`${SHAPES[bits] ?? 'i32x4'}.replace_lane`, vector, index, value.toI32())
}

/** Returns a vector of zeros. */
export const zeros = (): V128 => V128.of([])

/** Elements that an instruction reads or computes. */
export interface Elements {
  /** Bits of an element: 8 to 128. */
  readonly bits: number
  /** Number of elements; 1 of scalars. */
  readonly count: number
}

/** A vector of elements, the first lowest; zeros above them. */
export function vectorOf(c: ArmContext, bits: number, values: readonly I64[]): V128 {
  const { f } = c
  const vector = f.local('v128')
  f.set(vector, zeros())
  for (const [i, value] of values.entries()) f.set(vector, withElement(vector.get, i, bits, value))
  return vector.get
}

/** Returns the values of elements, computed one after another. @param saturation - ends after the last one */
export function computed(c: ArmContext, count: number, compute: (i: number) => I64, saturation?: Saturation): I64[] {
  const values = Array.from({ length: count }, (_, i) => c.let(compute(i)))
  saturation?.end()
  return values
}

/** Returns a vector computed element by element, with zeros above. */
export const eachOf = (c: ArmContext, { bits, count }: Elements, compute: (i: number) => I64): V128 =>
  vectorOf(c, bits, computed(c, count, compute))

/** Writes the destination element by element, and zeros above. @param saturation - ends after the last element */
export function writeEach(
  c: ArmContext,
  { bits, count }: Elements,
  compute: (i: number) => I64,
  saturation?: Saturation,
): void {
  c.writeVector(R_D, vectorOf(c, bits, computed(c, count, compute, saturation)))
}

/** Writes the elements of a vector to the destination, and zeros above. */
export function writeFirst(c: ArmContext, { bits, count }: Elements, vector: V128): void {
  c.writeVector(R_D, bits * count === 64 ? lowHalf(vector) : vector)
}

/** Returns a vector of equal elements. */
export const splat = (value: I64, bits: number): V128 => wholeVector('splat', bits, bits === 64 ? value : value.toI32())

/** Selects bytes from two vectors. @param pick - number of the byte that the result's byte `i` is; the second has 16 to 31 */
export const shuffled = (low: V128, high: V128, pick: (i: number) => number): V128 =>
  low.shuffle(high, vectorBytes(pick))

/** The bytes of a vector, each computed from its number. */
export const vectorBytes = (byte: (i: number) => number): number[] => Array.from({ length: 16 }, (_, i) => byte(i))

/** The table whose entry `p[i]` is `i`. */
export const inverse = (p: readonly number[]): number[] => p.map((_, i) => p.indexOf(i))

export const equalBytes = (value: number): V128 => V128.of(vectorBytes(() => value))

/** Exclusive or of two or more vectors. */
export const xor = (first: V128, ...others: readonly V128[]): V128 =>
  others.reduce((sum, each) => numeric('v128.xor', sum, each), first)

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
