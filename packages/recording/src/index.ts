/**
 * Files of recorded runs: events with their instants, checkpoints and marks.
 *
 * @packageDocumentation
 */
export { CheckpointStore } from './checkpoint-store.ts'
export type { CheckpointDraft, StoredCheckpoint } from './checkpoint-store.ts'
export { RecordingError } from './errors.ts'
export type { EventBody, EventKind, RecordedEvent } from './events.ts'
export type { Instant } from './format.ts'
export { RecordingPacker, unpackRecording } from './pack.ts'
export { openRecording, type FileCheckpoint, type Recording } from './read.ts'
export type { RecordingEnd, RecordingIndex, RecordingMark } from './recording-index.ts'
export { RecordingRing } from './recording-ring.ts'
export { RecordingWriter } from './write.ts'
