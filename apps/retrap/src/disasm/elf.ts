/**
 * Code and symbols of ELF files. Source: System V ABI, "Object Files", with its AMD64 and i386 supplements; "ELF for the Arm
 * 64-bit Architecture", "ELF for the Arm Architecture".
 */
import { type ElfHeader, elfHeader, elfSegment, elfSizes, PT_LOAD } from '@retrap/basics'
import { CliError } from '../errors.ts'
import { type ElfSection, importedSymbols, isImportTable } from './elf-imports.ts'
import {
  type Architecture,
  FileReader,
  type Mark,
  type Mode,
  type Program,
  type Section,
  type Symbol,
} from './program.ts'

const EM_386 = 3
const EM_IAMCU = 6
const EM_ARM = 40
const EM_X86_64 = 62
const EM_AARCH64 = 183
const ET_REL = 1
const SHT_NULL = 0
const SHT_PROGBITS = 1
const SHT_SYMTAB = 2
const SHT_DYNSYM = 11
const SHF_EXECINSTR = 4n
const PF_X = 1
const STT_SECTION = 3
const STT_FILE = 4
const STT_FUNC = 2
const STT_TLS = 6
const STB_LOCAL = 0
const SHN_UNDEF = 0
const SHN_LORESERVE = 0xff00
const SHN_XINDEX = 0xffff

/**
 * Executable sections of an ELF file, or executable segments if it has no section headers.
 *
 * @throws CliError `ERR_INPUT` for another processor's, or a damaged file
 */
export function readElf(bytes: Uint8Array): Program {
  const file = new FileReader(bytes, 'ELF')
  const header = headerOf(file)
  const { wide: is64, machine } = header
  if (file.u8(5) !== 1 || ![EM_386, EM_IAMCU, EM_ARM, EM_X86_64, EM_AARCH64].includes(machine)) {
    throw new CliError('ERR_INPUT', `this ELF file is for another processor (machine ${machine}), not for x86 or Arm`)
  }
  const isArm = machine === EM_AARCH64 || machine === EM_ARM
  const mode: Mode = machine === EM_X86_64 || machine === EM_AARCH64 ? 64 : 32
  const headers = sectionHeaders(file, header)
  const isRelocatable = header.type === ET_REL
  requireApart(file, headers)
  const named = namedPlaces(file, is64, headers)
  const isMark = ({ name }: Symbol): boolean => isArm && MARK.test(name)
  const isThumb = ({ address, isFunction }: Found): boolean => machine === EM_ARM && isFunction && (address & 1n) !== 0n
  const all = named
    .filter((symbol) => !isMark(symbol))
    .map((symbol) => (isThumb(symbol) ? { ...symbol, address: symbol.address - 1n } : symbol))
  const marks = Map.groupBy(machine === EM_ARM ? marksOf(named.filter(isMark)) : [], ({ section }) => section)
  // In a file that is not linked each section starts at 0, so names of other sections would be wrong.
  const own = isRelocatable ? Map.groupBy(all, ({ section }) => section) : undefined
  const imported = isRelocatable || isArm ? [] : importedSymbols(file, is64, machine === EM_X86_64, headers)
  const linked = isRelocatable ? [] : [...all, ...imported]
  const sections = headers.flatMap(({ name, type, flags, address, offset, size }, index): Section[] => {
    if (type !== SHT_PROGBITS || (flags & SHF_EXECINSTR) === 0n || size === 0) return []
    const symbols = own === undefined ? linked : (own.get(index) ?? [])
    const here = marks.get(index)
    return [{ name, address, bytes: file.slice(offset, size), symbols, ...(here !== undefined && { marks: here }) }]
  })
  let architecture: Architecture = isArm ? 'arm64' : 'x86'
  if (machine === EM_ARM) {
    // Bit 0 of an address says that Thumb code is there.
    const startsInThumb = (header.entry & 1n) !== 0n || named.some(isThumb)
    architecture = startsInThumb ? 'thumb' : 'arm'
  }
  return {
    format: 'ELF',
    architecture,
    mode,
    sections: sections.length > 0 ? sections : segments(file, header),
  }
}

/** `$x` and `$d` say what is code and what is data, and name nothing. */
const MARK = /^\$[axtd](?:\.|$)/

const namedPlaces = (file: FileReader, is64: boolean, headers: readonly ElfSection[]): Found[] =>
  headers
    .filter(({ type }) => type === SHT_SYMTAB || type === SHT_DYNSYM)
    .flatMap((header) => readSymbols(file, is64, header, headers))

/**
 * Symbols of functions of an ELF file, which may be all that it has, as in a file for debuggers.
 *
 * @throws CliError `ERR_INPUT` for a damaged file
 */
export function elfSymbols(bytes: Uint8Array): readonly Symbol[] {
  const file = new FileReader(bytes, 'ELF')
  const header = headerOf(file)
  const headers = sectionHeaders(file, header)
  requireApart(file, headers)
  return namedPlaces(file, header.wide, headers).filter(({ name, isFunction }) => isFunction && !MARK.test(name))
}

