/**
 * The transcendental functions in exact arithmetic: fixed point with {@link POINT} fractional bits, far more than the 64 bits
 * that are compared with it.
 */

/** Fractional bits. */
export const POINT = 400n
const ONE = 1n << POINT

/** π of 66 bits, by which processors reduce the arguments of sine, cosine and tangent. */
const PI_66 = 0x3_243f_6a88_85a3_08d3n << (POINT - 64n)

/** A double-extended number as fixed point; it must be a multiple of 2^-POINT. */
export function fixedOf(significand: bigint, word: number): bigint {
  const shift = BigInt((word & 0x7fff) - 16383 - 63) + POINT
  const magnitude = shift >= 0n ? significand << shift : significand >> -shift
  return (word & 0x8000) === 0 ? magnitude : -magnitude
}

/** One unit in the last place of a double-extended number. */
export function unitOf(word: number): bigint {
  return 1n << (BigInt((word & 0x7fff) - 16383 - 63) + POINT)
}

function multiply(a: bigint, b: bigint): bigint {
  return (a * b) >> POINT
}

function divide(a: bigint, b: bigint): bigint {
  return (a << POINT) / b
}

/** Σ x^n / n!, every second term, with alternating signs. */
function alternating(first: bigint, x: bigint, n: bigint): bigint {
  const square = multiply(x, x)
  let sum = 0n
  let term = first
  for (let k = n; term !== 0n; k += 2n) {
    sum += term
    // Division rounds towards zero, so that the loop ends.
    term = -((term * square) / (ONE * (k + 1n) * (k + 2n)))
  }
  return sum
}

/** x = quadrant · π/2 + rest, with the nearest quadrant. */
function reduce(x: bigint): { readonly quadrant: number; readonly rest: bigint } {
  const doubled = 4n * x + PI_66
  const floor = doubled / (2n * PI_66) - (doubled < 0n ? 1n : 0n)
  return { quadrant: Number(((floor % 4n) + 4n) % 4n), rest: x - (floor * PI_66) / 2n }
}

export function sine(x: bigint): bigint {
  const { quadrant, rest } = reduce(x)
  const value = quadrant % 2 === 0 ? alternating(rest, rest, 1n) : alternating(ONE, rest, 0n)
  return quadrant < 2 ? value : -value
}

export function cosine(x: bigint): bigint {
  const { quadrant, rest } = reduce(x)
  const value = quadrant % 2 === 0 ? alternating(ONE, rest, 0n) : alternating(rest, rest, 1n)
  return quadrant === 1 || quadrant === 2 ? -value : value
}

export function tangent(x: bigint): bigint {
  return divide(sine(x), cosine(x))
}

/** 2^x − 1. */
export function exponential(x: bigint): bigint {
  const y = multiply(x, LN_2)
  let sum = 0n
  let term = y
  for (let k = 2n; term !== 0n; k++) {
    sum += term
    term = (term * y) / (ONE * k)
  }
  return sum
}

/** artanh z. */
function areaTangent(z: bigint): bigint {
  const square = multiply(z, z)
  let sum = 0n
  let power = z
  for (let k = 1n; power !== 0n; k += 2n) {
    sum += power / k
    power = (power * square) / ONE
  }
  return sum
}

const LN_2 = 2n * areaTangent(ONE / 3n)

/** log2 x, x > 0. */
export function logarithm(x: bigint): bigint {
  let k = 0n
  let m = x
  while (m > (3n * ONE) / 2n) {
    m >>= 1n
    k++
  }
  while (m < (3n * ONE) / 4n) {
    m <<= 1n
    k--
  }
  return k * ONE + divide(2n * areaTangent(divide(m - ONE, m + ONE)), LN_2)
}

export function product(y: bigint, log: bigint): bigint {
  return multiply(y, log)
}

export const UNITY: bigint = ONE

/** arctan x by halving the angle until the series is short. */
function arctangent(x: bigint): bigint {
  if (x < 0n) return -arctangent(-x)
  if (x > ONE / 64n) {
    const root = squareRoot(ONE * ONE + x * x)
    return 2n * arctangent(divide(x, ONE + root))
  }
  const square = multiply(x, x)
  let sum = 0n
  let power = x
  for (let k = 1n; power !== 0n; k += 2n) {
    sum += power / k
    power = -((power * square) / ONE)
  }
  return sum
}

function squareRoot(value: bigint): bigint {
  let x = 1n << BigInt((value.toString(2).length >> 1) + 1)
  for (;;) {
    const next = (x + value / x) >> 1n
    if (next >= x) return x
    x = next
  }
}

const PI = 4n * arctangent(ONE)

/** The angle of the point (x, y). */
export function angle(y: bigint, x: bigint): bigint {
  if (x > 0n) return arctangent(divide(y, x))
  return y < 0n ? arctangent(divide(y, x)) - PI : arctangent(divide(y, x)) + PI
}
