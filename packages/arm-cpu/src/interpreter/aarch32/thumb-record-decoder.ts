import { findThumb, isWideThumb, type Form as Row } from '@retrap/arm-decoder'
import { OP_SYSTEM, R_FUNCTION, R_LENGTH, R_OP, type FormCode } from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import { HOST_EXECUTED, HOST_UNDEFINED, R_IMMEDIATE, R_SMALL, R_WORD } from '../../state/record.ts'
import { a32SelectorsOf, a32Sources } from '../../semantics/aarch32/forms.ts'
import type { A32RecordDecoder } from './record-decoder.ts'
import { thumbPlanOf, type ThumbPlan } from './thumb-plan.ts'

const ALWAYS = 14

/** How to execute one row's instructions. */
interface Decoding {
  readonly plan: ThumbPlan
  readonly selectors: readonly string[]
  /** As A32's. */
  readonly codes: readonly FormCode[]
}

/**
 * The A32 instruction that a coprocessor's or an Advanced SIMD instruction of T32 is; −1 where it is none.
 *
 * Source: Arm ARM (DDI 0487), part F, "T32 instruction set encoding", "Coprocessor, floating-point, and vector instructions".
 */
function vectorWord(word: number): number {
  // Advanced SIMD: 111U1111, and loads and stores of elements and structures.
  if (word >>> 29 === 7 && ((word >>> 24) & 15) === 15)
    return (0xf200_0000 | ((word >>> 4) & 0x100_0000) | (word & 0xff_ffff)) >>> 0
  if ((word & 0xff10_0000) >>> 0 === 0xf900_0000) return (0xf400_0000 | (word & 0xff_ffff)) >>> 0
  // 111x11: the same encodings.
  return (word & 0xec00_0000) >>> 0 === 0xec00_0000 ? word : -1
}

/** Decodes Thumb instructions into records; most are executed by forms of A32. */
export class ThumbRecordDecoder {
  readonly #memory: MachineMemory
  readonly #codes: ReadonlyMap<string, FormCode>
  readonly #a32: A32RecordDecoder
  readonly #narrow: (Decoding | null | undefined)[] = []
  readonly #wide: (Decoding | null | undefined)[] = []
  readonly #put: (field: number, at: number) => void
  #record = 0

  /** @param codes - code of each form, by its key */
  constructor(memory: MachineMemory, codes: ReadonlyMap<string, FormCode>, a32: A32RecordDecoder) {
    this.#memory = memory
    this.#codes = codes
    this.#a32 = a32
    this.#put = (field, at) => {
      memory.u16[(this.#record + field) >>> 1] = at
    }
  }

  /**
   * Writes the record of an instruction, which is zero but for its place.
   *
   * @param first - its first halfword
   * @param second - the second halfword; ignored for 16-bit instructions
   * @param offset - the instruction's offset in the page, plus 1
   * @returns whether control never reaches the next instruction
   */
  decode(first: number, second: number, record: number, offset: number): boolean {
    const { u8, u16, u32 } = this.#memory
    const isWide = isWideThumb(first)
    const word = isWide ? ((first << 16) | second) >>> 0 : first
    u8[record + R_LENGTH] = isWide ? 4 : 2
    u32[(record + R_WORD) >>> 2] = word
    const same = isWide ? vectorWord(word) : -1
    if (same >= 0) {
      const ends = this.#a32.decode(same, record, true)
      u32[(record + R_WORD) >>> 2] = word
      return ends
    }
    const row = findThumb(first, second)
    const decoding = row === undefined ? null : this.#decodingOf(row, isWide)
    if (decoding === null || !decoding.plan.suits(word)) {
      u16[(record + R_OP) >>> 1] = OP_SYSTEM
      u16[(record + R_FUNCTION) >>> 1] = row === undefined ? HOST_UNDEFINED : HOST_EXECUTED
      return true
    }
    const { plan } = decoding
    const { semantics } = plan
    let index = 0
    for (const letter of decoding.selectors) {
      index = (index << plan.row.fields.get(letter)!.width) | plan.selector(letter, word)
    }
    index = index * (semantics.kinds ?? 1) + plan.kind(word)
    const immediate = plan.immediate(word) - (plan.isAligned ? BigInt(1 + ((offset - 1) & 2)) : 0n)
    u32[(record + R_IMMEDIATE) >>> 2] = Number(BigInt.asUintN(32, immediate))
    u32[(record + R_IMMEDIATE + 4) >>> 2] = Number(BigInt.asUintN(32, immediate >> 32n))
    u8[record + R_SMALL] = plan.small(word)
    this.#record = record
    plan.registers(word, this.#put)
    const condition = plan.condition(word)
    // Bits of A32's condition; 111 means always.
    if (condition !== ALWAYS) u32[(record + R_WORD) >>> 2] = (condition << 28) >>> 0
    else if (!isWide) u32[(record + R_WORD) >>> 2] = (0xe000_0000 | word) >>> 0
    const { op, fn } = decoding.codes[index * 2 + 1]!
    u16[(record + R_OP) >>> 1] = op
    u16[(record + R_FUNCTION) >>> 1] = fn
    return false
  }

  #decodingOf(row: Row, isWide: boolean): Decoding | null {
    const all = isWide ? this.#wide : this.#narrow
    const known = all[row.index]
    if (known !== undefined) return known
    const plan = thumbPlanOf(row)
    let decoding: Decoding | null = null
    if (plan !== undefined) {
      const codes: FormCode[] = []
      for (const { index, form } of a32Sources().get(plan.row)!) codes[index] = this.#codes.get(form.key)!
      decoding = { plan, selectors: a32SelectorsOf(plan.row, plan.semantics), codes }
    }
    all[row.index] = decoding
    return decoding
  }
}
