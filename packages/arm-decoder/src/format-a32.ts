/** Text of A32 and Thumb instructions, in the unified assembler language of the Arm ARM, lower case. */
import { findA32, findThumb } from './aarch32.ts'
import { CONDITIONS_A32, type PlaceA32 } from './format-aarch32-operands.ts'
import type { FormatA64Options } from './format-a64.ts'
import { vectorOperandA32 } from './format-aarch32-vectors.ts'
import { formatLoadStoreA32 } from './format-load-store-a32.ts'
import { conditionOf } from './conditions.ts'
import { Addressing, InstructionSet, LoadStore } from './load-store.ts'
import { fillLoadStoreA32, isLoadStoreA32, isWideThumb } from './load-store-a32.ts'
import { type Form, Templates } from './row.ts'

const SP = 13

const access: LoadStore = /*#__PURE__*/ new LoadStore()
const templates = /*#__PURE__*/ new Templates(vectorOperandA32)

/** Options for formatting A32 instructions. */
export type FormatA32Options = FormatA64Options

/** Options for formatting Thumb instructions. */
export interface FormatThumbOptions extends FormatA32Options {
  /** ITSTATE of the instruction; default 0, outside an IT block. `advanceIfThen` updates it. */
  readonly ifThen?: number
}

/** Names that stand for transfers of several registers with the stack pointer as base, which is written back. */
const STACK_NAMES: readonly (readonly [string, string])[] = [
  ['stmdb', 'push'],
  ['ldm', 'pop'],
  ['vstmdb', 'vpush'],
  ['vldmia', 'vpop'],
]

const CONDITION = /*#__PURE__*/ CONDITIONS_A32.join('|')

/** T32 forms of what T16 has too: offsets of 12 bits and registers, and transfers of several with increasing addresses. */
const isWidened = ({ form, set }: LoadStore): boolean =>
  set === InstructionSet.T32 &&
  (form.attributes.has('multiple')
    ? !form.attributes.has('down')
    : form.operation !== 'prefetch' && (form.fields.get('i')?.width === 12 || form.attributes.has('shifted')))

/** Text of a load or store, by the name that people know it by. */
function accessText(insn: LoadStore): string {
  const text = formatLoadStoreA32(insn)
  const { set, form, rn, addressing, vector, elements } = insn
  const onStack = rn === SP && addressing === Addressing.PRE_INDEX && !form.attributes.has('return')
  if (onStack && !form.attributes.has('user') && (vector ? form.attributes.has('vectors') : elements > 1)) {
    for (const [long, short] of STACK_NAMES) {
      const match = new RegExp(`^${long}(${CONDITION}) sp!, `).exec(text)
      if (match === null) continue
      return `${short}${match[1]}${set === InstructionSet.T32 && !vector ? '.w' : ''} ${text.slice(match[0].length)}`
    }
  }
  return isWidened(insn) ? text.replace(' ', '.w ') : text
}

function format(
  form: Form,
  set: InstructionSet,
  word: number,
  { address = 0n, symbols, ifThen = 0 }: FormatThumbOptions,
): string {
  const condition = conditionOf(ifThen)
  if (isLoadStoreA32(form)) {
    fillLoadStoreA32(set, form, word, access)
    if (set !== InstructionSet.A32) access.condition = condition
    return accessText(access)
  }
  const place: PlaceA32 = {
    address,
    condition,
    isInBlock: ifThen !== 0,
    isThumb: set !== InstructionSet.A32,
    target(any) {
      const at = BigInt.asUintN(32, any)
      return symbols?.(at) ?? `0x${at.toString(16)}`
    },
  }
  let text = ''
  for (const part of templates.of(form)) text += typeof part === 'string' ? part : part(form, word, place)
  return text.trimEnd()
}

/**
 * Text of an A32 instruction.
 *
 * @param word - the instruction
 * @returns undefined for an unallocated instruction
 */
export function formatA32(word: number, options: FormatA32Options = {}): string | undefined {
  const form = findA32(word)
  return form === undefined ? undefined : format(form, InstructionSet.A32, word, { ...options, ifThen: 0 })
}

/**
 * Formats a Thumb instruction. Conditions of an IT block appear in the mnemonic: `addeq r0, r0, r1`.
 *
 * @param first - its first halfword
 * @param second - the second halfword; used only if `isWideThumb(first)`
 * @returns undefined for an unallocated instruction
 */
export function formatThumb(first: number, second: number, options: FormatThumbOptions = {}): string | undefined {
  const form = findThumb(first, second)
  if (form === undefined) return undefined
  if (!isWideThumb(first)) return format(form, InstructionSet.T16, first, options)
  return format(form, InstructionSet.T32, ((first << 16) | second) >>> 0, options)
}
