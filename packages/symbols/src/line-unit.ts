/**
 * One unit of `.debug_line`: its header, its file names, and its program. Source: DWARF Debugging Information Format, version
 * 5, section 6.2, "Line Number Information", and version 4, the same section.
 */
import { ByteCursor } from './byte-cursor.ts'
import { SymbolsError } from './errors.ts'
import { damaged, NameReader } from './file-source.ts'

const DW_LNS = {
  copy: 1,
  advancePc: 2,
  advanceLine: 3,
  setFile: 4,
  setColumn: 5,
  negate: 6,
  block: 7,
  constAddPc: 8,
} as const
const DW_LNS_FIXED_ADVANCE_PC = 9
const DW_LNS_SET_ISA = 12
const [DW_LNE_END_SEQUENCE, DW_LNE_SET_ADDRESS] = [1, 2]
const [DW_LNCT_PATH, DW_LNCT_DIRECTORY_INDEX] = [1, 2]
/** No system takes a longer path. */
const LONGEST_NAME = 4096
/** Lengths from this value on have 64 bits. */
const WIDE_LENGTH = 0xffff_ffff

/** The sections that lines are in. */
export interface LineSections {
  readonly line: Uint8Array
  readonly lineText: Uint8Array
  readonly text: Uint8Array
  /** For each section a function that reads the name at an offset, and caches it: many units share names. */
  readonly names: ReadonlyMap<Uint8Array, (at: number) => string>
}

/** Collects the sections; missing ones are empty. */
export function lineSections(
  line: Uint8Array,
  lineText: Uint8Array = new Uint8Array(),
  text: Uint8Array = new Uint8Array(),
): LineSections {
  const all = [line, lineText, text]
  return { line, lineText, text, names: new Map(all.map((bytes) => [bytes, namesIn(bytes)])) }
}

function namesIn(bytes: Uint8Array): (at: number) => string {
  const reader = new NameReader(bytes, damaged)
  const known = new Map<number, string>()
  return (at) => {
    const name = known.get(at) ?? reader.text(at, LONGEST_NAME)
    known.set(at, name)
    return name
  }
}

/** The state of a line program after a row. */
export interface LineRow {
  /** The address that `offset` counts from, where set. */
  base: bigint
  /** Offset from the base, in bytes. */
  offset: number
  /** Number of the file, as the unit counts. */
  file: number
  line: number
  column: number
  /** A good place for a breakpoint. */
  isStatement: boolean
  /** The place behind the last instruction of a sequence. */
  isEnd: boolean
}

/** The files of a unit, by their numbers. */
interface FileTable {
  readonly folders: readonly string[]
  readonly files: readonly { readonly name: string; readonly folder: number }[]
}

/** A unit of `.debug_line`. */
export class LineUnit {
  /** Offset of the unit's program in the section. */
  readonly start: number
  /** End offset of the unit. */
  readonly end: number
  readonly #sections: LineSections
  readonly #version: number
  readonly #wide: boolean
  /** Offset of the tables of folders and files. */
  readonly #tables: number
  readonly #leastBytes: number
  readonly #mostOps: number
  readonly #isStatement: boolean
  readonly #lineBase: number
  readonly #lineRange: number
  readonly #opcodeBase: number
  /** Operands of standard opcodes. */
  readonly #operands: Uint8Array
  #files: FileTable | undefined

