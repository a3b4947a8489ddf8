import { I32, ModuleBuilder, extractLane, numeric } from '@retrap/wasm-emitter'
import type { F64, V128 } from '@retrap/wasm-emitter'

/** Whether the host's multiply-add rounds once, in both types: it does where its processor has such an instruction. */
let fused: boolean | undefined

/**
 * Finds that out, once. A host gives one answer for as long as it runs (WebAssembly core specification, "Relaxed
 * Operations"); where it is no, or where there is no such instruction, what compiled code computes is the same.
 */
export function hasFusedMultiplyAdd(): boolean {
  fused ??= roundsOnce()
  return fused
}

/** The square of 1 + ε is 1 + 2ε + ε²; rounded, the last summand is lost. Less the others, it is zero or ε². */
const EPSILON_32 = 2 ** -12
const EPSILON_64 = 2 ** -27

function roundsOnce(): boolean {
  const module = new ModuleBuilder()
  const f = module.function('test', { params: ['f64', 'f64'], result: 'i32' } as const, { export: true })
  const splat64 = (value: F64): V128 => numeric('f64x2.splat', value)
  const splat32 = (value: F64): V128 => numeric('f32x4.splat', numeric('f32.demote_f64', value))
  // Not constants, which a compiler might compute with by itself.
  const [small32, small64] = [f.param(0, 'f64').get, f.param(1, 'f64').get]
  const one = numeric('f64.div', small64, small64)
  const factor = (epsilon: F64): F64 => numeric('f64.add', one, epsilon)
  const addend = (epsilon: F64): F64 => numeric('f64.neg', numeric('f64.add', factor(epsilon), epsilon))
  const [x32, x64] = [splat32(factor(small32)), splat64(factor(small64))]
  const r32 = numeric('f32x4.relaxed_madd', x32, x32, splat32(addend(small32)))
  const r64 = numeric('f64x2.relaxed_madd', x64, x64, splat64(addend(small64)))
  const [first, second] = [extractLane('f32x4.extract_lane', r32, 3), extractLane('f64x2.extract_lane', r64, 1)]
  const isRight = numeric('f64.eq', numeric('f64.promote_f32', first), numeric('f64.mul', small32, small32))
  f.return(isRight.and(numeric('f64.eq', second, numeric('f64.mul', small64, small64))).and(I32.of(1)))
  const bytes = module.build() as Uint8Array<ArrayBuffer>
  if (!WebAssembly.validate(bytes)) return false
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes))
  return (exports['test'] as (a: number, b: number) => number)(EPSILON_32, EPSILON_64) === 1
}
