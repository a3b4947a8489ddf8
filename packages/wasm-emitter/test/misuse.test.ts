// What plain JavaScript may hand over by mistake: the answer is a WasmEmitterError, and never an error of the engine's.
import { misuses } from '@retrap/tooling/misuse'
import { describe, expect, test } from 'vitest'
import {
  ByteWriter,
  extractLane,
  F32,
  F64,
  FunctionBuilder,
  I32,
  I64,
  ModuleBuilder,
  numeric,
  replaceLane,
  select,
  V128,
  WasmEmitterError,
} from '../src/index.ts'

type Call = (...args: never[]) => unknown

const signature = { params: ['i32', 'i64'], result: 'i32' } as const
const callee = { index: 0, signature }
const nothing = (): void => {}
const one = I32.of(1)
const vector = V128.of([1])

/** A function in which a label is open. */
function inBlock(run: (f: FunctionBuilder, label: { readonly depth: number }) => void): void {
  const f = new FunctionBuilder(0, 'f', signature)
  f.block((label) => run(f, label))
}

const fresh = (): FunctionBuilder => new FunctionBuilder(0, 'f', signature)

const calls: readonly (readonly [name: string, call: Call, args: readonly unknown[]])[] = [
  ['new I32', (emit: never) => new I32(emit), [nothing]],
  ['new V128', (emit: never) => new V128(emit), [nothing]],
  ['I32.of', (value: never) => I32.of(value), [1]],
  ['I64.of', (value: never) => I64.of(value), [1n]],
  ['F32.of', (value: never) => F32.of(value), [1]],
  ['F64.of', (value: never) => F64.of(value), [1]],
  ['V128.of', (bytes: never) => V128.of(bytes), [[1, 2]]],
  ['V128.of, bytes', (byte: never) => V128.of([byte]), [1]],
  ['V128.shuffle', (other: never, lanes: never) => vector.shuffle(other, lanes), [vector, [1]]],
  ['I32.add', (other: never) => one.add(other), [1]],
  ['I32.divU', (other: never) => one.divU(other), [1]],
  ['I64.ltU', (other: never) => I64.of(1).ltU(other), [1]],
  ['numeric', (...args) => (numeric as Call)(...args), ['i32.add', one, one]],
  [
    'extractLane',
    (...args) => extractLane(...(args as never as Parameters<typeof extractLane>)),
    ['i32x4.extract_lane', vector, 1],
  ],
  [
    'replaceLane',
    (...args) => replaceLane(...(args as never as Parameters<typeof replaceLane>)),
    ['i32x4.replace_lane', vector, 1, one],
  ],
  ['select', (c: never, a: never, b: never) => select(c, a, b), [one, one, one]],
  ['new FunctionBuilder', (i: never, name: never, s: never) => new FunctionBuilder(i, name, s), [0, 'f', signature]],
  ['param', (i: never, type: never) => fresh().param(i, type), [0, 'i32']],
  ['local', (type: never) => fresh().local(type), ['i32']],
  ['let', (value: never) => fresh().let(value), [one]],
  ['scope', (build: never) => fresh().scope(build), [nothing]],
  ['set', (local: never, value: never) => fresh().set(local, value), [fresh().param(0, 'i32'), one]],
  ['load', (op: never, at: never, offset: never) => fresh().load(op, at, offset), ['i32.load', 0, 0]],
  [
    'store',
    (op: never, at: never, v: never, offset: never) => fresh().store(op, at, v, offset),
    ['i32.store', 0, one, 0],
  ],
  [
    'atomic',
    (op: never, at: never, v: never, o: never) => fresh().atomic(op, at, v, o),
    ['i32.atomic.rmw.add', 0, [one], 0],
  ],
  ['atomic, operands', (v: never) => fresh().atomic('i32.atomic.rmw.add', 0, [v]), [one]],
  ['memoryCopy', (to: never, from: never, n: never) => fresh().memoryCopy(to, from, n), [0, 0, 0]],
  ['memoryFill', (to: never, value: never, n: never) => fresh().memoryFill(to, value, n), [0, 0, 0]],
  ['call', (c: never, a: never, b: never) => fresh().call(c, a, b), [callee, one, I64.of(1)]],
  [
    'callIndirect',
    (s: never, t: never, e: never, a: never) => fresh().callIndirect(s, t, e, a, I64.of(1) as never),
    [signature, 0, 0, one],
  ],
  [
    'returnCallIndirect',
    (s: never, t: never, e: never, a: never) => fresh().returnCallIndirect(s, t, e, a, I64.of(1) as never),
    [signature, 0, 0, one],
  ],
  [
    'storeAroundCalls',
    (local: never, address: never, offset: never) => fresh().storeAroundCalls(local, address, offset),
    [fresh().param(0, 'i32'), one, 0],
  ],
  ['block', (build: never) => fresh().block(build), [nothing]],
  ['loop', (build: never) => fresh().loop(build), [nothing]],
  ['if', (c: never, then: never, otherwise: never) => fresh().if(c, then, otherwise), [one, nothing, nothing]],
  ['ifElse', (t: never, c: never, a: never, b: never) => fresh().ifElse(t, c, a, b), ['i32', 1, () => one, () => one]],
  ['br', (label: never) => inBlock((f) => f.br(label)), [{ depth: 0 }]],
  ['brIf', (c: never, label: never) => inBlock((f) => f.brIf(c, label)), [one, { depth: 0 }]],
  [
    'brTable',
    (i: never, labels: never, o: never) => inBlock((f) => f.brTable(i, labels, o)),
    [one, [{ depth: 0 }], { depth: 0 }],
  ],
  ['return', (value: never) => fresh().return(value), [one]],
  ['finish', (out: never) => fresh().finish(out), [new ByteWriter()]],
  ['typeIndex', (s: never) => new ModuleBuilder().typeIndex(s), [signature]],
  [
    'typeIndex, parts',
    (p: never, r: never) => new ModuleBuilder().typeIndex({ params: p, result: r }),
    [['i32'], 'i64'],
  ],
  [
    'importMemory',
    (memory: never) => new ModuleBuilder().importMemory(memory),
    [{ module: 'm', name: 'n', initialPages: 1 }],
  ],
  [
    'importMemory, parts',
    (module: never, name: never, initialPages: never, maximumPages: never) => {
      const m = new ModuleBuilder()
      m.importMemory({ module, name, initialPages, maximumPages })
      m.build()
    },
    ['m', 'n', 1, 2],
  ],
  [
    'importFunction',
    (m: never, n: never, s: never) => new ModuleBuilder().importFunction(m, n, s),
    ['m', 'n', signature],
  ],
  ['function', (n: never, s: never, o: never) => new ModuleBuilder().function(n, s, o).return(1), ['f', signature, {}]],
  ['complete', (f: never) => new ModuleBuilder().complete(f), [fresh()]],
  [
    'table',
    (elements: never, name: never) => {
      const m = new ModuleBuilder()
      m.table(elements, name)
      m.build()
    },
    [[callee], 'table'],
  ],
  ['table, elements', (element: never) => new ModuleBuilder().table([element]), [callee]],
  ['u8', (v: never) => new ByteWriter().u8(v), [1]],
  ['raw', (v: never) => new ByteWriter().raw(v), [[1]]],
  ['append', (v: never) => new ByteWriter().append(v), [new ByteWriter()]],
  ['appendRange', (v: never, a: never, b: never) => new ByteWriter().appendRange(v, a, b), [new ByteWriter(), 0, 0]],
  ['leb', (v: never) => new ByteWriter().leb(v), [1]],
  ['leb32', (v: never) => new ByteWriter().leb32(v), [1]],
  ['leb64', (v: never) => new ByteWriter().leb64(v), [1n]],
  ['f32', (v: never) => new ByteWriter().f32(v), [1]],
  ['f64', (v: never) => new ByteWriter().f64(v), [1]],
  ['name', (v: never) => new ByteWriter().name(v), ['n']],
]

