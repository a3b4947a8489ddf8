// Agreement with LLVM's assembler on EVEX, some of which is newer than GNU as 2.40.
import { skipNote } from '@retrap/tooling/skip'
import { expect, describe, test } from 'vitest'
import { casesOf, type Case } from './support/cases.ts'
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
  { mnemonics: /^BND/, why: 'LLVM dropped MPX' },
  { mnemonics: /^V(GATHER|SCATTER)PF/, why: 'LLVM has forgotten the prefetches of the Xeon Phi' },
  { mnemonics: /^V?MOVQ$/, why: 'two opcodes of one length; as GNU as chooses' },
  {
    mnemonics: /^V?(PINSR|PEXTR)[BW]$|^VEXTRACTPS$|^P?MOVMSK(B|PS|PD)$/,
    operands: /\br/,
    why: 'LLVM drops W where the upper half of the register has no meaning; as GNU as',
  },
  { mnemonics: /^(CFCMOV|MOVBE)/, operands: /\w+, \w+$/, why: 'of two registers either may be in ModRM.rm' },
  { mnemonics: /^SET/, operands: /\[/, why: 'LLVM scales the displacement by 16; in map 4 there is no scale' },
  { mnemonics: /^IMULZU$/, operands: /\{nf\}/, why: 'LLVM does not know it without flags' },
  { mnemonics: /^URDMSR$/, why: 'LLVM has the destination in ModRM.reg' },
  { mnemonics: /^XCHG$/, why: 'the registers have no order; as GNU as writes them' },
  {
    mnemonics: /^MOV$/,
    operands: /\b[c-gs]s\b/,
    why: 'LLVM drops a size prefix beside a segment register, as does GNU as',
  },
  { mnemonics: /^(CALLF|JMPF|UD0)$/, why: 'LLVM has these under other names' },
  { mnemonics: /^MOVSXD$/, why: 'LLVM has the 64-bit form alone' },
  { mnemonics: /^(RSTORSSP|CLRSSBSY)$/, why: 'LLVM wants no size, or another' },
  {
    mnemonics: /^(MOVSX|MOVZX|BSWAP)$/,
    operands: /w\b|WORD/,
    why: 'LLVM does not know the forms of 16 bits that extend nothing',
  },
]

function isDifference({ form }: Case, text: string): boolean {
  return DIFFERENCES.some(
    ({ mnemonics, operands }) => mnemonics.test(form.mnemonic) && (operands === undefined || operands.test(text)),
  )
}

function llvmText({ form, operands, noFlags, address, bytes }: Case): string {
  const written = operands
    .map((operand) => gasOperand(operand, BigInt(address), bytes.length))
    .join(', ')
    .replace(/\bds:/, '')
    // The default flags are no operand.
    .replace(/^({dfv=\S*}), /, '$1 ')
  return `${noFlags ? '{nf} ' : form.encoding === 'evex' ? '{evex} ' : ''}${form.mnemonic.toLowerCase()} ${written}`
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (value) => value.toString(16).padStart(2, '0')).join('')
}

/** Compares cases, and says how many were left to the table of differences. */
function compare(cases: readonly Case[], bits: 16 | 32 | 64): number {
  const texts = cases.map(llvmText)
  const answers = assembleWithLlvm(texts, bits)
  const wrong: string[] = []
  let different = 0
  for (const [index, one] of cases.entries()) {
    const text = texts[index] ?? ''
    // LLVM does not scale the displacement of a 16-bit address.
    if (one.form.encoding === 'evex' && /\[(bx|bp|si|di)/.test(text)) continue
    const answer = answers[index] ?? ''
    if (typeof answer !== 'string' && hex(answer) === hex(one.bytes)) continue
    if (isDifference(one, text)) different++
    else wrong.push(`${text}: ${hex(one.bytes)}, LLVM ${typeof answer === 'string' ? answer : hex(answer)}`)
  }
  expect(wrong.slice(0, 20)).toEqual([])
  return different
}

describe.skipIf(!hasLlvm())(`LLVM agrees${skipNote(hasLlvm(), 'llvm-mc-22 is not installed')}`, () => {
  test.each([32, 64] as const)('on every EVEX form in %i-bit mode', { timeout: 60_000 }, (bits) => {
    const { cases } = casesOf(bits, CASES_PER_FORM, (form) => form.encoding === 'evex', bits === 64)
    const different = compare(cases, bits)
    expect(cases.length).toBeGreaterThan(7000)
    expect(different).toBeLessThan(cases.length / 30)
  })

  test('on every form with REX2', { timeout: 60_000 }, () => {
    const all = casesOf(64, CASES_PER_FORM, (form) => form.encoding === 'legacy' && form.map < 2, true).cases
    const cases = all.filter(({ bytes }) => /^(26|2e|36|3e|64|65|66|67|f0|f2|f3)*d5/.test(hex(bytes)))
    const different = compare(cases, 64)
    expect(cases.length).toBeGreaterThan(1500)
    expect(different).toBeLessThan(cases.length / 20)
  })
})
