import { findA64, isWideThumb, type Form as Row } from '@retrap/arm-decoder'
import {
  OP_SYSTEM,
  RECORD_BYTES,
  R_FUNCTION,
  R_LENGTH,
  R_OFFSET,
  R_OP,
  type FormCode,
  type RecordDecoder,
} from '@retrap/engine'
import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { A32RecordDecoder } from './aarch32/record-decoder.ts'
import { ThumbRecordDecoder } from './aarch32/thumb-record-decoder.ts'
import { fieldOf } from '../state/form.ts'
import { selectorsOf, type Semantics } from '../semantics/semantics.ts'
import { armForms, semanticsOf } from '../semantics/index.ts'
import * as R from '../state/record.ts'
import { MODE_A32, MODE_NO_FP, S_SINK, S_SP, S_V, S_X, S_ZERO } from '../state/state-layout.ts'

/** A register operand: its letter, the record's field, and the address of its register file. */
interface Operand {
  readonly letter: string
  readonly field: number
  readonly at: (register: number, word: number) => number
}

const general = (register: number): number => (register === 31 ? S_ZERO : S_X + 8 * register)
const generalTarget = (register: number): number => (register === 31 ? S_SINK : S_X + 8 * register)
const generalOrStack = (register: number): number => (register === 31 ? S_SP : S_X + 8 * register)
const vector = (register: number): number => S_V + 16 * register

/** Register files, by the text before the letter of the number in operands; all others are general registers. */
const FILES: ReadonlyMap<string, Operand['at']> = new Map([
  ...['WS', 'XS', 'RS'].map((name) => [name, generalOrStack] as const),
  ...['V', 'Y', 'F', 'B', 'H', 'S', 'D', 'Q'].map((name) => [name, vector] as const),
])

/** Fields of records by the letters of encodings. */
const FIELDS: Readonly<Record<string, number>> = {
  d: R.R_D,
  t: R.R_D,
  n: R.R_N,
  m: R.R_M,
  s: R.R_M,
  a: R.R_A,
  u: R.R_A,
}

/** How to execute one row's instructions. */
interface Decoding {
  readonly semantics: Semantics
  readonly operands: readonly Operand[]
  readonly selectors: readonly string[]
  /** By the selectors' values and the variant. */
  readonly codes: readonly FormCode[]
  readonly variants: number
}

/** Whether a row writes the register of a letter, so that register 31 is written to nowhere. */
const isWritten = (letter: string, { mnemonic, operation }: Row): boolean =>
  letter === 'd' ||
  (letter === 't' && mnemonic === 'MRS') ||
  (letter === 's' && operation === 'store-exclusive') ||
  ((letter === 't' || letter === 'u') && (operation.startsWith('load') || operation === 'atomic'))

/** The registers that an encoding names, from the text of its operands. */
function operandsOf(row: Row): Operand[] {
  const operands: Operand[] = []
  for (const [, name = '', letter = ''] of row.operands.matchAll(/<([A-Z]+)\+?([dnmastu])[^>]*>/g)) {
    if (!row.fields.has(letter) || operands.some((each) => each.letter === letter)) continue
    const at = FILES.get(name) ?? (isWritten(letter, row) ? generalTarget : general)
    operands.push({ letter, field: FIELDS[letter]!, at })
  }
  // An index or an extended operand is written by its own rules; a list names its first register by none.
  if (row.fields.has('m') && !operands.some(({ letter }) => letter === 'm')) {
    operands.push({ letter: 'm', field: R.R_M, at: general })
  }
  if (row.operands.includes('<address>')) operands.push({ letter: 'n', field: R.R_N, at: generalOrStack })
  if (row.operation === 'table') operands.push({ letter: 'n', field: R.R_N, at: vector })
  if (row.registers !== 0) operands.push({ letter: 't', field: R.R_D, at: vector })
  return [...operands, ...moreOperandsOf(row)]
}

/**
 * A hint's pointer and its modifier: X17 and X16 where CRm is 1, else X30 and the stack pointer.
 *
 * Source: Arm ARM (DDI 0487) C6.2, "PACIA, PACIA1716, PACIASP, PACIAZ, PACIZA".
 */
const HINT_OPERANDS: readonly Operand[] = [
  { letter: 'y', field: R.R_D, at: (crm) => general(crm === 1 ? 17 : 30) },
  { letter: 'y', field: R.R_M, at: (crm) => (crm === 1 ? general(16) : S_SP) },
]

