/**
 * An Arm processor: generated code over a software TLB, run until an exit.
 *
 * @packageDocumentation
 */
export type { KeyName, Hex, SavedArmCpu } from './state/saved-state.ts'
export { ArmCpu } from './cpu.ts'
export { ArmDebugControl } from './debug-control.ts'
export { ArmCpuError } from './errors.ts'
export {
  ArmEngine,
  CODE_CACHE_BYTES,
  openArmEmitter,
  prepareArmEngine,
  type ArmEngineOptions,
  type CompiledCode,
  type JitOptions,
} from './engine.ts'
export type { ArmExit } from './access/state-exits.ts'
export type { ArmDeliveredEvent } from './system/exceptions.ts'
export {
  FlatHost,
  type ArmCounter,
  TRANSLATE_WRITE,
  type ArmHost,
  type ArmTranslation,
  type SystemValue,
} from './state/host.ts'
export { STATUS_DONE, STATUS_FAULT, STATUS_UNHANDLED } from '@retrap/engine'
export { KEY_GUARDED } from './system/branch-types.ts'
export { SYSTEM_REGISTERS, type SystemRegisterName } from './state/places.ts'
export type { ArmRegisters } from './state/registers.ts'
export { exceptionClassOf } from './state/syndrome.ts'
export type {
  CodeKeeper,
  CodeMark,
  CodeStore,
  StoredCode,
  StoreWatch,
  CompiledInstruction,
  JitCounts,
  WatchKind,
} from '@retrap/engine'
