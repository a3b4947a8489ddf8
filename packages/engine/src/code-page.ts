import { PAGE_BYTES } from '@retrap/memory'

/** Writes to a frame are told apart by line: 64 lines of 64 bytes. */
const LINE_SHIFT = 6

/** The decoded instructions of one frame in one mode. */
export class CodePage {
  /** Machine frame. */
  readonly frame: number
  /** Mode that the code was decoded for. */
  readonly mode: number
  /** Machine address of the slot table: for each byte of the page the machine address of the record that begins there, or 0. */
  readonly slots: number
  /**
   * Runs of records, three numbers each: machine address of the first, count, and machine address of the slot in another
   * page that leads to them (for an instruction that begins there and ends here), or 0.
   */
  readonly runs: number[] = []
  /** Lines with decoded bytes, one bit each: lines 0 to 31. */
  linesLow = 0
  /** Lines 32 to 63. */
  linesHigh = 0

  /** Makes a page without records. */
  constructor(frame: number, mode: number, slots: number) {
    this.frame = frame
    this.mode = mode
    this.slots = slots
  }

  /**
   * Notes that bytes have been decoded.
   *
   * @param end - exclusive; the part beyond the page is ignored
   */
  mark(start: number, end: number): void {
    const last = Math.min(end, PAGE_BYTES) - 1
    for (let line = start >>> LINE_SHIFT; line <= last >>> LINE_SHIFT; line++) {
      if (line < 32) this.linesLow |= 1 << line
      else this.linesHigh |= 1 << (line - 32)
    }
  }

  /** Returns whether a write may have changed decoded bytes; `last` is inclusive. */
  holds(first: number, last: number): boolean {
    for (let line = first >>> LINE_SHIFT; line <= last >>> LINE_SHIFT; line++) {
      if ((((line < 32 ? this.linesLow : this.linesHigh) >>> (line & 31)) & 1) !== 0) return true
    }
    return false
  }
}
