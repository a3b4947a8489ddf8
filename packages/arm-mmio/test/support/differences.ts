/** Where other disassemblers and we differ, each with its reason. A closed list: what is not here is a failure. */
import type { SetName } from './disassembly.ts'

/** One kind of difference. */
export interface Difference {
  readonly reason: string
  readonly sets: readonly SetName[]
  readonly holds: (ours: string, theirs: string, word: number) => boolean
}

const REGISTERS_END = /fpinst2|mvfr[01]/

/** Aliases: the same encoding under another name. */
function unalias(text: string): string {
  return text
    .replace(/^(v?)push(\w*) /, (_match, vector: string, condition: string) =>
      vector === '' ? `stmdb${condition} sp!, ` : `vstmdb${condition} sp!, `,
    )
    .replace(/^(v?)pop(\w*) /, (_match, vector: string, condition: string) =>
      vector === '' ? `ldm${condition} sp!, ` : `vldmia${condition} sp!, `,
    )
}

/** The differences, the first that holds. */
export const differences: readonly Difference[] = [
  {
    reason: 'PUSH, POP, VPUSH and VPOP are aliases of transfers with SP as base',
    sets: ['a32', 't32'],
    holds: (ours, theirs) => ours === unalias(theirs),
  },
  {
    reason: 'VLDM and structures with registers past the last, or none, are constrained unpredictable: refused',
    sets: ['a32', 't32'],
    holds: (ours, theirs) => ours === '' && /^(v(ld|st)[1-4m]|vpush|vpop|f(ld|st)m)/.test(theirs),
  },
  {
    reason:
      'LDRD, STRD, LDREXD and STREXD with an odd register, with LR, or with P=0 and W=1, are unpredictable: refused',
    sets: ['a32'],
    holds: (ours, theirs) => ours === '' && /^(ld|st)(r|rex|aex|lex)d/.test(theirs),
  },
  {
    reason: 'halfword and unprivileged register forms with bits 11:8 set are unpredictable: refused, as QEMU does',
    sets: ['a32'],
    holds: (ours, theirs, word) => ours === '' && /^(ld|st)r(s?[bh]|d)t?/.test(theirs) && (word & 0xf00) !== 0,
  },
  {
    reason: 'RFE with other bits than 0x0A00 below is unpredictable: refused',
    sets: ['a32', 't32'],
    holds: (ours, theirs) => ours === '' && theirs.startsWith('rfe'),
  },
  {
    reason: 'SWP and SWPB left the architecture with Armv8; earlier guests have them',
    sets: ['a32'],
    holds: (ours, theirs) => ours.startsWith('swp') && theirs !== ours,
  },
  {
    reason: 'the option form of LDC and STC is printed as an offset',
    sets: ['a32', 't32'],
    holds: (ours, theirs) => /^(ldc|stc)/.test(ours) && /\{\d+\}$/.test(theirs),
  },
  {
    reason: 'LDC and STC with bit 22 set are not of the debug registers',
    sets: ['a32', 't32'],
    holds: (ours, theirs) => ours === '' && /^(ldc|stc)2?l/.test(theirs),
  },
  {
    reason: 'LDM and STM in T32 with PC as base are unpredictable: refused',
    sets: ['t32'],
    holds: (ours, theirs) => ours === '' && /^(ldm|stm)(db|ia)? pc/.test(theirs),
  },
  {
    reason: 'LDM in T32 with SP in its list is unpredictable: refused',
    sets: ['t32'],
    holds: (ours, theirs, word) => ours === '' && /^(ldm|pop)/.test(theirs) && (word & 0x2000) !== 0,
  },
  {
    reason: 'LLVM does not print FLDMX and FSTMX without writeback, or of an odd kind',
    sets: ['a32', 't32'],
    holds: (ours, theirs) => /^f(ld|st)m/.test(ours) && !/^f(ld|st)m/.test(theirs),
  },
  {
    reason: 'LLVM takes STRHT of a register with PC for another instruction',
    sets: ['a32'],
    holds: (ours, theirs) => ours.startsWith('strht') && !accessLike(theirs),
  },
  {
    reason: 'LLVM has the literal form of PLD only where bit 23 is clear and 21 set, or the reverse',
    sets: ['t32'],
    holds: (ours, theirs) => /^pl[di]/.test(ours) && theirs !== ours,
  },
  {
    reason: 'SVE, SME, LSFE, THE, GCS and MOPS_GO are recognised by class, not taken apart',
    sets: ['a64'],
    holds: (ours) => /^(sve|sme|ldf|rcw\w*|gcsstr|setgo\w*)\b/.test(ours),
  },
  {
    reason: 'registers past the last have other names in LLVM',
    sets: ['a32', 't32'],
    holds: (_ours, theirs) => REGISTERS_END.test(theirs),
  },
  {
    reason: 'T16 literal loads print their offset even if it is 0',
    sets: ['t16'],
    holds: (ours, theirs) => ours === theirs.replace(', #0]', ']'),
  },
]

const accessLike = (text: string): boolean => /\[/.test(text)

/** The difference that explains a pair of texts. */
export function explain(set: SetName, ours: string, theirs: string, word: number): Difference | undefined {
  return differences.find((each) => each.sets.includes(set) && each.holds(ours, theirs, word))
}
