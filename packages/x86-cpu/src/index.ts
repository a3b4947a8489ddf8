/**
 * An x86 processor: generated code over a software TLB, run until an exit.
 *
 * @packageDocumentation
 */
export {
  CodeCache,
  CodePage,
  STATUS_RESTART,
  STATUS_CONTINUE,
  STATUS_DONE,
  STATUS_FAULT,
  STATUS_RETRY,
  type CodeCacheClient,
  type WatchKind,
  JIT_CODE_BYTES,
  JIT_MISSES,
  JIT_THRESHOLD,
  type CodeKeeper,
  type CompileHelper,
  CompileServer,
  type HelperAnswer,
  type HelperMessage,
  type HelperPort,
  type OpenEmitter,
  type CodeMark,
  type CodeStore,
  type CompiledInstruction,
  type DebugResume,
  type ExitReason,
  type JitCounts,
  type PlaceAccess,
  type StoredCode,
  type StoreWatch,
} from '@retrap/engine'
export { DebugControl, type DebugStop } from './debug-control.ts'
export { CpuRegisters } from './state/cpu-registers.ts'
export {
  allocateCounters,
  CODE_CACHE_BYTES,
  loadInstructions,
  openX86Emitter,
  prepareX86Engine,
  X86Engine,
  type X86EngineOptions,
  type CompiledCode,
  type JitOptions,
} from './engine.ts'
export type { DeliveredEvent, Exit } from './state/execution.ts'
export { FlatHost } from './flat-host.ts'
export {
  CR0_CD,
  CR0_EM,
  CR0_ET,
  CR0_MP,
  CR0_NE,
  CR0_NW,
  CR0_PE,
  CR0_PG,
  CR4_OSFXSR,
  CR4_OSXMMEXCPT,
  CR4_PAE,
  EFER_LMA,
  EFER_LME,
  EFER_NXE,
  EFER_SCE,
} from './state/architecture.ts'
export {
  ACCESS_RESIDENT,
  KEY_USER,
  type AccessRecord,
  type CpuHost,
  type RegisterPage,
  type Translation,
  type Words,
} from './state/host.ts'
export {
  inspectVcpu,
  readModelSpecificRegister,
  restoreVcpu,
  saveVcpu,
  saveVcpuRegisters,
  writeModelSpecificRegister,
} from './inspect.ts'
export { CS, DS, ES, FS, GDTR, GS, IDTR, LDTR, MODE_16, MODE_32, MODE_64, SS, TR } from './state/state-layout.ts'
export { modelOf, type CpuModel } from './model/cpu-model.ts'
export { CPU_FEATURES } from './model/feature-table.ts'
export { CPU_MODELS, cpuModel } from './model/models.ts'
export { Processor } from './model/processor.ts'
export type { CpuClocks } from './system/cpu.ts'
export { X86CpuError } from './errors.ts'
export type { Hex, SavedCpu, SavedModel } from './system/saved-state.ts'
export { Vcpu } from './vcpu.ts'
export { REGISTER_NAMES, SEGMENT_NAMES, type InitialCpuState } from './system/initial-state.ts'
