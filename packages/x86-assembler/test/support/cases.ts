// Every form of the table in one mode with random operands, assembled: what other assemblers are asked about.
import { codes } from '@retrap/x86-decoder'
import { Assembler, type Operand } from '../../src/index.ts'
import type { Form } from '../../src/form.ts'
import { formOfCode, formsOf } from '../../src/forms.ts'
import { BRANCH_TARGET, Random, randomOperands } from './random-operands.ts'

/** Each case has so many bytes of address space, from 0x1000 on. */
export const SLOT_BYTES = 32

export interface Case {
  readonly form: Form
  /** CPUID feature of the form. */
  readonly feature: string
  readonly address: number
  readonly operands: readonly Operand[]
  /** No flags are written. */
  readonly noFlags: boolean
  readonly bytes: Uint8Array
}

/** Operands of a kind that the form takes but cannot hold together: refused by both assemblers. */
function assembleAt(
  address: number,
  bits: 16 | 32 | 64,
  form: Form,
  operands: readonly Operand[],
  noFlags: boolean,
): Uint8Array | undefined {
  const asm = new Assembler({ bits, address })
  try {
    if (form.encoding === 'evex') asm.encoding('evex')
    if (noFlags) asm.nf()
    return asm.instruction(form.mnemonic, ...operands).assemble().bytes
  } catch (error) {
    if (/REX prefix|no such form|must differ|cs cannot be loaded|longer than 15 bytes/.test(String(error)))
      return undefined
    throw error
  }
}

/** True where nothing but a hint tells the form from the usual one: RET with a 66 prefix. The round trip has those. */
function needsHint(form: Form, bits: 16 | 32 | 64): boolean {
  const told = form.slots.some(({ kind }) => kind !== 'immediate' && kind !== 'relative')
  return !told && form.sizing[bits] !== 'none' && formsOf(form.mnemonic).some((other) => other.sizing[bits] === 'none')
}

/** `perForm` cases of each form that `wanted` says yes to, and how often the operands did not go together. */
export function casesOf(
  bits: 16 | 32 | 64,
  perForm: number,
  wanted: (form: Form) => boolean = () => true,
  apx = false,
): { cases: Case[]; refused: number } {
  const random = new Random(0x5eed + bits)
  const cases: Case[] = []
  let refused = 0
  for (let code = 1; ; code++) {
    const form = formOfCode(code)
    if (form === undefined) break
    if (form.sizing[bits] === undefined || form.alias) continue
    if (needsHint(form, bits) || !wanted(form)) continue
    for (let index = 0; index < perForm; index++) {
      const address = 0x1000 + cases.length * SLOT_BYTES
      const operands = randomOperands(form, bits, random, apx).map((operand) =>
        operand === BRANCH_TARGET ? address + 64 : operand,
      )
      const noFlags = form.noFlags === 'possible' && random.below(2) === 0
      const bytes = assembleAt(address, bits, form, operands, noFlags)
      if (bytes === undefined) {
        refused++
        continue
      }
      cases.push({ form, feature: codes[code]?.feature ?? '', address, operands, noFlags, bytes })
    }
  }
  return { cases, refused }
}
