import { PAGE_BYTES } from '@retrap/memory'
import { BoundedMap } from './bounded-map.ts'

/** Writes to a frame are told apart by line first: 64 lines of 64 bytes. */
const LINE_SHIFT = 6

/** Bytes of a page that a unit was made from. */
export interface UnitPart {
  readonly page: CodePage
  /** Pairs of offsets: the first byte, and the one after the last. Empty where the unit only depends on where the page is mapped. */
  readonly ranges: readonly number[]
}

/** A unit's interface for the pages of its code. */
export interface CodeUnit {
  /** Machine address of the unit's record. */
  readonly record: number
  /** Machine address of the slot that points to the record. */
  readonly slot: number
  /** Parts of each page may come several times. */
  readonly parts: UnitPart[]
}

/** The records of an instruction that ends in a page and begins in another. */
export interface CrossingRecords {
  /** Machine address of the first of three adjacent records. */
  readonly record: number
  /** Machine address of the slot that points to the record. */
  readonly slot: number
}

/**
 * Instructions of a page that are executed alone, for a debugger: machine addresses of their records, by offset; 0 where one is
 * not decoded. No slot points to one.
 */
export type Traps = Map<number, number>

/** The decoded instructions of one frame in one mode. */
export class CodePage {
  /** Machine frame. */
  readonly frame: number
  /** Mode that the code was decoded for. */
  readonly mode: number
  /** Machine address of the slot table: for each byte of the page the machine address of the record that begins at it, or 0. */
  readonly slots: number
  /** Units that were made from the page. */
  readonly units: Set<CodeUnit> = new Set<CodeUnit>()
  /** Records of instructions that end on this page. */
  readonly crossings: Set<CrossingRecords> = new Set<CrossingRecords>()
  /** Instructions with breakpoints. */
  traps: Traps | undefined = undefined
  /** Bit mask of 64 lines with decoded bytes: lines 0 to 31. */
  #linesLow = 0
  /** Lines 32 to 63. */
  #linesHigh = 0

  /** Makes a page without records. */
  constructor(frame: number, mode: number, slots: number) {
    this.frame = frame
    this.mode = mode
    this.slots = slots
  }

  /**
   * Marks bytes as decoded.
   *
   * @param end - exclusive; the part beyond the page is ignored
   */
  mark(start: number, end: number): void {
    const last = Math.min(end, PAGE_BYTES) - 1
    for (let line = start >>> LINE_SHIFT; line <= last >>> LINE_SHIFT; line++) {
      if (line < 32) this.#linesLow |= 1 << line
      else this.#linesHigh |= 1 << (line - 32)
    }
  }

  /** Clears all marks of decoded bytes. */
  clearMarks(): void {
    this.#linesLow = 0
    this.#linesHigh = 0
  }

  /** Returns whether a write may have changed decoded bytes; `last` is inclusive. */
  holds(first: number, last: number): boolean {
    for (let line = first >>> LINE_SHIFT; line <= last >>> LINE_SHIFT; line++) {
      if ((((line < 32 ? this.#linesLow : this.#linesHigh) >>> (line & 31)) & 1) !== 0) return true
    }
    return false
  }
}

/** Returns whether a unit was made from some of the bytes of a page; `last` is inclusive. */
export function isMadeFrom({ parts }: CodeUnit, page: CodePage, first: number, last: number): boolean {
  return parts.some(({ page: of, ranges }) => {
    if (of !== page) return false
    for (let i = 0; i < ranges.length; i += 2) if (first < ranges[i + 1]! && last >= ranges[i]!) return true
    return false
  })
}

/** Writes beside a frame's code after which the frame loses its code at first; twice as many each time that it has. */
const FEWEST_SPARED = 256
const MOST_SPARED = 1 << 22
/** Writes to code, without decoding in between, after which a frame loses all of its code: new code is probably being loaded. */
const MOST_KILLING = 16
/** Most frames remembered. */
const MOST_FRAMES = 4096

interface Writes {
  /** Number of writes that ended no record. */
  spared: number
  /** Number of writes that ended records, since an instruction was last decoded. */
  killing: number
  /** The limit of `spared`. */
  most: number
}

/**
 * Counts writes to frames with code, which take the slow path. A frame that has become data, or is written more often than
 * executed, loses its code.
 */
export class WrittenFrames {
  readonly frames: BoundedMap<number, Writes> = new BoundedMap<number, Writes>(MOST_FRAMES)

  /** Notes a write. @param isKilling - it has ended records @returns whether the frame is to lose its code */
  note(frame: number, isKilling: boolean): boolean {
    let writes = this.frames.get(frame)
    if (writes === undefined) {
      writes = { spared: 0, killing: 0, most: FEWEST_SPARED }
      this.frames.set(frame, writes)
    }
    if (isKilling) writes.killing++
    else writes.spared++
    if (writes.killing <= MOST_KILLING && writes.spared <= writes.most) return false
    if (writes.spared > writes.most) writes.most = Math.min(2 * writes.most, MOST_SPARED)
    writes.spared = 0
    writes.killing = 0
    return true
  }

  /** Notes that an instruction of a frame was decoded. */
  noteDecoding(frame: number): void {
    const writes = this.frames.get(frame)
    if (writes !== undefined) writes.killing = 0
  }
}
