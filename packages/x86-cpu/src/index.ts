/**
 * An x86 processor: generated code over a software TLB, run until an exit.
 *
 * @packageDocumentation
 */
export {
  CodeCache,
  CodePage,
  STATUS_ASK,
  STATUS_CONTINUE,
  STATUS_DONE,
  STATUS_FAULT,
  STATUS_RESTART,
  STATUS_RETRY,
} from '@retrap/engine'
export type { CodeCacheClient } from '@retrap/engine'
export { DebugControl } from './debug-control.ts'
export type { DebugResume, DebugStop } from './debug-control.ts'
export type { WatchKind } from '@retrap/engine'
export { CpuRegisters } from './cpu-registers.ts'
export { CODE_CACHE_BYTES, prepareX86Engine, X86Engine } from './engine.ts'
export type { X86EngineOptions } from './engine.ts'
export type { DeliveredEvent, ExecutionCounts, ExecutionWatch, Exit, StoreWatch } from './execution.ts'
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
} from './system/architecture.ts'
export { DEVICE_LOGGED, DEVICE_MAY_WAIT, DEVICE_PLAIN } from './host.ts'
export { KEY_USER } from './host.ts'
export type { CpuHost, DeviceAccessMode, RegisterPage, RepeatRequest, Translation, Words } from './host.ts'
export {
  inspectVcpu,
  readModelSpecificRegister,
  restoreVcpu,
  saveVcpu,
  saveVcpuRegisters,
  writeModelSpecificRegister,
} from './inspect.ts'
export { CS, DS, ES, FS, GDTR, GS, IDTR, LDTR, MODE_16, MODE_32, MODE_64, SS, TR } from './state-layout.ts'
export { JIT_CODE_BYTES, JIT_MISSES, JIT_THRESHOLD } from '@retrap/engine'
export type {
  CodeKeeper,
  CodeMark,
  CodeStore,
  CompiledInstruction,
  ExitReason,
  JitCounts,
  StoredCode,
} from '@retrap/engine'
export type { CompiledCode, JitOptions } from './jit/jit-options.ts'
export type { JitTier } from '@retrap/engine'
export type { CpuModel, CpuVendor } from './model/cpu-model.ts'
export { CPU_FEATURES } from './model/feature-table.ts'
export type { CpuFeature, CpuidWord } from './model/feature-table.ts'
export { CPU_MODELS, cpuModel } from './model/models.ts'
export type { CpuModelSummary } from './model/models.ts'
export { Processor } from './model/processor.ts'
export type { CpuClocks } from './system/cpu.ts'
export { X86CpuError } from './system/errors.ts'
export type { X86CpuErrorCode } from './system/errors.ts'
export type { Hex, SavedCpu, SavedModel, SavedSegment } from './system/saved-state.ts'
export { Vcpu } from './vcpu.ts'
export { REGISTER_NAMES, SEGMENT_NAMES } from './initial-state.ts'
export type { InitialCpuState } from './initial-state.ts'
