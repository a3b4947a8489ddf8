import { S_CPTR_EL2, S_HCR_EL2, S_MDCR_EL2, S_MDSCR_EL1, S_SCTLR_EL1 } from './places.ts'

/** A control that takes an access to a system register to a higher exception level. */
export interface RegisterTrap {
  /** Place of the 32 bits that have the control. */
  readonly place: number
  /** The control. */
  readonly bits: number
  /** The access traps where one of its bits is set; else where none is. */
  readonly whenSet: boolean
  /** Whether it is about reads, and about writes. */
  readonly reads: boolean
  readonly writes: boolean
  /** The trap is about EL0 alone, and goes to EL1, or where HCR_EL2.TGE has EL2 in its place. */
  readonly toEl1: boolean
}

/** MDCR_EL2.TDE counts as TDA, TDOSA and TDRA. */
const TDE = 8

/** Name, register, bits, `r` reads and `w` writes, `0` where the trap is one of clear bits. */
const TRAPS: readonly (readonly [name: string, place: number, bits: readonly number[], how: string])[] = [
  ['UCT', S_SCTLR_EL1, [15], 'rw0'],
  ['UMA', S_SCTLR_EL1, [9], 'rw0'],
  ['TDCC', S_MDSCR_EL1, [12], 'rw'],
  ['TVM', S_HCR_EL2, [26], 'w'],
  ['TRVM', S_HCR_EL2, [30], 'r'],
  ['TID1', S_HCR_EL2, [16], 'r'],
  ['TID2', S_HCR_EL2, [17], 'rw'],
  ['TID3', S_HCR_EL2, [18], 'r'],
  ['TACR', S_HCR_EL2, [21], 'rw'],
  ['TLOR', S_HCR_EL2 + 4, [3], 'rw'],
  ['TERR', S_HCR_EL2 + 4, [4], 'rw'],
  ['APK', S_HCR_EL2 + 4, [8], 'rw0'],
  ['TCPAC', S_CPTR_EL2, [31], 'rw'],
  ['TDA', S_MDCR_EL2, [9, TDE], 'rw'],
  ['TDOSA', S_MDCR_EL2, [10, TDE], 'rw'],
  ['TDRA', S_MDCR_EL2, [11, TDE], 'rw'],
]

/** The traps of a list of names. */
export function trapsOf(names: string): RegisterTrap[] {
  return names.split(',').flatMap((name) => {
    const found = TRAPS.find(([each]) => each === name)
    if (found === undefined) return []
    const [, place, bits, how] = found
    return [
      {
        place,
        bits: bits.reduce((mask, bit) => mask | (1 << bit), 0),
        whenSet: !how.includes('0'),
        reads: how.includes('r'),
        writes: how.includes('w'),
        toEl1: place === S_SCTLR_EL1 || place === S_MDSCR_EL1,
      },
    ]
  })
}
