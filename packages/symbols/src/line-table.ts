import { readElfTables, type ElfSection, type ElfTables } from './elf-tables.ts'
import { SymbolsError } from './errors.ts'
import { damaged, type FileSource, type Asking, readParts } from './file-source.ts'
import { lineSections, type LineSections, LineUnit } from './line-unit.ts'
import { decompress } from '@retrap/basics'

/** Contents of sections, decompressed if necessary. Source: System V ABI, "Section Compression". */
const SHT_NOBITS = 8
const SHF_COMPRESSED = 0x800n
const ELFCOMPRESS_ZLIB = 1
/** No section of a kernel is larger. */
const MOST_BYTES = 0x4000_0000

/**
 * Reads a section of an ELF file by its name.
 *
 * @returns undefined if the file lacks the section, or has only its header
 * @throws SymbolsError `ERR_DAMAGED`, or `ERR_UNSUPPORTED` for another compression than zlib
 */
async function readSection(source: FileSource, tables: ElfTables, name: string): Promise<Uint8Array | undefined> {
  const section = tables.sections.find((each) => each.name === name && each.type !== SHT_NOBITS)
  if (section === undefined) return undefined
  const { offset, size } = section
  const bytes = await readParts(source, whole(offset, size))
  return (section.flags & SHF_COMPRESSED) === 0n ? bytes : unpack(bytes, section, tables.header.wide)
}

function* whole(offset: number, length: number): Asking<Uint8Array> {
  return yield { offset, length }
}

