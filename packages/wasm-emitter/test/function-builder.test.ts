// Statements, locals and control flow of a function: what the code does when it runs, and its text where form matters.
import { describe, expect, test } from 'vitest'
import { F32, F64, type FunctionBuilder, I32, I64, type Label, V128, extractLane, numeric } from '../src/index.ts'
import { instructionsOf, makeMemory, moduleOf, runner } from './support/wasm.ts'

const UNARY = { params: ['i32'], result: 'i32' } as const
const NULLARY = { params: [], result: 'i32' } as const

describe('locals', () => {
  test("let evaluates once, at its place; a local's value is that of the place of use", () => {
    const run = runner<number>(UNARY, (f) => {
      const x = f.param(0, 'i32')
      const before = f.let(x.get.add(1))
      f.set(x, I32.of(100))
      f.return(before.mul(1000).add(x.get))
    })
    expect(run(6)).toBe(7100)
  })

  test('let keeps a constant a constant', () => {
    const bytes = moduleOf(NULLARY, (f) => f.return(f.let(I32.of(7)).add(1)))
    expect(instructionsOf(bytes)).toEqual(['i32.const 8', 'return'])
  })

  test('let makes no copy of what let has evaluated, and one of a variable that may be set again', () => {
    const copies = (build: (f: FunctionBuilder) => I32): number => {
      const text = instructionsOf(moduleOf(UNARY, (f) => f.return(build(f))))
      return text.filter((each) => each.startsWith('local.set')).length
    }
    const sum = (f: FunctionBuilder): I32 => f.let(f.param(0, 'i32').get.add(1))
    expect(copies((f) => f.let(f.let(sum(f))))).toBe(1)
    // In the second scope the local is another variable, which is set twice.
    const run = runner<number>(UNARY, (f) => {
      f.scope(() => void sum(f))
      f.scope(() => {
        const local = f.local('i32')
        f.set(local, f.param(0, 'i32').get)
        const before = f.let(local.get)
        f.set(local, I32.of(0))
        f.return(before.add(local.get))
      })
      f.unreachable()
    })
    expect(run(6)).toBe(6)
  })

  test("locals of a scope are used again after it, and the outer scope's are not", () => {
    const seen: number[] = []
    const bytes = moduleOf(UNARY, (f) => {
      seen.push(f.local('i32').index)
      f.scope(() => seen.push(f.local('i32').index, f.local('i64').index))
      f.scope(() => seen.push(f.local('i64').index, f.local('i32').index))
      seen.push(f.local('f64').index)
      f.return(0)
    })
    expect(seen).toEqual([1, 2, 3, 3, 2, 4])
    expect(WebAssembly.validate(bytes)).toBe(true)
  })

  test('what is prepended runs first, and is refused while a block is open', () => {
    const run = runner<number>(UNARY, (f) => {
      const x = f.local('i32')
      f.set(x, x.get.mul(10))
      f.return(x.get.add(f.param(0, 'i32').get))
      f.prepend(() => f.set(x, I32.of(4)))
    })
    expect(run(2)).toBe(42)
    const open = (f: FunctionBuilder): void => f.block(() => f.prepend(() => undefined))
    expect(() => moduleOf(UNARY, open)).toThrow(expect.objectContaining({ code: 'ERR_STRUCTURE' }))
  })

  test('what comes later stands where it was asked for, and knows the whole body', () => {
    for (const prepends of [false, true]) {
      const run = runner<number>(UNARY, (f) => {
        const x = f.local('i32')
        let last = 0
        f.if(f.param(0, 'i32').get, () => f.later(() => f.set(x, I32.of(last))))
        f.later(() => f.set(x, x.get.mul(last)))
        f.set(x, x.get.add(1))
        f.later(() => f.set(x, x.get.mul(10)))
        last = 7
        f.return(x.get)
        if (prepends) f.prepend(() => f.set(x, I32.of(2)))
      })
      expect([run(0), run(1)]).toEqual(prepends ? [150, 500] : [10, 500])
    }
  })

  test('a parameter asked for by the wrong type is refused', () => {
    expect(() => moduleOf(UNARY, (f) => f.param(0, 'i64'))).toThrow(expect.objectContaining({ code: 'ERR_TYPE' }))
    expect(() => moduleOf(UNARY, (f) => f.param(1, 'i32'))).toThrow(expect.objectContaining({ code: 'ERR_TYPE' }))
  })
})

