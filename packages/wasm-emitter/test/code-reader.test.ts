// Statements that are read back, and put into another function.
import { describe, expect, test } from 'vitest'
import { FunctionBuilder, I32, ModuleBuilder, WasmEmitterError, readCode } from '../src/index.ts'

const UNARY = { params: ['i32'], result: 'i32' } as const

/** x < 10 ? x * 3 : 7, by code that leaves a block. */
function statements(f: FunctionBuilder): void {
  const x = f.param(0, 'i32')
  f.block((out) => {
    f.if(x.get.ltU(10), () => {
      f.set(x, x.get.mul(3))
      f.br(out)
    })
    f.set(x, I32.of(7))
  })
}

function instantiate(module: ModuleBuilder): (x: number) => number {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(module.build())))
  return exports['other'] as (x: number) => number
}

describe('the code of a function', () => {
  const f = new FunctionBuilder(0, 'f', UNARY)
  statements(f)
  const code = f.codeFrom(0)

  test('is read instruction by instruction, with the blocks around each', () => {
    const all = readCode(code)
    expect(all.map(({ name, operands, depth }) => `${depth} ${name}${operands}`)).toEqual([
      ...['0 block', '1 local.get 0', '1 i32.const 10', '1 i32.lt_u', '1 if'],
      ...['2 local.get 0', '2 i32.const 3', '2 i32.mul', '2 local.set 0', '2 br 1', '1 end'],
      ...['1 i32.const 7', '1 local.set 0', '0 end'],
    ])
    for (const [i, { from }] of all.entries()) expect(from).toBe(i === 0 ? 0 : all[i - 1]!.to)
    expect(all.at(-1)!.to).toBe(code.length)
  })

  test('is refused where it ends within an instruction, or has other bytes', () => {
    expect(() => readCode(code.subarray(0, code.length - 2))).toThrow(WasmEmitterError)
    expect(() => readCode(Uint8Array.of(0xff))).toThrow(WasmEmitterError)
  })

  test('is copied from a position', () => {
    const [, second] = readCode(code)
    expect(f.codeFrom(second!.from)).toEqual(code.subarray(second!.from))
    expect(f.codeFrom(code.length)).toHaveLength(0)
    expect(() => f.codeFrom(code.length + 1)).toThrow(WasmEmitterError)
  })

  test.each([
    [3, 9],
    [10, 7],
  ])('does the same in another function: of %i it makes %i', (x, expected) => {
    const module = new ModuleBuilder()
    const other = module.function('other', UNARY, { export: true })
    other.code.range(code, 0, code.length)
    other.return(other.param(0, 'i32').get)
    expect(instantiate(module)(x)).toBe(expected)
  })

  test('may have what follows emitted within its blocks', () => {
    const module = new ModuleBuilder()
    const other = module.function('other', UNARY, { export: true })
    const x = other.param(0, 'i32')
    const branch = readCode(code).find(({ name }) => name === 'br')!
    other.block((out) => {
      other.code.range(code, 0, branch.from)
      other.within(branch.depth, () => {
        other.set(x, x.get.add(100))
        other.br(out)
      })
      other.code.range(code, branch.to, code.length)
    })
    other.return(x.get)
    const run = instantiate(module)
    expect([run(3), run(10)]).toEqual([109, 7])
  })
})

test('a local has a type, by its index', () => {
  const f = new FunctionBuilder(0, 'f', UNARY)
  const local = f.local('v128')
  expect(f.typeOf(local.index)).toBe('v128')
  expect(f.typeOf(local.index + 1)).toBeUndefined()
})
