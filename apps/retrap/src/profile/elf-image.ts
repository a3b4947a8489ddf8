/**
 * The layout of an ELF program, from its first page in memory or from its file. Source: System V ABI, "Object Files" and
 * "Program Loading and Dynamic Linking".
 */
import type { Symbol } from '../disasm/program.ts'

/** Bytes of an ELF header. */
export const ELF_HEADER_BYTES = 64

const ET_EXEC = 2
const ET_DYN = 3
const PT_LOAD = 1
const PT_DYNAMIC = 2
const PT_INTERP = 3
const PT_NOTE = 4
const PT_GNU_EH_FRAME = 0x6474_e550
const NT_GNU_BUILD_ID = 3
const GNU = 0x554e47
const [DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SONAME, DT_FLAGS_1] = [5, 6, 10, 14, 0x6fff_fffb] as const
/** In DT_FLAGS_1: a program, which may lie anywhere. */
const DF_1_PIE = 0x0800_0000n
const STT_FUNC = 2
const STT_GNU_IFUNC = 10
const MOST_SEGMENTS = 64
const MOST_NOTE_BYTES = 4096
const MOST_DYNAMIC_BYTES = 16 << 10
const MOST_SYMBOL_BYTES = 4 << 20

/** A part of the program, by the addresses that it was linked for. */
interface Segment {
  readonly type: number
  readonly address: bigint
  readonly bytes: bigint
  /** In the file. */
  readonly offset: number
  readonly fileBytes: number
}

/** An ELF program's headers. */
export interface ElfLayout {
  readonly is64: boolean
  readonly machine: number
  /** Whether the program lies where it was linked for. */
  readonly isFixed: boolean
  readonly entry: bigint
  readonly segments: readonly Segment[]
  /** Whether the program is known to be no library: it lies where it was linked for, or names a dynamic linker. */
  readonly isProgram: boolean
  /** Beginning and end of what is loaded. */
  readonly start: bigint
  readonly end: bigint
}

/** Reads `count` bytes at an address that the program was linked for. @returns undefined where not all of them are there */
export type ReadLinked = (address: bigint, count: number) => Uint8Array | undefined

/** Takes headers apart. @param bytes - from the first one on @returns undefined for anything but a program */
export function elfLayout(bytes: Uint8Array): ElfLayout | undefined {
  if (bytes.length < ELF_HEADER_BYTES) return undefined
  const view = viewOf(bytes)
  // Little-endian.
  if (view.getUint32(0) !== 0x7f45_4c46 || bytes[5] !== 1) return undefined
  const is64 = bytes[4] === 2
  const type = view.getUint16(16, true)
  if (type !== ET_EXEC && type !== ET_DYN) return undefined
  const word = (at: number): bigint => (is64 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true)))
  const at = Number(word(is64 ? 32 : 28))
  const size = view.getUint16(is64 ? 54 : 42, true)
  const count = view.getUint16(is64 ? 56 : 44, true)
  if (size < (is64 ? 56 : 32) || count > MOST_SEGMENTS || at + count * size > bytes.length) return undefined
  const segments = Array.from({ length: count }, (_, i): Segment => {
    const base = at + i * size
    const [offset, address, fileBytes, memoryBytes] = (is64 ? [8, 16, 32, 40] : [4, 8, 16, 20]).map((field) =>
      word(base + field),
    ) as [bigint, bigint, bigint, bigint]
    const type = view.getUint32(base, true)
    return { type, address, bytes: memoryBytes, offset: Number(offset), fileBytes: Number(fileBytes) }
  })
  const loaded = segments.filter(({ type }) => type === PT_LOAD)
  if (loaded.length === 0) return undefined
  const start = loaded.reduce((least, { address }) => (address < least ? address : least), loaded[0]!.address) & ~0xfffn
  const end = loaded.reduce((most, { address, bytes }) => (address + bytes > most ? address + bytes : most), 0n)
  const machine = view.getUint16(18, true)
  const isFixed = type === ET_EXEC
  const isProgram = isFixed || segments.some((segment) => segment.type === PT_INTERP)
  return { is64, machine, isFixed, isProgram, entry: word(24), segments, start, end }
}

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength)

/** Whether two programs are laid out alike, as a program and what is stripped of it are. */
export function isSameLayout(one: ElfLayout, other: ElfLayout): boolean {
  const loads = ({ segments }: ElfLayout): string =>
    segments
      .filter(({ type }) => type === PT_LOAD)
      .map(({ address, bytes }) => `${address} ${bytes}`)
      .join()
  return one.machine === other.machine && one.entry === other.entry && loads(one) === loads(other)
}

/** Returns the build ID, as hexadecimal digits; undefined where it is not there. */
export function buildIdOf(layout: ElfLayout, read: ReadLinked): string | undefined {
  for (const { type, address, bytes } of layout.segments) {
    if (type !== PT_NOTE || bytes > MOST_NOTE_BYTES) continue
    const notes = read(address, Number(bytes))
    if (notes === undefined) continue
    const view = viewOf(notes)
    for (let at = 0; at + 16 <= notes.length;) {
      const [nameBytes, idBytes, kind] = [0, 4, 8].map((field) => view.getUint32(at + field, true)) as [
        number,
        number,
        number,
      ]
      const from = at + 12 + ((nameBytes + 3) & ~3)
      if (
        kind === NT_GNU_BUILD_ID &&
        nameBytes === 4 &&
        view.getUint32(at + 12, true) === GNU &&
        from + idBytes <= notes.length
      )
        return Array.from(notes.subarray(from, from + idBytes), (byte) => byte.toString(16).padStart(2, '0')).join('')
      at = from + ((idBytes + 3) & ~3)
      if (!(at > 0)) break
    }
  }
  return undefined
}

/** A program's own facts for dynamic linking. */
export interface DynamicNames {
  /** The library's own name; undefined of what is not a library. */
  readonly soname: string | undefined
  /** Whether the file says that it is a program. */
  readonly isProgram: boolean
  /** Functions, by the addresses that they were linked for. */
  readonly symbols: readonly Symbol[]
  /** All of the tables was there. */
  readonly isWhole: boolean
}

const NO_NAMES: DynamicNames = { soname: undefined, isProgram: false, symbols: [], isWhole: true }

/** Reads the dynamic section and its symbols. @param bias - added to the addresses that the program was linked for */
export function dynamicNames(layout: ElfLayout, bias: bigint, read: ReadLinked): DynamicNames {
  const { is64, start, end } = layout
  const segment = layout.segments.find(({ type }) => type === PT_DYNAMIC)
  if (segment === undefined || segment.bytes > MOST_DYNAMIC_BYTES) return NO_NAMES
  const section = read(segment.address, Number(segment.bytes))
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

function functionsOf(view: DataView, is64: boolean, text: (at: number) => string): Symbol[] {
  const found: Symbol[] = []
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

/** Returns where the table for stack unwinding lies (PT_GNU_EH_FRAME); undefined where there is none. */
export function frameTableOf({
  segments,
}: ElfLayout): { readonly address: bigint; readonly bytes: number } | undefined {
  const segment = segments.find(({ type }) => type === PT_GNU_EH_FRAME)
  return segment && { address: segment.address, bytes: Number(segment.bytes) }
}
