import { PAGE_BYTES } from '@retrap/memory'
import type { MissAction } from '../memory-sites.ts'
import type { StateAssumption, CodeBranch, CodeSource } from '../unit-code.ts'

/** Version of this format, and of the meaning of {@link CodeSource}. */
export const CODE_FORMAT = 2

/** `RTU` and a digit. */
const MAGIC = 0x3055_5452 + (CODE_FORMAT << 24)
/** Words of the head, in this order. */
const HEAD = [
  ...(['magic', 'checksum', 'key', 'mode', 'offset'] as const),
  ...(['assumptions', 'pages', 'instructions', 'instructionBytes', 'records'] as const),
  ...(['branches', 'targets', 'actions', 'moduleBytes'] as const),
] as const
type Head = Readonly<Record<(typeof HEAD)[number], number>>
/** Number of leading words that the checksum does not cover, of which one is the checksum. */
const UNCHECKED = 2

const ACTIONS: readonly MissAction[] = ['count', 'fill', 'call', 'leave']
const ASSUMPTION_WORDS = 4
const BRANCH_WORDS = 4
const ACTION_WORDS = 2
/** An instruction of any instruction set has fewer bytes. */
const LONGEST_INSTRUCTION = 16
/** Most bytes of a processor's state. */
const MOST_STATE_BYTES = 1 << 16
/** WebAssembly's first bytes, and its version (core specification 5.5.16). */
const WASM_HEAD = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]

/** Compiled code from a store. */
export interface KeptCode {
  readonly source: CodeSource
  /** The module in the binary format. */
  readonly module: Uint8Array<ArrayBuffer>
}

/** Returns a checksum that changes with any single word. */
function checksumOf(words: Int32Array): number {
  let sum = 0x811c_9dc5
  for (let i = 0; i < words.length; i++) {
    sum = Math.imul(sum ^ words[i]!, 0x0100_0193)
    // High bits would never reach low ones. Nothing is lost: an exclusive or with a shift can be undone.
    sum ^= sum >>> 15
  }
  return sum
}

// A damaged count may be larger than a shift takes.
const wordsOf = (bytes: number): number => Math.ceil(bytes / 4)

/** All words before the bytes of instructions and module. */
function wordsBefore(head: Head): number {
  return (
    HEAD.length +
    head.assumptions * ASSUMPTION_WORDS +
    head.pages +
    2 * head.instructions +
    head.records +
    head.branches * BRANCH_WORDS +
    head.targets +
    head.actions * ACTION_WORDS
  )
}

const wordsIn = (head: Head): number => wordsBefore(head) + wordsOf(head.instructionBytes) + wordsOf(head.moduleBytes)

/** Encodes compiled code as words of 32 bits, little-endian, and a checksum. */
export function encodeCode(source: CodeSource, module: Uint8Array): Uint8Array {
  const { instructions, assumptions, branches, actions } = source
  const head: Head = {
    magic: MAGIC,
    checksum: 0,
    key: source.key,
    mode: source.mode,
    offset: source.offset,
    assumptions: assumptions.length,
    pages: source.deltas.length,
    instructions: instructions.at.length,
    instructionBytes: instructions.bytes.length,
    records: source.recordPositions.length,
    branches: branches.length,
    targets: branches.reduce((count, { targets }) => count + targets.length, 0),
    actions: actions.size,
    moduleBytes: module.length,
  }
  const words = new Int32Array(wordsIn(head))
  const bytes = new Uint8Array(words.buffer)
  let to = 0
  const put = (...values: readonly number[]): void => {
    for (const value of values) words[to++] = value
  }
  for (const name of HEAD) put(head[name])
  for (const { offset, bytes: size, value } of assumptions)
    put(offset, size, Number(value & 0xffff_ffffn), Number(value >> 32n))
  put(...source.deltas)
  words.set(instructions.at, to)
  to += head.instructions
  for (let i = 0; i < head.instructions; i++) put(instructions.from[i + 1]! - instructions.from[i]!)
  put(...source.recordPositions)
  for (const { at, delta, isReturn, targets } of branches) put(at, delta, isReturn ? 1 : 0, targets.length)
  for (const { targets } of branches) put(...targets)
  for (const [at, action] of actions) put(at, ACTIONS.indexOf(action))
  bytes.set(instructions.bytes, to * 4)
  bytes.set(module, (to + wordsOf(head.instructionBytes)) * 4)
  return sealCode(bytes)
}

/** Writes the checksum of encoded code. */
export function sealCode(code: Uint8Array): Uint8Array {
  const words = new Int32Array(code.buffer, code.byteOffset, code.length >>> 2)
  words[HEAD.indexOf('checksum')] = checksumOf(words.subarray(UNCHECKED))
  return code
}

/**
 * Decodes the result of {@link encodeCode}.
 *
 * @returns undefined for invalid bytes: all returned lengths and positions have been checked, but not the module.
 */
