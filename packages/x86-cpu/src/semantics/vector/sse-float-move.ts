import { I32, V128, extractLane, numeric, replaceLane, select, type F64, type I64 } from '@retrap/wasm-emitter'
import { S_MXCSR } from '../../state/state-layout.ts'
import { VECTOR_GP } from '../../state/vectors.ts'
import type { Alignment, Context, SemanticsTable } from '../context.ts'
import { readScalar } from './sse-float-operands.ts'
import { readFloat, writeFloat } from './sse-float-quick.ts'
import type { Bits } from './vector-elements.ts'

/**
 * Moves, shuffles, blends and logic of the floating-point kind, which never look at the numbers; and MXCSR.
 *
 * Source: Intel SDM vol. 2, the pages of each instruction.
 */

/** MXCSR bits that exist: all 16, DAZ included. */
const MXCSR_MASK = 0xffff

function moveVector(alignment: Alignment): (c: Context) => void {
  return (c) => {
    if (c.kindOf(0) === 'xmm' && c.kindOf(1) === 'xmm') c.copyVector(0, 1)
    else c.writeLanes(0, c.readLanes(1, alignment), alignment)
  }
}

/** MOVSS, MOVSD: from memory the rest becomes zero; from a register it stays, or is that of the first source. */
function moveScalar(bits: Bits): (c: Context) => void {
  return (c) => {
    const source = c.form.operands.length - 1
    if (c.kindOf(1) === 'mem') {
      const op = bits === 64 ? 'v128.load64_zero' : 'v128.load32_zero'
      c.writeV(0, c.loadMemory(op, c.address(1), bits / 8))
      return
    }
    const { value, isNormal } = readFloat(c, source, bits)
    if (c.kindOf(0) === 'mem') {
      c.storeMemory(bits === 64 ? 'f64.store' : ('f32.store' as 'f64.store'), c.address(0), bits / 8, value as F64)
      return
    }
    writeFloat(c, bits, value)
    if (isNormal) c.setNormal(0, bits, true)
  }
}

const ZERO = V128.of([])

/** One half of a register from or to 64 bits of memory. */
function moveHalf(half: 0 | 1): (c: Context) => void {
  return (c) => {
    if (c.kindOf(0) === 'mem') c.write(0, c.f.load('i64.load', c.registerAddress(1), 8 * half))
    else writeHalf(c, half, c.readU(c.firstSource + 1))
  }
}

/** The other half stays, or is that of the first source. */
function writeHalf(c: Context, half: 0 | 1, value: I64): void {
  if (c.form.vex) c.writeV(0, replaceLane('i64x2.replace_lane', c.readV(1), half, value))
  else c.f.store('i64.store', c.registerAddress(0), value, 8 * half)
}

/** One half of a register to one half of another. */
function moveBetweenHalves(to: 0 | 1, from: 0 | 1): (c: Context) => void {
  return (c) => writeHalf(c, to, c.f.load('i64.load', c.registerAddress(c.firstSource + 1), 8 * from))
}

/** Numbers of the bytes of 32-bit elements. */
function bytesOf(elements: readonly number[]): number[] {
  return elements.flatMap((element) => [0, 1, 2, 3].map((i) => 4 * element + i))
}

/** A fixed choice of 32-bit elements out of the source. */
function duplicated(elements: readonly number[]): (c: Context) => void {
  const bytes = bytesOf(elements)
  return (c) => c.mapLanes(1, (x) => x.shuffle(x, bytes))
}

function duplicateLow(c: Context): void {
  const lanes =
    c.sizeOf(0) > 16
      ? c.readLanes(1).map((x) => x.shuffle(x, LOW_TWICE))
      : [numeric('i64x2.splat', readScalar(c, 1, 64))]
  c.writeLanes(0, lanes)
}

const LOW_TWICE = [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]

/** The sign bits of the elements. */
function signMask(bits: Bits): (c: Context) => void {
  return (c) => {
    const lanes = c.readLanes(1).map((x) => numeric(bits === 64 ? 'i64x2.bitmask' : 'i32x4.bitmask', x))
    const mask = lanes.map((one, lane) => one.shl(lane * (128 / bits))).reduce((x, y) => x.or(y))
    c.write(0, mask.toI64U())
  }
}

/** Zero in the destination. */
export function clear(c: Context): void {
  c.fillLanes(ZERO)
  for (const bits of [32, 64] as const) c.setNormal(0, bits, false)
}

/** A 32-bit element of a vector in memory or a register, chosen at run time: the low two bits of `index`. */
function dynamicElement(vectors: { readonly [i: number]: I32 }, index: I32): I32 {
  const [e0, e1, e2, e3] = [0, 1, 2, 3].map((i) => vectors[i]!) as [I32, I32, I32, I32]
  return select(index.and(2), select(index.and(1), e3, e2), select(index.and(1), e1, e0))
}

function elements32(c: Context, vector: V128): I32[] {
  return [0, 1, 2, 3].map((i) => c.let(extractLane('i32x4.extract_lane', vector, i)))
}

function shufflePacked32(c: Context): void {
  const control = c.let(c.immediate().toI32())
  const { known } = control
  c.combineLanes(c.firstSource, (x, y) => {
    if (known !== undefined)
      return x.shuffle(y, bytesOf([0, 1, 2, 3].map((i) => ((known >>> (2 * i)) & 3) + (i < 2 ? 0 : 4))))
    const [first, second] = [elements32(c, x), elements32(c, y)]
    const result = c.f.local('v128')
    c.f.set(result, ZERO)
    for (let i = 0; i < 4; i++) {
      const chosen = dynamicElement(i < 2 ? first : second, control.shrU(2 * i))
      c.f.set(result, replaceLane('i32x4.replace_lane', result.get, i, chosen))
    }
    return result.get
  })
}

