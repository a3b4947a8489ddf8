/**
 * Code of ELF files. Source: System V ABI, "Object Files", with its AMD64 and i386 supplements; "ELF for the Arm
 * 64-bit Architecture", "ELF for the Arm Architecture".
 */
import { elfSegment, elfSizes, PT_LOAD } from '@retrap/basics'
import { CliError } from '@retrap/linux-guest/errors'
import {
  type ElfSection,
  type ElfSymbol,
  type ElfTables,
  elfTables,
  isElfMark,
  type NamedPlace,
  SymbolsError,
} from '@retrap/symbols'
import { type Architecture, FileReader, type Mark, type Mode, type Program, type Section } from './program.ts'

const EM_386 = 3
const EM_IAMCU = 6
const EM_ARM = 40
const EM_X86_64 = 62
const EM_AARCH64 = 183
const ET_REL = 1
const SHT_PROGBITS = 1
const SHF_EXECINSTR = 4n
const PF_X = 1
/**
 * Executable sections of an ELF file, or executable segments if it has no section headers.
 *
 * @throws CliError `ERR_INPUT` for another processor's, or a damaged file
 */
export function readElf(bytes: Uint8Array): Program {
  const file = new FileReader(bytes, 'ELF')
  const { header, sections: headers, symbols: named } = tablesOf(file)
  const { wide: is64, machine } = header
  if (file.u8(5) !== 1 || ![EM_386, EM_IAMCU, EM_ARM, EM_X86_64, EM_AARCH64].includes(machine)) {
    throw new CliError('ERR_INPUT', `this ELF file is for another processor (machine ${machine}), not for x86 or Arm`)
  }
  const isArm = machine === EM_AARCH64 || machine === EM_ARM
  const mode: Mode = machine === EM_X86_64 || machine === EM_AARCH64 ? 64 : 32
  const isRelocatable = header.type === ET_REL
  requireApart(file, headers)
  const isMark = (symbol: ElfSymbol): boolean => isArm && isElfMark(symbol)
  const isThumb = ({ address, isFunction }: ElfSymbol): boolean =>
    machine === EM_ARM && isFunction && (address & 1n) !== 0n
  const all = named
    .filter((symbol) => !isMark(symbol))
    .map((symbol) => (isThumb(symbol) ? { ...symbol, address: symbol.address - 1n } : symbol))
  const marks = Map.groupBy(machine === EM_ARM ? marksOf(named.filter(isMark)) : [], ({ section }) => section)
  // In an unlinked file each section starts at 0, so symbols of other sections would be wrong.
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
    // Bit 0 of an address marks Thumb code.
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

/** @throws CliError `ERR_INPUT` for a damaged file */
function tablesOf(file: FileReader): ElfTables {
  try {
    return elfTables(file.bytes)
  } catch (error) {
    throw error instanceof SymbolsError ? file.damaged(error.reason) : error
  }
}

/**
 * Refuses a file of which tables are more than the whole: many that lie upon one another would be read once for each header.
 *
 * @throws CliError `ERR_INPUT`
 */
function requireApart(file: FileReader, headers: readonly ElfSection[]): void {
  let total = 0
  for (const { name, type, size } of headers) {
    if (isImportTable(name, type)) total += size
  }
  if (total > file.bytes.length) throw file.damaged('its tables lie upon one another')
}

const MARKED: Readonly<Record<string, Mark['kind']>> = { a: 'arm', t: 'thumb', d: 'data' }

/** `$a`, `$t` and `$d`: where A32 code, Thumb code and data begin. */
const marksOf = (symbols: readonly ElfSymbol[]): (Mark & { readonly section: number })[] =>
  symbols
    .flatMap(({ name, address, section }) => {
      const kind = MARKED[name.charAt(1)]
      return kind === undefined ? [] : [{ address, kind, section }]
    })
    .toSorted((a, b) => Number(a.address - b.address))

function segments(file: FileReader, { wide, segments: { at, entryBytes, count } }: ElfTables['header']): Section[] {
  const found: Section[] = []
  for (let i = 0; at !== 0 && i < count; i++) {
    const header = elfSegment(file.view(at + i * entryBytes, elfSizes(wide).segment), 0, wide)
    const { type, flags, offset, virtualAddress: address, fileBytes: size } = header
    if (type !== PT_LOAD || (flags & PF_X) === 0 || size === 0) continue
    found.push({ name: `segment ${i}`, address, bytes: file.slice(offset, size), symbols: [] })
  }
  return found
}

const SHT_RELA = 4
const SHT_REL = 9
/** A section without content in the file. */
const SHT_NOBITS = 8
/** These two have the same numbers on i386 and x86-64. */
const R_GLOB_DAT = 6
const R_JUMP_SLOT = 7

/**
 * Symbols such as `puts@got` and `puts@plt`: the slots that the dynamic linker fills in, and the stubs of the procedure linkage
 * table that jump through them. Source: System V ABI, "Procedure Linkage Table".
 *
 * @param is64 - class of the file
 * @param isRipRelative - whether `FF 25` has a displacement from RIP rather than an address
 */
function importedSymbols(
  file: FileReader,
  is64: boolean,
  isRipRelative: boolean,
  headers: readonly ElfSection[],
): NamedPlace[] {
  const slots = new Map<bigint, string>()
  for (const header of headers) {
    if (isRelocations(header.type)) readSlots(file, is64, header, headers, slots)
  }
  const symbols: NamedPlace[] = []
  for (const [address, name] of slots) {
    symbols.push({ name: `${name}@got`, address, size: is64 ? 8n : 4n, rank: 0 })
  }
  for (const header of headers) {
    if (!isLinkage(header.name, header.type) || header.size === 0) continue
    const entrySize = header.entrySize === 0 ? 16 : header.entrySize
    const code = file.slice(header.offset, header.size)
    const view = new DataView(code.buffer, code.byteOffset, code.byteLength)
    for (let at = 0; at + 6 <= code.length; at++) {
      // JMP through memory. By chance these bytes may be part of a number: then there is hardly a slot.
      if (code[at] !== 0xff || code[at + 1] !== 0x25) continue
      const target = isRipRelative
        ? header.address + BigInt(at + 6 + view.getInt32(at + 2, true))
        : BigInt(view.getUint32(at + 2, true))
      const name = slots.get(target)
      if (name === undefined) continue
      const address = header.address + BigInt(at - (at % entrySize))
      symbols.push({ name: `${name}@plt`, address, size: BigInt(entrySize), rank: 0 })
    }
  }
  return symbols
}

const isRelocations = (type: number): boolean => type === SHT_RELA || type === SHT_REL

/** Whether a section is part of the procedure linkage table. */
const isLinkage = (name: string, type: number): boolean => name.startsWith('.plt') && type !== SHT_NOBITS

/** Whether `importedSymbols` reads a whole section of this kind. */
const isImportTable = (name: string, type: number): boolean => isRelocations(type) || isLinkage(name, type)

function readSlots(
  file: FileReader,
  is64: boolean,
  { type, offset, size, link }: ElfSection,
  headers: readonly ElfSection[],
  slots: Map<bigint, string>,
): void {
  const table = headers[link]
  const names = table === undefined ? undefined : headers[table.link]
  if (table === undefined || names === undefined) return
  const entrySize = (is64 ? 16 : 8) + (type === SHT_RELA ? (is64 ? 8 : 4) : 0)
  for (let at = offset; at + entrySize <= offset + size; at += entrySize) {
    const kind = is64 ? file.u32(at + 8) : file.u8(at + 4)
    if (kind !== R_GLOB_DAT && kind !== R_JUMP_SLOT) continue
    const index = is64 ? file.u32(at + 12) : file.u32(at + 4) >>> 8
    const name = file.text(names.offset + file.u32(table.offset + index * (is64 ? 24 : 16)))
    if (name !== '') slots.set(is64 ? file.u64(at) : BigInt(file.u32(at)), name)
  }
}
