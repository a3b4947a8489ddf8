/**
 * Sections and symbols of ELF files. Source: System V ABI, "Object Files", with its AMD64 and i386 supplements; "ELF for the
 * Arm 64-bit Architecture", "ELF for the Arm Architecture".
 */
import { type ElfHeader, elfHeader, elfSizes, isElf, viewOf } from '@retrap/basics'
import { type Asking, damaged, type FileSource, NameReader, readParts, readWhole } from './file-source.ts'
import type { NamedPlace } from './symbol-table.ts'

const SHT_NULL = 0
const SHT_SYMTAB = 2
const SHT_DYNSYM = 11
const STT_FUNC = 2
const STT_SECTION = 3
const STT_FILE = 4
const STT_TLS = 6
const STB_LOCAL = 0
const SHN_UNDEF = 0
const SHN_LORESERVE = 0xff00
const SHN_XINDEX = 0xffff

/** A section header, in numbers of one size. */
export interface ElfSection {
  /** Name. */
  readonly name: string
  /** Type of the section: SHT_PROGBITS and others. */
  readonly type: number
  /** Flags of the section: SHF_EXECINSTR and others. */
  readonly flags: bigint
  /** Linear address; 0 of a section that is not loaded. */
  readonly address: bigint
  /** Offset of the first byte in the file. */
  readonly offset: number
  /** Bytes. */
  readonly size: number
  /** Index of an associated section. */
  readonly link: number
  /** Bytes of an entry, in a table. */
  readonly entrySize: number
}

/** A symbol of an ELF file. */
export interface ElfSymbol extends NamedPlace {
  /** Index of the symbol's section. */
  readonly section: number
  /** Whether the file marks it as a function. */
  readonly isFunction: boolean
}

/** The parts of an ELF file that symbols are found by. */
export interface ElfTables {
  /** The header at the beginning. */
  readonly header: {
    /** Whether the file is of class 64. */
    readonly wide: boolean
    /** Type of the file: ET_EXEC and others. */
    readonly type: number
    /** The processor: an EM_ number. */
    readonly machine: number
    /** Address of a program's entry. */
    readonly entry: bigint
    /** Program headers: offset of the first one in the file, their size and number. */
    readonly segments: { readonly at: number; readonly entryBytes: number; readonly count: number }
  }
  /** Sections in the order of the file. */
  readonly sections: readonly ElfSection[]
  /** Symbols with an address, including mapping symbols of Arm files, such as `$a`. */
  readonly symbols: readonly ElfSymbol[]
}

/** Reads the sections and symbols of an ELF file in memory. @throws SymbolsError `ERR_DAMAGED` */
export const elfTables = (bytes: Uint8Array): ElfTables => readWhole(bytes, tablesOf(bytes.length))

/** Reads the sections and symbols of an ELF file by parts. @throws SymbolsError `ERR_DAMAGED` */
export const readElfTables = (source: FileSource): Promise<ElfTables> => readParts(source, tablesOf(source.size))

/** `$x` and `$d` of Arm files mark code and data, and are not names. */
export const isElfMark = ({ name }: NamedPlace): boolean => MARK.test(name)

const MARK = /^\$[axtd](?:\.|$)/

/** The symbols of functions, which may be all that a file has, as in a file for debuggers. */
export const elfFunctions = ({ symbols }: ElfTables): readonly ElfSymbol[] =>
  symbols.filter((symbol) => symbol.isFunction && !isElfMark(symbol))

function* tablesOf(size: number): Asking<ElfTables> {
  const ident = yield { offset: 0, length: Math.min(size, 16) }
  if (!isElf(ident)) throw damaged('it does not begin as ELF files do')
  const header = elfHeader(viewOf(yield { offset: 0, length: elfSizes(ident[4] === 2).header }))
  const sections = yield* sectionsOf(header, size)
  return { header, sections, symbols: yield* symbolsOf(header, sections, size) }
}

/** Bytes of a section's header. */
const headerBytes = (wide: boolean): number => (wide ? 64 : 40)

