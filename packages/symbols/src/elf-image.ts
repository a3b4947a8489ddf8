/**
 * The layout of an ELF program, from its first page in memory or from its file. Source: System V ABI, "Object Files" and
 * "Program Loading and Dynamic Linking".
 */
import { elfHeader, elfNotes, elfSegment, elfSizes, isElf, PT_LOAD, PT_NOTE, viewOf } from '@retrap/basics'
import type { NamedPlace } from './symbol-table.ts'

/** Bytes of an ELF header. */
export const ELF_HEADER_BYTES = 64

const ET_EXEC = 2
const ET_DYN = 3
const PT_DYNAMIC = 2
const PT_INTERP = 3
const PT_GNU_EH_FRAME = 0x6474_e550
const NT_GNU_BUILD_ID = 3
const [DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SONAME, DT_FLAGS_1] = [5, 6, 10, 14, 0x6fff_fffb] as const
/** Flag in DT_FLAGS_1: a program, which may lie anywhere. */
const DF_1_PIE = 0x0800_0000n
const STT_FUNC = 2
const STT_GNU_IFUNC = 10
const MOST_SEGMENTS = 64
const MOST_NOTE_BYTES = 4096
const MOST_DYNAMIC_BYTES = 16 << 10
const MOST_SYMBOL_BYTES = 4 << 20

/** A program header. */
export interface ElfPart {
  /** Type of the segment: PT_LOAD and others. */
  readonly type: number
  /** PF_X, PF_W and PF_R. */
  readonly flags: number
  /** Offset in the file. */
  readonly offset: number
  /** Virtual address of the first byte. */
  readonly virtualAddress: bigint
  /** Bytes in the file. */
  readonly fileBytes: number
  /** Bytes in memory. */
  readonly memoryBytes: number
}

/** An ELF program's headers. */
export interface ElfLayout {
  /** Whether the file is of class 64. */
  readonly is64: boolean
  /** Number of the processor. */
  readonly machine: number
  /** Whether the program is loaded at its link address. */
  readonly isFixed: boolean
  /** Address of the first instruction. */
  readonly entry: bigint
  /** Parts by the addresses that the program was linked for. */
  readonly segments: readonly ElfPart[]
  /** Whether the program is certainly not a library: it is at its link address, or names a dynamic linker. */
  readonly isProgram: boolean
  /** Lowest loaded address. */
  readonly start: bigint
  /** End of the loaded addresses. */
  readonly end: bigint
}

/** Reads `count` bytes at a link address. @returns undefined if not all are available */
export type ReadLinked = (address: bigint, count: number) => Uint8Array | undefined

/** Parses headers. @param bytes - from the ELF header on @returns undefined unless it is a program */
export function elfLayout(bytes: Uint8Array): ElfLayout | undefined {
  if (bytes.length < ELF_HEADER_BYTES) return undefined
  const view = viewOf(bytes)
  // Little-endian.
  if (!isElf(bytes) || bytes[5] !== 1) return undefined
  const { wide: is64, type, machine, entry, segments: table } = elfHeader(view)
  if (type !== ET_EXEC && type !== ET_DYN) return undefined
  const { at, entryBytes, count } = table
  if (entryBytes < elfSizes(is64).segment || count > MOST_SEGMENTS || at + count * entryBytes > bytes.length)
    return undefined
  const segments = Array.from({ length: count }, (_, i) => elfSegment(view, at + i * entryBytes, is64))
  const loaded = segments.filter(({ type }) => type === PT_LOAD)
  if (loaded.length === 0) return undefined
  const starts = loaded.map(({ virtualAddress }) => virtualAddress)
  const start = starts.reduce((least, address) => (address < least ? address : least)) & ~0xfffn
  const ends = loaded.map(({ virtualAddress, memoryBytes }) => virtualAddress + BigInt(memoryBytes))
  const end = ends.reduce((most, address) => (address > most ? address : most))
  const isFixed = type === ET_EXEC
  const isProgram = isFixed || segments.some((segment) => segment.type === PT_INTERP)
  return { is64, machine, isFixed, isProgram, entry, segments, start, end }
}

/** Whether two programs have the same layout, like a program and its stripped copy. */
export function isSameLayout(one: ElfLayout, other: ElfLayout): boolean {
  const loads = ({ segments }: ElfLayout): string =>
    segments
      .filter(({ type }) => type === PT_LOAD)
      .map(({ virtualAddress, memoryBytes }) => `${virtualAddress} ${memoryBytes}`)
      .join()
  return one.machine === other.machine && one.entry === other.entry && loads(one) === loads(other)
}

