/**
 * The compiled tables as text, so that a built package need not compile them: `build/plugins.ts` writes it.
 *
 * The text is a list of numbers, as JSON has them: no loop of ours would read them as fast. They are differences to what is
 * near: small, and the same wherever opcodes are alike, which is what gzip then makes short.
 */
import { COMMON_CODE, COMMON_MODRM, entryOf } from './common-table.ts'
import { type DecodeTables, nodeWidth } from './tree.ts'

/** The opcode column of a row: prefix and maps, opcode, what follows; and the other columns. */
const OPCODE_COLUMN = /^((?:[A-Z\d]+\.)?(?:[A-Z\d]\w* )*?)([\dA-F]{2}|[+=])((?:\+r| \/\d| \(\w\w\))? {2}.*)$/

/**
 * Writes the opcodes of a table's rows by those of the rows before: `=` is the same opcode and `+` the next one, and in front of
 * them nothing is the same prefix and map. Lines that are no rows stay.
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
  return table.split('\n').map(pack).join('\n')
}

/** Reads the rows of a table: those that `packRows` wrote, or as people write them. */
export function unpackRows(table: string): string[] {
  let [head, opcode] = ['', -1]
  const rows = table.split('\n').filter((line) => line !== '')
  return rows.map((row) => {
    const [, text = '', byte = '', rest = ''] = OPCODE_COLUMN.exec(row)!
    const isSign = byte === '+' || byte === '='
    if (!isSign || text !== '') head = text
    opcode = isSign ? opcode + +(byte === '+') : parseInt(byte, 16)
    return isSign ? head + opcode.toString(16).padStart(2, '0').toUpperCase() + rest : row
  })
}

/** Everything that `tables.ts` has, each as text. */
export interface PackedTables {
  readonly roots: string
  readonly hasModrm: string
  readonly nodes: string
  readonly leaves: string
  readonly evexLeaves: string
  readonly common: string
  readonly rowCodes: string
}

const packNumbers = (values: Iterable<number>): string => [...values].join()
const unpackNumbers = (text: string): number[] => JSON.parse(`[${text}]`) as number[]

// A reference is 0, a code, or the complement of a node's index. In the text a code is odd: twice the difference to the last
// code, and one. A node is even: twice the difference to a node that is near, with no room for 0. The loops that read them
// have no calls in them: they run once, before any of it is compiled.

function packReference(reference: number, code: number, node: number): number {
  if (reference === 0) return 0
  if (reference > 0) return 2 * (reference - code) + 1
  const distance = ~reference - node
  return distance < 0 ? 2 * distance : 2 * distance + 2
}

/** Roots are consecutive, like their nodes. */
function packRoots(roots: Int32Array): string {
  let code = 0
  let node = 0
  return packNumbers(
    Array.from(roots, (root) => {
      const value = packReference(root, code, node)
      if (root > 0) code = root
      if (root < 0) node = ~root
      return value
    }),
  )
}

function unpackRoots(text: string): Int32Array {
  const values = unpackNumbers(text)
  const roots = new Int32Array(values.length)
  let code = 0
  let node = 0
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!
    if (value === 0) continue
    if ((value & 1) !== 0) {
      code += value >> 1
      roots[at] = code
    } else {
      node += value < 0 ? value >> 1 : (value - 2) >> 1
      roots[at] = ~node
    }
  }
  return roots
}

/** References are relative to their node, which stands after its children. */
function packNodes(nodes: Int32Array): string {
  const values: number[] = []
  let code = 0
  for (let at = 0; at < nodes.length;) {
    const place = nodes[at]!
    const end = at + nodeWidth(place)
    values.push(place)
    for (let child = at + 1; child <= end; child++) {
      const reference = nodes[child]!
      values.push(packReference(reference, code, at))
      if (reference > 0) code = reference
    }
    at = end + 1
  }
  return packNumbers(values)
}

function unpackNodes(text: string): Int32Array {
  const values = unpackNumbers(text)
  const nodes = new Int32Array(values.length)
  const widths: number[] = []
  let code = 0
  let node = 0
  let end = -1
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!
    if (at > end) {
      nodes[at] = value
      node = at
      end = at + (widths[value] ??= nodeWidth(value))
    } else if ((value & 1) !== 0) {
      code += value >> 1
      nodes[at] = code
    } else if (value !== 0) nodes[at] = ~(node + (value >> 1))
  }
  return nodes
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
export const unpackLeaves = (text: string): Int32Array => new Int32Array(unpackNumbers(text))

/** Writes the tables as text. */
export function packTables(tables: DecodeTables, common: Int32Array, rowCodes: Int32Array): PackedTables {
  return {
    roots: packRoots(tables.roots),
    hasModrm: packNumbers(tables.hasModrm),
    nodes: packNodes(tables.nodes),
    leaves: packNumbers(tables.leaves),
    evexLeaves: packNumbers(tables.evexLeaves),
    common: packCommonTable(common),
    rowCodes: packNumbers(rowCodes.map((code, row) => code - (rowCodes[row - 1] ?? 0))),
  }
}

/** The trees that `packTables` wrote. */
export function unpackTables(
  packed: Omit<PackedTables, 'common' | 'rowCodes' | 'leaves'>,
  leaves: Int32Array,
): DecodeTables {
  return {
    roots: unpackRoots(packed.roots),
    hasModrm: new Uint8Array(unpackNumbers(packed.hasModrm)),
    nodes: unpackNodes(packed.nodes),
    leaves,
    evexLeaves: new Int32Array(unpackNumbers(packed.evexLeaves)),
  }
}

/** The first codes of rows that `packTables` wrote. */
export function unpackRowCodes(text: string): Int32Array {
  let code = 0
  return Int32Array.from(unpackNumbers(text), (count) => (code += count))
}
