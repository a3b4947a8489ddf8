/**
 * Where other disassemblers and we differ, each with its reason. A closed list: what is not here is a failure.
 *
 * A row that says that we refuse an encoding looks at the encoding itself, by the rule of the manual, and not at the other
 * disassembler's mnemonic: else a row of the decoder could be lost and the difference would explain that.
 *
 * Source: Arm ARM (DDI 0487), part F, the decode pseudocode of the instructions that are named.
 */
import type { SetName } from './disassembly.ts'

export interface Difference {
  readonly reason: string
  readonly sets: readonly SetName[]
  readonly holds: (ours: string, theirs: string, word: number) => boolean
}

const bits = (word: number, high: number, low: number): number => (word >>> low) & (2 ** (high - low + 1) - 1)
const bit = (word: number, at: number): boolean => bits(word, at, at) !== 0
const isMemory = (text: string): boolean => text.includes('[')

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

/** The number of the double register in D:Vd. */
const doubleRegister = (word: number): number => (bits(word, 22, 22) << 4) | bits(word, 15, 12)

/** VLDM and VSTM: no register, more than 16 doubles, or registers past the last. */
function vectorsMissing(word: number): boolean {
  if (bits(word, 27, 25) !== 0b110 || bits(word, 11, 9) !== 0b101) return false
  if (!bit(word, 8)) {
    const count = bits(word, 7, 0)
    const first = (bits(word, 15, 12) << 1) | bits(word, 22, 22)
    return count === 0 || first + count > 32
  }
  const count = bits(word, 7, 1)
  return count === 0 || count > 16 || doubleRegister(word) + count > 32
}

/** VLDn and VSTn of several structures, by type: from the first register to the last. */
const LAST_REGISTERS = [3, 6, 3, 3, 2, 4, 2, 0, 1, 2, 1]

/** VLDn and VSTn with registers past the last. */
function structureMissing(word: number, set: SetName): boolean {
  const isStructure = bits(word, 31, 24) === (set === 'a32' ? 0xf4 : 0xf9) && !bit(word, 20)
  if (!isStructure) return false
  const first = doubleRegister(word)
  if (!bit(word, 23)) return first + (LAST_REGISTERS[bits(word, 11, 8)] ?? 0) > 31
  const more = bits(word, 9, 8)
  const size = bits(word, 11, 10)
  // To all lanes bit 5 is T: VLD1 has two registers then, the others every second one.
  if (size === 3) return first + (more === 0 ? bits(word, 5, 5) : more * (1 + bits(word, 5, 5))) > 31
  const isSpaced = size !== 0 && bit(word, size === 1 ? 5 : 6)
  return first + more * (isSpaced ? 2 : 1) > 31
}

/** A pair of registers starts with an even one, and does not reach PC. */
const isNoPair = (first: number): boolean => (first & 1) !== 0 || first === 14

/** LDRD and STRD of A32. */
const isWrongDouble = (word: number): boolean =>
  bits(word, 27, 25) === 0 &&
  !bit(word, 20) &&
  (word & 0xd0) === 0xd0 &&
  (isNoPair(bits(word, 15, 12)) || (!bit(word, 24) && bit(word, 21)))

/** LDREXD, LDAEXD, STREXD and STLEXD of A32. */
const isWrongExclusive = (word: number): boolean =>
  bits(word, 27, 21) === 0b0001101 &&
  (word & 0xdf0) === 0xc90 + (word & 0x100) &&
  isNoPair(bit(word, 20) ? bits(word, 15, 12) : bits(word, 3, 0))

