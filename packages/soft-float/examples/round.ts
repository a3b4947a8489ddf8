// One third in double precision, rounded each way, and what the division raises.
import {
  divide,
  F_CONTROL,
  F_FLAGS,
  FC_ROUNDING_SHIFT,
  finish,
  FloatLibrary,
  ROUND_DOWN,
  ROUND_UP,
  SLOT_A,
  SLOT_B,
  unpack,
} from '@retrap/soft-float'
import { I32, ModuleBuilder } from '@retrap/wasm-emitter'

const rules = {
  defaultNanSign: 0,
  survivingNan: 'first-signalling',
  addendFirst: true,
  invalidProductFirst: true,
  tininess: 'before-rounding',
  denormalOperand: 'raises-when-flushed',
  flushedIsInexact: false,
  flushesHalf: true,
} as const

const module = new ModuleBuilder()
module.importMemory({ module: 'env', name: 'memory', initialPages: 1 })
const f = module.function('quotient', { params: ['i64', 'i64', 'i32'], result: 'i64' }, { export: true })
const library = new FloatLibrary(module, 0, rules)
const area = f.let(I32.of(0))
f.store('i32.store', area, f.param(2, 'i32').get.shl(FC_ROUNDING_SHIFT).or(0x3f), F_CONTROL)
f.store('i32.store', area, I32.of(0), F_FLAGS)
f.call(unpack(library, 64), area, area.add(SLOT_A), f.param(0, 'i64').get)
f.call(unpack(library, 64), area, area.add(SLOT_B), f.param(1, 'i64').get)
f.call(divide(library), area)
f.return(f.call(finish(library, 64), area))

const memory = new WebAssembly.Memory({ initial: 1 })
const compiled = new WebAssembly.Module(Uint8Array.from(module.build()))
const { exports } = new WebAssembly.Instance(compiled, { env: { memory } })
const quotient = exports['quotient'] as (a: bigint, b: bigint, mode: number) => bigint
for (const mode of [ROUND_DOWN, ROUND_UP]) {
  const bits = BigInt.asUintN(64, quotient(0x3ff0_0000_0000_0000n, 0x4008_0000_0000_0000n, mode))
  console.log(bits.toString(16), 'raised', new Uint32Array(memory.buffer)[F_FLAGS / 4]! & 0x3f)
}

// Output:
// 3fd5555555555555 raised 32
// 3fd5555555555556 raised 32
