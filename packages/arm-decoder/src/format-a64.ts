/** Text of A64 instructions, in the assembler's syntax of the Arm ARM, lower case. */
import { findA64, findA64Alias } from './a64.ts'
import { a64Operand, type Place } from './format-operands.ts'
import { formatLoadStore } from './format-load-store.ts'
import { LoadStore } from './load-store.ts'
import { decodeLoadStoreA64, loadStoreFormsA64 } from './load-store-a64.ts'
import type { Form } from './row.ts'

const access: LoadStore = /*#__PURE__*/ new LoadStore()

/** Rows whose words are known to be instructions, and no more. */
const isNamed = ({ operation }: Form): boolean => operation !== 'scalable' && operation !== 'other'

/** How instructions are written. */
export interface FormatA64Options {
  /** Address of the instruction, for the targets of branches and literals; `0n` unless given. */
  readonly address?: bigint
  /** A name for a target; its address in hexadecimal is written where there is none. */
  readonly symbols?: (address: bigint) => string | undefined
}

/**
 * Text of an A64 instruction as people write it: with the name that the manual prefers (`cmp` for a `subs` that has no
 * result), registers and immediates in decimal, addresses and bit masks in hexadecimal.
 *
 * @param word - the instruction
 * @returns undefined where no instruction is allocated, and for those of SVE and SME
 *
 * Source: Arm ARM (DDI 0487), "A64 Base Instruction Descriptions".
 */
export function formatA64(word: number, options: FormatA64Options = {}): string | undefined {
  const form = findA64(word)
  if (form === undefined || !isNamed(form)) return undefined
  const { address = 0n, symbols } = options
  const place: Place = {
    address,
    target(any) {
      const at = BigInt.asUintN(64, any)
      return symbols?.(at) ?? `0x${at.toString(16)}`
    },
  }
  if (form.index >= loadStoreFormsA64.length) return text(findA64Alias(word) ?? form, word, place)
  decodeLoadStoreA64(word, access)
  return formatLoadStore(access).replace(/\.([-+]\d+)$/, (_match, distance: string) =>
    place.target(address + BigInt(distance)),
  )
}

/** A row's mnemonic and operands with their placeholders put in. */
function text(form: Form, word: number, place: Place): string {
  const put = (_match: string, name: string): string => a64Operand(form, name, word, place)
  const mnemonic = form.mnemonic.toLowerCase().replaceAll(/<([^>]*)>/g, put)
  // `<#8<<z>` has a bracket inside.
  const operands = form.operands.replaceAll(/<((?:[^<>]|<<)*)>/g, put)
  // SYS and HINT: the operand is all, `nop`. CLREX and ISB: there may be none.
  return mnemonic === '.' ? operands : `${mnemonic} ${operands}`.trimEnd()
}
