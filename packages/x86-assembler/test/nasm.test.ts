// Agreement with NASM: every form of the table in every mode, with random operands, must give the same bytes.
import { skipNote } from '@retrap/tooling/skip'
import { sliced } from '@retrap/tooling/slice'
import { expect, describe, test } from 'vitest'
import { casesOf, type Case } from './support/cases.ts'
import { assembleWithNasm, hasNasm, nasmOperand } from './support/nasm.ts'

const CASES_PER_FORM = 3

/** Where NASM 2.16 and the table differ on purpose, or NASM is wrong: where GNU as gives the bytes that the assembler gives. */
interface Difference {
  readonly mnemonics: RegExp
  readonly bits?: 16 | 32 | 64
  readonly why: string
}

const DIFFERENCES: readonly Difference[] = [
  { mnemonics: /^XCHG$/, why: 'the registers have no order; as GNU as writes them' },
  { mnemonics: /^F(ADD|MUL|SUBR?|DIVR?)$/, why: 'ST(0) and ST(0): either may be the destination; as GNU as writes it' },
  {
    mnemonics: /^VFN?M(ADD|SUB|ADDSUB|SUBADD)[PS][SD]$|^VPPERM$/,
    why: 'of two registers either may be in ModRM.rm; as GNU as writes them',
  },
  { mnemonics: /^V?MOVQ$/, why: 'two opcodes of one length; as GNU as chooses' },
  {
    mnemonics: /^BND/,
    bits: 16,
    why: 'NASM leaves out 67 where no memory is named, and then it is #UD (SDM vol. 2A, BNDCL)',
  },
  { mnemonics: /^VMOV(DQ[AU]|[AU]P[SD])$/, why: 'two opcodes of one length; as GNU as chooses' },
  { mnemonics: /^VPEXTRW$/, why: 'NASM takes the longer of two opcodes if EVEX is asked for' },
  { mnemonics: /^VPDP|^VPMADD52|^VCVTNEPS2BF16$/, why: 'NASM prefers EVEX here' },
  { mnemonics: /^MOV[SZ]X$/, why: 'NASM does not know the forms without an extension, and takes a byte' },
  { mnemonics: /^(VMGEXIT|PTWRITE)$/, why: 'NASM 2.16 has another opcode' },
  { mnemonics: /^VCVTUSI2SS$/, bits: 64, why: 'NASM 2.16 takes another map if a rounding is told' },
  { mnemonics: /^ENQCMDS?$/, why: 'NASM 2.16 adds an address-size prefix' },
  { mnemonics: /^(RDSSPD|INCSSPD|WRU?SSD)$/, bits: 16, why: 'NASM adds an operand-size prefix that has no use' },
  {
    mnemonics: /^(MOV|SLDT|STR|SMSW|V?P?MOVMSK(PS|PD|B)|V?PEXTR[BW]|V?EXTRACTPS)$/,
    bits: 64,
    why: 'NASM drops REX.W where the upper half is zero either way; as GNU as',
  },
  { mnemonics: /^(INVPCID|INVEPT|INVVPID)$/, bits: 64, why: 'NASM adds REX.W, which has no use' },
]

function isDifference({ form }: Case, bits: number): boolean {
  return DIFFERENCES.some(
    ({ mnemonics, bits: only }) => mnemonics.test(form.mnemonic) && (only === undefined || only === bits),
  )
}

/** Features that NASM 2.16 knows in part, or with other opcodes or displacements than the manual has. */
const UNKNOWN_FEATURES = /FP16|AVX10_2|APX/

function nasmText({ form, operands }: Case, bits: number, sized: boolean): string {
  const isBranch = form.slots.some(({ kind }) => kind === 'relative')
  const isString = form.slots.some(({ kind }) => kind === 'implied')
  // Memory that is implied is not written.
  const written = isBranch
    ? '$+64'
    : isString
      ? ''
      : operands.map((operand) => nasmOperand(operand, bits, sized)).join(', ')
  return `${form.encoding === 'evex' ? '{evex} ' : ''}${form.mnemonic.toLowerCase()} ${written}`
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (value) => value.toString(16).padStart(2, '0')).join('')
}

const FILLER = /(cc)+$/

/** The bytes with the prefixes, whose order has no meaning, in one order. */
function ordered(text: string): string {
  const prefixes = /^(26|2e|36|3e|64|65|66|67|f0|f2|f3)+/.exec(text)?.[0] ?? ''
  return (prefixes.match(/../g) ?? []).toSorted().join('') + text.slice(prefixes.length)
}

describe.skipIf(!hasNasm())(`every form agrees with NASM${skipNote(hasNasm(), 'nasm is not installed')}`, () => {
  test.each(sliced([16, 32, 64] as const, 3))('in %i-bit mode', { timeout: 60_000 }, (bits) => {
    const { cases } = casesOf(bits, CASES_PER_FORM)
    const isKnown = cases.map(({ feature }) => !UNKNOWN_FEATURES.test(feature))
    const answers = assembleWithNasm(
      cases.map((one, index) => (isKnown[index] === true ? nasmText(one, bits, true) : '')),
      bits,
    )
    // Of some memory operands NASM wants to hear another size, or none.
    const second = assembleWithNasm(
      cases.map((one, index) => (typeof answers[index] === 'string' ? nasmText(one, bits, false) : '')),
      bits,
    )
    const wrong: string[] = []
    const unknown: string[] = []
    let shorter = 0
    for (const [index, one] of cases.entries()) {
      if (isKnown[index] !== true) continue
      const first = answers[index]
      const answer = (typeof first === 'string' ? second[index] : first) ?? ''
      const text = nasmText(one, bits, true)
      const bytes = hex(one.bytes)
      // It takes a lone word that it does not know for a label.
      const given =
        typeof answer === 'string'
          ? ''
          : hex(answer).slice(0, Math.max(bytes.length, hex(answer).replace(FILLER, '').length))
      if (given.length > bytes.length && given === hex(answer as Uint8Array).replace(FILLER, '')) shorter++
      else if (given === '' || /^(cc)+$/.test(given)) unknown.push(`${text}: ${String(answer)}`)
      else if (ordered(given) !== ordered(bytes) && !isDifference(one, bits))
        wrong.push(`${text}: ${bytes}, NASM ${given}`)
    }
    expect(wrong.slice(0, 20)).toEqual([])
    // What is newer than NASM 2.16, and what it writes longer than need be.
    expect(cases.length).toBeGreaterThan(10_000)
    expect(unknown.length).toBeLessThan(cases.length / 25)
    expect(shorter).toBeLessThan(cases.length / 200)
  })
})