describe('a wrong argument is a mistake of the caller', () => {
  test.each(calls)('%s', (_name, call, args) => {
    expect(misuses(call, args, WasmEmitterError)).toEqual([])
  })

  test.each([
    ['a value of another type in a local', () => fresh().set(fresh().param(0, 'i32'), I64.of(1) as never)],
    ['a value of another type in memory', () => fresh().store('i32.store', 0, I64.of(1) as never)],
    ['an operand of another type', () => numeric('f64.add', F64.of(1), F32.of(1) as never)],
    ['too few operands', () => (numeric as Call)('f64.add' as never, F64.of(1) as never)],
    ['two sides of a selection', () => select(one, F64.of(1), F32.of(1) as never)],
    ['a lane that the vector does not have', () => extractLane('i32x4.extract_lane', vector, 4)],
    ['a result of another type', () => fresh().return(I64.of(1))],
    ['a fraction', () => one.add(0.5)],
    ['a name that every object has', () => fresh().local('toString' as never)],
  ])('%s', (_name, run) => {
    expect(run).toThrow(expect.objectContaining({ code: 'ERR_TYPE' }))
  })

  test.each([
    ['a local', (f: FunctionBuilder) => f.local('i32')],
    ['a local of no scope', (f: FunctionBuilder) => f.reserve('i64')],
    ['a local that is given back', (f: FunctionBuilder) => f.release({ type: 'i32', index: 0, get: I32.of(0) })],
    ['a statement', (f: FunctionBuilder) => f.unreachable()],
    ['a statement for later', (f: FunctionBuilder) => f.later(() => {})],
    ['a statement at the front', (f: FunctionBuilder) => f.prepend(() => {})],
    ['its end', (f: FunctionBuilder) => f.finish(new ByteWriter())],
  ])('a function that is complete takes nothing more: %s', (_, use) => {
    const f = fresh()
    f.finish(new ByteWriter())
    expect(() => use(f)).toThrow(expect.objectContaining({ code: 'ERR_STRUCTURE' }))
    expect(f.params).toEqual([])
  })

  test('a function of another module', () => {
    expect(() => new ModuleBuilder().complete(fresh())).toThrow(expect.objectContaining({ code: 'ERR_STRUCTURE' }))
  })
})
