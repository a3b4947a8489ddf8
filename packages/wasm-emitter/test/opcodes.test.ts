// Every row of the instruction tables against two other readers: V8 checks operand and result types, wabt gives the
// name that the encoding has. Source of the rows: WebAssembly core specification, "Index of Instructions".
import { describe, expect, test } from 'vitest'
import * as opcodes from '../src/opcodes.ts'
import type { I32 } from '../src/index.ts'
import { extractLane, type FunctionBuilder, moduleText, numeric, replaceLane, type Value } from '../src/index.ts'
import { assembled, instructionsOf, moduleOf } from './support/wasm.ts'

/** Builds one function around an instruction: wabt reads it by this name, and V8 accepts it. */
function check(
  op: string,
  params: readonly opcodes.ValueType[],
  result: opcodes.ValueType | undefined,
  build: (f: FunctionBuilder, operands: Value[]) => void,
): void {
  const bytes = moduleOf(
    { params, result },
    (f) =>
      build(
        f,
        params.map((type, i) => f.param(i, type).get),
      ),
    true,
  )
  // Its text is the same module to wabt.
  expect(moduleText(assembled(moduleText(bytes)))).toBe(moduleText(bytes))
  expect(instructionsOf(bytes).map((line) => line.split(' ')[0])).toContain(op)
  expect(WebAssembly.validate(bytes)).toBe(true)
}

const types = (list: string): opcodes.ValueType[] => list.split(' ') as opcodes.ValueType[]
const prefix = (op: string): opcodes.ValueType => op.slice(0, op.indexOf('.')) as opcodes.ValueType

describe('an instruction is encoded as its name says', () => {
  test.each(Object.keys(opcodes.NUMERIC) as opcodes.NumericOp[])('%s', (op) => {
    const [operands, result] = opcodes.NUMERIC[op][1].split(':') as [string, opcodes.ValueType]
    check(op, types(operands), result, (f, values) => {
      f.return((numeric as unknown as (op: opcodes.NumericOp, ...values: Value[]) => Value)(op, ...values))
    })
  })

  test.each(Object.keys(opcodes.LOADS) as opcodes.LoadOp[])('%s', (op) => {
    check(op, ['i32'], prefix(op), (f) => f.return(f.load(op, f.param(0, 'i32').get, 16)))
  })

  test.each(Object.keys(opcodes.STORES) as opcodes.StoreOp[])('%s', (op) => {
    check(op, ['i32', prefix(op)], undefined, (f, [, value]) => {
      f.store(op, f.param(0, 'i32').get, value as never, 16)
    })
  })

  test.each(Object.keys(opcodes.ATOMIC_RMW) as opcodes.AtomicRmwOp[])('%s', (op) => {
    const type = prefix(op)
    const operands = op.includes('cmpxchg') ? [type, type] : [type]
    check(op, ['i32', ...operands], type, (f, [address, ...values]) => {
      f.return(f.atomic(op, address as I32, values as never))
    })
  })

  test.each(Object.keys(opcodes.LANES) as (keyof typeof opcodes.LANES)[])('%s', (op) => {
    const lane = opcodes.LANES[op][1]
    if (op.includes('extract'))
      check(op, ['v128'], lane, (f) => f.return(extractLane(op as 'i32x4.extract_lane', f.param(0, 'v128').get, 1)))
    else
      check(op, ['v128', lane], 'v128', (f, [, value]) => {
        f.return(replaceLane(op as 'i32x4.replace_lane', f.param(0, 'v128').get, 1, value as I32))
      })
  })
})
