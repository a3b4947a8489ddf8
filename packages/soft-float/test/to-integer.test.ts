/** Doubles to integers of every width, against exact arithmetic. */
import { I32, ModuleBuilder } from '@retrap/wasm-emitter'
import { expect, test } from 'vitest'
import * as float from '../src/index.ts'
import { RULES } from './support/calculator.ts'

const SCRATCH = 16
const STATE = 64

/** Compiles the conversion. */
function compile(): (
  value: number,
  bits: number,
  mode: number,
  unsigned: number,
) => { result: bigint; raised: number } {
  const module = new ModuleBuilder()
  module.importMemory({ module: 'env', name: 'memory', initialPages: 1 })
  const library = new float.FloatLibrary(module, SCRATCH, RULES)
  const signature = { params: ['i64', 'i32', 'i32', 'i32'], result: 'i64' } as const
  const f = module.function('run', signature, { export: true })
  const state = f.let(I32.of(STATE))
  f.call(float.unpack(library, 64), state, state.add(SCRATCH + float.SLOT_A), f.param(0, 'i64').get)
  const [bits, mode, unsigned] = [f.param(1, 'i32').get, f.param(2, 'i32').get, f.param(3, 'i32').get]
  f.return(f.call(float.toNearestInteger(library), state, bits, mode, unsigned))
  const memory = new WebAssembly.Memory({ initial: 1 })
  const view = new DataView(memory.buffer)
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(module.build())), {
    env: { memory },
  })
  const run = exports['run'] as (value: bigint, bits: number, mode: number, unsigned: number) => bigint
  const words = new DataView(new ArrayBuffer(8))
  return (value, ...how) => {
    new Uint8Array(memory.buffer).fill(0xa5, STATE + SCRATCH, STATE + SCRATCH + float.SCRATCH_BYTES)
    view.setUint32(STATE + SCRATCH + float.F_CONTROL, 0x3f, true)
    view.setUint32(STATE + SCRATCH + float.F_FLAGS, 0, true)
    words.setFloat64(0, value)
    const result = run(words.getBigUint64(0), ...how)
    return { result, raised: view.getUint32(STATE + SCRATCH + float.F_FLAGS, true) & 0x3f }
  }
}

/** What the manual says: rounded, then the nearest that there is. */
function expected(value: number, bits: number, mode: number, unsigned: number): { result: bigint; raised: number } {
  if (Number.isNaN(value)) return { result: 0n, raised: float.FE_INVALID }
  const least = unsigned === 1 ? 0n : -(1n << BigInt(bits - 1))
  const most = (1n << BigInt(unsigned === 1 ? bits : bits - 1)) - 1n
  if (!Number.isFinite(value)) return { result: BigInt.asIntN(64, value > 0 ? most : least), raised: float.FE_INVALID }
  const below = Math.floor(value)
  const rest = value - below
  const isUp =
    mode === float.ROUND_UP
      ? rest > 0
      : mode === float.ROUND_ZERO
        ? value < 0 && rest > 0
        : mode !== float.ROUND_DOWN &&
          (rest > 0.5 || (rest === 0.5 && (mode === float.ROUND_TIES_AWAY ? value > 0 : below % 2 !== 0)))
  const whole = BigInt(below) + (isUp ? 1n : 0n)
  if (whole < least || whole > most)
    return { result: BigInt.asIntN(64, whole < least ? least : most), raised: float.FE_INVALID }
  return { result: BigInt.asIntN(64, whole), raised: rest > 0 ? float.FE_PRECISION : 0 }
}

const MAGNITUDES = [
  0, 0.25, 0.5, 0.75, 1, 1.5, 2.5, 3.25, 7.5, 127, 127.5, 128, 128.5, 255, 255.5, 256, 32_767.5, 65_535.5,
]
for (const exponent of [31, 32, 52, 53, 63, 64, 100])
  MAGNITUDES.push(2 ** exponent, 2 ** exponent - 1, 2 ** exponent - 0.5, 2 ** exponent * (1 - 2 ** -53))
MAGNITUDES.push(Number.MIN_VALUE, Number.MAX_VALUE, Infinity, NaN)

test.each([8, 16, 32, 64])('of %i bits, in every mode', (bits) => {
  const run = compile()
  for (const value of MAGNITUDES.flatMap((magnitude) => [magnitude, -magnitude])) {
    for (const mode of [
      float.ROUND_NEAREST,
      float.ROUND_DOWN,
      float.ROUND_UP,
      float.ROUND_ZERO,
      float.ROUND_TIES_AWAY,
    ]) {
      for (const unsigned of [0, 1]) {
        const what = `${value} in mode ${mode}, unsigned ${unsigned}`
        expect({ what, ...run(value, bits, mode, unsigned) }).toEqual({
          what,
          ...expected(value, bits, mode, unsigned),
        })
      }
    }
  }
})
