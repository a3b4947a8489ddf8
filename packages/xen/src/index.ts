/**
 * Xen's interface for guests: hypercalls, event channels, grants, the store, the console; and what emulators ask.
 *
 * @packageDocumentation
 */
export { plugXen } from './paravirtual.ts'
export type { XenGuest } from './guest.ts'
export type { XenConsole } from './store/console-ring.ts'
export type { XenOptions } from './xen-state.ts'
export type { XenDomain } from './domain.ts'
export { dmPlatform } from './dm-platform.ts'
export type { HostPorts } from './events/host-ends.ts'
export { XenError } from './errors.ts'