/**
 * Refuses a file of which tables are more than the whole: many that lie upon one another would be read once for each header.
 *
 * @throws CliError `ERR_INPUT`
 */
function requireApart(file: FileReader, headers: readonly ElfSection[]): void {
  let total = 0
  for (const { name, type, offset, size } of headers) {
    const isTable = type === SHT_SYMTAB || type === SHT_DYNSYM
    if (isTable) file.slice(offset, size)
    if (isTable || isImportTable(name, type)) total += size
  }
  if (total > file.bytes.length) throw file.damaged('its tables lie upon one another')
}

/** A symbol, and what the file says of it. */
interface Found extends Symbol {
  readonly section: number
  readonly isFunction: boolean
}

const MARKED: Readonly<Record<string, Mark['kind']>> = { a: 'arm', t: 'thumb', d: 'data' }

/** `$a`, `$t` and `$d`: where A32 code, Thumb code and data begin. */
const marksOf = (symbols: readonly Found[]): (Mark & { readonly section: number })[] =>
  symbols
    .flatMap(({ name, address, section }) => {
      const kind = MARKED[name.charAt(1)]
      return kind === undefined ? [] : [{ address, kind, section }]
    })
    .toSorted((a, b) => Number(a.address - b.address))

const headerOf = (file: FileReader): ElfHeader => elfHeader(file.view(0, elfSizes(file.u8(4) === 2).header))

function sectionHeaders(file: FileReader, { wide: is64, sections, nameSection }: ElfHeader): readonly ElfSection[] {
  const { at, entryBytes: entrySize, count: shortCount } = sections
  if (at === 0) return []
  const word = (offset: number): bigint => (is64 ? file.u64(offset) : BigInt(file.u32(offset)))
  // Numbers that do not fit stand in the first header, which is of no section (e_shnum, e_shstrndx).
  const isExtended = shortCount === 0 && at + entrySize <= file.bytes.length && file.u32(at + 4) === SHT_NULL
  const count = isExtended ? Number(word(at + (is64 ? 32 : 20))) : shortCount
  if (count === 0) return []
  if (entrySize < (is64 ? 64 : 40)) throw file.damaged(`a section header of ${entrySize} bytes`)
  file.slice(at, count * entrySize)
  const nameIndex = nameSection === SHN_XINDEX ? file.u32(at + (is64 ? 40 : 24)) : nameSection
  const step = is64 ? 8 : 4
  const raw = Array.from({ length: count }, (_, i) => {
    const base = at + i * entrySize
    const [flags, address, offset, size] = [0, 1, 2, 3].map((k) => word(base + 8 + k * step)) as [
      bigint,
      bigint,
      bigint,
      bigint,
    ]
    return {
      nameOffset: file.u32(base),
      type: file.u32(base + 4),
      flags,
      address,
      offset: Number(offset),
      size: Number(size),
      link: file.u32(base + 8 + 4 * step),
      entrySize: Number(word(base + 16 + 5 * step)),
    }
  })
  const names = raw[nameIndex]
  return raw.map(({ nameOffset, ...header }) => ({
    ...header,
    name: names === undefined ? '' : file.text(names.offset + nameOffset),
  }))
}

function readSymbols(file: FileReader, is64: boolean, table: ElfSection, headers: readonly ElfSection[]): Found[] {
  const names = headers[table.link]
  const size = is64 ? 24 : 16
  if (names === undefined) throw file.damaged('a symbol table has no names')
  if (table.entrySize !== size) throw file.damaged(`a symbol of ${table.entrySize} bytes instead of ${size}`)
  const found: Found[] = []
  for (let at = table.offset; at + size <= table.offset + table.size; at += size) {
    const info = file.u8(at + (is64 ? 4 : 12))
    const section = file.u16(at + (is64 ? 6 : 14))
    const type = info & 15
    if (section === SHN_UNDEF || section >= SHN_LORESERVE) continue
    if (type === STT_SECTION || type === STT_FILE || type === STT_TLS) continue
    const name = file.text(names.offset + file.u32(at))
    if (name === '') continue
    found.push({
      name,
      address: is64 ? file.u64(at + 8) : BigInt(file.u32(at + 4)),
      size: is64 ? file.u64(at + 16) : BigInt(file.u32(at + 8)),
      rank: (type === STT_FUNC ? 2 : 0) + (info >> 4 === STB_LOCAL ? 0 : 1),
      section,
      isFunction: type === STT_FUNC,
    })
  }
  return found
}

function segments(file: FileReader, { wide, segments: { at, entryBytes, count } }: ElfHeader): Section[] {
  const found: Section[] = []
  for (let i = 0; at !== 0 && i < count; i++) {
    const header = elfSegment(file.view(at + i * entryBytes, elfSizes(wide).segment), 0, wide)
    const { type, flags, offset, virtualAddress: address, fileBytes: size } = header
    if (type !== PT_LOAD || (flags & PF_X) === 0 || size === 0) continue
    found.push({ name: `segment ${i}`, address, bytes: file.slice(offset, size), symbols: [] })
  }
  return found
}
