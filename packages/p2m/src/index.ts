/**
 * The p2m: guest frames to machine frames, as a page table in machine memory.
 *
 * @packageDocumentation
 */
export { P2mAccess, rightsOfAccess } from './access-tree.ts'
export { P2mError, type P2mErrorCode } from './errors.ts'
export { ForeignMappings } from './foreign-mappings.ts'
export { FrameCounts } from './frame-counts.ts'
export { LogDirty } from './log-dirty.ts'
export type { ReleaseListener } from './leaving.ts'
export type { ChangeListener } from './map-core.ts'
export type { MemoryPaging } from './memory-paging.ts'
export type { PopulateOnDemand } from './on-demand.ts'
export type { P2mOptions, Stage2Options } from './geometry.ts'
export { P2m } from './p2m.ts'
export type { SharedRam, SharedRun, SharedTable } from './shared-tables.ts'
export { P2mEntry } from './radix-table.ts'
export type { P2mLeaf, P2mRun, P2mState, P2mStatistics } from './saved.ts'
export {
  ArmP2mType,
  INVALID_MFN,
  isForeign,
  isRam,
  MAX_GFN,
  P2M_EXECUTE,
  P2M_READ,
  P2M_WRITE,
  P2mType,
  rightsOf,
} from './types.ts'
export type { CommonTypes } from './types.ts'
export type { Stage2, Stage2Registers } from './stage2.ts'
export type { WriteClaim } from './write-claim.ts'
export { WriteLogs, type WatchListener } from './write-logs.ts'
