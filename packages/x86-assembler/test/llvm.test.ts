// Agreement with LLVM's assembler on EVEX, some of which is newer than GNU as 2.40.
import { expect, describe, test } from 'vitest'
import { casesOf } from './support/cases.ts'
import type { Case } from './support/cases.ts'
import { gasOperand } from './support/gas.ts'
import { assembleWithLlvm, hasLlvm } from './support/llvm.ts'

const CASES_PER_FORM = 4

/** Where LLVM 22 writes something else on purpose. */
const DIFFERENCES: readonly { readonly mnemonics: RegExp; readonly operands?: RegExp; readonly why: string }[] = [
  {
    mnemonics: /^VCVTU?(SI2S[SDH]|DQ2PD)$/,
    operands: /\{r/,
    why: 'LLVM has the rounding in another place, or not where the conversion is exact',
  },
  {
    mnemonics: /^VP2INTERSECT/,
    why: 'LLVM clears the lowest bit of a pair of masks, which the CPU ignores; as GNU as',
  },
  { mnemonics: /^V(GATHER|SCATTER)PF/, why: 'LLVM has forgotten the prefetches of the Xeon Phi' },
  { mnemonics: /^VMOVQ$/, why: 'two opcodes of one length; as GNU as chooses' },
  {
    mnemonics: /^V(PINSR|PEXTR)[BW]$|^VEXTRACTPS$/,
    operands: /\br/,
    why: 'LLVM drops EVEX.W where the upper half of the register has no meaning; as GNU as',
  },
]

function isDifference({ form }: Case, text: string): boolean {
  return DIFFERENCES.some(
    ({ mnemonics, operands }) => mnemonics.test(form.mnemonic) && (operands === undefined || operands.test(text)),
  )
}

function llvmText({ form, operands, address, bytes }: Case): string {
  const written = operands
    .map((operand) => gasOperand(operand, BigInt(address), bytes.length))
    .join(', ')
    .replace(/\bds:/, '')
  return `{evex} ${form.mnemonic.toLowerCase()} ${written}`
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (value) => value.toString(16).padStart(2, '0')).join('')
}

describe.skipIf(!hasLlvm())('every EVEX form agrees with LLVM (skipped: llvm-mc-22 is not installed)', () => {
  test.each([32, 64] as const)('in %i-bit mode', { timeout: 60_000 }, (bits) => {
    const { cases } = casesOf(bits, CASES_PER_FORM, (form) => form.encoding === 'evex')
    const texts = cases.map(llvmText)
    const answers = assembleWithLlvm(texts, bits)
    const wrong: string[] = []
    let different = 0
    for (const [index, one] of cases.entries()) {
      // LLVM does not scale the displacement of a 16-bit address.
      if (/\[(bx|bp|si|di)/.test(texts[index] ?? '')) continue
      const answer = answers[index] ?? ''
      if (typeof answer !== 'string' && hex(answer) === hex(one.bytes)) continue
      if (isDifference(one, texts[index] ?? '')) different++
      else wrong.push(`${texts[index]}: ${hex(one.bytes)}, LLVM ${typeof answer === 'string' ? answer : hex(answer)}`)
    }
    expect(wrong.slice(0, 20)).toEqual([])
    expect(cases.length).toBeGreaterThan(7000)
    expect(different).toBeLessThan(cases.length / 50)
  })
})
