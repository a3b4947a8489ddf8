/**
 * The headers of ELF files of both classes, which are little-endian. Each reader has checks and errors of its own.
 *
 * Source: System V ABI, chapter 4, "Object Files", and chapter 5, "Program Loading and Dynamic Linking".
 */

/** A table of headers in the file. */
export interface ElfTable {
  readonly at: number
  readonly entryBytes: number
  readonly count: number
}

/** The header at the beginning. */
export interface ElfHeader {
  /** Whether the file is of class 64. */
  readonly wide: boolean
  /** Type of the file: ET_EXEC and others. */
  readonly type: number
  readonly machine: number
  readonly entry: bigint
  readonly segments: ElfTable
  readonly sections: ElfTable
  /** The section with the names of sections. */
  readonly nameSection: number
}

/** A program header. */
export interface ElfSegment {
  readonly type: number
  readonly flags: number
  /** Offset of the segment in the file, in bytes. */
  readonly offset: number
  readonly virtualAddress: bigint
  readonly physicalAddress: number
  readonly fileBytes: number
  readonly memoryBytes: number
}

/** Segment to load. */
export const PT_LOAD = 1
/** Notes. */
export const PT_NOTE = 4

/** Bytes of the header, and of a program header at least. */
export const elfSizes = (wide: boolean): { readonly header: number; readonly segment: number } =>
  wide ? { header: 64, segment: 56 } : { header: 52, segment: 32 }

/** Whether bytes begin as ELF files do. */
export const isElf = (bytes: Uint8Array): boolean =>
  bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46

/** Reads the header. @throws RangeError if it is cut off */
export function elfHeader(view: DataView): ElfHeader {
  const wide = view.getUint8(4) === 2
  const u16 = (at: number): number => view.getUint16(at, true)
  const word = words(view, wide)
  const table = (at: number, sizeAt: number): ElfTable => ({
    at: Number(word(at)),
    entryBytes: u16(sizeAt),
    count: u16(sizeAt + 2),
  })
  return {
    wide,
    type: u16(16),
    machine: u16(18),
    entry: word(24),
    segments: table(wide ? 32 : 28, wide ? 54 : 42),
    sections: table(wide ? 40 : 32, wide ? 58 : 46),
    nameSection: u16(wide ? 62 : 50),
  }
}

/** Reads the program header at `at`. @throws RangeError if it is cut off */
export function elfSegment(view: DataView, at: number, wide: boolean): ElfSegment {
  const word = words(view, wide)
  const field = (i: number): bigint => word(at + (wide ? 8 + 8 * i : 4 + 4 * i))
  return {
    type: view.getUint32(at, true),
    flags: view.getUint32(at + (wide ? 4 : 24), true),
    offset: Number(field(0)),
    virtualAddress: field(1),
    physicalAddress: Number(field(2)),
    fileBytes: Number(field(3)),
    memoryBytes: Number(field(4)),
  }
}

const words =
  (view: DataView, wide: boolean) =>
  (at: number): bigint =>
    wide ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true))

/** The notes of this name and type, as far as they are whole. */
export function* elfNotes(notes: Uint8Array, name: string, type: number): Generator<Uint8Array> {
  const view = new DataView(notes.buffer, notes.byteOffset, notes.byteLength)
  for (let at = 0; at + 12 <= notes.length;) {
    const [nameBytes, dataBytes] = [view.getUint32(at, true), view.getUint32(at + 4, true)]
    // Names and data are padded to four bytes in both classes, as every linker does.
    const dataAt = at + 12 + 4 * Math.ceil(nameBytes / 4)
    if (dataAt + dataBytes > notes.length) return
    const isNamed = nameBytes === name.length + 1 && [...name].every((c, i) => notes[at + 12 + i] === c.charCodeAt(0))
    if (isNamed && view.getUint32(at + 8, true) === type) yield notes.subarray(dataAt, dataAt + dataBytes)
    at = dataAt + 4 * Math.ceil(dataBytes / 4)
  }
}
