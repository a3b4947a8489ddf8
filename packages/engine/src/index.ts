/**
 * The parts that emulated processors share, whatever their instruction set: records of decoded instructions and their
 * cache, the dispatch loop that executes them, and the TLB.
 *
 * @packageDocumentation
 */
export { CodeCache, MINIMUM_ARENA_BYTES } from './code-cache.ts'
export type { CodeCacheClient } from './code-cache.ts'
export { CodeFetch } from './code-fetch.ts'
export type { CodeSpace, CodeTranslation } from './code-fetch.ts'
export { CodePage } from './code-page.ts'
export type { CodeUnit, CrossingRecords, UnitPart } from './code-page.ts'
export { DebugPoints, linearAddress } from './debug-points.ts'
export type { WatchedAccess, WatchKind } from './debug-points.ts'
export { DispatchLoop } from './dispatch-loop.ts'
export type { DispatchCounters } from './dispatch-loop.ts'
export type { DispatchImports, DispatchLabels } from './loop-branches.ts'
export type { DispatchLocals, HeldState } from './loop-state.ts'
export { FORM_SIGNATURE, type I32Callee } from './status.ts'
export { EngineError } from './errors.ts'
export type { EngineErrorCode } from './errors.ts'
export { flowGraph } from './flow-graph.ts'
export type { FlowGraph } from './flow-graph.ts'
export {
  HOT_COUNTERS,
  HOT_COUNTER_BYTES,
  HOT_COUNTER_MASK,
  HOT_COUNTER_SHIFT,
  HOT_MISSED,
  HOT_SLOW,
  LEFT_UNIT_AT,
  MISSES_PER_COUNT_AT,
  MISSED_BRANCHES,
  MISSED_BRANCHES_AT,
  MISSED_BRANCH_BYTES,
} from './hot-counters.ts'
export { generateInterpreter, importDispatch, importMachineMemory } from './interpreter.ts'
export type { FormCall, FormCode, InlineForms, InterpreterCode, InterpreterForms } from './interpreter.ts'
export { packInterpreters, unpackInterpreters } from './packed-interpreters.ts'
export type { MachineInterpreter } from './packed-interpreters.ts'
export {
  HOST_OF_FORM,
  OP_CALL,
  OP_CALL_CONTROL,
  OP_CALL_SPILLED,
  OP_COLD,
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
} from './record.ts'
export type { RecordDecoder } from './record.ts'
export { JIT_CODE_BYTES, JIT_FIRST_THRESHOLD, JIT_MISSES, JIT_THRESHOLD } from './jit/jit-options.ts'
export type { JitCounts, JitOptions } from './jit/jit-options.ts'
export type { JitTier } from './jit/jit-tier.ts'
export type { CompiledCode, CompiledInstruction } from './jit/compiled-code.ts'
export type { CodeMark } from './jit/code-marks.ts'
export type {
  CompiledInstructionSet,
  DecodedInstruction,
  InstructionExits,
  InstructionFlow,
  UnitDescription,
  UnitSemantics,
} from './jit/instruction-set.ts'
export { EXIT_REASONS } from './jit/exit-reasons.ts'
export type { ExitReason } from './jit/exit-reasons.ts'
export type { CodeKeeper, CodeStore, StoredCode } from './jit/kept/code-store.ts'
export { Jit } from './jit/jit.ts'
export type { JitParts } from './jit/jit.ts'
export type { MissAction } from './jit/memory-sites.ts'
export type { CodeWriter } from './jit/first-tier/code-writer.ts'
export type { CopiedExits, CopiedUnit } from './jit/first-tier/copied-unit.ts'
export { RegionFunction } from './jit/region-function.ts'
export type { TableCallee } from './jit/region-function.ts'
export type { Flow, Region, RegionBlock, RegionInstruction, RegionPage } from './jit/region.ts'
export type { StateAssumption } from './jit/state-assumption.ts'
export { UnitTable } from './jit/unit-table.ts'
export type { FunctionTable, UnitTableParts } from './jit/unit-table.ts'
export type { UnitRunner } from './jit/unit.ts'
export { ATTENTION_ASKED } from './state-layout.ts'
export type { StateLayout } from './state-layout.ts'
export {
  STATUS_ANSWERED,
  STATUS_ASK,
  STATUS_CONTINUE,
  STATUS_DONE,
  STATUS_ERROR,
  STATUS_EXIT,
  STATUS_FAULT,
  STATUS_HANDLER,
  STATUS_JUMP,
  STATUS_LEAVE,
  STATUS_RESTART,
  STATUS_RETRY,
  STATUS_STEP,
} from './status.ts'
export { EXECUTE_VIEWS } from './execute-views.ts'
export { Tlb } from './tlb.ts'
export type { TlbPage } from './tlb-layout.ts'
export { Sampling } from './sampling.ts'
export { Turn } from './turn.ts'
export { UNIT_FAILED, UNIT_JUMP, UNIT_MISSED, UNIT_RESUME, UNIT_SLOW } from './unit-outcome.ts'
export {
  TLB_EXECUTE,
  TLB_FLAGS,
  TLB_INDEX_MASK,
  TLB_KEY_SHIFT,
  TLB_READ,
  TLB_SET_BYTES,
  TLB_WRITE,
  tlbBytes,
  tlbChangesOffset,
} from './tlb-layout.ts'
