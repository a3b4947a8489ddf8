// Agreement with GNU as: every form of the table in every mode, with random operands, must give the same bytes.
import { codes } from '@retrap/x86-decoder'
import { skipNote } from '@retrap/tooling/skip'
import { sliced } from '@retrap/tooling/slice'
import { expect, describe, test } from 'vitest'
import { casesOf, type Case } from './support/cases.ts'
import { assembleWithGas, gasOperand, hasGas, sameBytes } from './support/gas.ts'

const CASES_PER_FORM = 5

/** Newer than GNU as 2.40; LLVM is asked about them. */
const NEWER = /AVX10_2|APX/

/** Where gas and the table differ on purpose. `bits`: only in that mode. `registers`: only without a memory operand. */
interface Difference {
  readonly mnemonics: readonly string[] | RegExp
  readonly bits?: 16 | 32 | 64
  readonly operands?: RegExp
  readonly why: string
}

const DIFFERENCES: readonly Difference[] = [
  { mnemonics: ['MOVSXD'], operands: / \w+w?, /, why: 'gas does not take the 16-bit form with a memory operand' },
  {
    mnemonics: ['MOV'],
    operands: /, [c-gs]s$/,
    why: 'gas drops REX.W where a segment register moves to a 64-bit register; the 64-bit form is what was asked for',
  },
  {
    mnemonics: ['SLDT', 'STR', 'SMSW'],
    bits: 64,
    why: 'gas drops REX.W: the upper half is zero or undefined either way',
  },
  {
    mnemonics: ['XCHG'],
    operands: /(rax, rax|eax, eax|ax, ax)/,
    why: 'gas writes NOP, which is another code in the table',
  },
  { mnemonics: ['CALLF', 'JMPF'], why: 'gas has far branches under other names (lcall, ljmp)' },
  { mnemonics: ['SYSRET', 'SYSEXIT'], bits: 64, why: 'gas wants a size suffix (sysretl, sysexitl)' },
  { mnemonics: ['LSS', 'LFS', 'LGS'], bits: 64, operands: /TBYTE/, why: 'gas 2.40 does not know m16:64' },
  { mnemonics: ['BSWAP'], why: 'undefined on 16-bit registers, so gas refuses it' },
  { mnemonics: ['FCOM', 'FCOMP'], operands: /st\(0\), /, why: 'gas writes these with ST(i) alone' },
  {
    mnemonics: ['SGDT', 'SIDT', 'LGDT', 'LIDT'],
    bits: 16,
    why: 'gas takes the form with a 32-bit base; the shorter one has 24 bits',
  },
  {
    mnemonics: 'MOVMSKPS MOVMSKPD PMOVMSKB PINSRB PINSRW PEXTRB PEXTRW EXTRACTPS MOVW'
      .split(' ')
      .flatMap((name) => [name, `V${name}`]),
    bits: 64,
    why: 'gas drops REX.W from forms with r64, whose upper half is zero or unused either way',
  },
  { mnemonics: ['MOVQ', 'VMOVQ'], bits: 64, why: 'of two forms of one length gas takes the one without REX.W' },
  {
    mnemonics: ['CALL', 'JMP'],
    bits: 16,
    operands: /DWORD PTR/,
    why: 'in 16-bit code gas reads a dword as a far pointer m16:16, the table as a near 32-bit target',
  },
  {
    mnemonics: ['ENCODEKEY128', 'ENCODEKEY256'],
    bits: 16,
    why: 'gas adds a 66 prefix that the instruction has no use for',
  },
  {
    mnemonics: /^VP?(GATHER|SCATTER)/,
    bits: 16,
    operands: /\[[xyz]mm/,
    why: 'in 16-bit code gas does not see that a vector index without a base makes a 32-bit address',
  },
  { mnemonics: ['BNDMOV'], operands: /PTR/, why: 'gas takes no size with it' },
  {
    mnemonics: /^BND/,
    bits: 16,
    why: 'gas leaves out 67 where no memory is named, and then it is #UD (SDM vol. 2A, BNDCL)',
  },
  { mnemonics: ['RDMSR', 'WRMSRNS'], bits: 64, operands: /,/, why: 'gas 2.40 has no immediate for them' },
  {
    mnemonics: /^VCVTU?(SI2SD|DQ2PD)$/,
    operands: /\{r/,
    why: 'the CPU takes a rounding that has no effect, since the conversion is exact; gas does not',
  },
  { mnemonics: ['INT'], operands: / 3$/, why: 'gas writes INT3, which is another code in the table' },
]

function isDifference(one: Case & { readonly text: string }, bits: number): boolean {
  return DIFFERENCES.some(
    ({ mnemonics, bits: only, operands }) =>
      (mnemonics instanceof RegExp ? mnemonics.test(one.form.mnemonic) : mnemonics.includes(one.form.mnemonic)) &&
      (only === undefined || only === bits) &&
      (operands === undefined || operands.test(one.text)),
  )
}

/** Mnemonics of 64 bytes of memory with which gas takes no size. */
const KEYLESS = /^(LDTILECFG|STTILECFG|MOVDIR64B|ENQCMDS?|AES(ENC|DEC)(WIDE)?256KL)$/

function gasText({ form, feature, operands, address, bytes }: Case): string {
  const isBranch = form.slots.some(({ kind }) => kind === 'relative')
  const text = isBranch
    ? `.+64`
    : operands.map((operand) => gasOperand(operand, BigInt(address), bytes.length)).join(', ')
  // AVX-512 has instructions of the same names, which gas prefers.
  const isNewer = /^AVX_(VNNI|IFMA|NE_CONVERT)$/.test(feature)
  const prefix = form.encoding === 'evex' ? '{evex} ' : isNewer ? '{vex} ' : ''
  const sized = KEYLESS.test(form.mnemonic) ? text.replace('ZMMWORD PTR ', '') : text
  return `${prefix}${form.mnemonic.toLowerCase()} ${sized}`
}

describe.skipIf(!hasGas())(`every form agrees with GNU as${skipNote(hasGas(), 'binutils are not installed')}`, () => {
  test.each(sliced([16, 32, 64] as const, 3))('in %i-bit mode', { timeout: 60_000 }, (bits) => {
    const { cases: all, refused } = casesOf(
      bits,
      CASES_PER_FORM,
      (form) => !NEWER.test(codes[form.code]?.feature ?? ''),
    )
    const cases = all.map((one) => ({ ...one, text: gasText(one) }))
    const answers = assembleWithGas(
      cases.map(({ text }) => text),
      bits,
    )
    const wrong: string[] = []
    let different = 0
    for (const [index, one] of cases.entries()) {
      const answer = answers[index] ?? 'no answer'
      if (typeof answer !== 'string' && sameBytes(answer, one.bytes)) continue
      // The table may know more than the gas at hand; LKGS, ERETS and the like are newer than binutils 2.40.
      if (isDifference(one, bits) || /^no such instruction|only supported in 64-bit mode/.test(String(answer)))
        different++
      else wrong.push(`${one.text}: ${hex(one.bytes)}, gas ${typeof answer === 'string' ? answer : hex(answer)}`)
    }
    expect(wrong.slice(0, 20)).toEqual([])
    expect(cases.length).toBeGreaterThan(10_000)
    // Few are lost to the table of differences and to operands that do not go together (AH with REX).
    expect(different).toBeLessThan(cases.length / 20)
    expect(refused).toBeLessThan(cases.length / 50)
  })
})

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (value) => value.toString(16).padStart(2, '0')).join('')
}
