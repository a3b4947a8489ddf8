/**
 * The compiled tables as text, so that a built package need not compile them: `build/plugins.ts` writes it.
 *
 * The text is a list of numbers, as JSON has them: no loop of ours would read them as fast. They are differences to what is
 * near: small, and the same wherever opcodes are alike, which is what gzip then makes short.
 */
import { COMMON_CODE, COMMON_MODRM, entryOf } from './common-table.ts'
import { type DecodeTables, MAPS, nodeWidth } from './tree.ts'

/** The opcode column of a row: prefix and maps, opcode, what follows; and the other columns. */
const OPCODE_COLUMN = /^((?:[A-Z\d]+\.)?(?:[A-Z\d]\w* )*?)([\dA-F]{2}|[+=])((?:\+r|\+cc| \/\d| \(\w\w\))? {2}.*)$/

/** Between the columns of a packed table. */
const NEXT_COLUMN = '\t'

/**
 * Writes the rows of a table column by column, which gzip makes short. Opcodes are told by those of the rows before: `=` is the
 * same opcode and `+` the next one, and in front of them nothing is the same prefix and map.
 */
export function packRows(table: string): string {
  let [lastHead, lastOpcode] = ['', -1]
  const pack = (row: string): string => {
    const [, head, byte, rest] = OPCODE_COLUMN.exec(row) ?? []
    if (byte === undefined) return row
    const opcode = parseInt(byte, 16)
    const sign = opcode === lastOpcode ? '=' : opcode === lastOpcode + 1 ? '+' : byte
    const isShort = sign !== byte && (head !== '' || lastHead === '')
    const packed = isShort ? (head === lastHead ? '' : head) + sign + rest : row
    ;[lastHead, lastOpcode] = [head!, opcode]
    return packed
  }
  const rows = table.split('\n').filter((line) => line !== '')
  const cells = rows.map((row) => pack(row).split(/ {2,}/))
  const width = Math.max(...cells.map(({ length }) => length))
  const columns = Array.from({ length: width }, (_, column) => cells.map((row) => row[column] ?? '').join('\n'))
  return columns.join(NEXT_COLUMN)
}

/** The rows of a packed table, or of one as people write it. */
function rowsOf(table: string): string[] {
  if (!table.includes(NEXT_COLUMN)) return table.split('\n').filter((line) => line !== '')
  const columns = table.split(NEXT_COLUMN).map((column) => column.split('\n'))
  return columns[0]!.map((_, row) =>
    columns
      .map((column) => column[row]!)
      .filter((cell) => cell !== '')
      .join('  '),
  )
}

/** Reads the rows of a table: those that `packRows` wrote, or as people write them. */
export function unpackRows(table: string): string[] {
  let [head, opcode] = ['', -1]
  return rowsOf(table).map((row) => {
    const [, text = '', byte = '', rest = ''] = OPCODE_COLUMN.exec(row)!
    const isSign = byte === '+' || byte === '='
    if (!isSign || text !== '') head = text
    opcode = isSign ? opcode + +(byte === '+') : parseInt(byte, 16)
    return isSign ? head + opcode.toString(16).padStart(2, '0').toUpperCase() + rest : row
  })
}

/** Everything that `tables.ts` has, each as text. */
export interface PackedTables {
  /** With `hasModrm`. */
  readonly roots: string
  readonly nodes: string
  readonly leaves: string
  readonly evexLeaves: string
  readonly common: string
  readonly rowCodes: string
}

/** A zero between others is left out. */
const packNumbers = (values: Iterable<number>): string => [...values].join().replaceAll(/(?<=,)0(?=,)/g, '')
/** The second pass finds what overlaps in the first. */
const unpackNumbers = (text: string): number[] =>
  JSON.parse(`[${text.replaceAll(',,', ',0,').replaceAll(',,', ',0,')}]`) as number[]

/** Most values are the one before, or differ from it in a few bits. */
const packAlike = (values: Int32Array): string => packNumbers(values.map((value, at) => value ^ (values[at - 1] ?? 0)))

