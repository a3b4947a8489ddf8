/**
 * An Arm processor: generated code over a software TLB, run until an exit.
 *
 * @packageDocumentation
 */
export type { KeyName } from './pointer-keys.ts'
export { ArmCpu } from './cpu.ts'
export { ArmDebugControl, type ArmDebugResume, type ArmDebugStop } from './debug-control.ts'
export { ArmCpuError, type ArmCpuErrorCode } from './errors.ts'
export { ArmEngine, CODE_CACHE_BYTES, prepareArmEngine, type ArmEngineOptions } from './engine.ts'
export type { ArmExit } from './exit.ts'
export type { ArmDeliveredEvent, ArmExecutionWatch } from './execution-watch.ts'
export { FlatHost } from './flat-host.ts'
export type { ArmCounter } from './host.ts'
export { KEY_GUARDED } from './landings.ts'
export {
  TRANSLATE_FETCH,
  TRANSLATE_PAN,
  TRANSLATE_READ,
  TRANSLATE_UNPRIVILEGED,
  TRANSLATE_WRITE,
  type ArmHost,
  type ArmTranslation,
} from './host.ts'
export { SYSTEM_DONE, SYSTEM_TRAP, SYSTEM_UNDEFINED, type SystemValue } from './host.ts'
export { SYSTEM_REGISTERS, type SystemRegisterName } from './system/places.ts'
export type { ArmRegisters } from './registers.ts'
export type { Hex, SavedArmCpu } from './saved-state.ts'
export { exceptionClassOf } from './syndrome.ts'
export type { CompiledCode, JitOptions } from './jit/jit-options.ts'
export type {
  CodeKeeper,
  CodeMark,
  CodeStore,
  StoredCode,
  CompiledInstruction,
  JitCounts,
  JitTier,
  WatchKind,
} from '@retrap/engine'
export type { TrappedControls, TrappedException, TrappedState } from './trapped-state.ts'
