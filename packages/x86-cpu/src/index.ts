/**
 * An x86 processor: generated code over a software TLB, run until an exit.
 *
 * @packageDocumentation
 */
export { CodeCache } from './code-cache.ts'
export { X86Engine, unimplementedMnemonics } from './engine.ts'
export type { Exit } from './exit.ts'
export type { CpuHost, Translation, Words } from './host.ts'
export * from './state-layout.ts'
export type { CpuModel } from './system/cpu.ts'
export { Vcpu } from './vcpu.ts'
export type { InitialCpuState } from './vcpu.ts'
