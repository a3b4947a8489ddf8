/**
 * Snapshot files of machines: named state and pages of memory.
 *
 * @packageDocumentation
 */
export { crc32, PAGE_BYTES } from './equal-pages.ts'
export { deflate, inflate } from './compression.ts'
export { SnapshotError } from './errors.ts'
export { decodeState, encodeState } from './plain-data.ts'
export { inflateNow } from './inflate-now.ts'
export { openSnapshot, type LateSnapshotSource, type OpenSnapshot } from './open.ts'
export { bytesSource, readSnapshot, readSnapshotDescription, type SnapshotSource } from './read.ts'
export { writeSnapshotAfter, type SnapshotFrames } from './write-after.ts'
export { writeSnapshot, type Snapshot, type SnapshotPages, type WriteSnapshotOptions } from './write.ts'
