/**
 * Guest memory for device models: mappings held for a scope, invalidated when RAM leaves the guest, and DMA helpers.
 *
 * @packageDocumentation
 */
export type { KeptView } from './development.ts'
export { MapCacheError, type MapCacheErrorCode } from './errors.ts'
export {
  GuestFrame,
  guestMapOf,
  type FrameKind,
  type FrameReferences,
  type GuestMap,
  type P2mView,
} from './guest-map.ts'
export type { Invalidation } from './invalidation.ts'
export { type FrameUse, MapCache, type MapCacheOptions, type MapCacheStatistics } from './map-cache.ts'
export type { Mapping, ReadonlyBytes, Segment, WritableMapping, WritableSegment } from './mapping.ts'
export { copyGuest, gather, lengthOf, scatter, type GuestBytes, type GuestRange } from './scatter-gather.ts'
