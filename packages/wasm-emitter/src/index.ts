/**
 * A small assembler for WebAssembly modules whose expressions are a partial evaluator.
 *
 * @packageDocumentation
 */
export { ByteWriter } from './bytes.ts'
export { WasmEmitterError } from './errors.ts'
export type { WasmEmitterErrorCode } from './errors.ts'
export { FunctionBuilder } from './function-builder.ts'
export type { Callee, Label, Local, Signature } from './function-builder.ts'
export { ModuleBuilder } from './module-builder.ts'
export type { MemoryImport } from './module-builder.ts'
export type {
  AtomicRmwOp,
  LaneOp,
  LoadOp,
  NumericOp,
  OperandsOf,
  PrefixType,
  ResultOf,
  StoreOp,
  ValueType,
} from './opcodes.ts'
export { F32, F64, I32, I64, V128, Value, extractLane, numeric, replaceLane, select } from './value.ts'
export type { I32Like, I64Like, ValueOf } from './value.ts'
