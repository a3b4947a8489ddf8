import { type ElfLayout, frameTableOf, type ReadLinked } from './elf-image.ts'

const PAGE_BYTES = 4096
const HEADER_BYTES = 12
const ENTRY_BYTES = 8
const MOST_BYTES = 8 << 20
/** The version, and the encodings: signed 32 bits from here; 32 bits; signed 32 bits from the header. */
const ENCODINGS = [1, 0x1b, 0x03, 0x3b]

/**
 * Where the functions of a program begin, as its table for stack unwinding has them: of a program without symbols too. Of a
 * program in memory some pages of the table may be unmapped; then it is known of some functions only.
 *
 * Source: Linux Standard Base 5.0, Core, "Exception Frame Header".
 */
export class FunctionStarts {
  /** A table without functions. */
  static readonly NONE: FunctionStarts = new FunctionStarts(undefined, () => undefined)
  /** Whether the table was complete. */
  readonly isWhole: boolean = true
  readonly #table: bigint = 0n
  /** Known offsets from the table, ascending. */
  readonly #starts: number[] = []
  /** Entry numbers in the table, by the same index. */
  readonly #entries: number[] = []
  #count = 0

  constructor(layout: ElfLayout | undefined, read: ReadLinked) {
    const segment = layout && frameTableOf(layout)
    if (segment === undefined || segment.memoryBytes > MOST_BYTES || segment.memoryBytes < HEADER_BYTES) return
    const table = new Uint8Array(segment.memoryBytes)
    const isThere = this.#read(segment.virtualAddress, table, read)
    this.isWhole = !isThere.includes(0)
    const view = new DataView(table.buffer)
    const count = view.getUint32(8, true)
    const isKnown = isThere[0] !== 0 && ENCODINGS.every((encoding, i) => table[i] === encoding)
    if (!isKnown || HEADER_BYTES + ENTRY_BYTES * count > table.length) return
    this.#table = segment.virtualAddress
    this.#count = count
    const offset = Number(segment.virtualAddress % BigInt(PAGE_BYTES))
    const has = (at: number): boolean => isThere[Math.floor((offset + at) / PAGE_BYTES)] !== 0
    for (let entry = 0; entry < count; entry++) {
      const at = HEADER_BYTES + ENTRY_BYTES * entry
      if (!has(at) || !has(at + 3)) continue
      this.#starts.push(view.getInt32(at, true))
      this.#entries.push(entry)
    }
  }

  /** Reads the available parts. @returns for each page whether it was available */
  #read(address: bigint, table: Uint8Array, read: ReadLinked): number[] {
    const isThere: number[] = []
    for (let at = 0; at < table.length;) {
      const inPage = PAGE_BYTES - Number((address + BigInt(at)) % BigInt(PAGE_BYTES))
      const piece = read(address + BigInt(at), Math.min(inPage, table.length - at))
      if (piece !== undefined) table.set(piece, at)
      isThere.push(piece === undefined ? 0 : 1)
      at += inPage
    }
    return isThere
  }

  /** No function is known. */
  get isEmpty(): boolean {
    return this.#starts.length === 0
  }

  /** Returns the start of the function that contains an address; undefined if unknown. */
  startOf(address: bigint): bigint | undefined {
    const place = Number(address - this.#table)
    let [low, high] = [0, this.#starts.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#starts[middle]! <= place) low = middle + 1
      else high = middle
    }
    const last = low - 1
    if (last < 0) return undefined
    // Another function may begin between the two.
    const next = this.#entries[last]! + 1
    const isNext = next === this.#count || this.#entries[last + 1] === next
    return isNext ? this.#table + BigInt(this.#starts[last]!) : undefined
  }
}