  /** @throws SymbolsError `ERR_DAMAGED`, or `ERR_UNSUPPORTED` for a version other than 2 to 5 */
  constructor(sections: LineSections, at: number) {
    this.#sections = sections
    const cursor = new ByteCursor(sections.line, '.debug_line', at)
    const length = cursor.u32()
    this.#wide = length === WIDE_LENGTH
    const bytes = this.#wide ? Number(cursor.u64()) : length
    if (!(cursor.at + bytes <= sections.line.length)) throw cursor.damaged(`a unit of ${bytes} bytes`)
    this.end = cursor.at + bytes
    cursor.end = this.end
    const version = cursor.u16()
    if (version < 2 || version > 5) {
      const what = `.debug_line has a unit of version ${version}; expected DWARF 2 to 5`
      throw new SymbolsError('ERR_UNSUPPORTED', 'this ELF file cannot be read', what)
    }
    this.#version = version
    // Skip the sizes of addresses and segments: each address has a length of its own.
    if (version >= 5) cursor.skip(2)
    const headerBytes = this.#wide ? Number(cursor.u64()) : cursor.u32()
    if (!(cursor.at + headerBytes <= this.end)) throw cursor.damaged(`a header of ${headerBytes} bytes`)
    this.start = cursor.at + headerBytes
    this.#leastBytes = cursor.u8()
    this.#mostOps = version >= 4 ? cursor.u8() : 1
    this.#isStatement = cursor.u8() !== 0
    this.#lineBase = cursor.i8()
    this.#lineRange = cursor.u8()
    this.#opcodeBase = cursor.u8()
    if (this.#lineRange === 0) throw cursor.damaged('a range of 0 lines')
    if (this.#mostOps === 0) throw cursor.damaged('instructions of 0 operations')
    if (this.#opcodeBase === 0) throw cursor.damaged('special opcodes from 0 on')
    const operands = cursor.skip(this.#opcodeBase - 1)
    this.#operands = sections.line.subarray(operands, operands + this.#opcodeBase - 1)
    this.#tables = cursor.at
  }

  /**
   * Executes the program from the beginning of a sequence to its end.
   *
   * @param at - offset in the section
   * @param onRow - called with each row, in one object; false ends the sequence
   * @returns start of the next sequence
   */
  runSequence(at: number, onRow: (row: LineRow) => boolean | void): number {
    const cursor = new ByteCursor(this.#sections.line, '.debug_line', at, this.end)
    const isStatement = this.#isStatement
    const row: LineRow = { base: 0n, offset: 0, file: 1, line: 1, column: 0, isStatement, isEnd: false }
    const opcodeBase = this.#opcodeBase
    const lineRange = this.#lineRange
    const constAdvance = Math.floor((255 - opcodeBase) / lineRange)
    let hasBase = false
    let op = 0
    const advance = (operations: number): void => {
      const total = op + operations
      row.offset += this.#leastBytes * Math.floor(total / this.#mostOps)
      op = total % this.#mostOps
    }
    const setAddress = (length: number): void => {
      if (length !== 4 && length !== 8) throw cursor.damaged(`an address of ${length} bytes`)
      const address = length === 8 ? cursor.u64() : BigInt(cursor.u32())
      if (!hasBase) row.base = address
      row.offset = hasBase ? Number(BigInt.asIntN(64, address - row.base)) : 0
      hasBase = true
      op = 0
    }
    while (cursor.at < this.end) {
      const opcode = cursor.u8()
      if (opcode >= opcodeBase) {
        const special = opcode - opcodeBase
        advance(Math.floor(special / lineRange))
        row.line += this.#lineBase + (special % lineRange)
        if (onRow(row) === false) return this.end
      } else if (opcode === 0) {
        const length = cursor.uleb()
        const next = cursor.skip(length) + length
        cursor.at -= length
        const extended = length === 0 ? 0 : cursor.u8()
        if (extended === DW_LNE_END_SEQUENCE) {
          row.isEnd = true
          onRow(row)
          return next
        }
        if (extended === DW_LNE_SET_ADDRESS) setAddress(length - 1)
        cursor.at = next
      } else if (opcode === DW_LNS.copy) {
        if (onRow(row) === false) return this.end
      } else if (opcode === DW_LNS.advancePc) advance(cursor.uleb())
      else if (opcode === DW_LNS.advanceLine) row.line += cursor.sleb()
      else if (opcode === DW_LNS.setFile) row.file = cursor.uleb()
      else if (opcode === DW_LNS.setColumn) row.column = cursor.uleb()
      else if (opcode === DW_LNS.negate) row.isStatement = !row.isStatement
      else if (opcode === DW_LNS.constAddPc) advance(constAdvance)
      else if (opcode === DW_LNS_FIXED_ADVANCE_PC) {
        row.offset += cursor.u16()
        op = 0
      } else if (opcode > DW_LNS_SET_ISA || opcode !== DW_LNS.block) {
        for (let i = this.#operands[opcode - 1] ?? 0; i > 0; i--) cursor.uleb()
      }
    }
    return this.end
  }

  /** Path of a file by its number; undefined for a number that the unit does not have. */
  fileName(file: number): string | undefined {
    const { folders, files } = this.#read()
    const found = files[file]
    return found && joined(folders, found.folder, found.name)
  }

  /** Returns numbers of files with this path, or a path that ends with it. */
  numbersOf(path: string): ReadonlySet<number> {
    const found = new Set<number>()
    for (const [i, { name }] of this.#read().files.entries()) {
      // The file name alone excludes most.
      if (name === '' || !(path.endsWith(name) || name.endsWith(path))) continue
      const whole = this.fileName(i)
      if (whole === path || (path !== '' && whole?.endsWith(`/${path}`) === true)) found.add(i)
    }
    return found
  }

  /** Number of files. */
  get fileCount(): number {
    return this.#read().files.length
  }

  #read(): FileTable {
    this.#files ??= this.#version >= 5 ? this.#readTables() : this.#readOldTables()
    return this.#files
  }

  #cursor(): ByteCursor {
    return new ByteCursor(this.#sections.line, '.debug_line', this.#tables, this.start)
  }

  #text(section: Uint8Array, at: number): string {
    if (at > section.length) throw damaged(`.debug_line has a name at ${at} of ${section.length} bytes`)
    return this.#sections.names.get(section)?.(at) ?? ''
  }

  /** Reads tables up to DWARF 4, which lack the folder of compilation. */
  #readOldTables(): FileTable {
    const cursor = this.#cursor()
    const { line } = this.#sections
    const folders = ['']
    for (let at = cursor.skipText(); line[at] !== 0; at = cursor.skipText()) folders.push(this.#text(line, at))
    const files = [{ name: '', folder: 0 }]
    for (let at = cursor.skipText(); line[at] !== 0; at = cursor.skipText()) {
      files.push({ name: this.#text(line, at), folder: cursor.uleb() })
      // Time and size.
      cursor.uleb()
      cursor.uleb()
    }
    return { folders, files }
  }

  #readTables(): FileTable {
    const cursor = this.#cursor()
    const folders = this.#readTable(cursor).map(({ name }) => name)
    return { folders, files: this.#readTable(cursor) }
  }

  #readTable(cursor: ByteCursor): FileTable['files'] {
    const columns = Array.from({ length: cursor.u8() }, () => [cursor.uleb(), cursor.uleb()] as const)
    const count = cursor.uleb()
    // Each column has a byte at least.
    if (count > 0 && (columns.length === 0 || count > cursor.end - cursor.at))
      throw cursor.damaged(`a table of ${count} names`)
    return Array.from({ length: count }, () => {
      let name = ''
      let folder = 0
      for (const [content, form] of columns) {
        const value = this.#readForm(cursor, form)
        if (content === DW_LNCT_PATH) name = typeof value === 'string' ? value : ''
        else if (content === DW_LNCT_DIRECTORY_INDEX) folder = typeof value === 'number' ? value : 0
      }
      return { name, folder }
    })
  }

  #readForm(cursor: ByteCursor, form: number): string | number {
    const read = FORMS[form]
    if (read === undefined) throw cursor.damaged(`a value of form 0x${form.toString(16)}`)
    return read(cursor, {
      offset: () => (this.#wide ? Number(cursor.u64()) : cursor.u32()),
      text: (section, at) => this.#text(this.#sections[section], at),
    })
  }
}

interface Texts {
  /** Reads an offset into another section. */
  readonly offset: () => number
  readonly text: (section: 'line' | 'lineText' | 'text', at: number) => string
}

const skipped =
  (bytes: (cursor: ByteCursor) => number) =>
  (cursor: ByteCursor): number => {
    cursor.skip(bytes(cursor))
    return 0
  }

/** Values of tables, by the numbers of DW_FORM. Source: DWARF 5, section 7.5.6, "Form Encodings". */
const FORMS: Readonly<Record<number, (cursor: ByteCursor, texts: Texts) => string | number>> = {
  // DW_FORM_block2, block4, block, block1.
  0x03: skipped((cursor) => cursor.u16()),
  0x04: skipped((cursor) => cursor.u32()),
  0x09: skipped((cursor) => cursor.uleb()),
  0x0a: skipped((cursor) => cursor.u8()),
  // DW_FORM_data1, data2, data4, data8, data16, udata.
  0x0b: (cursor) => cursor.u8(),
  0x05: (cursor) => cursor.u16(),
  0x06: (cursor) => cursor.u32(),
  0x07: (cursor) => Number(cursor.u64()),
  0x1e: skipped(() => 16),
  0x0f: (cursor) => cursor.uleb(),
  // DW_FORM_string, strp, line_strp.
  0x08: (cursor, { text }) => text('line', cursor.skipText()),
  0x0e: (_cursor, { offset, text }) => text('text', offset()),
  0x1f: (_cursor, { offset, text }) => text('lineText', offset()),
}

/** The path of a file in a folder, which may count from that of compilation, the first; one with a slash in front is whole. */
function joined(folders: readonly string[], index: number, name: string): string {
  const folder = folders[index] ?? ''
  const first = index === 0 ? '' : (folders[0] ?? '')
  return [first, folder, name].reduce((before, next) =>
    before === '' || next === '' || next.startsWith('/') ? next || before : `${before}/${next}`,
  )
}
