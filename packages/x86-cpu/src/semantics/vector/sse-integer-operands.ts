import {
  I32,
  I64,
  V128,
  extractLane,
  numeric,
  type NumericOp,
  type OperandsOf,
  type ResultOf,
} from '@retrap/wasm-emitter'
import { S_FSW, S_FTAG_EMPTY, S_FTOP } from '../../state/state-layout.ts'
import { VECTOR_MF } from '../../state/vectors.ts'
import { type Context, direct, type Semantics } from '../context.ts'

/**
 * Operands of MMX and SSE integer instructions. An MMX operand is the low half of a vector whose high half is zero, so
 * that lane operations serve both widths.
 */

type OpsOf<Operands extends string, Result extends string> = {
  [K in NumericOp]: OperandsOf<K> extends Operands ? (ResultOf<K> extends Result ? K : never) : never
}[NumericOp]

/** Names of instructions on two vectors. */
export type BinaryOp = OpsOf<'v128 v128', 'v128'>
/** Names of instructions on one vector. */
export type UnaryOp = OpsOf<'v128', 'v128'>
/** Names of shifts of all lanes by one count. */
export type ShiftOp = OpsOf<'v128 i32', 'v128'>

/** FSW.ES: an unmasked x87 exception is pending. */
const FSW_ES = 0x80

/** 0, 1, … 15. */
export const IOTA: readonly number[] = Array.from({ length: 16 }, (_, i) => i)

/** A constant of 16 bytes from 8 words. */
export function words(values: readonly number[]): V128 {
  return V128.of(values.flatMap((v) => [v & 0xff, (v >>> 8) & 0xff]))
}

/** A constant of 16 bytes from 4 doublewords. */
export function doublewords(values: readonly number[]): V128 {
  return words(values.flatMap((v) => [v & 0xffff, v >>> 16]))
}

export function zeroVector(): V128 {
  return V128.of([])
}

/** Whether the form works on MMX registers. */
export function isMmx(c: Context): boolean {
  return c.form.operands.some((o) => o.kind === 'mmx')
}

/**
 * First thing in every form: #UD and #NM; for MMX also #MF, which stands before anything the instruction itself can
 * raise (SDM vol. 3A, "MMX Exceptions", "Pending x87 FPU Exceptions").
 */
export function begin(c: Context): void {
  if (c.form.operands.some((o) => o.kind === 'xmm')) c.requireSse()
  if (!isMmx(c)) return
  c.requireMmx()
  pendingX87(c)
}

/** #MF if an x87 exception is pending. */
export function pendingX87(c: Context): void {
  c.f.if(c.f.loadExpression('i32.load', c.state, S_FSW).and(FSW_ES), () => c.raise(VECTOR_MF))
}

/**
 * The effect of every MMX instruction but EMMS on the x87 state (SDM vol. 3A, "Effect of MMX Instructions on x87 State"): TOP =
 * 0, all tags valid.
 */
export function enterMmx(c: Context): void {
  c.f.store('i32.store', c.state, I32.of(0), S_FTOP)
  c.f.store('i32.store', c.state, I32.of(0), S_FTAG_EMPTY)
}

/** Operand `i` as a vector: 16 bytes, or fewer and zeros above. A memory operand of 16 bytes must be aligned unless said otherwise. */
export function readVector(c: Context, i: number, aligned = true): V128 {
  if (c.kindOf(i) === 'mmx') return c.f.load('v128.load64_zero', c.registerAddress(i), 0)
  return c.readV(i, aligned ? 'legacy' : 'never')
}

/** Writes register operand `i`: all of an XMM register, the significand of an MMX register. The last thing in a form. */
export function writeVector(c: Context, i: number, value: V128): void {
  if (c.kindOf(i) === 'mmx') writeMmx(c, i, extractLane('i64x2.extract_lane', value, 0))
  else c.writeV(i, value)
}

/** Writes MMX register operand `i`, whose exponent field becomes all ones. */
export function writeMmx(c: Context, i: number, value: I64): void {
  const register = c.let(c.registerAddress(i))
  c.f.store('i64.store', register, value, 0)
  c.f.store('i64.store16', register, I64.of(0xffff), 8)
}

/** The end of a form that has an MMX operand. */
export function finish(c: Context): void {
  if (isMmx(c)) enterMmx(c)
}

/** All lanes of operand `i`: 32 bytes and more, else {@link readVector}. */
export function readVectors(c: Context, i: number): readonly V128[] {
  return c.sizeOf(i) > 16 ? c.readLanes(i) : [readVector(c, i)]
}

/** Writes register operand `i`, lane by lane. The last thing in a form. */
export function writeVectors(c: Context, i: number, values: readonly V128[]): void {
  if (c.kindOf(i) === 'mmx') writeVector(c, i, values[0]!)
  else c.writeLanes(i, values)
}

/** destination = compute(first source, second source) in each 128-bit lane, for both register files. */
export function binary(compute: (c: Context, a: V128, b: V128, lane: number) => V128): Semantics {
  return direct((c) => {
    begin(c)
    const b = readVectors(c, c.firstSource + 1)
    const results = readVectors(c, c.firstSource).map((a, lane) => c.let(compute(c, a, b[lane]!, lane)))
    writeVectors(c, 0, results)
    finish(c)
  })
}

/** destination = source₀ `op` source₁, one WebAssembly instruction. */
export function lanes(op: BinaryOp): Semantics {
  return binary((_, a, b) => numeric(op, a, b))
}

/** destination = compute(source) in each 128-bit lane. */
export function unary(compute: (c: Context, b: V128) => V128): Semantics {
  return direct((c) => {
    begin(c)
    const results = readVectors(c, 1).map((b) => c.let(compute(c, b)))
    writeVectors(c, 0, results)
    finish(c)
  })
}

/** The low halves of two vectors as one: `a` below, `b` above. */
export function joinLow(a: V128, b: V128): V128 {
  return a.shuffle(b, [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23])
}

/** The immediate, 0–255. */
export function immediateByte(c: Context): I32 {
  return c.let(c.immediate().toI32().and(0xff))
}