/** Returns the build ID in hexadecimal; undefined if unavailable. */
export function buildIdOf(layout: ElfLayout, read: ReadLinked): string | undefined {
  for (const { type, virtualAddress, memoryBytes } of layout.segments) {
    if (type !== PT_NOTE || memoryBytes > MOST_NOTE_BYTES) continue
    const notes = read(virtualAddress, memoryBytes) ?? new Uint8Array()
    for (const id of elfNotes(notes, 'GNU', NT_GNU_BUILD_ID))
      return Array.from(id, (byte) => byte.toString(16).padStart(2, '0')).join('')
  }
  return undefined
}

/** A program's own facts for dynamic linking. */
export interface DynamicNames {
  /** The library's own name; undefined for other programs. */
  readonly soname: string | undefined
  /** Whether the file says that it is a program. */
  readonly isProgram: boolean
  /** Functions, by the addresses that they were linked for. */
  readonly symbols: readonly NamedPlace[]
  /** Whether the tables were complete. */
  readonly isWhole: boolean
}

const NO_NAMES: DynamicNames = { soname: undefined, isProgram: false, symbols: [], isWhole: true }

/** Reads the dynamic section and its symbols. @param bias - added to the addresses that the program was linked for */
export function dynamicNames(layout: ElfLayout, bias: bigint, read: ReadLinked): DynamicNames {
  const { is64, start, end } = layout
  const segment = layout.segments.find(({ type }) => type === PT_DYNAMIC)
  if (segment === undefined || segment.memoryBytes > MOST_DYNAMIC_BYTES) return NO_NAMES
  const section = read(segment.virtualAddress, segment.memoryBytes)
  if (section === undefined) return { ...NO_NAMES, isWhole: false }
  const view = viewOf(section)
  const word = (at: number): bigint => (is64 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true)))
  const step = is64 ? 8 : 4
  const values = new Map<number, bigint>()
  for (let at = 0; at + 2 * step <= section.length; at += 2 * step) values.set(Number(word(at)), word(at + step))
  // Some linkers have put the bias into the section itself.
  const linked = (tag: number): bigint => {
    const value = values.get(tag) ?? 0n
    return bias !== 0n && value >= start + bias && value < end + bias ? value - bias : value
  }
  const [names, table, nameBytes] = [linked(DT_STRTAB), linked(DT_SYMTAB), Number(values.get(DT_STRSZ) ?? 0n)]
  if (names === 0n || nameBytes > MOST_SYMBOL_BYTES) return NO_NAMES
  const texts = read(names, nameBytes)
  if (texts === undefined) return { ...NO_NAMES, isWhole: false }
  const text = (at: number): string => new TextDecoder().decode(texts.subarray(at, texts.indexOf(0, at)))
  const own = values.get(DT_SONAME)
  const soname = own === undefined ? undefined : text(Number(own))
  // The names follow the symbols, in the files of all linkers.
  const tableBytes = names > table && table !== 0n ? Number(names - table) : 0
  const known = { soname, isProgram: ((values.get(DT_FLAGS_1) ?? 0n) & DF_1_PIE) !== 0n, symbols: [] }
  if (tableBytes > MOST_SYMBOL_BYTES) return { ...known, isWhole: true }
  const symbols = read(table, tableBytes)
  if (symbols === undefined) return { ...known, isWhole: false }
  return { ...known, symbols: functionsOf(viewOf(symbols), is64, text), isWhole: true }
}

function functionsOf(view: DataView, is64: boolean, text: (at: number) => string): NamedPlace[] {
  const found: NamedPlace[] = []
  const size = is64 ? 24 : 16
  for (let at = 0; at + size <= view.byteLength; at += size) {
    const info = view.getUint8(at + (is64 ? 4 : 12))
    const section = view.getUint16(at + (is64 ? 6 : 14), true)
    if (section === 0 || ![STT_FUNC, STT_GNU_IFUNC].includes(info & 15)) continue
    const word = (field: number): bigint =>
      is64 ? view.getBigUint64(at + field, true) : BigInt(view.getUint32(at + field, true))
    const [address, bytes] = is64 ? [word(8), word(16)] : [word(4), word(8)]
    found.push({ name: text(view.getUint32(at, true)), address, size: bytes, rank: info >> 4 })
  }
  return found
}

/** Returns the table for stack unwinding; undefined if none. */
export const frameTableOf = ({ segments }: ElfLayout): ElfPart | undefined =>
  segments.find(({ type }) => type === PT_GNU_EH_FRAME)
