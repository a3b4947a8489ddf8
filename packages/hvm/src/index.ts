/**
 * Domains: vCPUs with their memory map, interrupt controllers and device models.
 *
 * @packageDocumentation
 */
export { DeterministicClock, RealClock } from './clock.ts'
export type { DomainClock, HostClock } from './clock.ts'
export { DirtyLogs } from './dirty-logs.ts'
export { Domain, TSC_HZ } from './domain.ts'
export type { DomainExit, DomainOptions, DomainServer, Sleeper } from './domain.ts'
export { HvmError } from './errors.ts'
export type { HvmErrorCode } from './errors.ts'
export { GuestMemory } from './guest-memory.ts'
export { GuestTables } from './guest-tables.ts'
export { Invalidations, OUTSIDE } from './invalidation.ts'
export type { EpochTicket, InvalidationOptions, WaitingParty } from './invalidation.ts'
export { MemoryChanges } from './memory-change.ts'
export type { MemoryChange, VcpuStop } from './memory-change.ts'
export { HvmVcpu, PHYSICAL_BITS } from './hvm-vcpu.ts'
export { XenGuest } from './xen/xen-guest.ts'
export type { XenOptions } from './xen/xen-guest.ts'
export { DomainVapic } from './vapic/domain-vapic.ts'
export type { DomainVapicOptions, VapicStatistics } from './vapic/domain-vapic.ts'
export { VcpuVapic } from './vapic/vcpu-vapic.ts'
export type { VcpuVapicOptions } from './vapic/vcpu-vapic.ts'
export type { XenMemoryRange } from './xen/memory-map.ts'
export type { XenMemory } from './xen/xen-memory.ts'
