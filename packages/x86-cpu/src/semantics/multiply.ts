import { I64, type I32 } from '@retrap/wasm-emitter'
import { divideWide } from '@retrap/soft-float'
import { FLAGS_ARITHMETIC, FLAGS_MULTIPLY, FLAG_CF, FLAG_OF, S_SCRATCH } from '../state/state-layout.ts'
import { VECTOR_DE } from '../state/vectors.ts'
import { choose, highSigned, highUnsigned, productOverflows, signExtend, zeroExtend } from './integer.ts'
import type { Context, SemanticsTable } from './context.ts'

/** Multiplication and division. Source: Intel SDM vol. 2, MUL, IMUL, DIV, IDIV, MULX. */

const RAX = 0
const RDX = 2
const CF_OF = BigInt(FLAG_CF | FLAG_OF)

/** One operand: the accumulator and its upper half. */
function wideMultiply(c: Context, signed: boolean): void {
  const size = c.sizeOf(0)
  const read = (i: number): I64 => (signed ? c.readS(i) : c.readU(i))
  const b = read(0)
  const a = signed ? c.gprS(RAX, size) : c.gprU(RAX, size)
  if (size === 8) {
    const low = c.let(a.mul(b))
    const high = signed ? highSigned(c, a, b) : highUnsigned(c, a, b)
    c.setGpr(RAX, 8, low)
    c.setGpr(RDX, 8, high)
    const overflow = signed ? high.ne(low.shrS(63)) : high.ne(0)
    c.flagsResult(low, choose(overflow, CF_OF, 0n))
    return
  }
  const product = c.let(a.mul(b))
  if (size === 1) c.setGpr(RAX, 2, product)
  else {
    c.setGpr(RAX, size, product)
    c.setGpr(RDX, size, product.shrU(8 * size))
  }
  const fits = signed ? signExtend(product, size) : zeroExtend(product, size)
  c.flagsResult(signExtend(product, size), choose(product.ne(fits), CF_OF, 0n))
}

/** Two and three operands: truncated to the size. */
function narrowMultiply(c: Context): void {
  const size = c.sizeOf(0)
  const three = c.form.operands.length === 3
  const a = three ? c.readS(1) : c.readS(0)
  const b = three ? c.readS(2) : c.readS(1)
  const product = c.let(a.mul(b))
  const result = c.let(signExtend(product, size))
  c.write(0, result)
  c.changeFlags({
    written: FLAGS_ARITHMETIC,
    result,
    from: [a, b, product],
    // The upper half takes long to compute, and is hardly ever asked for.
    ...(size === 8 && { kind: FLAGS_MULTIPLY }),
    flags: (x: I64, y: I64, whole: I64) => {
      const overflow = size === 8 ? productOverflows(c, x, y, whole) : signExtend(whole, size).ne(whole)
      return { carry: overflow, overflow }
    },
  })
}

function fault(c: Context, condition: I32): void {
  c.f.if(condition, () => c.raise(VECTOR_DE))
}

function setQuotient(c: Context, size: number, quotient: I64, remainder: I64): void {
  if (size === 1) {
    c.setGpr(RAX, 1, quotient)
    c.setGpr(RAX, 1, remainder, true)
  } else {
    c.setGpr(RAX, size, quotient)
    c.setGpr(RDX, size, remainder)
  }
}

function divide(c: Context): void {
  const size = c.sizeOf(0)
  const divisor = c.readU(0)
  fault(c, divisor.eqz())
  if (size === 8) {
    const high = c.gprU(RDX, 8)
    fault(c, high.geU(divisor))
    const quotient = c.f.call(divideWide(c), c.state, high, c.gprU(RAX, 8), divisor)
    setQuotient(c, 8, quotient, c.f.load('i64.load', c.state, S_SCRATCH))
    return
  }
  const dividend = c.let(
    size === 1
      ? c.gprU(RAX, 2)
      : c
          .gprU(RDX, size)
          .shl(8 * size)
          .or(c.gprU(RAX, size)),
  )
  const quotient = c.let(dividend.divU(divisor))
  fault(c, quotient.shrU(8 * size).ne(0))
  setQuotient(c, size, quotient, c.let(dividend.sub(quotient.mul(divisor))))
}

function divideSigned(c: Context): void {
  const size = c.sizeOf(0)
  const f = c.f
  const divisor = c.readS(0)
  fault(c, divisor.eqz())
  if (size === 8) {
    // Magnitudes, then signs: quotient by both, remainder by the dividend's.
    const high = c.gprU(RDX, 8)
    const low = c.gprU(RAX, 8)
    const negative = c.let(high.ltS(0))
    const magnitudeLow = c.let(choose(negative, I64.of(0).sub(low), low))
    const magnitudeHigh = c.let(choose(negative, I64.of(0).sub(high).sub(low.ne(0).toI64U()), high))
    const magnitude = c.let(choose(divisor.ltS(0), I64.of(0).sub(divisor), divisor))
    fault(c, magnitudeHigh.geU(magnitude))
    const quotient = f.call(divideWide(c), c.state, magnitudeHigh, magnitudeLow, magnitude)
    const remainder = f.load('i64.load', c.state, S_SCRATCH)
    const negativeQuotient = c.let(negative.xor(divisor.ltS(0)))
    fault(c, quotient.gtU(choose(negativeQuotient, 1n << 63n, (1n << 63n) - 1n)))
    setQuotient(
      c,
      8,
      c.let(choose(negativeQuotient, I64.of(0).sub(quotient), quotient)),
      c.let(choose(negative, I64.of(0).sub(remainder), remainder)),
    )
    return
  }
  const dividend = c.let(
    size === 1
      ? c.gprS(RAX, 2)
      : c
          .gprU(RDX, size)
          .shl(8 * size)
          .or(c.gprU(RAX, size)),
  )
  const signed = size === 2 ? c.let(dividend.extend32S()) : dividend
  // The one 64-bit quotient that WebAssembly traps on does not fit here either.
  fault(c, signed.eq(-(1n << 63n)).and(divisor.eq(-1n)))
  const quotient = c.let(signed.divS(divisor))
  fault(c, quotient.ne(signExtend(quotient, size)))
  setQuotient(c, size, quotient, c.let(signed.sub(quotient.mul(divisor))))
}

/** MULX high, low, source: RDX × source, no flags. The low half is written first: where both name one register, the high half stays. */
function multiplyFlagless(c: Context): void {
  const size = c.sizeOf(0)
  const b = c.readU(2)
  const a = c.gprU(RDX, size)
  const low = c.let(a.mul(b))
  const high = size === 8 ? highUnsigned(c, a, b) : c.let(low.shrU(32))
  c.write(1, low)
  c.write(0, high)
}

export const multiplication: SemanticsTable = {
  MUL: { direct: true, emit: (c) => wideMultiply(c, false) },
  IMUL: { direct: true, emit: (c) => (c.form.operands.length === 1 ? wideMultiply(c, true) : narrowMultiply(c)) },
  DIV: { emit: divide },
  IDIV: { emit: divideSigned },
  MULX: { direct: true, emit: multiplyFlagless },
}