describe('control flow', () => {
  test('a loop runs until nothing branches to its start', () => {
    const sum = runner<number>(UNARY, (f) => {
      const n = f.param(0, 'i32')
      const total = f.local('i32')
      f.loop((again) => {
        f.set(total, total.get.add(n.get))
        f.set(n, n.get.sub(1))
        f.brIf(n.get, again)
      })
      f.return(total.get)
    })
    expect(sum(100)).toBe(5050)
  })

  test('a branch to an outer block leaves the inner ones', () => {
    const run = runner<number>(UNARY, (f) => {
      f.block((outer) => {
        f.block(() => {
          f.if(f.param(0, 'i32').get, () => f.br(outer))
        })
        f.return(1)
      })
      f.return(2)
    })
    expect([run(0), run(5)]).toEqual([1, 2])
  })

  test('a branch table goes to the label of its index, and beyond its end to the last', () => {
    const run = runner<number>(UNARY, (f) => {
      f.block((otherwise) => {
        f.block((second) => {
          f.block((first) => f.brTable(f.param(0, 'i32').get, [first, second], otherwise))
          f.return(10)
        })
        f.return(20)
      })
      f.return(30)
    })
    expect([run(0), run(1), run(2), run(-1)]).toEqual([10, 20, 30, 30])
  })

  test('ifElse evaluates one arm only', () => {
    const run = runner<number>(UNARY, (f) => {
      const x = f.param(0, 'i32').get
      f.return(
        f.ifElse(
          'i32',
          x.eqz(),
          () => I32.of(-1),
          () => f.let(I32.of(12).divU(x)),
        ),
      )
    })
    expect([run(0), run(4)]).toEqual([-1, 3])
  })

  test('a branch with a known condition is a plain branch or nothing', () => {
    const bytes = moduleOf(NULLARY, (f) => {
      f.block((out) => {
        f.brIf(0, out)
        f.brIf(1, out)
      })
      f.return(1)
    })
    expect(instructionsOf(bytes)).toEqual(['block  ;; label = @1', 'br 0 (;@1;', 'end', 'i32.const 1', 'return'])
  })

  test('a branch to a block that is closed is refused', () => {
    const build = (): Uint8Array =>
      moduleOf(NULLARY, (f) => {
        let closed: Label | undefined
        f.block((label) => (closed = label))
        f.br(closed as Label)
      })
    expect(build).toThrow(expect.objectContaining({ name: 'WasmEmitterError', code: 'ERR_STRUCTURE' }))
  })
})

