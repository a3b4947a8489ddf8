/**
 * A small assembler for WebAssembly modules whose expressions are a partial evaluator.
 *
 * @packageDocumentation
 */
export { ByteWriter } from './bytes.ts'
export { WasmEmitterError } from './errors.ts'
export { FunctionBuilder, type Label } from './function-builder.ts'
export type { Local } from './local.ts'
export { ModuleBuilder } from './module-builder.ts'
export { moduleText } from './module-text.ts'
// The tables as types alone: the names and types of instructions follow from them.
export type {
  ATOMIC_RMW,
  AtomicRmwOp,
  LANES,
  LoadOp,
  LOADS,
  NUMERIC,
  NumericOp,
  OperandsOf,
  PrefixType,
  ResultOf,
  StoreOp,
  STORES,
  ValueType,
} from './opcodes.ts'
export { I32, I64, type Extended, type I32Like, type I64Like } from './integers.ts'
export { extractLane, numeric, replaceLane, select } from './instructions.ts'
export { F32, F64 } from './floats.ts'
export type { Callee, Signature } from './signature.ts'
export { Value } from './value.ts'
export type { ValueOf } from './value-of.ts'
export { V128 } from './vector.ts'
