/**
 * The parts that emulated processors share, whatever their instruction set: records of decoded instructions and their
 * cache, the dispatch loop that executes them, and the TLB.
 *
 * @packageDocumentation
 */
export { CodeCache, MINIMUM_ARENA_BYTES, type CodeCacheClient } from './code-cache.ts'
export { CodeFetch, type CodeSpace, type CodeTranslation } from './code-fetch.ts'
export { CodePage } from './code-page.ts'
export { type DebugResume, PointControl, type PointStop } from './debug-control.ts'
export { type DebugPlace, DebugPlaces, type DeliveredException, type PlaceAccess } from './debug-places.ts'
export { DebugPoints, type StoreWatch, type WatchedAccess, type WatchKind } from './debug-points.ts'
export { DispatchLoop } from './dispatch-loop.ts'
export type { DispatchLabels } from './loop-branches.ts'
export { ATTENTION_ASKED, RETURNS_BYTES, type ScratchAreas, type StateLayout } from './loop-state.ts'
export { STATUS_RESTART, STATUS_DONE, STATUS_ERROR, STATUS_FAULT, STATUS_RETRY, STATUS_UNHANDLED } from '@retrap/replay'
export {
  FORM_SIGNATURE,
  type I32Callee,
  STATUS_CONTINUE,
  STATUS_EXIT,
  STATUS_HANDLER,
  STATUS_JUMP,
  STATUS_LEAVE,
  STATUS_STEP,
} from './status.ts'
export { EngineError } from './errors.ts'
export { flowGraph } from './flow-graph.ts'
export {
  HOT_COUNTERS,
  HOT_COUNTER_BYTES,
  MISSED_BRANCHES,
  MISSED_BRANCHES_AT,
  MISSED_BRANCH_BYTES,
} from './hot-counters.ts'
export {
  generateInterpreter,
  importDispatch,
  importMachineMemory,
  type FormCall,
  type FormCode,
  type InterpreterCode,
  type InterpreterForms,
} from './interpreter.ts'
export { type InterpreterOptions, Interpreters } from './interpreters.ts'
export { packInterpreters, packKinds, unpackInterpreters, usePacked } from './packed-interpreters.ts'
export {
  HOST_OF_FORM,
  OP_CALL_CONTROL,
  OP_CALL_SPILLED,
  OP_BITS,
  OP_CONTINUE,
  OP_CROSS,
  OP_DEAD,
  OP_FIRST_FORM,
  OP_LEAVE,
  OP_SYSTEM,
  OP_UNIT,
  RECORD_BYTES,
  R_FUNCTION,
  R_LENGTH,
  R_LINK,
  R_OFFSET,
  R_OP,
  type RecordDecoder,
} from './record.ts'
export { JIT_CODE_BYTES, JIT_MISSES, JIT_THRESHOLD, type JitCounts, type JitOptions } from './jit/jit-options.ts'
export type { StateAssumption } from './jit/unit-code.ts'
export type { CompiledCode, CompiledInstruction, CodeMark } from './jit/code-marks.ts'
export type { CompileHelper, HelperAnswer, HelperMessage, HelperPort } from './jit/compile-helper.ts'
export { CompileServer, type NamedEmitter, type OpenEmitter } from './jit/compile-server.ts'
export type {
  CompiledInstructionSet,
  DecodedInstruction,
  InstructionExits,
  InstructionFlow,
  RecordMemory,
  UnitDescription,
  UnitEmitter,
  UnitSemantics,
} from './jit/instruction-set.ts'
export { type ExitReason } from './jit/exit-reasons.ts'
export type { CodeKeeper, CodeStore, StoredCode } from './jit/kept/kept-codes.ts'
export { Jit } from './jit/jit.ts'
export type { MissAction } from './jit/memory-sites.ts'
export { RegionFunction, type TableCallee } from './jit/position-switch.ts'
export type { Flow, Region, RegionInstruction } from './jit/region.ts'
export { UnitTable, type FunctionTable, type UnitEntries, type UnitRunner } from './jit/unit.ts'
export { EXECUTE_VIEWS } from './execute-views.ts'
export { FrameWriters } from './frame-writers.ts'
export { clearTlbSet, Tlb } from './tlb.ts'
export {
  type TranslatedPage,
  type TlbPage,
  TLB_EXECUTE,
  TLB_FLAGS,
  TLB_INDEX_MASK,
  TLB_KEY_SHIFT,
  TLB_READ,
  TLB_SET_BYTES,
  TLB_WRITE,
  tlbBytes,
  linearAddress,
} from './tlb-layout.ts'
export { Sampling, Turn } from './turn.ts'
