/** The package's functions, compiled, called from tests. */
import { I32, ModuleBuilder } from '@retrap/wasm-emitter'
import * as float from '../../src/index.ts'
import type { FloatRules } from '../../src/index.ts'

/** Where the scratch area is from the address that functions get. */
const SCRATCH = 16
const STATE = 64

export type Width = 16 | 32 | 64
export type Name = 'add' | 'subtract' | 'multiply' | 'divide' | 'squareRoot' | 'multiplyAdd' | 'convert'

export const RULES: FloatRules = {
  defaultNanSign: 0,
  survivingNan: 'first-signalling',
  addendFirst: true,
  invalidProductFirst: true,
  tininess: 'before-rounding',
  denormalOperand: 'raises-when-flushed',
  flushedIsInexact: false,
  flushesHalf: true,
}

/** A result, as the bits of its encoding, and what was raised: `FE_*`. */
export interface Outcome {
  readonly bits: bigint
  readonly raised: number
}

/**
 * Compiles all operations of one format; `convert` converts to it from double precision.
 *
 * @param masked - exceptions that are masked: `FE_*`
 */
export function calculator(
  width: Width,
  rules: FloatRules = RULES,
  masked = 0x3f,
): (name: Name, control: number, ...operands: bigint[]) => Outcome {
  const module = new ModuleBuilder()
  module.importMemory({ module: 'env', name: 'memory', initialPages: 1 })
  const library = new float.FloatLibrary(module, SCRATCH, rules)
  const operations: Record<Name, (f: ReturnType<typeof module.function>, state: I32) => void> = {
    add: (f, state) => f.call(float.add(library), state, I32.of(0)),
    subtract: (f, state) => f.call(float.add(library), state, I32.of(1)),
    multiply: (f, state) => f.call(float.multiply(library), state),
    divide: (f, state) => f.call(float.divide(library), state),
    squareRoot: (f, state) => f.call(float.squareRoot(library), state),
    multiplyAdd: (f, state) => f.call(float.multiplyAdd(library), state, I32.of(0), I32.of(0)),
    convert: (f, state) => f.call(float.convert(library), state),
  }
  for (const [name, operation] of Object.entries(operations)) {
    const f = module.function(name, { params: ['i64', 'i64', 'i64'], result: 'i64' }, { export: true })
    const state = f.let(I32.of(STATE))
    for (const [i, slot] of [float.SLOT_A, float.SLOT_B, float.SLOT_C].entries())
      f.call(
        float.unpack(library, name === 'convert' ? 64 : width),
        state,
        state.add(SCRATCH + slot),
        f.param(i, 'i64').get,
      )
    operation(f, state)
    f.return(f.call(float.finish(library, width), state))
  }
  const memory = new WebAssembly.Memory({ initial: 1 })
  const bytes = new DataView(memory.buffer)
  const compiled = new WebAssembly.Module(Uint8Array.from(module.build()))
  const { exports } = new WebAssembly.Instance(compiled, { env: { memory } })
  return (name, control, a, b = 0n, c = 0n) => {
    new Uint8Array(memory.buffer).fill(0xa5, STATE + SCRATCH, STATE + SCRATCH + float.SCRATCH_BYTES)
    bytes.setUint32(STATE + SCRATCH + float.F_CONTROL, control | masked, true)
    bytes.setUint32(STATE + SCRATCH + float.F_FLAGS, 0, true)
    const run = exports[name] as (a: bigint, b: bigint, c: bigint) => bigint
    const bits = BigInt.asUintN(64, run(a, b, c))
    return { bits, raised: bytes.getUint32(STATE + SCRATCH + float.F_FLAGS, true) & 0x3f }
  }
}