/** The differences, the first that holds. */
export const differences: readonly Difference[] = [
  {
    reason: 'PUSH, POP, VPUSH and VPOP are aliases of transfers with SP as base',
    sets: ['a32', 't32'],
    holds: (ours, theirs) => ours === unalias(theirs),
  },
  {
    reason: 'VLDM and VSTM of no register, of more than 16 doubles, or of registers past the last: refused',
    sets: ['a32', 't32'],
    holds: (ours, theirs, word) =>
      ours === '' && /^(v(ld|st)m|vpush|vpop|f(ld|st)m)/.test(theirs) && vectorsMissing(word),
  },
  {
    reason: 'structures with registers past the last are constrained unpredictable: refused',
    sets: ['a32'],
    holds: (ours, theirs, word) => ours === '' && /^v(ld|st)[1-4]/.test(theirs) && structureMissing(word, 'a32'),
  },
  {
    reason: 'structures with registers past the last are constrained unpredictable: refused',
    sets: ['t32'],
    holds: (ours, theirs, word) => ours === '' && /^v(ld|st)[1-4]/.test(theirs) && structureMissing(word, 't32'),
  },
  {
    reason: 'LDRD and STRD with an odd register, with LR, or with P = 0 and W = 1, are unpredictable: refused',
    sets: ['a32'],
    holds: (ours, theirs, word) => ours === '' && /^(ld|st)rd/.test(theirs) && isWrongDouble(word),
  },
  {
    reason: 'LDREXD, STREXD and their like with an odd register, or with LR, are unpredictable: refused',
    sets: ['a32'],
    holds: (ours, theirs, word) => ours === '' && /^(ld|st)(rex|aex|lex)d/.test(theirs) && isWrongExclusive(word),
  },
  {
    reason: 'register forms of halfwords and doubles with bits 11:8 set are unpredictable: refused, as QEMU does',
    sets: ['a32'],
    holds: (ours, theirs, word) =>
      ours === '' && /^(ld|st)r(s?[bh]|d)t?/.test(theirs) && !bit(word, 22) && bits(word, 11, 8) !== 0,
  },
  {
    reason: 'RFE with other bits than 0A00h below is unpredictable: refused',
    sets: ['a32'],
    holds: (ours, theirs, word) => ours === '' && theirs.startsWith('rfe') && bits(word, 15, 0) !== 0x0a00,
  },
  {
    reason: 'SWP and SWPB left the architecture with Armv8; earlier guests have them',
    sets: ['a32'],
    holds: (ours, theirs) => ours.startsWith('swp') && !isMemory(theirs),
  },
  {
    reason: 'the option form of LDC and STC is printed as an offset',
    sets: ['a32', 't32'],
    holds: (ours, theirs, word) =>
      /^(ldc|stc)/.test(ours) && /\{\d+\}$/.test(theirs) && !bit(word, 24) && bit(word, 23) && !bit(word, 21),
  },
  {
    reason: 'LDC and STC with bit 22 set are not of the debug registers',
    sets: ['a32', 't32'],
    holds: (ours, theirs, word) => ours === '' && /^(ldc|stc)2?l/.test(theirs) && bit(word, 22),
  },
  {
    reason: 'LDM and STM in T32 with PC as base are unpredictable: refused',
    sets: ['t32'],
    holds: (ours, theirs, word) => ours === '' && /^(ldm|stm)(db|ia)? pc/.test(theirs) && bits(word, 19, 16) === 15,
  },
  {
    reason: 'LDM in T32 with SP in its list is unpredictable: refused',
    sets: ['t32'],
    holds: (ours, theirs, word) => ours === '' && /^(ldm|pop)/.test(theirs) && bit(word, 13),
  },
  {
    reason: 'LLVM does not print FLDMX and FSTMX without writeback, or of an odd kind',
    sets: ['a32', 't32'],
    holds: (ours, theirs, word) => /^f(ld|st)m/.test(ours) && !/^f(ld|st)m/.test(theirs) && (word & 0xf01) === 0xb01,
  },
  {
    reason: 'LLVM has the literal form of PLD only where bit 23 is clear and 21 set, or the reverse',
    sets: ['t32'],
    holds: (ours, theirs, word) => /^pl[di]/.test(ours) && theirs !== ours && bits(word, 19, 16) === 15,
  },
  {
    reason: 'SVE, SME, LSFE, THE, GCS and MOPS_GO are recognised by class, not taken apart',
    sets: ['a64'],
    holds: (ours) => /^(sve|sme|ldf|rcw\w*|gcsstr|setgo\w*)\b/.test(ours),
  },
  {
    reason: 'T16 literal loads print their offset even if it is 0',
    sets: ['t16'],
    holds: (ours, theirs) => ours === theirs.replace(', #0]', ']'),
  },
]

/** The rows that have explained something. */
export const usedDifferences: Set<Difference> = new Set()

/** The difference that explains a pair of texts. */
export function explain(set: SetName, ours: string, theirs: string, word: number): Difference | undefined {
  const found = differences.find((each) => each.sets.includes(set) && each.holds(ours, theirs, word))
  if (found !== undefined) usedDifferences.add(found)
  return found
}
