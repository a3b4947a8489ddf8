/**
 * vCPUs of a PC that execute at the same time, each in a thread of its own.
 *
 * @packageDocumentation
 */
export { serveVcpu } from './x86/threads/vcpu-thread.ts'
export { type StartVcpu, vcpuThreads, type VcpuWorker } from './x86/threads/vcpu-threads.ts'