export function decodeCode(code: Uint8Array): KeptCode | undefined {
  if (code.length % 4 !== 0 || code.length < HEAD.length * 4) return undefined
  const { buffer, byteOffset } = code.byteOffset % 4 === 0 ? code : code.slice()
  const words = new Int32Array(buffer, byteOffset, code.length >>> 2)
  const head = Object.fromEntries(HEAD.map((name, i) => [name, words[i]! >>> 0])) as Head
  if (head.magic !== MAGIC || words.length !== wordsIn(head)) return undefined
  if (head.checksum !== checksumOf(words.subarray(UNCHECKED)) >>> 0) return undefined
  return new Decoder(head, words).decode()
}

class Decoder {
  readonly #head: Head
  readonly #words: Int32Array
  #from = HEAD.length

  constructor(head: Head, words: Int32Array) {
    this.#head = head
    this.#words = words
  }

  #take(count: number): Int32Array {
    return this.#words.subarray(this.#from, (this.#from += count))
  }

  /** Groups of this many words. */
  #groups(count: number, size: number): Int32Array[] {
    return Array.from({ length: count }, () => this.#take(size))
  }

  #takeBytes(count: number): Uint8Array<ArrayBuffer> {
    const from = this.#from * 4
    this.#from += wordsOf(count)
    const { buffer, byteOffset } = this.#words
    return new Uint8Array(buffer as ArrayBuffer, byteOffset + from, count)
  }

  decode(): KeptCode | undefined {
    const { key, mode, offset, ...head } = this.#head
    if (offset >= PAGE_BYTES || head.pages === 0 || head.instructions === 0) return undefined
    const assumptions = this.#groups(head.assumptions, ASSUMPTION_WORDS).map(assumptionOf)
    const deltas = [...this.#take(head.pages)]
    const at = this.#take(head.instructions).slice()
    const lengths = this.#take(head.instructions)
    const recordPositions = [...this.#take(head.records)]
    const branches = this.#branches()
    const actions = this.#groups(head.actions, ACTION_WORDS)
    const bytes = this.#takeBytes(head.instructionBytes).slice()
    const module = this.#takeBytes(head.moduleBytes)
    const from = fromLengths(lengths, bytes.length)
    const positions = new Set(at)
    const pages = new Set(deltas)
    const isRight =
      assumptions.every((assumption) => assumption !== undefined) &&
      arePages(deltas) &&
      from !== undefined &&
      at.every((position, i) => isIn(pages, position, lengths[i]!) && (i === 0 || position > at[i - 1]!)) &&
      positions.has(offset) &&
      recordPositions.every((position) => positions.has(position)) &&
      branches?.every((branch) => recordPositions.includes(branch.at) && pages.has(branch.delta)) === true &&
      actions.every(([position, action]) => positions.has(position!) && ACTIONS[action!] !== undefined) &&
      WASM_HEAD.every((byte, i) => module[i] === byte)
    if (!isRight) return undefined
    const source: CodeSource = {
      ...{ key, mode, offset, deltas, recordPositions, branches },
      assumptions: assumptions as StateAssumption[],
      instructions: { at, from, bytes },
      actions: new Map(actions.map(([position, action]) => [position!, ACTIONS[action!]!])),
    }
    return { source, module }
  }

  #branches(): CodeBranch[] | undefined {
    const branches = this.#groups(this.#head.branches, BRANCH_WORDS)
    const all = [...this.#take(this.#head.targets)]
    let next = 0
    const found = branches.map(([at, delta, isReturn, count]) => {
      const targets = all.slice(next, next + (count! >>> 0))
      next += count! >>> 0
      return { at: at!, delta: delta!, isReturn: isReturn !== 0, targets }
    })
    return next === all.length ? found : undefined
  }
}

function assumptionOf([offset, bytes, lo, hi]: Int32Array): StateAssumption | undefined {
  const isField =
    offset! >= 0 && offset! < MOST_STATE_BYTES && (bytes === 1 || bytes === 2 || bytes === 4 || bytes === 8)
  const value = (BigInt(hi! >>> 0) << 32n) | BigInt(lo! >>> 0)
  return isField ? { offset: offset!, bytes, value } : undefined
}

/** Returns offsets of instructions from their lengths; undefined if the lengths do not match the size. */
function fromLengths(lengths: Int32Array, size: number): Uint32Array | undefined {
  const from = new Uint32Array(lengths.length + 1)
  for (let i = 0; i < lengths.length; i++) {
    if (lengths[i]! < 1 || lengths[i]! >= LONGEST_INSTRUCTION) return undefined
    from[i + 1] = from[i]! + lengths[i]!
  }
  return from.at(-1) === size ? from : undefined
}

/** Whether numbers are valid distances of pages from the first page. */
function arePages(deltas: readonly number[]): boolean {
  return deltas[0] === 0 && deltas.every((delta) => delta % PAGE_BYTES === 0) && new Set(deltas).size === deltas.length
}

/** Whether all bytes of an instruction lie in some pages. */
function isIn(pages: ReadonlySet<number>, at: number, length: number): boolean {
  return pages.has(at & -PAGE_BYTES) && pages.has((at + length - 1) & -PAGE_BYTES)
}
