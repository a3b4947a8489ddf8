/**
 * The server side of gdb's remote protocol.
 *
 * @packageDocumentation
 */
export { arm64Registers } from './arm64.ts'
export { GdbError, RegisterSet, type Register, type RegisterList, type ShownRegister } from './register-set.ts'
export { framePacket, PacketReader } from './packets.ts'
export { GdbSession } from './session.ts'
export { Signal } from './target.ts'
export type { CpuAction, GdbTarget, StepRules, TargetCode, TargetStop, WatchpointKind } from './target.ts'
export { x86Registers } from './x86.ts'
