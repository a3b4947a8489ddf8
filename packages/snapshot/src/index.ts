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
export { openSnapshot } from './open.ts'
export type { LateSnapshotSource, OpenSnapshot } from './open.ts'
export { bytesSource, readSnapshot, readSnapshotDescription } from './read.ts'
export type { SnapshotSource } from './read.ts'
export { writeSnapshotAfter } from './write-after.ts'
export type { SnapshotFrames } from './write-after.ts'
export { writeSnapshot } from './write.ts'
export type { Snapshot, SnapshotPages, WriteSnapshotOptions } from './write.ts'
