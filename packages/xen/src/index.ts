/**
 * Xen's interface for guests: hypercalls, event channels, grants, the store, the console; and what emulators ask.
 *
 * @packageDocumentation
 */
export { plugXen } from './paravirtual.ts'
export type { XenGuest, XenGuestMemory, XenGuestState } from './guest.ts'
export type { XenConsole } from './store/console-ring.ts'
export type { XenStore } from './store/store.ts'
export type { XenOptions } from './xen-state.ts'
export type { XenDomainCalls, XenHost, XenKept } from './architecture.ts'
export type { XenGuestFrames } from './guest-frames.ts'
export type { XenCalls, XenDomain, XenDomainVcpu } from './domain.ts'
export { dmPlatform } from './dm-platform.ts'
export { XenError } from './errors.ts'
export type { XenErrorCode } from './errors.ts'
export { HvmParameter } from './hvm-parameters.ts'
export type { HvmParameters } from './hvm-parameters.ts'
export type { GuestShutdown, XenExit } from './shutdown.ts'
export type { XenMemoryRange } from './memory/xen-memory.ts'
export type { HostChannel, HostPorts } from './events/host-ends.ts'
export type { StorePermission } from './store/store-tree.ts'