/** Returns implicit registers of an encoding, and second places of registers that are both read and written. */
function moreOperandsOf({ mnemonic, operation, attributes, registers }: Row): Operand[] {
  const operands: Operand[] = []
  const next =
    (at: (register: number) => number, distance: number) =>
    (register: number): number =>
      at((register + distance) & 31)
  for (let i = 1; i < registers; i++) {
    operands.push({ letter: 't', field: R.R_MORE + 2 * (i - 1), at: next(vector, i) })
  }
  if (operation === 'compare-and-swap') operands.push({ letter: 's', field: R.R_A, at: generalTarget })
  if (operation === 'hint') operands.push(...HINT_OPERANDS)
  // These exchange the stack pointer, which units must not keep.
  if (operation === 'exception' || operation === 'exception-return') {
    operands.push({ letter: 'i', field: R.R_N, at: () => S_SP })
  }
  if (mnemonic === 'RETAA' || mnemonic === 'RETAB') {
    operands.push({ letter: 'n', field: R.R_N, at: () => general(30) }, { letter: 'm', field: R.R_M, at: () => S_SP })
  }
  if (attributes.has('couple')) {
    operands.push(
      { letter: 's', field: R.R_MORE, at: next(general, 1) },
      { letter: 's', field: R.R_MORE + 2, at: next(generalTarget, 1) },
      { letter: 't', field: R.R_MORE + 4, at: next(general, 1) },
    )
  }
  return operands
}

/** Whether it is one of SIMD and floating point, loads and stores of their registers included: op0 is x1x0 or x111, and bit 26. */
const isFp = (word: number): boolean => (word & 0x0c00_0000) === 0x0c00_0000

/**
 * Number of records cached by instruction word, for A64 without branches: about two thirds of a kernel boot's decoding
 * repeats earlier words.
 */
const REMEMBERED = 1 << 15
const HASH_SHIFT = 32 - 15
/** 2^32 divided by the golden ratio, whose multiples are spread evenly. */
const GOLDEN = 0x9e37_79b9
const RECORD_WORDS = RECORD_BYTES >>> 2
const WORD_AT = R.R_WORD >>> 2
/** Position of R_OFFSET in the word of R_OP. Records that are kept have flags there: whether the record ends a run, and {@link VALID}. */
const OFFSET_SHIFT = 16
const ENDS_RUN = 1 << OFFSET_SHIFT
const VALID = 2 << OFFSET_SHIFT
const OP_BITS = 0xffff

/** Decodes A64, A32 and Thumb instructions into records. One object serves all processors of a machine. */
export class ArmRecordDecoder implements RecordDecoder {
  readonly modes = 4
  readonly longestBytes = 4
  readonly extentBytes = 4
  /** Thumb's instructions have their offset and 1, as the program counter has their address and 1. */
  readonly tag = 1
  endsRun = false
  isFarBranch = false
  readonly #memory: MachineMemory
  readonly #codes: ReadonlyMap<string, FormCode>
  readonly #a32: A32RecordDecoder
  readonly #thumb: ThumbRecordDecoder
  readonly #decodings: (Decoding | null | undefined)[] = []
  readonly #remembered = new Uint32Array(REMEMBERED * RECORD_WORDS)

  /** @param codes - code of each form, by its key */
  constructor(memory: MachineMemory, codes: ReadonlyMap<string, FormCode>) {
    this.#memory = memory
    this.#codes = codes
    this.#a32 = new A32RecordDecoder(memory, codes)
    this.#thumb = new ThumbRecordDecoder(memory, codes, this.#a32)
  }

  decode(bytes: Uint8Array, start: number, end: number, mode: number, record: number, offset: number): number {
    this.#a32.trapsFp = (mode & MODE_NO_FP) !== 0
    if ((start & 1) !== 0) return this.#decodeThumb(bytes, start - 1, end, record, offset)
    if (start + 4 > end) return 0
    const word =
      (bytes[start]! | (bytes[start + 1]! << 8) | (bytes[start + 2]! << 16) | (bytes[start + 3]! << 24)) >>> 0
    this.isFarBranch = false
    if (mode !== 0) {
      this.#decode(word, mode, record, offset)
      return 4
    }
    const { u16, u32 } = this.#memory
    const known = this.#remembered
    const from = (Math.imul(word, GOLDEN) >>> HASH_SHIFT) * RECORD_WORDS
    const to = record >>> 2
    if (known[from + WORD_AT] === word && (known[from]! & VALID) !== 0) {
      for (let i = 0; i < RECORD_WORDS; i++) u32[to + i] = known[from + i]!
      u16[(record + R_OFFSET) >>> 1] = offset
      this.endsRun = (known[from]! & ENDS_RUN) !== 0
    } else if (this.#decode(word, mode, record, offset)) {
      for (let i = 0; i < RECORD_WORDS; i++) known[from + i] = u32[to + i]!
      known[from] = (u32[to]! & OP_BITS) | VALID | (this.endsRun ? ENDS_RUN : 0)
    }
    return 4
  }

