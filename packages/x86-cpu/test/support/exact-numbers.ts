/** Numbers of small formats in exact arithmetic, by their definition: for references. */

/** A format: bits of the exponent and of the fraction; the sign is above. */
export interface Format {
  readonly exponent: number
  readonly fraction: number
}
export const HALF: Format = { exponent: 5, fraction: 10 }
export const BRAIN: Format = { exponent: 8, fraction: 7 }
export const SINGLE: Format = { exponent: 8, fraction: 23 }

/** Elements of a vector's bytes. */
export const split = (bytes: Uint8Array, bits: number): bigint[] =>
  Array.from({ length: (8 * bytes.length) / bits }, (_, i) =>
    bytes.subarray((i * bits) / 8, ((i + 1) * bits) / 8).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n),
  )

/** ±magnitude · 2 ** exponent, or none. */
export interface Exact {
  readonly kind: 'number' | 'infinity' | 'nan'
  readonly sign: bigint
  readonly magnitude: bigint
  readonly exponent: number
}

export type Rounding = 'nearest' | 'down' | 'up' | 'zero'

const bias = ({ exponent }: Format): number => 2 ** (exponent - 1) - 1
const signBit = ({ exponent, fraction }: Format, sign: bigint): bigint => sign << BigInt(exponent + fraction)
export const infinityOf = (format: Format, sign: bigint): bigint =>
  signBit(format, sign) | (((1n << BigInt(format.exponent)) - 1n) << BigInt(format.fraction))
export const quiet = (format: Format, bits: bigint): bigint => bits | (1n << BigInt(format.fraction - 1))
/** What an invalid operation gives. */
export const indefinite = (format: Format): bigint => quiet(format, infinityOf(format, 1n))

/** @param isFlushed - denormal numbers are zeros */
export function decode(format: Format, bits: bigint, isFlushed = false): Exact {
  const { exponent, fraction } = format
  const low = bits & ((1n << BigInt(fraction)) - 1n)
  const high = Number((bits >> BigInt(fraction)) & ((1n << BigInt(exponent)) - 1n))
  const sign = (bits >> BigInt(exponent + fraction)) & 1n
  if (high === 2 ** exponent - 1) return { kind: low === 0n ? 'infinity' : 'nan', sign, magnitude: low, exponent: 0 }
  const magnitude = high > 0 ? low | (1n << BigInt(fraction)) : isFlushed ? 0n : low
  return { kind: 'number', sign, magnitude, exponent: Math.max(high, 1) - bias(format) - fraction }
}

/** A fraction as a whole number, times a sign. */
export function rounded(sign: bigint, top: bigint, bottom: bigint, mode: Rounding): bigint {
  const [whole, rest] = [top / bottom, top % bottom]
  const isUp =
    mode === 'nearest'
      ? 2n * rest > bottom || (2n * rest === bottom && whole % 2n === 1n)
      : rest !== 0n && mode === (sign === 1n ? 'down' : 'up')
  return isUp ? whole + 1n : whole
}

/** ±top / bottom · 2 ** exponent in a format. @param isFlushed - tiny results are zeros */
export function encode(
  format: Format,
  { sign, top, bottom = 1n, exponent }: { sign: bigint; top: bigint; bottom?: bigint; exponent: number },
  mode: Rounding = 'nearest',
  isFlushed = false,
): bigint {
  if (top === 0n) return signBit(format, sign)
  const least = 1 - bias(format) - format.fraction
  const at = (unit: number): bigint => {
    const shift = BigInt(Math.abs(exponent - unit))
    return rounded(sign, exponent >= unit ? top << shift : top, exponent >= unit ? bottom : bottom << shift, mode)
  }
  const precise = 2n << BigInt(format.fraction)
  let unit = top.toString(2).length - bottom.toString(2).length + exponent - format.fraction - 1
  while (at(unit) >= precise) unit++
  // Tiny after rounding, as if the exponent had no limit.
  if (unit < least && isFlushed) return signBit(format, sign)
  unit = Math.max(unit, least)
  const magnitude = at(unit)
  const normal = 1n << BigInt(format.fraction)
  if (magnitude < normal) return signBit(format, sign) | magnitude
  const high = unit + format.fraction + bias(format)
  if (high < 2 ** format.exponent - 1)
    return signBit(format, sign) | (BigInt(high) << BigInt(format.fraction)) | (magnitude - normal)
  const isInfinite = mode === 'nearest' || mode === (sign === 1n ? 'down' : 'up')
  return infinityOf(format, sign) - (isInfinite ? 0n : 1n)
}

/** In another format. */
export function converted(from: Format, to: Format, bits: bigint, mode: Rounding, isFlushed = false): bigint {
  const value = decode(from, bits, isFlushed)
  const shift = BigInt(to.fraction - from.fraction + 64)
  if (value.kind === 'nan') return quiet(to, infinityOf(to, value.sign) | ((value.magnitude << shift) >> 64n))
  if (value.kind === 'infinity') return infinityOf(to, value.sign)
  return encode(to, { sign: value.sign, top: value.magnitude, exponent: value.exponent }, mode, isFlushed)
}

/** What an operation takes into account. */
interface Rules {
  readonly mode?: Rounding
  readonly isFlushed?: boolean
  /** Denormal factors and addends are zeros; as a rule where results are flushed. */
  readonly isInputFlushed?: boolean
  readonly signs?: readonly bigint[]
}

/** ±(a · b) ± c, rounded once; of NaNs the first. */
export function multiplyAdd(
  format: Format,
  bits: readonly [bigint, bigint, bigint],
  { mode = 'nearest', isFlushed = false, isInputFlushed = isFlushed, signs = [0n, 0n] }: Rules,
): bigint {
  const [a, b, c] = bits.map((one) => decode(format, one, isInputFlushed)) as [Exact, Exact, Exact]
  const nan = [a, b, c].findIndex(({ kind }) => kind === 'nan')
  if (nan >= 0) return quiet(format, bits[nan]!)
  const [sign, signC] = [a.sign ^ b.sign ^ signs[0]!, c.sign ^ signs[1]!]
  if (a.kind === 'infinity' || b.kind === 'infinity') {
    const isZero = [a, b].some(({ kind, magnitude }) => kind === 'number' && magnitude === 0n)
    return isZero || (c.kind === 'infinity' && signC !== sign) ? indefinite(format) : infinityOf(format, sign)
  }
  if (c.kind === 'infinity') return infinityOf(format, signC)
  const exponent = Math.min(a.exponent + b.exponent, c.exponent)
  const product = (a.magnitude * b.magnitude) << BigInt(a.exponent + b.exponent - exponent)
  const addend = c.magnitude << BigInt(c.exponent - exponent)
  const total = (sign === 1n ? -product : product) + (signC === 1n ? -addend : addend)
  const zeroSign = sign === signC && product === 0n && addend === 0n ? sign : mode === 'down' ? 1n : 0n
  const result = total === 0n ? zeroSign : total < 0n ? 1n : 0n
  return encode(format, { sign: result, top: total < 0n ? -total : total, exponent }, mode, isFlushed)
}
