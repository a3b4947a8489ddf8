/**
 * The p2m: guest frames to machine frames, as a page table in machine memory.
 *
 * @packageDocumentation
 */
export { P2mAccess, rightsOfAccess } from './access-tree.ts'
export { P2mError } from './errors.ts'
export { ForeignMappings } from './foreign-mappings.ts'
export { FrameCounts } from './frame-counts.ts'
export { LogDirty } from './log-dirty.ts'
export type { P2mOptions, Stage2Options } from './geometry.ts'
export { P2m } from './p2m.ts'
export type { SharedRam } from './shared-tables.ts'
export { P2mEntry } from './radix-table.ts'
export type { P2mLeaf, P2mState, P2mStatistics } from './saved.ts'
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
export type { Stage2, Stage2Registers } from './stage2.ts'
export type { WriteClaim } from './write-claim.ts'
export { type WatchListener } from './write-logs.ts'
