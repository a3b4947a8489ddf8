import { HEADER_BYTES, type Instant, isCount } from './format.ts'

/** The place of a section. */
export interface IndexEntry extends Instant {
  /** The section's name: four characters. */
  readonly name: string
  /** Offset of the section's head in the file. */
  readonly offset: number
}

/** A named instant. */
export interface RecordingMark extends Instant {
  /** The name of the mark. */
  readonly name: string
}

/** The end of a recording. */
export interface RecordingEnd extends Instant {
  /** The guest's time at the instant, in nanoseconds; absent: unknown. */
  readonly ns?: number
}

/** The parts that a recording lacks in front, as its beginning was dropped. Numbers of pieces and pages count them. */
export interface MissingParts {
  /** Pieces of the log. */
  readonly pieces: number
  /** Number of blocks with the pages of events' bodies. */
  readonly blocks: number
}

/** All sections of a file, so that it need not be scanned. */
export interface RecordingIndex {
  /** All sections, in the order of the file. */
  readonly sections: readonly IndexEntry[]
  /** Named instants, in order. */
  readonly marks: readonly RecordingMark[]
  /** End of the recording. */
  readonly end: RecordingEnd
  /** Parts dropped from the front; absent: none. */
  readonly missing?: MissingParts
}

/**
 * Whether a value that a file has is an index: each section is named once, in the order of the file.
 *
 * @param end - end of the file's sections
 */
export function isIndex(value: unknown, end: number): value is RecordingIndex {
  const index = value as Partial<RecordingIndex> | null
  if (!Array.isArray(index?.sections) || !Array.isArray(index.marks) || !isInstant(index.end)) return false
  if (index.end?.ns !== undefined && !isCount(index.end.ns)) return false
  let from = HEADER_BYTES
  for (const entry of index.sections as readonly Partial<IndexEntry>[]) {
    if (!isInstant(entry) || typeof entry.name !== 'string') return false
    const { offset } = entry
    if (!isCount(offset) || offset < from || offset >= end) return false
    from = offset + 1
  }
  const { missing } = index
  if (missing !== undefined && !(isCount(missing?.pieces) && isCount(missing.blocks))) return false
  return (index.marks as readonly Partial<RecordingMark>[]).every(
    (mark) => isInstant(mark) && typeof mark.name === 'string',
  )
}

function isInstant(value: Partial<Instant> | null | undefined): boolean {
  return isCount(value?.round) && isCount(value.instructions)
}
