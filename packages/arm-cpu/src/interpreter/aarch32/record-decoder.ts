import { findA32, type Form as Row } from '@retrap/arm-decoder'
import { OP_SYSTEM, R_FUNCTION, R_OP, type FormCode } from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import { fieldOf } from '../../state/form.ts'
import * as R from '../../state/record.ts'
import { S_LITERAL, S_R15, S_X } from '../../state/state-layout.ts'
import { a32SelectorsOf, a32SemanticsOf, a32Sources } from '../../semantics/aarch32/forms.ts'
import type { A32Semantics } from '../../semantics/aarch32/semantics.ts'
import type { VectorPlan } from '../../semantics/aarch32/vfp-record.ts'

/** Fields of records by the letters of registers; `t` and `d`, `a` and `u` are in no encoding together. */
const FIELDS: readonly (readonly [letter: string, field: number])[] = [
  ['d', R.R_D],
  ['t', R.R_D],
  ['n', R.R_N],
  ['m', R.R_M],
  ['a', R.R_A],
  ['u', R.R_A],
  ['s', R.R_M],
]

const PC = 15
const ALWAYS = 14

/** R0 to R14 are X0 to X14; R15 is a slot with the value that the instruction reads, and may write. */
const register = (number: number): number => (number === PC ? S_R15 : S_X + 8 * number)

/** How to execute one row's instructions. */
interface Decoding {
  readonly semantics: A32Semantics
  readonly selectors: readonly string[]
  readonly operands: readonly (readonly [letter: string, field: number])[]
  readonly isCouple: boolean
  /** By the selectors' values, the kind, and whether the instruction is general. */
  readonly codes: readonly FormCode[]
}

/** Decodes A32 instructions into records. */
export class A32RecordDecoder {
  /** Instructions of VFP and Advanced SIMD are trapped. */
  trapsFp = false
  readonly #memory: MachineMemory
  readonly #codes: ReadonlyMap<string, FormCode>
  readonly #decodings: (Decoding | null | undefined)[] = []

  /** @param codes - code of each form, by its key */
  constructor(memory: MachineMemory, codes: ReadonlyMap<string, FormCode>) {
    this.#memory = memory
    this.#codes = codes
  }

  /**
   * Writes the record of an instruction, which is zero but for its length, its place and the word.
   *
   * @param isThumb - whether it came from an equivalent T32 instruction, conditional by IT
   * @returns whether control never reaches the next instruction
   */
  decode(word: number, record: number, isThumb = false): boolean {
    const { u8, u16, u32 } = this.#memory
    const row = findA32(word)
    const decoding = row === undefined ? null : this.#decodingOf(row)
    if (row === undefined || decoding === null || decoding.semantics.suits?.(row, word) === false) {
      u16[(record + R_OP) >>> 1] = OP_SYSTEM
      u16[(record + R_FUNCTION) >>> 1] = row === undefined ? R.HOST_UNDEFINED : R.HOST_EXECUTED
      return true
    }
    const { semantics } = decoding
    if (semantics.plan !== undefined) {
      const plan = this.trapsFp ? undefined : semantics.plan(word)
      if (plan !== undefined) this.#writePlan(plan, row, word, record, decoding.codes, isThumb)
      else {
        u16[(record + R_OP) >>> 1] = OP_SYSTEM
        u16[(record + R_FUNCTION) >>> 1] = this.trapsFp ? R.HOST_FP : R.HOST_EXECUTED
      }
      return plan === undefined
    }
    const immediate = semantics.immediate?.(row, word) ?? 0n
    let index = 0
    for (const letter of decoding.selectors) {
      index = (index << row.fields.get(letter)!.width) | fieldOf(row, letter, word)
    }
    index = index * (semantics.kinds ?? 1) + (semantics.kindOf?.(row, word) ?? 0)
    const condition = row.fields.has('c') ? fieldOf(row, 'c', word) : ALWAYS
    let isGeneral = isThumb || condition !== ALWAYS || semantics.namesPc?.(word) === true
    u32[(record + R.R_IMMEDIATE) >>> 2] = Number(BigInt.asUintN(32, immediate))
    u32[(record + R.R_IMMEDIATE + 4) >>> 2] = Number(BigInt.asUintN(32, immediate >> 32n))
    u8[record + R.R_SMALL] = semantics.small?.(row, word) ?? 0
    for (const [letter, field] of decoding.operands) {
      const number = fieldOf(row, letter, word)
      u16[(record + field) >>> 1] = isThumb && letter === 'n' && number === PC ? S_LITERAL : register(number)
      isGeneral ||= number === PC
    }
    if (decoding.isCouple) u16[(record + R.R_A) >>> 1] = register(fieldOf(row, 't', word) + 1)
    const { op, fn } = decoding.codes[index * 2 + (isGeneral ? 1 : 0)]!
    u16[(record + R_OP) >>> 1] = op
    u16[(record + R_FUNCTION) >>> 1] = fn
    return false
  }

  /** Writes the record of an instruction that a form of A64 computes. */
  #writePlan(
    plan: VectorPlan,
    row: Row,
    word: number,
    record: number,
    codes: readonly FormCode[],
    isThumb: boolean,
  ): void {
    const { u8, u16, u32 } = this.#memory
    const isConditional = row.fields.has('c') && fieldOf(row, 'c', word) !== ALWAYS
    const { op, fn } = codes[plan.frame * 2 + (isThumb || isConditional || plan.readsPc === true ? 1 : 0)]!
    u16[(record + R_OP) >>> 1] = op
    u16[(record + R_FUNCTION) >>> 1] = fn
    u16[(record + R.R_FORM) >>> 1] = this.#codes.get(plan.key)!.fn
    u8[record + R.R_SMALL] = plan.small
    u16[(record + R.R_D) >>> 1] = plan.d
    u16[(record + R.R_N) >>> 1] = isThumb && plan.n === S_R15 ? S_LITERAL : plan.n
    u16[(record + R.R_M) >>> 1] = plan.m
    u16[(record + R.R_A) >>> 1] = plan.a
    u32[(record + R.R_IMMEDIATE) >>> 2] = Number(BigInt.asUintN(32, plan.immediate))
    u32[(record + R.R_IMMEDIATE + 4) >>> 2] = Number(BigInt.asUintN(32, plan.immediate >> 32n))
    for (const [i, register] of plan.more?.entries() ?? []) u16[(record + R.R_MORE + 2 * i) >>> 1] = register
  }

  #decodingOf(row: Row): Decoding | null {
    const known = this.#decodings[row.index]
    if (known !== undefined) return known
    const semantics = a32SemanticsOf(row)
    let decoding: Decoding | null = null
    if (semantics !== undefined) {
      const codes: FormCode[] = []
      for (const { index, form } of a32Sources().get(row)!) codes[index] = this.#codes.get(form.key)!
      decoding = {
        semantics,
        selectors: a32SelectorsOf(row, semantics),
        operands: FIELDS.filter(([letter]) => row.fields.get(letter)?.width === 4),
        isCouple: row.attributes.has('couple'),
        codes,
      }
    }
    this.#decodings[row.index] = decoding
    return decoding
  }
}