function unpackAlike(text: string): Int32Array {
  const values = new Int32Array(unpackNumbers(text))
  for (let at = 1; at < values.length; at++) values[at]! ^= values[at - 1]!
  return values
}

// A reference is 0, a code, or the complement of a node's index. In the text a code is odd: twice the difference to the last
// code, and one. The loops that read them have no calls in them: they run once, before any of it is compiled.

/** Nodes stand after their children. A child that is the last node without a parent. */
const LAST_ORPHAN = 2

/**
 * Writes nodes: the place of each, and its references. A child is `LAST_ORPHAN` or twice its distance, which is negative.
 *
 * @param roots - nodes of these stay without a parent
 * @returns the text, and the nodes that are left without a parent
 */
function packNodes(nodes: Int32Array, roots: Int32Array): { text: string; orphans: number[] } {
  const values: number[] = []
  const orphans: number[] = []
  const rootNodes = new Set(roots)
  let code = 0
  for (let at = 0; at < nodes.length;) {
    const place = nodes[at]!
    const end = at + nodeWidth(place)
    const adopted = new Set<number>()
    for (let child = end; child > at; child--) {
      const reference = nodes[child]!
      if (reference >= 0 || ~reference !== orphans.at(-1) || rootNodes.has(reference)) continue
      adopted.add(child)
      orphans.pop()
    }
    values.push(place)
    for (let child = at + 1; child <= end; child++) {
      const reference = nodes[child]!
      if (reference > 0) {
        values.push(2 * (reference - code) + 1)
        code = reference
      } else if (reference === 0) values.push(0)
      else values.push(adopted.has(child) ? LAST_ORPHAN : 2 * (~reference - at))
    }
    orphans.push(at)
    at = end + 1
  }
  return { text: packNumbers(values), orphans }
}

function unpackNodes(text: string): { nodes: Int32Array; orphans: Int32Array } {
  const values = unpackNumbers(text)
  const nodes = new Int32Array(values.length)
  const orphans = new Int32Array(values.length)
  const widths: number[] = []
  let count = 0
  let code = 0
  for (let at = 0; at < values.length;) {
    const place = values[at]!
    const end = at + (widths[place] ??= nodeWidth(place))
    nodes[at] = place
    let adopted = 0
    for (let child = at + 1; child <= end; child++) {
      const value = values[child]!
      if ((value & 1) !== 0) {
        code += value >> 1
        nodes[child] = code
      } else if (value < 0) nodes[child] = ~(at + (value >> 1))
      else adopted += value
    }
    for (let child = end; adopted > 0; child--)
      if (values[child] === LAST_ORPHAN) {
        adopted -= LAST_ORPHAN
        nodes[child] = ~orphans[--count]!
      }
    orphans[count++] = at
    at = end + 1
  }
  return { nodes, orphans }
}

/** Roots of a mode, most of which are those of the mode before. */
const ROOTS_OF_MODE = MAPS * 256
/** A reference to nothing, where 0 is the reference of the mode before. */
const NO_ROOT = 2

/**
 * Writes roots. A node is even: twice the difference to the orphan after the last root's, with no room for 0 and `NO_ROOT`. Each
 * value is doubled, and 1 is added where `hasModrm` differs from the mode before.
 */
function packRoots(roots: Int32Array, hasModrm: Uint8Array, orphans: readonly number[]): string {
  let code = 0
  let orphan = 0
  const pack = (root: number, before: number): number => {
    const [lastCode, nextOrphan] = [code, orphan]
    if (root > 0) code = root
    if (root < 0) orphan = orphans.indexOf(~root) + 1
    if (root === before) return 0
    if (root === 0) return NO_ROOT
    if (root > 0) return 2 * (root - lastCode) + 1
    const distance = orphan - 1 - nextOrphan
    return distance < 0 ? 2 * distance : 2 * distance + 4
  }
  return packNumbers(
    Array.from(roots, (root, at) => {
      const before = at - ROOTS_OF_MODE
      return 2 * pack(root, roots[before] ?? 0) + (hasModrm[at]! ^ (hasModrm[before] ?? 0))
    }),
  )
}