async function unpack(bytes: Uint8Array, { name }: ElfSection, wide: boolean): Promise<Uint8Array> {
  const headerBytes = wide ? 24 : 12
  if (bytes.length < headerBytes) throw damaged(`${name} is compressed and has no header`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const type = view.getUint32(0, true)
  const size = wide ? Number(view.getBigUint64(8, true)) : view.getUint32(4, true)
  if (type !== ELFCOMPRESS_ZLIB) {
    throw unsupported(
      `${name} is compressed by method ${type}; objcopy --compress-debug-sections=zlib makes it readable`,
    )
  }
  if (size > MOST_BYTES) throw damaged(`${name} has ${size} bytes unpacked; at most ${MOST_BYTES} are read`)
  const found = await decompress('deflate', bytes.subarray(headerBytes), size)
  if (found === undefined) throw unsupported(`${name} is compressed, and this host cannot decompress`)
  if (found.length !== size) throw damaged(`${name} has ${found.length} bytes unpacked, and its header says ${size}`)
  return found
}

const unsupported = (what: string): SymbolsError =>
  new SymbolsError('ERR_UNSUPPORTED', 'this ELF file cannot be read', what)

const ET_REL = 1
const SHF_EXECINSTR = 4n
/** Most sequences that may overlap at an address. */
const MOST_OVERLAPPING = 64
/** Characters of the names of all sources. */
const MOST_CHARACTERS = 1 << 26

/** A line of a source. */
export interface SourceLine {
  /** Path by the compiler's name. */
  readonly file: string
  /** Number of the line, from 1. */
  readonly line: number
  /** Column from 1 on; 0: unknown. */
  readonly column: number
}

/** Code without a gap, and the part of a line program that tells its lines. */
interface Sequence {
  readonly unit: LineUnit
  /** Offset of the program in the section. */
  readonly at: number
  readonly start: bigint
  readonly end: bigint
}

/** Linear addresses of code. */
interface CodeRange {
  readonly start: bigint
  readonly end: bigint
}

/** Tells the lines of addresses, and the addresses of lines, as the file was linked. */
export interface LineTable {
  /** Returns the source line of an address; undefined if unknown. @throws SymbolsError */
  lineOf(address: bigint): SourceLine | undefined
  /**
   * Returns the addresses for breakpoints at a line: the start of each run of its instructions.
   *
   * @param file - a path, or the end of one: `fs/open.c`
   * @throws SymbolsError
   */
  addressesOf(file: string, line: number): bigint[]
  /** The sources, by the names that the compiler has for them. @throws SymbolsError */
  files(): string[]
}

export class DwarfLines implements LineTable {
  readonly #units: readonly LineUnit[]
  /** Sequences in order of their start. */
  readonly #sequences: readonly Sequence[]

  /** @throws SymbolsError for a damaged section */
  constructor(sections: LineSections, code: readonly CodeRange[]) {
    const units: LineUnit[] = []
    const sequences: Sequence[] = []
    for (let at = 0; at < sections.line.length;) {
      const unit = new LineUnit(sections, at)
      units.push(unit)
      readSequences(unit, code, sequences)
      at = unit.end
    }
    this.#units = units
    this.#sequences = sequences.sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0))
  }

  lineOf(address: bigint): SourceLine | undefined {
    const last = this.#lastFrom(address)
    for (let i = last; i >= 0 && i > last - MOST_OVERLAPPING; i--) {
      const sequence = this.#sequences[i]
      if (sequence === undefined || address >= sequence.end) continue
      return lineIn(sequence, address)
    }
    return undefined
  }

  addressesOf(file: string, line: number): bigint[] {
    const wanted = new Map(this.#units.map((unit) => [unit, unit.numbersOf(file)]))
    const found = new Set<bigint>()
    for (const { unit, at } of this.#sequences) {
      const numbers = wanted.get(unit)
      if (numbers === undefined || numbers.size === 0) continue
      let isInside = false
      unit.runSequence(at, (row) => {
        const isOurs = !row.isEnd && row.line === line && numbers.has(row.file)
        if (isOurs && !isInside && row.isStatement) found.add(BigInt.asUintN(64, row.base + BigInt(row.offset)))
        isInside = isOurs && (isInside || row.isStatement)
      })
    }
    return [...found].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  }

  files(): string[] {
    const found = new Set<string>()
    let characters = 0
    for (const unit of this.#units)
      for (let i = 0; i < unit.fileCount; i++) {
        const name = unit.fileName(i) ?? ''
        if (name === '' || found.has(name)) continue
        characters += name.length
        if (characters > MOST_CHARACTERS) throw damaged(`names of sources of more than ${MOST_CHARACTERS} characters`)
        found.add(name)
      }
    return [...found].sort()
  }

  /** Index of the last sequence that begins at an address or before it. */
  #lastFrom(address: bigint): number {
    let low = 0
    let high = this.#sequences.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#sequences[middle]!.start <= address) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}

/**
 * Reads the lines of an ELF file with debug information, by parts: DWARF 2 to 5.
 *
 * @throws SymbolsError `ERR_MISSING` without lines, `ERR_UNSUPPORTED` for a file that is not linked, or is packed by another
 * method than zlib, `ERR_DAMAGED`
 */
export async function readLines(source: FileSource): Promise<LineTable> {
  const tables = await readElfTables(source)
  if (tables.header.type === ET_REL)
    throw new SymbolsError('ERR_UNSUPPORTED', 'this ELF file cannot be read', 'it is not linked; expected a program')
  const line = await readSection(source, tables, '.debug_line')
  if (line === undefined)
    throw new SymbolsError('ERR_MISSING', 'this ELF file has no lines', 'expected .debug_line, which gcc -g makes')
  const texts = await readSection(source, tables, '.debug_line_str')
  const code = tables.sections
    .filter(({ flags }) => (flags & SHF_EXECINSTR) !== 0n)
    .map(({ address, size }) => ({ start: address, end: address + BigInt(size) }))
  return new DwarfLines(lineSections(line, texts, await readSection(source, tables, '.debug_str')), code)
}

/** Finds the sequences of a unit. Sequences of functions that the linker has left out lie outside all code. */
function readSequences(unit: LineUnit, code: readonly CodeRange[], into: Sequence[]): void {
  for (let at = unit.start; at < unit.end;) {
    let start: bigint | undefined
    let end: bigint | undefined
    const next = unit.runSequence(at, ({ base, offset, isEnd }) => {
      if (!isEnd && start !== undefined) return
      const address = BigInt.asUintN(64, base + BigInt(offset))
      start ??= address
      if (isEnd) end = address
    })
    const first = start
    if (first !== undefined && end !== undefined && end > first)
      if (code.some((range) => first >= range.start && first < range.end)) into.push({ unit, at, start: first, end })
    at = next
  }
}

/** The line of an address within a sequence: of the last row at or before it. */
function lineIn({ unit, at }: Sequence, address: bigint): SourceLine | undefined {
  let [file, line, column] = [0, 0, 0]
  let wanted: number | undefined
  unit.runSequence(at, (row) => {
    wanted ??= Number(BigInt.asIntN(64, address - row.base))
    if (row.isEnd || row.offset > wanted) return false
    file = row.file
    line = row.line
    column = row.column
    return true
  })
  const name = unit.fileName(file)
  return line <= 0 || name === undefined || name === '' ? undefined : { file: name, line, column }
}
