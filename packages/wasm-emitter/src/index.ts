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
// The tables as types alone: the names and types of instructions follow from them.
export type {
  ATOMIC_RMW,
  AtomicRmwOp,
  LaneOp,
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
export { extractLane, numeric, replaceLane, select } from './instructions.ts'
export type { LaneType, OperandValues } from './instructions.ts'
export { F32, F64, I32, I64, V128, Value } from './value.ts'
export type { Emit, I32Like, I64Like, ValueOf } from './value.ts'
