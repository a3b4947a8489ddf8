import { check, checkIndex, entryOf } from './checks.ts'
import { LANES, NUMERIC } from './opcodes.ts'
import type { LaneOp, NumericOp, OperandsOf, ResultOf, ValueType } from './opcodes.ts'
import { I32, type I32Like } from './integers.ts'
import { apply, checkValue, type Value } from './value.ts'
import { valueFrom, type ValueOf } from './value-of.ts'
import { V128 } from './vector.ts'

/** The values that an instruction takes, by its operand types in one string. */
export type OperandValues<P extends string> = P extends `${infer Head} ${infer Rest}`
  ? [ValueOf[Extract<Head, ValueType>], ...OperandValues<Rest>]
  : [ValueOf[Extract<P, ValueType>]]

/**
 * Any side-effect free instruction by its WebAssembly name, typed by its signature:
 * `numeric('f64.add', a, b)`, `numeric('i8x16.add', v, w)`. Nothing is folded.
 */
export function numeric<K extends NumericOp>(op: K, ...operands: OperandValues<OperandsOf<K>>): ValueOf[ResultOf<K>] {
  const { params, result } = signatureOf(op)
  const values: readonly Value[] = operands
  if (values.length !== params.length)
    throw check.wrong(`the number of ${op}'s operands`, values.length, `${params.length}`)
  for (let i = 0; i < params.length; i++) checkValue(values[i]!, params[i]!)
  return valueFrom(result as ResultOf<K>, apply(op, values[0]!, values[1], values[2]))
}

/** The types of an instruction. */
interface NumericSignature {
  readonly params: readonly ValueType[]
  readonly result: ValueType
}

/** The signatures that have been asked for, taken apart. */
const signatures = new Map<NumericOp, NumericSignature>()

function signatureOf(op: NumericOp): NumericSignature {
  const known = signatures.get(op)
  if (known !== undefined) return known
  const [params, result] = entryOf(NUMERIC, 'an instruction', op)[1].split(':') as [string, ValueType]
  const signature = { params: params.split(' ') as ValueType[], result }
  signatures.set(op, signature)
  return signature
}

/** The type of the lane that an instruction reads or replaces. */
export type LaneType<K extends LaneOp> = (typeof LANES)[K][1]

/** The count of lanes that the name of an instruction gives: two digits at most. */
function laneCount(op: LaneOp): number {
  return Number.parseInt(op.slice(op.indexOf('x') + 1), 10)
}

/** Returns the code and the type of an instruction for lanes, after a look at its operands. */
function laneEntry<K extends LaneOp>(op: K, kind: string, vector: V128, lane: number): (typeof LANES)[K] {
  entryOf(LANES, 'an instruction', op)
  if (!op.includes(kind)) throw check.wrong('an instruction', op, `one with ${kind} in its name`)
  checkValue(vector, 'v128')
  checkIndex('a lane', lane, laneCount(op))
  return LANES[op]
}

/** Reads lane `lane` of a vector: `extractLane('i32x4.extract_lane', v, 2)`. */
export function extractLane<K extends Extract<LaneOp, `${string}.extract_lane${string}`>>(
  op: K,
  vector: V128,
  lane: number,
): ValueOf[LaneType<K>] {
  const [code, type] = laneEntry(op, 'extract_lane', vector, lane)
  return valueFrom(type as LaneType<K>, (out) => {
    vector.emit(out)
    out.raw(code)
    out.u8(lane)
  })
}

/** A vector with lane `lane` replaced: `replaceLane('i16x8.replace_lane', v, 7, x)`. */
export function replaceLane<K extends Extract<LaneOp, `${string}.replace_lane`>>(
  op: K,
  vector: V128,
  lane: number,
  value: ValueOf[LaneType<K>],
): V128 {
  const [code, type] = laneEntry(op, 'replace_lane', vector, lane)
  checkValue(value as Value, type)
  return new V128((out) => {
    vector.emit(out)
    ;(value as Value).emit(out)
    out.raw(code)
    out.u8(lane)
  })
}

/** `condition ? whenTrue : whenFalse`; both sides are evaluated. A known condition picks its side at once. */
export function select<V extends Value>(condition: I32Like, whenTrue: V, whenFalse: V): V {
  const test = I32.of(condition)
  checkValue(whenTrue)
  checkValue(whenFalse, whenTrue.type)
  if (test.known !== undefined) return test.known === 0 ? whenFalse : whenTrue
  return valueFrom(whenTrue.type, (out) => {
    whenTrue.emit(out)
    whenFalse.emit(out)
    test.emit(out)
    out.u8(0x1b)
  }) as unknown as V
}
