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