/** A 64-bit element of a vector, by one bit of the immediate. */
export function dynamicHalf(control: I32, bit: number, v: V128): I64 {
  return select(control.and(1 << bit), extractLane('i64x2.extract_lane', v, 1), extractLane('i64x2.extract_lane', v, 0))
}

function shufflePacked64(c: Context): void {
  const control = c.let(c.immediate().toI32())
  c.combineLanes(c.firstSource, (x, y, lane) => {
    const low = numeric('i64x2.splat', dynamicHalf(control, 2 * lane, x))
    return replaceLane('i64x2.replace_lane', low, 1, dynamicHalf(control, 2 * lane + 1, y))
  })
}

/** All ones in the elements whose bit of `control` is set. */
export function elementMask(control: I32, bits: Bits): V128 {
  if (bits === 64) {
    const selector = V128.of([1, 0, 0, 0, 0, 0, 0, 0, 2])
    return numeric('i64x2.eq', numeric('v128.and', numeric('i64x2.splat', control.toI64U()), selector), selector)
  }
  const selector = V128.of([1, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 8])
  return numeric('i32x4.eq', numeric('v128.and', numeric('i32x4.splat', control), selector), selector)
}

/** BLENDPS, BLENDPD: bit i of the immediate picks the second source's element i. */
function blend(bits: Bits): (c: Context) => void {
  return (c) => {
    const control = c.let(c.immediate().toI32())
    c.combineLanes(c.firstSource, (x, y, lane) =>
      numeric('v128.bitselect', y, x, elementMask(control.shrU(lane * (128 / bits)), bits)),
    )
  }
}

/** BLENDVPS, BLENDVPD: by the sign bits of XMM0, or of the fourth operand. */
function blendVariable(bits: Bits): (c: Context) => void {
  return (c) => {
    const b = c.readLanes(c.firstSource + 1)
    const a = c.readLanes(c.firstSource)
    const signs = c.readLanes(c.firstSource + 2)
    const results = a.map((x, lane) => {
      const shift = bits === 64 ? 'i64x2.shr_s' : 'i32x4.shr_s'
      return numeric('v128.bitselect', b[lane]!, x, numeric(shift, signs[lane]!, I32.of(bits - 1)))
    })
    c.writeLanes(0, results)
  }
}

/** INSERTPS: bits 7:6 choose the source's element (a memory operand is one element), 5:4 the target, 3:0 clear elements. */
function insertElement(c: Context): void {
  const control = c.let(c.immediate().toI32())
  const second = c.firstSource + 1
  const source =
    c.kindOf(second) === 'mem'
      ? c.readU(second).toI32()
      : dynamicElement(elements32(c, c.readV(second)), control.shrU(6))
  const inserted = numeric('i32x4.splat', c.let(source))
  const a = c.readV(c.firstSource)
  const target = elementMask(I32.of(1).shl(control.shrU(4).and(3)), 32)
  const cleared = elementMask(control, 32)
  c.writeV(0, numeric('v128.andnot', numeric('v128.bitselect', inserted, a, target), cleared))
}

function extractElement(c: Context): void {
  const control = c.immediate().toI32()
  const vector = elements32(c, c.readV(1))
  c.write(0, dynamicElement(vector, c.let(control)).toI64U())
}

export const sseFloatMoves: SemanticsTable = {
  MOVAPS: { emit: moveVector('always'), direct: true, moves: 'copy' },
  MOVUPS: { emit: moveVector('never'), direct: true, moves: 'copy' },
  MOVSS: { emit: moveScalar(32), direct: true, numbers: { bits: 32, isScalar: true } },
  MOVSD: { emit: moveScalar(64), direct: true, numbers: { bits: 64, isScalar: true } },
  MOVLPS: { emit: moveHalf(0), direct: true },
  MOVHPS: { emit: moveHalf(1), direct: true },
  MOVHLPS: { emit: moveBetweenHalves(0, 1) },
  MOVLHPS: { emit: moveBetweenHalves(1, 0) },
  MOVSLDUP: { emit: duplicated([0, 0, 2, 2]) },
  MOVSHDUP: { emit: duplicated([1, 1, 3, 3]) },
  MOVDDUP: { emit: duplicateLow },
  MOVMSKPS: { emit: signMask(32) },
  MOVMSKPD: { emit: signMask(64) },
  SHUFPS: { emit: shufflePacked32 },
  SHUFPD: { emit: shufflePacked64 },
  BLENDPS: { emit: blend(32) },
  BLENDPD: { emit: blend(64) },
  BLENDVPS: { emit: blendVariable(32) },
  BLENDVPD: { emit: blendVariable(64) },
  INSERTPS: { emit: insertElement },
  EXTRACTPS: { emit: extractElement },
  LDMXCSR: {
    emit: (c) => {
      const value = c.let(c.readU(0).toI32())
      c.f.if(value.and(~MXCSR_MASK), () => c.raise(VECTOR_GP, 0))
      c.f.store('i32.store', c.state, value, S_MXCSR)
    },
  },
  STMXCSR: { direct: true, emit: (c) => c.write(0, c.f.load('i64.load32_u', c.state, S_MXCSR)) },
}