function* sectionsOf({ wide, sections, nameSection }: ElfHeader, fileBytes: number): Asking<readonly ElfSection[]> {
  const { at, entryBytes, count: shortCount } = sections
  if (at === 0) return []
  // Numbers that do not fit stand in the first header, which is of no section (e_shnum, e_shstrndx).
  let count = shortCount
  let nameIndex = nameSection
  if ((shortCount === 0 || nameSection === SHN_XINDEX) && at + headerBytes(wide) <= fileBytes) {
    const first = sectionHeader(viewOf(yield { offset: at, length: headerBytes(wide) }), 0, wide)
    if (shortCount === 0 && first.type === SHT_NULL && entryBytes > 0) count = first.size
    if (nameSection === SHN_XINDEX) nameIndex = first.link
  }
  if (count === 0) return []
  if (entryBytes < headerBytes(wide)) throw damaged(`a section header of ${entryBytes} bytes`)
  const table = viewOf(yield { offset: at, length: count * entryBytes })
  const raw = Array.from({ length: count }, (_, i) => sectionHeader(table, i * entryBytes, wide))
  const names = raw[nameIndex]
  if (names === undefined) return raw.map((header) => ({ ...header, name: '' }))
  const text = yield* namesOf(names)
  return raw.map(({ nameOffset, ...header }) => ({ ...header, name: text(nameOffset) }))
}

interface RawSection extends Omit<ElfSection, 'name'> {
  readonly nameOffset: number
}

function sectionHeader(view: DataView, base: number, wide: boolean): RawSection {
  const u32 = (at: number): number => view.getUint32(base + at, true)
  const step = wide ? 8 : 4
  const word = (i: number): bigint => {
    const at = 8 + i * step
    return wide ? view.getBigUint64(base + at, true) : BigInt(u32(at))
  }
  return {
    nameOffset: u32(0),
    type: u32(4),
    flags: word(0),
    address: word(1),
    offset: Number(word(2)),
    size: Number(word(3)),
    link: u32(8 + 4 * step),
    entrySize: Number(wide ? view.getBigUint64(base + 56, true) : u32(36)),
  }
}

function* namesOf({
  offset,
  size,
}: {
  readonly offset: number
  readonly size: number
}): Asking<(at: number) => string> {
  const bytes = yield { offset, length: size }
  const reader = new NameReader(bytes, damaged)
  return (at) => {
    if (at > bytes.length) throw damaged(`a name at ${at} of ${bytes.length} bytes of names`)
    return reader.text(at)
  }
}

function* symbolsOf({ wide }: ElfHeader, sections: readonly ElfSection[], fileBytes: number): Asking<ElfSymbol[]> {
  const tables = sections.filter(({ type }) => type === SHT_SYMTAB || type === SHT_DYNSYM)
  for (const { offset, size } of tables) {
    // Refused by the sentence of a part outside the file.
    if (!(offset + size <= fileBytes)) yield { offset, length: size }
  }
  // Many tables that lie upon one another would be read once for each header.
  if (tables.reduce((total, { size }) => total + size, 0) > fileBytes) throw damaged('its tables lie upon one another')
  const found: ElfSymbol[] = []
  const texts = new Map<number, (at: number) => string>()
  for (const { offset, size, link, entrySize } of tables) {
    const names = sections[link]
    const each = wide ? 24 : 16
    if (names === undefined) throw damaged('a symbol table has no names')
    if (entrySize !== each) throw damaged(`a symbol of ${entrySize} bytes instead of ${each}`)
    const text = texts.get(link) ?? (yield* namesOf(names))
    texts.set(link, text)
    readSymbols(viewOf(yield { offset, length: size }), wide, text, found, sections)
  }
  return found
}

function readSymbols(
  table: DataView,
  wide: boolean,
  text: (at: number) => string,
  into: ElfSymbol[],
  sections: readonly ElfSection[],
): void {
  // Linux links the variables of each processor at 0, and adds the address of a processor's area.
  const perCpu = sections.findIndex(({ name, address }) => name === '.data..percpu' && address === 0n)

  const each = wide ? 24 : 16
  const word = (at: number): bigint => (wide ? table.getBigUint64(at, true) : BigInt(table.getUint32(at, true)))
  for (let at = 0; at + each <= table.byteLength; at += each) {
    const info = table.getUint8(at + (wide ? 4 : 12))
    const section = table.getUint16(at + (wide ? 6 : 14), true)
    const type = info & 15
    if (section === SHN_UNDEF || section >= SHN_LORESERVE) continue
    if (type === STT_SECTION || type === STT_FILE || type === STT_TLS) continue
    const name = text(table.getUint32(at, true))
    if (name === '') continue
    into.push({
      name,
      address: word(at + (wide ? 8 : 4)),
      size: word(at + (wide ? 16 : 8)),
      rank: (type === STT_FUNC ? 2 : 0) + (info >> 4 === STB_LOCAL ? 0 : 1),
      section,
      isFunction: type === STT_FUNC,
      ...(section === perCpu && { isOffset: true }),
    })
  }
}
