import { OciError } from './errors.ts'

/** A file of an image, read by parts: on a disk, in memory, or on a server that answers ranges. */
export interface ImageFile {
  /** Name of the file, for messages. */
  readonly name: string
  /** Bytes. */
  readonly size: number
  /**
   * Changes when the content may have changed, such as the file's time. A content that was checked once is not checked
   * again while its stamp stays. Absent: nothing is known.
   */
  readonly stamp?: string
  /** Reads from an offset. @returns number of bytes: fewer only at the end */
  read(offset: number, into: Uint8Array): Promise<number>
  /** Ends its use. */
  close(): Promise<void>
}

/** The files of an image by name: a folder, or an archive. Names are relative, with `/`, without `.` and `..`. */
export interface ImageFiles {
  /** Name for messages. */
  readonly name: string
  /** Opens a file; undefined if it does not exist. */
  open(name: string): Promise<ImageFile | undefined>
  /** Closes this object. The caller must close opened files before. */
  close(): Promise<void>
}

/** A part of a file. */
export function slice(file: ImageFile, name: string, offset: number, size: number): ImageFile {
  return {
    name,
    size,
    ...(file.stamp !== undefined && { stamp: `${file.stamp}+${offset}:${size}` }),
    read: (at, into) =>
      at >= size ? Promise.resolve(0) : file.read(offset + at, into.subarray(0, Math.min(into.length, size - at))),
    async close() {},
  }
}

/** A file in memory. */
export function memoryFile(name: string, bytes: Uint8Array): ImageFile {
  return {
    name,
    size: bytes.length,
    async read(offset, into) {
      const part = bytes.subarray(Math.min(offset, bytes.length), offset + into.length)
      into.set(part)
      return part.length
    },
    async close() {},
  }
}

/** Reads all of a part. @throws OciError `ERR_DAMAGED` where the file has become shorter */
export async function readExactly(file: ImageFile, offset: number, into: Uint8Array): Promise<void> {
  let done = 0
  while (done < into.length) {
    const count = await file.read(offset + done, into.subarray(done))
    if (count === 0) throw new OciError('ERR_DAMAGED', file.name, `it ends at byte ${offset + done}`)
    done += count
  }
}

/** Yields the parts of a file in order, in a reused buffer. */
export async function* partsOf(file: ImageFile, bytes: number = 1 << 20): AsyncGenerator<Uint8Array, void> {
  const buffer = new Uint8Array(Math.min(bytes, file.size))
  for (let at = 0; at < file.size; at += buffer.length) {
    const part = buffer.subarray(0, Math.min(buffer.length, file.size - at))
    await readExactly(file, at, part)
    yield part
  }
}
