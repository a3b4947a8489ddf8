/** Our text of any A64 word against LLVM's. */
import { findA64, formatA64 } from '../../src/index.ts'
import { normal } from './disassembly.ts'

/** Where LLVM and we differ, by the encoding, each with its reason. A closed list. */
export interface A64Difference {
  readonly reason: string
  readonly mask: number
  readonly value: number
  /** LLVM's text, where the encoding alone would say too much. */
  readonly theirs?: RegExp
}

export const a64Differences: readonly A64Difference[] = [
  { reason: 'SVE is not decoded', mask: 0x1e00_0000, value: 0x0400_0000 },
  { reason: 'SME is not decoded', mask: 0x9e00_0000, value: 0x8000_0000 },
  {
    reason: 'op0 of MSR, MRS, MSRR and MRRS is 2 or 3; LLVM writes the others as registers',
    mask: 0xff90_0000,
    value: 0xd500_0000,
    theirs: /^(?:msrr? |mrs \w+, |mrrs \w+, \w+, )s[01]_/,
  },
  { reason: 'SUBPS without a result is CMPP', mask: 0xffe0_fc1f, value: 0xbac0_001f, theirs: /^subps xzr,/ },
  { reason: 'SSHLL by 0 is SXTL, USHLL UXTL', mask: 0x9f80_fc00, value: 0x0f00_a400, theirs: /^[su]shll2? .*, #0$/ },
  { reason: 'DFB is a name of Armv8-R; here it is a DSB', mask: 0xffff_ffff, value: 0xd503_3c9f, theirs: /^dfb$/ },
  {
    reason: 'LLVM writes BFC for +v8.2a and not for +all',
    mask: 0x7f80_03e0,
    value: 0x3300_03e0,
    theirs: /^bfi [wx]\w+, [wx]zr,/,
  },
  {
    reason: '8-bit floating point (FP8) and what came after Armv9.4 is not decoded',
    mask: 0x8000_0000,
    value: 0,
    theirs: /^(?:fmlal(?:b|t|lbb|lbt|ltb|ltt)|fdot|f?mmla|fmmla|luti[24]|bf1cvtl2?|bf2cvtl2?|f1cvtl2?|f2cvtl2?) /,
  },
  {
    reason: 'TCHANGEF and TCHANGEB came after Armv9.4 (FEAT_TEV)',
    mask: 0xffc0_0000,
    value: 0xd580_0000,
    theirs: /^tchange[fb] /,
  },
  { reason: 'FCVTN to FP8 is not decoded', mask: 0xbf20_fc00, value: 0x0e00_f400, theirs: /^fcvtn2? / },
  {
    reason: 'conversions between registers of two precisions (FPRCVT) are not decoded',
    mask: 0x7f20_fc00,
    value: 0x1e20_0000,
    theirs: /^(?:fcvt[npmaz][su]|[su]cvtf) [hsd]\d+, [hsd]\d+$/,
  },
]

/** The rows of `a64Differences` that have explained a difference so far. */
export const usedA64Differences = new Set<A64Difference>()

/** What is wrong with our text, in a sentence; `undefined` where nothing is. */
export function a64Difference(word: number, theirs: string, address: bigint): string | undefined {
  const form = findA64(word)
  const our = normal(formatA64(word, { address }) ?? '').replace(/^<unknown>$/, '')
  const their = normal(theirs)
    .replace(/^<unknown>$/, '')
    .replace(/#0{2,}$/, '#0')
    .toLowerCase()
  if (our === their) return undefined
  // Loads and stores that are recognised and handed on: see `decode.test.ts`.
  if (our === '' && (form?.operation === 'other' || form?.operation === 'scalable')) return undefined
  const known = a64Differences.find(
    (each) => ((word & each.mask) ^ each.value) === 0 && each.theirs?.test(their) !== false,
  )
  if (known !== undefined) {
    usedA64Differences.add(known)
    return undefined
  }
  return `${word.toString(16)}: ours '${our}', LLVM's '${their}' (form ${form?.index} ${form?.mnemonic})`
}
