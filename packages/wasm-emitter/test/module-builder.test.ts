// Modules: imports, calls between functions, the table, names, and what is refused.
import { describe, expect, test } from 'vitest'
import { FunctionBuilder, I32, I64, ModuleBuilder } from '../src/index.ts'
import { textOf } from './support/wasm.ts'

const ADD = { params: ['i32', 'i32'], result: 'i32' } as const
const UNARY = { params: ['i32'], result: 'i32' } as const

function instantiate(module: ModuleBuilder, imports: WebAssembly.Imports = {}): WebAssembly.Instance {
  return new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(module.build())), imports)
}
const exported = (instance: WebAssembly.Instance, name: string) =>
  instance.exports[name] as (...values: number[]) => number

describe('a module', () => {
  test('calls what it imports and what it defines, also before that is complete', () => {
    const module = new ModuleBuilder()
    const log = module.importFunction('host', 'log', { params: ['i32'] } as const)
    const isOdd = module.function('isOdd', UNARY, { export: true })
    const isEven = module.function('isEven', UNARY)
    for (const [f, other, atZero] of [
      [isOdd, isEven, 0],
      [isEven, isOdd, 1],
    ] as const) {
      const n = f.param(0, 'i32').get
      f.call(log, n)
      f.if(n.eqz(), () => f.return(atZero))
      f.return(f.call(other, n.sub(1)))
    }
    const seen: number[] = []
    const run = exported(instantiate(module, { host: { log: (n: number) => seen.push(n) } }), 'isOdd')
    expect(run(3)).toBe(1)
    expect(seen).toEqual([3, 2, 1, 0])
  })

  test('has a local in memory while functions are called, where they may change it', () => {
    const module = new ModuleBuilder()
    module.importMemory({ module: 'host', name: 'memory', initialPages: 1 })
    const change = module.importFunction('host', 'change', { params: ['i32'] } as const)
    const double = module.importFunction('host', 'double', UNARY)
    const type = module.typeIndex(UNARY)
    const f = module.function('run', UNARY, { export: true })
    module.table([double], 'table')
    const kept = f.local('i32')
    f.set(kept, f.param(0, 'i32').get)
    f.call(change, I32.of(1))
    f.storeAroundCalls(kept, I32.of(16), 4)
    f.set(kept, kept.get.add(1))
    f.call(change, kept.get)
    const sum = f.call(double, kept.get)
    f.set(kept, kept.get.add(sum))
    f.return((f.callIndirect(UNARY, type, 0, kept.get) as I32).add(kept.get))
    const memory = new WebAssembly.Memory({ initial: 1 })
    const words = new Uint32Array(memory.buffer)
    const seen: number[][] = []
    const host = {
      memory,
      change: (given: number) => {
        seen.push([given, words[5]!])
        words[5]! += 100
      },
      double: (given: number) => {
        seen.push([given, words[5]!])
        return 2 * given
      },
    }
    // Before the request nothing is stored; after it each call stores the local, and has its changes taken.
    expect(exported(instantiate(module, { host }), 'run')(7)).toBe(3 * 324)
    expect(seen).toEqual([
      [1, 0],
      [8, 8],
      [108, 108],
      [324, 324],
    ])
  })

  test('calls through a table that it imports, and another module exports', () => {
    const owner = new ModuleBuilder()
    const add = owner.function('add', ADD)
    add.return(add.param(0, 'i32').get.add(add.param(1, 'i32').get))
    owner.table([add], 'table')
    const user = new ModuleBuilder()
    user.importTable('owner', 'table')
    const type = user.typeIndex(ADD)
    const f = user.function('call', UNARY, { export: true })
    f.return(f.callIndirect(ADD, type, 0, f.param(0, 'i32').get, I32.of(5)) as I32)
    const exports = instantiate(owner).exports as unknown as {
      table: { grow(n: number): void; set(i: number, f: unknown): void }
    }
    const last = user.function('last', UNARY, { export: true })
    // The last call takes the place of its caller: a million of them need no more stack than one.
    last.if(last.param(0, 'i32').get, () => {
      last.returnCallIndirect(UNARY, user.typeIndex(UNARY), 1, last.param(0, 'i32').get.sub(1))
    })
    last.return(I32.of(17))
    expect(() => last.returnCallIndirect({ params: [], result: 'i64' }, type, 0)).toThrow('returns i64, not i32')
    expect(() => user.importTable('owner', 'table')).toThrow('a module has one table')
    expect(() => user.table([])).toThrow('a module has one table')
    const instance = instantiate(user, { owner: { ...exports } as never })
    expect(exported(instance, 'call')(3)).toBe(8)
    exports.table.grow(1)
    exports.table.set(1, (instance.exports as Record<string, unknown>)['last'])
    expect(exported(instance, 'last')(1_000_000)).toBe(17)
  })

  test('has functions built by a class of its user', () => {
    class Doubling extends FunctionBuilder {
      override return(value?: I32 | number): void {
        super.return(I32.of(value ?? 0).mul(2))
      }
    }
    const module = new ModuleBuilder()
    const f = module.function('twice', UNARY, { export: true, builder: Doubling })
    expect(f).toBeInstanceOf(Doubling)
    f.return(f.param(0, 'i32').get)
    expect(exported(instantiate(module), 'twice')(21)).toBe(42)
  })

  test('exports only what was asked for, and names every function for profiles', () => {
    const module = new ModuleBuilder()
    module.function('inner', { params: [] })
    module.function('outer', { params: [] }, { export: true })
    expect(Object.keys(instantiate(module).exports)).toEqual(['outer'])
    expect(textOf(module.build())).toMatch(/\(func \$inner .*\(func \$outer /s)
  })

  test('a function may be completed at once, in any order, and takes nothing more then', () => {
    const module = new ModuleBuilder()
    const first = module.function('first', UNARY, { export: true })
    const second = module.function('second', UNARY)
    second.return(second.param(0, 'i32').get.add(1))
    module.complete(second)
    first.return(first.call(second, first.param(0, 'i32').get))
    const { codeBytes } = second
    expect(codeBytes).toBeGreaterThan(0)
    expect(() => second.return(0)).toThrow('second is complete already')
    expect(() => module.complete(second)).toThrow('second is complete already')
    expect(exported(instantiate(module), 'first')(41)).toBe(42)
    expect(first.codeBytes).toBeGreaterThan(0)
    expect(second.codeBytes).toBe(codeBytes)
  })

  test('calls through its table, by the type of the entry', () => {
    const module = new ModuleBuilder()
    const add = module.function('add', ADD)
    add.return(add.param(0, 'i32').get.add(add.param(1, 'i32').get))
    const negate = module.function('negate', UNARY)
    negate.return(I32.of(0).sub(negate.param(0, 'i32').get))
    const run = module.function('run', UNARY, { export: true })
    run.return(run.callIndirect(ADD, module.typeIndex(ADD), run.param(0, 'i32').get, I32.of(40), I32.of(2)))
    module.table([add, negate], 'table')
    const instance = instantiate(module)
    expect((instance.exports['table'] as WebAssembly.Table).length).toBe(2)
    expect(exported(instance, 'run')(0)).toBe(42)
    // Entry 1 has another type, entry 2 does not exist.
    expect(() => exported(instance, 'run')(1)).toThrow(WebAssembly.RuntimeError)
    expect(() => exported(instance, 'run')(2)).toThrow(WebAssembly.RuntimeError)
  })

  test('shares function types', () => {
    const module = new ModuleBuilder()
    expect(module.typeIndex(ADD)).toBe(module.typeIndex({ params: ['i32', 'i32'], result: 'i32' }))
    expect(module.typeIndex(ADD)).not.toBe(module.typeIndex(UNARY))
    expect(module.typeIndex({ params: ['i64'] })).not.toBe(module.typeIndex({ params: [], result: 'i64' }))
  })

  test.each([
    { what: 'without a maximum', pages: { initialPages: 2 }, memory: { initial: 2 } },
    { what: 'with a maximum', pages: { initialPages: 1, maximumPages: 300 }, memory: { initial: 1, maximum: 300 } },
    {
      what: 'shared',
      pages: { initialPages: 1, maximumPages: 2, shared: true },
      memory: { initial: 1, maximum: 2, shared: true },
    },
  ])('imports a memory $what', ({ pages, memory }) => {
    const module = new ModuleBuilder()
    module.importMemory({ module: 'env', name: 'memory', ...pages })
    const f = module.function('peek', UNARY, { export: true })
    f.return(f.load('i32.load8_u', f.param(0, 'i32').get))
    const real = new WebAssembly.Memory(memory)
    new Uint8Array(real.buffer)[9] = 77
    expect(exported(instantiate(module, { env: { memory: real } }), 'peek')(9)).toBe(77)
  })

  test('holds hundreds of functions and bodies of many kilobytes', () => {
    const module = new ModuleBuilder()
    const functions = Array.from({ length: 300 }, (_, i) => {
      const f = module.function(`f${i}`, UNARY)
      f.return(f.param(0, 'i32').get.add(i * 1000))
      return f
    })
    const run = module.function('run', UNARY, { export: true })
    const total = run.local('i32')
    for (const f of functions) run.set(total, total.get.add(run.call(f, run.param(0, 'i32').get)))
    run.return(total.get)
    expect(run.codeBytes).toBeGreaterThan(2000)
    expect(exported(instantiate(module), 'run')(1)).toBe(300 + (1000 * 299 * 300) / 2)
  })
})

describe('a mistake of the caller is refused', () => {
  const module = (): ModuleBuilder => new ModuleBuilder()
  test.each([
    [
      'a second memory',
      'ERR_DUPLICATE',
      () => {
        const m = module()
        const memory = { module: 'env', name: 'memory', initialPages: 1 }
        m.importMemory(memory)
        m.importMemory(memory)
      },
    ],
    [
      'a second table',
      'ERR_DUPLICATE',
      () => {
        const m = module()
        m.table([])
        m.table([])
      },
    ],
    [
      'an import after a function',
      'ERR_STRUCTURE',
      () => {
        const m = module()
        m.function('f', { params: [] })
        m.importFunction('env', 'late', { params: [] })
      },
    ],
    [
      'a call with an operand of the wrong type',
      'ERR_TYPE',
      () => {
        const m = module()
        const callee = m.function('callee', UNARY)
        m.function('caller', { params: [] }).call(callee, I64.of(1))
      },
    ],
    [
      'a call with too few operands',
      'ERR_TYPE',
      () => {
        const m = module()
        const callee = m.function('callee', ADD)
        m.function('caller', { params: [] }).call(callee, I32.of(1))
      },
    ],
    [
      'a module built inside an open block',
      'ERR_STRUCTURE',
      () => {
        const m = module()
        m.function('f', { params: [] }).block(() => m.build())
      },
    ],
  ])('%s', (_what, code, build) => {
    expect(build).toThrow(expect.objectContaining({ name: 'WasmEmitterError', code }))
  })
})