function unpackRoots(text: string, orphans: Int32Array): Pick<DecodeTables, 'roots' | 'hasModrm'> {
  const values = unpackNumbers(text)
  const roots = new Int32Array(values.length)
  const hasModrm = new Uint8Array(values.length)
  const places = new Int32Array(values.length)
  let code = 0
  let orphan = 0
  for (let at = 0; at < values.length; at++) {
    const before = at - ROOTS_OF_MODE
    const value = values[at]! >> 1
    hasModrm[at] = (values[at]! & 1) ^ (before < 0 ? 0 : hasModrm[before]!)
    if ((value & 1) !== 0) {
      code += value >> 1
      roots[at] = code
    } else if (value === 0) {
      const root = before < 0 ? 0 : roots[before]!
      roots[at] = root
      if (root > 0) code = root
      else if (root < 0) orphan = places[before]! + 1
    } else if (value !== NO_ROOT) {
      orphan += value < 0 ? value >> 1 : (value - 4) >> 1
      roots[at] = ~orphans[orphan++]!
    }
    places[at] = orphan - 1
  }
  return { roots, hasModrm }
}

// A code of the common table is four times the difference to the last code, and two, and one if a ModRM byte follows: the rest
// of the entry its leaf tells. Where entries by ModRM are is four times the difference to the last such place, and one.

function packCommonTable(common: Int32Array): string {
  let code = 0
  let place = 0
  return packNumbers(
    Array.from(common, (entry) => {
      if (entry === 0) return 0
      const difference = entry < 0 ? ~entry - place : (entry & COMMON_CODE) - code
      if (entry < 0) place += difference
      else code += difference
      return 4 * difference + (entry < 0 ? 1 : (entry & COMMON_MODRM) === 0 ? 2 : 3)
    }),
  )
}

/** The table of common instructions that `packTables` wrote. */
export function unpackCommonTable(text: string, leaves: Int32Array): Int32Array {
  const values = unpackNumbers(text)
  const common = new Int32Array(values.length)
  let code = 0
  let place = 0
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!
    if ((value & 2) !== 0) {
      code += value >> 2
      common[at] = entryOf(code, leaves[code]!, value & 1)
    } else if (value !== 0) common[at] = ~(place += value >> 2)
  }
  return common
}

/** The leaves that `packTables` wrote: the other tables need not be read for these. */
export const unpackLeaves = (text: string): Int32Array => unpackAlike(text)

/** Writes the tables as text. */
export function packTables(tables: DecodeTables, common: Int32Array, rowCodes: Int32Array): PackedTables {
  const { text: nodes, orphans } = packNodes(tables.nodes, tables.roots)
  return {
    roots: packRoots(tables.roots, tables.hasModrm, orphans),
    nodes,
    leaves: packAlike(tables.leaves),
    evexLeaves: packAlike(tables.evexLeaves),
    common: packCommonTable(common),
    rowCodes: packNumbers(rowCodes.map((code, row) => code - (rowCodes[row - 1] ?? 0))),
  }
}

/** The trees that `packTables` wrote. */
export function unpackTables(
  packed: Omit<PackedTables, 'common' | 'rowCodes' | 'leaves'>,
  leaves: Int32Array,
): DecodeTables {
  const { nodes, orphans } = unpackNodes(packed.nodes)
  return {
    ...unpackRoots(packed.roots, orphans),
    nodes,
    leaves,
    evexLeaves: unpackAlike(packed.evexLeaves),
  }
}

/** The first codes of rows that `packTables` wrote. */
export function unpackRowCodes(text: string): Int32Array {
  let code = 0
  return Int32Array.from(unpackNumbers(text), (count) => (code += count))
}
