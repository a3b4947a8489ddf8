import { plainLine } from '@retrap/basics'
import { SymbolsError } from './errors.ts'

/** A file that is read by parts: bytes, a Blob, or a file on a disk. */
export interface FileSource {
  /** Bytes of the file. */
  readonly size: number
  /** Reads a part that lies in the file. */
  read(offset: number, length: number): Promise<Uint8Array>
}

export interface FilePart {
  readonly offset: number
  readonly length: number
}

/** A reader that yields requests for parts of a file, for both files in memory and files read by parts. */
export type Asking<Result> = Generator<FilePart, Result, Uint8Array>

/** Bytes that are read of a file at most in one part: no table of a kernel with debug information is larger. */
const MOST_PART_BYTES = 0x4000_0000

/** Runs a reader over a file in memory. @throws SymbolsError `ERR_DAMAGED` */
export function readWhole<Result>(bytes: Uint8Array, reader: Asking<Result>): Result {
  let step = reader.next()
  while (step.done !== true) {
    const { offset, length } = inside(step.value, bytes.length)
    step = reader.next(bytes.subarray(offset, offset + length))
  }
  return step.value
}

/** Runs a reader over a file that is read by parts. @throws SymbolsError `ERR_DAMAGED` */
export async function readParts<Result>(source: FileSource, reader: Asking<Result>): Promise<Result> {
  let step = reader.next()
  while (step.done !== true) {
    const { offset, length } = inside(step.value, source.size)
    const bytes = await source.read(offset, length)
    if (bytes.length !== length) throw damaged(`it has ${bytes.length} bytes at ${offset}, of ${length}`)
    step = reader.next(bytes)
  }
  return step.value
}

/** A mistake of an ELF file. */
export const damaged = (what: string): SymbolsError => new SymbolsError('ERR_DAMAGED', 'this ELF file is damaged', what)

function inside(part: FilePart, size: number): FilePart {
  const { offset, length } = part
  if (offset < 0 || length < 0 || !(offset + length <= size))
    throw damaged(`it ends before offset 0x${(offset + length).toString(16)}, which its headers refer to`)
  if (length > MOST_PART_BYTES) throw damaged(`a table of ${length} bytes; at most ${MOST_PART_BYTES} are read`)
  return part
}

const decoder = new TextDecoder()
/** ASCII without control characters. */
const FIRST_PRINTABLE = 0x20
const LAST_PRINTABLE = 0x7e
/** A longer name is left to the decoder. */
const MAX_PLAIN = 1000
/** Names may share bytes of the file, but together have at most this many times its bytes. */
const MOST_SHARED = 16
const LEAST_TEXT_BYTES = 1 << 20

/** Reads names that end with a zero byte. They are for a terminal, which no file may give orders to. */
export class NameReader {
  readonly #bytes: Uint8Array
  readonly #damaged: (what: string) => Error
  /** Total bytes of all names so far. */
  #textBytes = 0

  /** @param damaged - makes the error that is thrown for a file whose names share too many bytes */
  constructor(bytes: Uint8Array, damaged: (what: string) => Error) {
    this.#bytes = bytes
    this.#damaged = damaged
  }

  /** Reads the name at `at`, which lies in the bytes: up to a zero, or `limit` bytes. */
  text(at: number, limit: number = Number.MAX_SAFE_INTEGER): string {
    const bytes = this.#bytes
    const last = Math.min(bytes.length, at + limit)
    const lastPlain = Math.min(last, at + MAX_PLAIN)
    let end = at
    let byte = 0
    // Nearly all names are short and plain, and a decoder takes ten times as long for those.
    while (end < lastPlain && (byte = bytes[end]!) >= FIRST_PRINTABLE && byte <= LAST_PRINTABLE) end++
    const isPlain = end === last || (end < lastPlain && byte === 0)
    if (!isPlain) {
      const zero = bytes.subarray(end, last).indexOf(0)
      end = zero < 0 ? last : end + zero
    }
    this.#textBytes += end - at
    if (this.#textBytes > Math.max(LEAST_TEXT_BYTES, MOST_SHARED * bytes.length))
      throw this.#damaged('its names lie upon one another')
    if (isPlain) return String.fromCharCode(...bytes.subarray(at, end))
    return plainLine(decoder.decode(bytes.subarray(at, end)), Infinity)
  }
}
