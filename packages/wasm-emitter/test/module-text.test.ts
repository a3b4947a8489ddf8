// A module as text: wabt, which knows nothing of us, has to make the same code of it.
import { describe, expect, test } from 'vitest'
import { F32, F64, I32, I64, ModuleBuilder, V128, moduleText } from '../src/index.ts'
import { assembled } from './support/wasm.ts'

const UNARY = { params: ['i32'], result: 'i32' } as const

function everything(): ModuleBuilder {
  const module = new ModuleBuilder()
  module.importMemory({ module: 'host', name: 'memory', initialPages: 1, maximumPages: 4, shared: true })
  const log = module.importFunction('host', 'log', { params: ['i64'], result: undefined })
  const f = module.function('f', UNARY, { export: true })
  const x = f.param(0, 'i32').get
  f.block((outer) => {
    f.loop((again) => {
      f.if(
        x.eq(3),
        () => f.br(outer),
        () => f.call(log, I64.of(-(1n << 63n))),
      )
      f.brTable(x, [again, outer], again)
    })
  })
  f.memoryCopy(0, 16, x)
  f.memoryFill(8, 0xff, x)
  for (const value of [F64.of(-0), F64.of(Infinity), F64.of(-Infinity), F64.of(0.1)]) f.let(value)
  f.let(F32.of(1.5))
  f.let(V128.of([1, 2, 3]).shuffle(V128.of([255]), [0, 16, 31]))
  f.store('i64.store16', x, I64.of(7), 4096)
  f.if(x, () => f.returnCallIndirect(UNARY, module.typeIndex(UNARY), 0, x))
  f.return(f.callIndirect(UNARY, module.typeIndex(UNARY), 0, x) as I32)
  const g = module.function('g', { params: [], result: undefined })
  g.unreachable()
  module.table([f, g], 'functions')
  return module
}

test('a module as text is the same module to wabt', () => {
  const bytes = everything().build()
  const text = moduleText(bytes)
  const again = assembled(text)
  expect(moduleText(again)).toBe(text)
  expect(WebAssembly.validate(Uint8Array.from(again))).toBe(true)
})

test('a line for each instruction, indented by its blocks', () => {
  const module = new ModuleBuilder()
  const f = module.function('twice', UNARY, { export: true })
  f.block((done) => {
    f.brIf(f.param(0, 'i32').get.eqz(), done)
    f.return(f.param(0, 'i32').get.add(-5))
  })
  f.return(I32.of(0))
  expect(moduleText(module.build())).toBe(`(module
  (type (;0;) (func (param i32) (result i32)))
  (func (;0;) (export "twice") (type 0)
    block
      local.get 0
      i32.eqz
      br_if 0
      local.get 0
      i32.const -5
      i32.add
      return
    end
    i32.const 0
    return))
`)
})

test('comments stand before the instructions at their positions', () => {
  const module = new ModuleBuilder()
  const f = module.function('twice', UNARY, { export: true })
  const ends: number[] = []
  f.block((done) => {
    f.brIf(f.param(0, 'i32').get.eqz(), done)
    ends.push(f.codeBytes)
    f.return(f.param(0, 'i32').get.add(-5))
    ends.push(f.codeBytes)
  })
  const value = module.function('value', { params: [], result: 'i32' })
  value.return(I32.of(0))
  f.unreachable()
  expect(() => module.endOf(f)).toThrow('function 0 is not in a module that is built')
  const bytes = module.build()
  const at = ends.map((end) => module.endOf(f) - 1 - (f.codeBytes - end))
  const comments = [
    { at: 0, text: 'the first' },
    { at: at[0]!, text: 'the value' },
    // In the middle of an instruction: it stands before the next one.
    { at: at[0]! + 1, text: 'the constant' },
    { at: at[1]!, text: 'the end' },
    { at: module.endOf(value) - 1, text: 'no instruction follows' },
  ]
  const text = moduleText(bytes, { comments })
  expect(text).toBe(`(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (result i32)))
  (func (;0;) (export "twice") (type 0)
    ;; the first
    block
      local.get 0
      i32.eqz
      br_if 0
      ;; the value
      local.get 0
      ;; the constant
      i32.const -5
      i32.add
      return
    ;; the end
    end
    unreachable)
  (func (;1;) (type 1)
    i32.const 0
    return
    ;; no instruction follows
  ))
`)
  expect(moduleText(assembled(text))).toBe(moduleText(bytes))
})

describe('what is no module of this emitter', () => {
  test.each([
    ['nothing', [], 'not those of a WebAssembly module'],
    ['other bytes', [1, 2, 3, 4, 5, 6, 7, 8, 9], 'not those of a WebAssembly module'],
    ['a section that ends too early', [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1], 'the module ends at byte 11'],
    [
      'an instruction that is not emitted',
      [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 10, 5, 1, 3, 0, 0xd0, 0x0b],
      'no instruction of this emitter at byte 13: d0',
    ],
    ['a number without end', [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 255, 255, 255, 255, 255, 255], 'more than 32 bits'],
  ])('%s', (_, bytes, message) => {
    expect(() => moduleText(Uint8Array.from(bytes))).toThrow(message)
  })
})
