import { I32, V128, extractLane, numeric, replaceLane, select } from '@retrap/wasm-emitter'
import type { I64 } from '@retrap/wasm-emitter'
import { S_MXCSR } from '../state-layout.ts'
import { VECTOR_GP } from './context.ts'
import type { Context } from './context.ts'
import { readScalar } from './sse-float-operands.ts'
import type { SemanticsTable } from './table.ts'

/**
 * Moves, shuffles, blends and logic of the floating-point kind, which never look at the numbers; and MXCSR.
 *
 * Source: Intel SDM vol. 2, the pages of each instruction.
 */

/** MXCSR bits that exist: all 16, DAZ included. */
const MXCSR_MASK = 0xffff

function moveVector(aligned: boolean): (c: Context) => void {
  return (c) => {
    c.requireSse()
    c.writeV(0, c.readV(1, aligned), aligned)
  }
}

/** MOVSS, MOVSD: from memory the rest becomes zero, from a register it stays. */
function moveScalar(bits: 32 | 64): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const value = readScalar(c, 1, bits)
    if (c.kindOf(0) === 'mem') c.write(0, value)
    else if (c.kindOf(1) === 'mem') c.writeV(0, replaceLane('i64x2.replace_lane', ZERO, 0, value))
    else c.f.store(bits === 64 ? 'i64.store' : 'i64.store32', c.registerAddress(0), value)
  }
}

const ZERO = V128.of([])

/** One half of a register from or to 64 bits of memory. */
function moveHalf(offset: 0 | 8): (c: Context) => void {
  return (c) => {
    c.requireSse()
    if (c.kindOf(0) === 'mem') c.write(0, c.f.load('i64.load', c.registerAddress(1), offset))
    else c.f.store('i64.store', c.registerAddress(0), c.readU(1), offset)
  }
}

/** One half of a register to one half of another. */
function moveBetweenHalves(to: 0 | 8, from: 0 | 8): (c: Context) => void {
  return (c) => {
    c.requireSse()
    c.f.store('i64.store', c.registerAddress(0), c.f.load('i64.load', c.registerAddress(1), from), to)
  }
}

/** A fixed choice of 32-bit elements out of both operands: 0–3 of the first, 4–7 of the second. */
function shuffled(elements: readonly number[]): (c: Context) => void {
  const bytes = elements.flatMap((element) => [0, 1, 2, 3].map((i) => 4 * element + i))
  return (c) => {
    c.requireSse()
    const b = c.readV(1)
    c.writeV(0, c.readV(0).shuffle(b, bytes))
  }
}

/** The same with its source alone: 4–7. */
const duplicateEven = shuffled([4, 4, 6, 6])
const duplicateOdd = shuffled([5, 5, 7, 7])

function duplicateLow(c: Context): void {
  c.requireSse()
  c.writeV(0, numeric('i64x2.splat', readScalar(c, 1, 64)))
}

/** The sign bits of the elements. */
function signMask(op: 'i32x4.bitmask' | 'i64x2.bitmask'): (c: Context) => void {
  return (c) => {
    c.requireSse()
    c.write(0, numeric(op, c.readV(1)).toI64U())
  }
}

function logic(op: 'v128.and' | 'v128.or' | 'v128.xor' | 'v128.andnot'): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const b = c.readV(1)
    const a = c.readV(0)
    // ANDN complements its first operand, Wasm's its second.
    c.writeV(0, op === 'v128.andnot' ? numeric(op, b, a) : numeric(op, a, b))
  }
}

/** A 32-bit element of a vector in memory or a register, chosen at run time: the low two bits of `index`. */
function dynamicElement(vectors: { readonly [i: number]: I32 }, index: I32): I32 {
  const [e0, e1, e2, e3] = [0, 1, 2, 3].map((i) => vectors[i] as I32) as [I32, I32, I32, I32]
  return select(index.and(2), select(index.and(1), e3, e2), select(index.and(1), e1, e0))
}

function elements32(c: Context, vector: V128): I32[] {
  return [0, 1, 2, 3].map((i) => c.let(extractLane('i32x4.extract_lane', vector, i)))
}

function shufflePacked32(c: Context): void {
  c.requireSse()
  const control = c.let(c.immediate().toI32())
  const b = elements32(c, c.readV(1))
  const a = elements32(c, c.readV(0))
  const result = c.f.local('v128')
  c.f.set(result, ZERO)
  for (let i = 0; i < 4; i++) {
    const chosen = dynamicElement(i < 2 ? a : b, control.shrU(2 * i))
    c.f.set(result, replaceLane('i32x4.replace_lane', result.get, i, chosen))
  }
  c.writeV(0, result.get)
}

function shufflePacked64(c: Context): void {
  c.requireSse()
  const control = c.let(c.immediate().toI32())
  const b = c.readV(1)
  const a = c.readV(0)
  const half = (vector: V128, bit: number): I64 =>
    select(control.and(bit), extractLane('i64x2.extract_lane', vector, 1), extractLane('i64x2.extract_lane', vector, 0))
  c.writeV(0, replaceLane('i64x2.replace_lane', numeric('i64x2.splat', half(a, 1)), 1, half(b, 2)))
}

