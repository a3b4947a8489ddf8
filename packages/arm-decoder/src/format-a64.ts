/** Text of A64 instructions, in the assembler's syntax of the Arm ARM, lower case. */
import { findA64, findA64Alias } from './a64.ts'
import { formatLoadStoreA64 } from './format-load-store-a64.ts'
import { a64Operand, type Place } from './format-operands.ts'
import { LoadStore, InstructionSet } from './load-store.ts'
import { fillLoadStoreA64, isLoadStoreA64 } from './load-store-a64.ts'
import { type Form, Templates } from './row.ts'
import { formatLoadStoreA32 } from './format-load-store-a32.ts'

const access: LoadStore = /*#__PURE__*/ new LoadStore()
const templates = /*#__PURE__*/ new Templates(a64Operand)

/** Rows whose words are known to be instructions, and no more. */
const isNamed = ({ operation }: Form): boolean => operation !== 'scalable' && operation !== 'other'

/** Options for formatting instructions. */
export interface FormatA64Options {
  /** Address of the instruction, for the targets of branches and literals; `0n` unless given. */
  readonly address?: bigint
  /** Returns a name for a target; otherwise its address is shown in hexadecimal. */
  readonly symbols?: (address: bigint) => string | undefined
}

/**
 * Text of an A64 instruction as people write it: with the name that the manual prefers (`cmp` for a `subs` that has no
 * result), registers and immediates in decimal, addresses and bit masks in hexadecimal.
 *
 * @param word - the instruction
 * @returns undefined for unallocated instructions, SVE and SME
 *
 * Source: Arm ARM (DDI 0487), "A64 Base Instruction Descriptions".
 */
export function formatA64(word: number, options: FormatA64Options = {}): string | undefined {
  const form = findA64(word)
  if (form === undefined || !isNamed(form)) return undefined
  const { address = 0n, symbols } = options
  const target = (any: bigint): string => {
    const at = BigInt.asUintN(64, any)
    return symbols?.(at) ?? `0x${at.toString(16)}`
  }
  if (isLoadStoreA64(form)) {
    fillLoadStoreA64(form, word, access)
    return formatLoadStoreA64(access, (offset) => target(address + BigInt(offset)))
  }
  const named = findA64Alias(word) ?? form
  const place: Place = { address, target }
  let text = ''
  for (const part of templates.of(named)) text += typeof part === 'string' ? part : part(named, word, place)
  // CLREX and ISB: there may be no operand.
  return text.trimEnd()
}

const relative = (offset: number): string => `.${offset < 0 ? '' : '+'}${offset}`

/**
 * Text of a decoded instruction, in the syntax of the Arm ARM: `ldp x0, x1, [sp, #16]`. A64's labels are relative:
 * `ldr x0, .+8`.
 *
 * @param insn - after a successful decode
 */
export function formatLoadStore(insn: LoadStore): string {
  return insn.set === InstructionSet.A64 ? formatLoadStoreA64(insn, relative) : formatLoadStoreA32(insn)
}
