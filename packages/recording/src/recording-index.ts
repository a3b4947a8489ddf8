import type { Instant } from './format.ts'

/** Where a section is. */
export interface IndexEntry extends Instant {
  readonly name: string
  /** Of its head in the file. */
  readonly offset: number
}

/** A named instant. */
export interface RecordingMark extends Instant {
  /** What it was called. */
  readonly name: string
}

/** All sections of a file, so that it need not be read from its beginning. */
export interface RecordingIndex {
  readonly sections: readonly IndexEntry[]
  readonly marks: readonly RecordingMark[]
  /** Where the recording ends. */
  readonly end: Instant
}
