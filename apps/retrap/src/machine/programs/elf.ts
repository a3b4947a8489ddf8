/**
 * Code of ELF files. Source: System V ABI, "Object Files", with its AMD64 and i386 supplements; "ELF for the Arm
 * 64-bit Architecture", "ELF for the Arm Architecture".
 */
import { elfSegment, elfSizes, PT_LOAD } from '@retrap/basics'
import { type ElfSection, type ElfSymbol, type ElfTables, elfTables, isElfMark, SymbolsError } from '@retrap/symbols'
import { CliError } from '@retrap/linux-guest/errors'
import { importedSymbols, isImportTable } from './elf-imports.ts'
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
