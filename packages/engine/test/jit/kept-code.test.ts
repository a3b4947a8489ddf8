// Code that one machine has compiled is another one's, if it finds the same bytes.
import { MemoryKeeper } from '@retrap/tooling/kept-code'
import { I32, ModuleBuilder } from '@retrap/wasm-emitter'
import { describe, expect, test as base } from 'vitest'
import { FORM_SIGNATURE } from '../../src/index.ts'
import { decodeCode, encodeCode } from '../../src/jit/kept/code-format.ts'
import type { Line } from '../toy/assemble.ts'
import { SYSTEM } from '../toy/encoding.ts'
import { ToyProcessor } from '../toy/processor.ts'
import { EAGER, HOT, machineOf, run } from '../toy/run.ts'

const LOOP: readonly Line[] = [
  ...([{ op: 'movi', rd: 7, value: 1 }, { op: 'movi', rd: 0, value: 5000 }, 'again'] as Line[]),
  { op: 'add', rd: 1, rs: 0 },
  { op: 'sub', rd: 0, rs: 7 },
  { op: 'bz', value: 3 },
  { op: 'jmp', to: 'again' },
  { op: 'sys', value: SYSTEM.halt },
]

const test = base.extend('keep', () => new MemoryKeeper())

/** Runs the loop. @returns what its compiler has done */
function counts(keep: MemoryKeeper, lines = LOOP, options: Partial<typeof EAGER> = {}): object {
  const { units, loaded, failures } = run(lines, { jit: { ...EAGER, ...options, keep } }).jit!.counts
  return { units, loaded, failures }
}

/** Changes the only code that is kept. */
function change(keep: MemoryKeeper, to: (code: Uint8Array) => Uint8Array): void {
  expect(keep.codes.size).toBe(1)
  for (const held of keep.codes.values()) held.bytes = to(held.bytes)
}

/** A module that imports what units do not, or exports something else. */
function module(imported: string, exported: string): Uint8Array {
  const builder = new ModuleBuilder()
  builder.importFunction('cpu', imported, { params: ['i32', 'i32'], result: 'i32' } as const)
  builder.function(exported, FORM_SIGNATURE, { export: true }).return(I32.of(0))
  return builder.build()
}

describe('the second machine', () => {
  test('compiles nothing that the first one has compiled', ({ keep }) => {
    expect(counts(keep)).toEqual({ units: 1, loaded: 0, failures: 0 })
    expect(counts(keep)).toEqual({ units: 0, loaded: 1, failures: 0 })
    expect([keep.codes.size, keep.dropped]).toEqual([1, 0])
  })

  test('compiles other code at the same place', ({ keep }) => {
    counts(keep)
    const other = LOOP.map((line) => (typeof line === 'object' && line.op === 'bz' ? { ...line, value: 4 } : line))
    expect(counts(keep, [...other.slice(0, -1), { op: 'nop' }, ...LOOP.slice(-1)])).toMatchObject({
      units: 1,
      loaded: 0,
    })
    expect(keep.codes.size).toBe(2)
  })

  test('finds nothing where its configuration is another one', ({ keep }) => {
    counts(keep)
    expect(counts(keep, LOOP, { called: ['add'] } as object)).toMatchObject({ units: 1, loaded: 0 })
    expect(new Set(keep.opened).size).toBe(2)
  })

  test('finds nothing where the interpreter, whose functions units call by number, is another one', ({ keep }) => {
    const loaded = ['add', 'sub'].map((called) => {
      const hot = new Set([...HOT].filter((key) => key !== called))
      return run(LOOP, { hot, jit: { ...EAGER, keep } }).jit!.counts.loaded
    })
    expect(loaded).toEqual([0, 0])
  })
})

describe('code that another thread writes', () => {
  const OTHER = LOOP.map((line) => (typeof line === 'object' && line.op === 'add' ? { ...line, rd: 2 } : line))
  const [before, after] = [LOOP, OTHER].map((lines) => machineOf(lines).frames[0]!)
  const changed = before!.findIndex((byte, i) => byte !== after![i])

  test.each<[string, units: number, isIn: (emission?: boolean) => boolean]>([
    ['before its bytes are copied', 0, (isOver) => isOver === undefined],
    ['while it is compiled', 1, (isOver) => isOver === false],
    ['before it is kept', 1, (isOver) => isOver === true],
  ])('%s is no other code', (_, units, isIn) => {
    const keep = new MemoryKeeper()
    const write = (isOver?: boolean): void => {
      if (isIn(isOver)) first.writeElsewhere(changed, after![changed]!)
    }
    const jit = { ...EAGER, threshold: 20, keep, onEmission: write }
    const first: ToyProcessor = new ToyProcessor(machineOf(LOOP), { hot: HOT, jit })
    first.run(20)
    write()
    for (let i = 0; i < 50; i++) first.run(1000)
    expect([first.seen.halted, keep.codes.size]).toEqual([true, units])
    // Each of them agrees with the reference.
    counts(keep, OTHER)
    counts(keep)
  })
})

describe('code is dropped, and compiled again,', () => {
  test.each<[string, (code: Uint8Array) => Uint8Array]>([
    ['that is damaged', (code) => code.with(code.length >> 1, code[code.length >> 1]! ^ 1)],
    ['that is cut', (code) => code.slice(0, -4)],
    ['that is no module', (code) => withModule(code, Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 99))],
    ['that imports what units do not', (code) => withModule(code, module('process', 'unit'))],
    ['that exports no unit', (code) => withModule(code, module('system', 'units'))],
    ['of another place', (code) => withKey(code)],
  ])('%s', (_, to) => {
    const keep = new MemoryKeeper()
    counts(keep)
    change(keep, to)
    expect(counts(keep)).toEqual({ units: 1, loaded: 0, failures: 0 })
    expect(keep.dropped).toBe(1)
    expect(counts(keep)).toEqual({ units: 0, loaded: 1, failures: 0 })
  })
})

function withModule(code: Uint8Array, other: Uint8Array): Uint8Array {
  return encodeCode(decodeCode(code)!.source, other)
}

function withKey(code: Uint8Array): Uint8Array {
  const { source, module: own } = decodeCode(code)!
  return encodeCode({ ...source, key: source.key ^ 1 }, own)
}