/** All ones in the elements whose bit of `control` is set. */
function elementMask(c: Context, control: I32, bits: 32 | 64): V128 {
  if (bits === 64) {
    const selector = V128.of([1, 0, 0, 0, 0, 0, 0, 0, 2])
    return numeric('i64x2.eq', numeric('v128.and', numeric('i64x2.splat', control.toI64U()), selector), selector)
  }
  const selector = V128.of([1, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 8])
  return numeric('i32x4.eq', numeric('v128.and', numeric('i32x4.splat', control), selector), selector)
}

function blend(bits: 32 | 64): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const control = c.let(c.immediate().toI32())
    const b = c.readV(1)
    const a = c.readV(0)
    c.writeV(0, numeric('v128.bitselect', b, a, elementMask(c, control, bits)))
  }
}

/** BLENDVPS, BLENDVPD: by the sign bits of XMM0. */
function blendVariable(shift: 'i32x4.shr_s' | 'i64x2.shr_s', count: number): (c: Context) => void {
  return (c) => {
    c.requireSse()
    const b = c.readV(1)
    const a = c.readV(0)
    c.writeV(0, numeric('v128.bitselect', b, a, numeric(shift, c.readV(2), I32.of(count))))
  }
}

/** INSERTPS: bits 7:6 choose the source's element (a memory operand is one element), 5:4 the target, 3:0 clear elements. */
function insertElement(c: Context): void {
  c.requireSse()
  const control = c.let(c.immediate().toI32())
  const source = c.kindOf(1) === 'mem' ? c.readU(1).toI32() : dynamicElement(elements32(c, c.readV(1)), control.shrU(6))
  const inserted = numeric('i32x4.splat', c.let(source))
  const a = c.readV(0)
  const target = elementMask(c, I32.of(1).shl(control.shrU(4).and(3)), 32)
  const cleared = elementMask(c, control, 32)
  c.writeV(0, numeric('v128.andnot', numeric('v128.bitselect', inserted, a, target), cleared))
}

function extractElement(c: Context): void {
  c.requireSse()
  const control = c.immediate().toI32()
  const vector = elements32(c, c.readV(1))
  c.write(0, dynamicElement(vector, c.let(control)).toI64U())
}

export const sseFloatMoves: SemanticsTable = {
  MOVAPS: { emit: moveVector(true), direct: true },
  MOVAPD: { emit: moveVector(true), direct: true },
  MOVUPS: { emit: moveVector(false), direct: true },
  MOVUPD: { emit: moveVector(false), direct: true },
  MOVNTPS: { emit: moveVector(true), direct: true },
  MOVNTPD: { emit: moveVector(true), direct: true },
  MOVSS: { emit: moveScalar(32), direct: true },
  MOVSD: { emit: moveScalar(64), direct: true },
  MOVNTSS: { emit: moveScalar(32), direct: true },
  MOVNTSD: { emit: moveScalar(64), direct: true },
  MOVLPS: { emit: moveHalf(0), direct: true },
  MOVLPD: { emit: moveHalf(0), direct: true },
  MOVHPS: { emit: moveHalf(8), direct: true },
  MOVHPD: { emit: moveHalf(8), direct: true },
  MOVHLPS: { emit: moveBetweenHalves(0, 8) },
  MOVLHPS: { emit: moveBetweenHalves(8, 0) },
  MOVSLDUP: { emit: duplicateEven },
  MOVSHDUP: { emit: duplicateOdd },
  MOVDDUP: { emit: duplicateLow },
  MOVMSKPS: { emit: signMask('i32x4.bitmask') },
  MOVMSKPD: { emit: signMask('i64x2.bitmask') },
  UNPCKLPS: { emit: shuffled([0, 4, 1, 5]) },
  UNPCKHPS: { emit: shuffled([2, 6, 3, 7]) },
  UNPCKLPD: { emit: shuffled([0, 1, 4, 5]) },
  UNPCKHPD: { emit: shuffled([2, 3, 6, 7]) },
  SHUFPS: { emit: shufflePacked32 },
  SHUFPD: { emit: shufflePacked64 },
  BLENDPS: { emit: blend(32) },
  BLENDPD: { emit: blend(64) },
  BLENDVPS: { emit: blendVariable('i32x4.shr_s', 31) },
  BLENDVPD: { emit: blendVariable('i64x2.shr_s', 63) },
  INSERTPS: { emit: insertElement },
  EXTRACTPS: { emit: extractElement },
  ANDPS: { emit: logic('v128.and') },
  ANDPD: { emit: logic('v128.and') },
  ANDNPS: { emit: logic('v128.andnot') },
  ANDNPD: { emit: logic('v128.andnot') },
  ORPS: { emit: logic('v128.or') },
  ORPD: { emit: logic('v128.or') },
  XORPS: { emit: logic('v128.xor') },
  XORPD: { emit: logic('v128.xor') },
  LDMXCSR: {
    emit: (c) => {
      c.requireSse()
      const value = c.let(c.readU(0).toI32())
      c.f.if(value.and(~MXCSR_MASK), () => c.raise(VECTOR_GP, 0))
      c.f.store('i32.store', c.state, value, S_MXCSR)
    },
  },
  STMXCSR: {
    direct: true,
    emit: (c) => {
      c.requireSse()
      c.write(0, c.f.load('i64.load32_u', c.state, S_MXCSR))
    },
  },
}
