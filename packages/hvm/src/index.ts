/**
 * Domains: vCPUs with their memory map, interrupt controllers and device models.
 *
 * @packageDocumentation
 */
export { DeterministicClock, RealClock } from './clock.ts'
export type { ClockState, DeterministicClockState, DomainClock, HostClock, RealClockState } from './clock.ts'
export type { DevicesState, DomainRest } from './domain-rest.ts'
export { DirtyLogs } from './memory/dirty-logs.ts'
export { Domain } from './domain.ts'
export type { DomainCheckpoint } from './instants/checkpoint.ts'
export { checkpointDomain, forkDomain, noteWrites } from './instants/instants.ts'
export type { DomainExit, DomainOptions, DomainServer, Sleeper } from './domain-options.ts'
export type {
  Architecture,
  CpuExit,
  DebugWatch,
  Paravirtual,
  TurnWatch,
  VirtualCpu,
  VirtualProcessor,
} from './virtual-cpu.ts'
export { SecondLevelFaults } from './memory/second-level.ts'
export type { AccessViolation, LateContents, MemoryFailure, SecondLevelOptions } from './memory/second-level.ts'
export { HvmError } from './errors.ts'
export type { HvmErrorCode } from './errors.ts'
export { guestFrames } from './instants/guest-frames.ts'
export { closePages, type GuestPages, type GuestPageSource } from './instants/page-source.ts'
export { touchedPages, withFirstPages } from './instants/first-pages.ts'
export type { TouchedPages } from './instants/first-pages.ts'
export type { GuestFrames } from './instants/guest-frames.ts'
export { GuestMemory } from './memory/guest-memory.ts'
export { OwnedMemories, type OwnedMemoriesOptions, type OwnedMemoryState } from './memory/owned-memories.ts'
export { GuestTables, type TableMap } from './memory/guest-tables.ts'
export { Invalidations, OUTSIDE } from './memory/invalidation.ts'
export type { InvalidationAccount, ServerEpoch } from './memory/invalidation-account.ts'
export type { EpochTicket, InvalidationOptions, WaitingParty } from './memory/invalidation.ts'
export { MemoryChanges } from './memory/memory-change.ts'
export type { MemoryChange, VcpuRun } from './memory/memory-change.ts'
export type { KeptByHypervisor } from './kept-by-hypervisor.ts'
export { interruptSource, X86Domain } from './x86/domain.ts'
export { TSC_HZ } from './x86/architecture.ts'
export type { PciWire, RomWrite, X86Architecture, X86DomainOptions, X86DomainState } from './x86/architecture.ts'
export type { SystemManagementMemory, TprWatch, X86Paravirtual, X86Surroundings } from './x86/surroundings.ts'
export { X86Vcpu } from './x86/vcpu.ts'
export type { GuestTranslation, GuestWalk } from './x86/guest-translation.ts'
export { MemoryWatch } from './x86/memory-watch.ts'
export type { MemoryWriter, PhysicalRange } from './x86/memory-watch.ts'
export {
  beginCopying,
  beginRestoringDomain,
  checkShape,
  restoreDomain,
  type SavedArchitecture,
  type SavedDomain,
  saveDomain,
  saveDomainState,
} from './instants/saved-domain.ts'
export type { PageCopies } from './instants/page-copies.ts'
export type { ForkedMemory } from './instants/forked-memory.ts'
export type { FormerContents } from './instants/late-pages.ts'
export type {
  DomainAbandonment,
  DomainRestoring,
  DomainReturn,
  DomainSnapshot,
  DomainState,
} from './instants/saved-domain.ts'
export type { OutsideInputs } from './scheduling/turn-runner.ts'
export type { RoundState } from './scheduling/deterministic-schedule.ts'
export { DomainVapic } from './x86/vapic/domain-vapic.ts'
export type { DomainVapicOptions, DomainVapicState, VapicStatistics } from './x86/vapic/domain-vapic.ts'
export { VcpuVapic } from './x86/vapic/vcpu-vapic.ts'
export type { VcpuVapicOptions, VcpuVapicState } from './x86/vapic/vcpu-vapic.ts'
export type { FrameUser, ModelMappings } from './memory/model-mappings.ts'
export { FrameHolds } from './memory/model-mappings.ts'
export {
  guestMemoryOptions,
  openGuestMemory,
  openOwnedMemory,
  type GuestMemoryHandles,
} from './memory/model-mappings.ts'
export type { FrameSet, WrittenFrames, WrittenSince } from './instants/written-frames.ts'
export type { FrameBits } from './instants/written-frames.ts'
export { LoggedMemory } from './instants/logged-memory.ts'
