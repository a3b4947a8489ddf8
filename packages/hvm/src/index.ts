/**
 * Domains: vCPUs with their memory map, interrupt controllers and device models.
 *
 * @packageDocumentation
 */
export { DeterministicClock, RealClock } from './clock.ts'
export type { ClockState, DeterministicClockState, DomainClock, HostClock } from './clock.ts'
export type { DomainRest } from './domain-rest.ts'
export { Domain } from './domain.ts'
export type { DomainCheckpoint } from './checkpoints/checkpoint.ts'
export { checkpointDomain, forkDomain, noteWrites } from './checkpoints/instants.ts'
export type { DomainExit, DomainOptions, DomainServer, Sleeper } from './domain-options.ts'
export type { Architecture, CpuExit, FollowedVcpu, Paravirtual, VirtualCpu, VirtualProcessor } from './virtual-cpu.ts'
export type { AccessViolation } from './memory/second-level.ts'
export { HvmError } from './errors.ts'
export { FIRST_LOGGED_GFN, FrameSet, type GuestFrames, guestFrames } from './checkpoints/guest-frames.ts'
export { isSame, isZero } from './memory/frame-contents.ts'
export { closePages, type GuestPages, type GuestPageSource } from './checkpoints/page-source.ts'
export { touchedPages, withWorkingSet } from './checkpoints/working-set.ts'
export { GuestMemory } from './memory/guest-memory.ts'
export { GuestTables } from './memory/guest-tables.ts'
export { Invalidations, OUTSIDE } from './memory/invalidation.ts'
export type { InvalidationAccount } from './memory/invalidation-account.ts'
export { MemoryChanges, type VcpuRun } from './memory/memory-change.ts'
export { interruptSource, X86Domain } from './x86/domain.ts'
export {
  MOST_THREADS,
  THREAD_BYTES,
  type X86Architecture,
  type X86DomainOptions,
  type X86DomainState,
} from './x86/architecture.ts'
export type { MakeVcpuThreads } from './x86/threads/vcpu-threads.ts'
export type { SystemManagementMemory, X86Paravirtual } from './x86/surroundings.ts'
export { X86Vcpu } from './x86/vcpu.ts'
export type { GuestWalk } from './x86/guest-translation.ts'
export { MemoryWatch, type MemoryWriter, type PhysicalRange } from './memory-watch.ts'
export {
  beginCopying,
  beginRestoringDomain,
  checkShape,
  restoreDomain,
  type SavedDomain,
  saveDomain,
  saveDomainState,
} from './checkpoints/saved-domain.ts'
export type { PageCopies } from './checkpoints/page-copies.ts'
export type { ForkedMemory } from './checkpoints/forked-memory.ts'
export type { DomainRestoring, DomainReturn, DomainSnapshot, DomainState } from './checkpoints/saved-domain.ts'
export type { OutsideInputs } from './scheduling/turn-runner.ts'
export { DomainVapic } from './x86/vapic/domain-vapic.ts'
export type { DomainVapicOptions, DomainVapicState, VapicStatistics } from './x86/vapic/domain-vapic.ts'
export { VcpuVapic, type VcpuVapicOptions } from './x86/vapic/vcpu-vapic.ts'
export type { FrameUser } from './memory/model-mappings.ts'
export { FrameHolds } from './memory/model-mappings.ts'
export {
  guestMemoryOptions,
  openGuestMemory,
  openOwnedMemory,
  type GuestMemoryHandles,
} from './memory/model-mappings.ts'
export type { DirtyFrames, DirtySince } from './checkpoints/dirty-frames.ts'
export { LoggedMemory } from './checkpoints/logged-memory.ts'
