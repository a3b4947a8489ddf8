/**
 * The compiled tables as text, so that a built package need not compile them: `build/pack-tables.ts` writes it, and
 * `unpackTables` reads it in about a millisecond.
 *
 * A number has five bits a character, the lowest first, and a sixth that says that more follow. What is written are
 * differences to what is near: small, and the same wherever opcodes are alike, which is what gzip then makes short.
 */
import { type DecodeTables, nodeWidth } from './tree.ts'

/** `DecodeTables` and the first code of each row, each as text. */
export interface PackedTables {
  readonly roots: string
  readonly hasModrm: string
  readonly nodes: string
  readonly leaves: string
  readonly evexLeaves: string
  readonly rowCodes: string
}

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
/** In a digit: more follow. */
const MORE = 32

const digitValues: Uint8Array = /*#__PURE__*/ makeDigitValues()

function makeDigitValues(): Uint8Array {
  const values = new Uint8Array(128)
  for (let digit = 0; digit < DIGITS.length; digit++) values[DIGITS.charCodeAt(digit)] = digit
  return values
}

/** 0, -1, 1, -2… as 0, 1, 2, 3… and back. */
const foldSign = (value: number): number => (value < 0 ? -2 * value - 1 : 2 * value)
const unfoldSign = (value: number): number => (value & 1 ? -(value + 1) / 2 : value / 2)

class NumberWriter {
  text = ''

  /** @param value - from 0 on */
  write(value: number): void {
    let rest = value
    for (; rest >= MORE; rest = Math.floor(rest / MORE)) this.text += DIGITS[MORE + (rest % MORE)] as string
    this.text += DIGITS[rest] as string
  }
}

class NumberReader {
  private readonly text: string
  private at: number

  constructor(text: string) {
    this.text = text
    this.at = 0
  }

  get ended(): boolean {
    return this.at >= this.text.length
  }

  read(): number {
    let digit = digitValues[this.text.charCodeAt(this.at++)] as number
    let value = digit & (MORE - 1)
    for (let weight = MORE; digit >= MORE; weight *= MORE) {
      digit = digitValues[this.text.charCodeAt(this.at++)] as number
      value += (digit & (MORE - 1)) * weight
    }
    return value
  }
}

/** What references are differences to: the last code, and a node. */
interface Near {
  code: number
  node: number
}

/** A reference is 0, a code, or the complement of a node's index. */
function writeReference(out: NumberWriter, reference: number, near: Near): void {
  if (reference === 0) out.write(0)
  else if (reference > 0) {
    out.write(1 + 2 * foldSign(reference - near.code))
    near.code = reference
  } else out.write(2 + 2 * foldSign(near.node - ~reference))
}

function readReference(from: NumberReader, near: Near): number {
  const value = from.read()
  if (value === 0) return 0
  if ((value & 1) === 0) return ~(near.node - unfoldSign((value - 2) / 2))
  near.code += unfoldSign((value - 1) / 2)
  return near.code
}

/** Roots follow one another as their nodes do. */
function packRoots(roots: Int32Array): string {
  const out = new NumberWriter()
  const near: Near = { code: 0, node: 0 }
  for (const root of roots) {
    writeReference(out, root, near)
    if (root < 0) near.node = ~root
  }
  return out.text
}

function unpackRoots(text: string): Int32Array {
  const from = new NumberReader(text)
  const near: Near = { code: 0, node: 0 }
  const roots: number[] = []
  while (!from.ended) {
    const root = readReference(from, near)
    if (root < 0) near.node = ~root
    roots.push(root)
  }
  return Int32Array.from(roots)
}

/** A node counts from itself: it stands after its children. */
function packNodes(nodes: Int32Array): string {
  const out = new NumberWriter()
  const near: Near = { code: 0, node: 0 }
  for (let at = 0; at < nodes.length;) {
    const place = nodes[at] as number
    const width = nodeWidth(place)
    near.node = at
    out.write(width)
    out.write(place)
    for (let child = 1; child <= width; child++) writeReference(out, nodes[at + child] as number, near)
    at += 1 + width
  }
  return out.text
}

function unpackNodes(text: string): Int32Array {
  const from = new NumberReader(text)
  const near: Near = { code: 0, node: 0 }
  const nodes: number[] = []
  while (!from.ended) {
    near.node = nodes.length
    const width = from.read()
    nodes.push(from.read())
    for (let child = 0; child < width; child++) nodes.push(readReference(from, near))
  }
  return Int32Array.from(nodes)
}

function packNumbers(values: Iterable<number>): string {
  const out = new NumberWriter()
  for (const value of values) out.write(value >>> 0)
  return out.text
}

function unpackNumbers(text: string): number[] {
  const from = new NumberReader(text)
  const values: number[] = []
  while (!from.ended) values.push(from.read())
  return values
}

/** Writes the tables as text. */
export function packTables(tables: DecodeTables, rowCodes: Int32Array): PackedTables {
  return {
    roots: packRoots(tables.roots),
    hasModrm: packNumbers(tables.hasModrm),
    nodes: packNodes(tables.nodes),
    leaves: packNumbers(tables.leaves),
    evexLeaves: packNumbers(tables.evexLeaves),
    rowCodes: packNumbers(rowCodes.map((code, row) => code - (rowCodes[row - 1] ?? 0))),
  }
}

/** The tables that `packTables` wrote. */
export function unpackTables(packed: Omit<PackedTables, 'rowCodes'>): DecodeTables {
  return {
    roots: unpackRoots(packed.roots),
    hasModrm: Uint8Array.from(unpackNumbers(packed.hasModrm)),
    nodes: unpackNodes(packed.nodes),
    leaves: Int32Array.from(unpackNumbers(packed.leaves)),
    evexLeaves: Int32Array.from(unpackNumbers(packed.evexLeaves)),
  }
}

/** The first codes of rows that `packTables` wrote. */
export function unpackRowCodes(text: string): Int32Array {
  let code = 0
  return Int32Array.from(unpackNumbers(text), (count) => (code += count))
}