  /** @returns whether the record is the same at other offsets, apart from the offset itself */
  #decode(word: number, mode: number, record: number, offset: number): boolean {
    const { u8, u16, u32 } = this.#memory
    u32.fill(0, record >>> 2, (record + RECORD_BYTES) >>> 2)
    u16[(record + R_OFFSET) >>> 1] = offset
    u8[record + R_LENGTH] = 4
    u32[(record + R.R_WORD) >>> 2] = word
    if ((mode & MODE_A32) !== 0) {
      this.endsRun = this.#a32.decode(word, record)
      return false
    }
    const row = findA64(word)
    const trapsFp = (mode & MODE_NO_FP) !== 0 && isFp(word)
    const decoding = row === undefined || trapsFp ? null : this.#decodingOf(row)
    this.endsRun = decoding === null || decoding.semantics.ends === true
    if (row === undefined || decoding === null || decoding.semantics.suits?.(row, word) === false) {
      u16[(record + R_OP) >>> 1] = OP_SYSTEM
      u16[(record + R_FUNCTION) >>> 1] = row === undefined ? R.HOST_UNDEFINED : trapsFp ? R.HOST_FP : R.HOST_EXECUTED
      return true
    }
    const { semantics } = decoding
    u8[record + R.R_SMALL] = semantics.small?.(row, word) ?? 0
    let immediate = semantics.immediate?.(row, word) ?? 0n
    let index = 0
    for (const letter of decoding.selectors) {
      index = (index << row.fields.get(letter)!.width) | fieldOf(row, letter, word)
    }
    index *= decoding.variants
    if (semantics.branches === true) {
      const target = Number(immediate) + offset
      const inPage = target >= 0 && target < PAGE_BYTES
      index += inPage ? (target > offset ? 0 : 1) : 2
      this.isFarBranch = !inPage
      immediate = BigInt(inPage ? target << 2 : target)
    } else if (semantics.usesStack === true && fieldOf(row, 'n', word) === 31) index++
    const { op, fn } = decoding.codes[index]!
    u16[(record + R_OP) >>> 1] = op
    u16[(record + R_FUNCTION) >>> 1] = fn
    u32[(record + R.R_IMMEDIATE) >>> 2] = Number(BigInt.asUintN(32, immediate))
    u32[(record + R.R_IMMEDIATE + 4) >>> 2] = Number(BigInt.asUintN(32, immediate >> 32n))
    // After the immediate: some lie in its place.
    for (const { letter, field, at } of decoding.operands) {
      u16[(record + field) >>> 1] = at(fieldOf(row, letter, word), word)
    }
    return semantics.branches !== true
  }

  #decodeThumb(bytes: Uint8Array, start: number, end: number, record: number, offset: number): number {
    const { u8, u16, u32 } = this.#memory
    const half = (at: number): number => bytes[at]! | (bytes[at + 1]! << 8)
    const first = half(start)
    const isWide = isWideThumb(first)
    if (start + (isWide ? 4 : 2) > end) return 0
    u32.fill(0, record >>> 2, (record + RECORD_BYTES) >>> 2)
    u16[(record + R_OFFSET) >>> 1] = offset
    this.endsRun = this.#thumb.decode(first, isWide ? half(start + 2) : 0, record, offset)
    return u8[record + R_LENGTH]!
  }

  #decodingOf(row: Row): Decoding | null {
    const known = this.#decodings[row.index]
    if (known !== undefined) return known
    const semantics = semanticsOf(row)
    let decoding: Decoding | null = null
    if (semantics !== undefined) {
      const selectors = selectorsOf(row, semantics)
      const forms = armForms().get(row.index)!
      const codes: FormCode[] = []
      for (const { index, form } of forms) codes[index] = this.#codes.get(form.key)!
      const variants = semantics.branches === true ? 3 : semantics.usesStack === true ? 2 : 1
      decoding = { semantics, operands: operandsOf(row), selectors, codes, variants }
    }
    this.#decodings[row.index] = decoding
    return decoding
  }
}