describe('memory', () => {
  test('loads and stores take any alignment, and an unsigned offset', () => {
    const memory = makeMemory()
    const view = new DataView(memory.buffer)
    view.setUint32(0x8001, 0x8899_aabb, true)
    const read = runner<number>(UNARY, (f) => f.return(f.load('i32.load', f.param(0, 'i32').get, 0x8000)), memory)
    expect(read(1) >>> 0).toBe(0x8899_aabb)
    const write = runner<void>(
      { params: ['i32', 'i64'] },
      (f) => f.store('i64.store', f.param(0, 'i32').get, f.param(1, 'i64').get, 3),
      memory,
    )
    write(0x100, 0x0102_0304_0506_0708n)
    expect(view.getBigUint64(0x103, true)).toBe(0x0102_0304_0506_0708n)
  })

  test.each([
    ['i32.load8_s', -0x80],
    ['i32.load8_u', 0x80],
    ['i32.load16_s', -0x7f80],
    ['i32.load16_u', 0x8080],
  ] as const)('%s extends what it reads', (op, expected) => {
    const memory = makeMemory()
    new Uint8Array(memory.buffer).fill(0x80, 0, 2)
    const read = runner<number>(NULLARY, (f) => f.return(f.load(op, 0)), memory)
    expect(read()).toBe(expected)
  })

  test('load reads now; loadExpression reads where it is used', () => {
    const memory = makeMemory()
    const run = runner<number>(
      NULLARY,
      (f) => {
        const now = f.load('i32.load', 0)
        const later = f.loadExpression('i32.load', 0)
        f.store('i32.store', 0, I32.of(5))
        f.return(now.mul(10).add(later))
      },
      memory,
    )
    new Uint32Array(memory.buffer)[0] = 3
    expect(run()).toBe(35)
  })

  test('an atomic operation yields the old value, and traps where it is not aligned', () => {
    const memory = makeMemory(true)
    const words = new Uint32Array(memory.buffer)
    words[4] = 40
    const run = runner<number>(
      UNARY,
      (f) => f.return(f.atomic('i32.atomic.rmw.add', f.param(0, 'i32').get, [I32.of(2)])),
      memory,
    )
    expect([run(16), words[4]]).toEqual([40, 42])
    expect(() => run(17)).toThrow(WebAssembly.RuntimeError)
  })

  test('copying overlapping bytes keeps them whole; filling uses the low byte', () => {
    const memory = makeMemory()
    const bytes = new Uint8Array(memory.buffer)
    bytes.set([1, 2, 3, 4, 5])
    const run = runner<void>(
      { params: [] },
      (f) => {
        f.memoryCopy(1, 0, 5)
        f.memoryFill(8, 0x1ff, 2)
      },
      memory,
    )
    run()
    expect([...bytes.subarray(0, 11)]).toEqual([1, 1, 2, 3, 4, 5, 0, 0, 0xff, 0xff, 0])
  })
})

describe('constants keep every bit', () => {
  test.each([0, -1, 63, 64, -64, -65, 0x7fff_ffff, -0x8000_0000])('i32 %i', (value) => {
    expect(runner<number>(NULLARY, (f) => f.return(I32.of(value)))()).toBe(value)
  })

  test.each([0n, -1n, 1n << 62n, -(1n << 63n), (1n << 63n) - 1n, 0x8000_0000n])('i64 %i', (value) => {
    expect(runner<bigint>({ params: [], result: 'i64' }, (f) => f.return(I64.of(value)))()).toBe(value)
  })

  test('a bigint above the signed range stands for its bits', () => {
    expect(I64.of(0xffff_ffff_ffff_ffffn).known).toBe(-1n)
  })

  test.each([0.1, -0, Number.MIN_VALUE, Infinity])('f64 %f', (value) => {
    expect(runner<number>({ params: [], result: 'f64' }, (f) => f.return(F64.of(value)))()).toBe(value)
  })

  test('f32 is rounded once', () => {
    expect(runner<number>({ params: [], result: 'f32' }, (f) => f.return(F32.of(0.1)))()).toBe(Math.fround(0.1))
  })

  test('v128 lists its bytes in memory order; a shuffle picks out of both', () => {
    const low = Array.from({ length: 16 }, (_, i) => i)
    const high = low.map((i) => i + 0x40)
    const lanes = [31, 0, ...low.slice(2)]
    const run = runner<number>(NULLARY, (f) => {
      const mixed = V128.of(low).shuffle(V128.of(high), lanes)
      f.return(extractLane('i32x4.extract_lane', mixed, 0))
    })
    expect(run()).toBe(0x0302_004f)
  })

  test('bits pass between integers and floats unchanged', () => {
    const run = runner<bigint>({ params: ['i64'], result: 'i64' }, (f) => {
      f.return(f.let(F64.ofBits(f.param(0, 'i64').get)).asI64())
    })
    // A signalling NaN: not even its quiet bit may change.
    expect(run(0x7ff0_0000_0000_0001n)).toBe(0x7ff0_0000_0000_0001n)
    const single = runner<number>(UNARY, (f) => f.return(F32.ofBits(f.param(0, 'i32').get).asI32()))
    expect(single(0x7f80_0001)).toBe(0x7f80_0001)
    const product = runner<number>({ params: ['f64'], result: 'f64' }, (f) => {
      const x = f.param(0, 'f64').get
      f.return(numeric('f64.mul', x, x))
    })
    expect(product(1.5)).toBe(2.25)
  })
})
