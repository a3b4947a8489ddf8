import type { TrapCase } from './cases.ts'
import type { Trap } from './trap.ts'

const isAlignmentFault = (esr: bigint): boolean => (esr & 0xf800_003fn) === 0x9000_0021n

/** HVC behind a case, and in EL1's vectors; the exception that HVC at EL0 is. */
const END = 0x5a00_0078n
const VECTOR = 0x5a00_0077n
const UNDEFINED = 0x0200_0000n

const AR = 1n << 14n

/** CM and WnR. */
const MAINTENANCE = (1n << 8n) | (1n << 6n)
const isMaintenance = ({ esr, esrEl1 }: Trap): boolean =>
  ((esr === VECTOR ? esrEl1 : esr) & (0xf800_0000n | MAINTENANCE)) === (0x9000_0000n | MAINTENANCE)

const PAN = 1 << 22

/** Trapped WFE, whose condition is valid: always. */
const WFE = 0x7e0_0001n

/** PAR_EL1: the sharing of memory; whether it is Device, or Normal and not cached. */
const SHARING = 3n << 7n
const isUncached = (par: bigint): boolean => [0x04n, 0x44n].includes(par >> 56n)

/** S1PTW; the level of a fault. */
const WALK = 1n << 7n
const LEVEL = 3n
const isWalk = (esr: bigint): boolean => [0x20n, 0x24n].includes(esr >> 26n) && (esr & WALK) !== 0n

/** Where QEMU 7.2 does otherwise than the manual says. */
const DEVIATIONS: readonly {
  readonly is: (each: TrapCase, ours: Trap, theirs: Trap) => boolean
  /** What the manual says. */
  readonly because: string
}[] = [
  {
    is: ({ offDevice }, { esr, esrEl1 }) => offDevice && esr === VECTOR && isAlignmentFault(esrEl1),
    because: 'B2.7.2: an access to Device memory that is not aligned is an alignment fault; QEMU makes it.',
  },
  {
    is: ({ name, code }, _, { esr, esrEl1 }) =>
      /^stl?x[rp]/.test(name) && code.length === 1 && (esr === END || (esr === VECTOR && esrEl1 === UNDEFINED)),
    because:
      'AArch64.ExclusiveMonitorsPass: "it is IMPLEMENTATION DEFINED whether the detection of memory aborts happens before or after the check on the local Exclusives monitor"; here before, in QEMU after.',
  },
  {
    is: ({ name }, ours, theirs) => /^(?:ldlar|stllr)/.test(name) && (ours.esr ^ theirs.esr) === AR,
    because:
      'LORID_EL1: without LORegions LDLAR and STLLR are LDAR and STLR, whose syndrome has AR; QEMU looks at one bit of the encoding.',
  },
  {
    is: ({ name }, { esr, esrEl1 }) => name.startsWith('ldap') && esr === VECTOR && isAlignmentFault(esrEl1),
    because: 'B2.7.2: LDAPR and LDAPUR of an address that is not aligned are an alignment fault; QEMU makes them.',
  },
  {
    is: ({ name }, ours, theirs) =>
      /^(?:cas|swp|ld(?:add|clr|eor|set|[su]m)|st(?:add|clr|eor|set|[su]m))/.test(name) &&
      ours.esr === VECTOR &&
      (ours.esrEl1 & 0xffff_fffcn & ~(1n << 26n)) === 0x9200_004cn &&
      (theirs.esr & ~3n) === 0x9200_0004n,
    because:
      'AArch64.S1HasPermissionsFault: an atomic access must be allowed to read and to write, and stage 1 comes first; QEMU reads through both stages before it writes.',
  },
  {
    is: ({ name }, ours) => /^dc (?:ci?|i)va[cu]|^ic ivau/.test(name) && isMaintenance(ours),
    because:
      'D7.5.9.3: maintenance by address is subject to translation faults and to permission faults, with ESR_ELx.CM; QEMU does nothing.',
  },
  {
    is: ({ name, pstate }, ours) => name.startsWith('dc cvap') && (isMaintenance(ours) || (pstate & PAN) !== 0),
    because: 'ESR_ELx, ISS of a Data Abort: CM and WnR are 1 for DC CVAP, and FAR is its address; QEMU reads the line.',
  },
  {
    is: ({ name }, ours, theirs) =>
      name.startsWith('at ') &&
      (ours.par & 1n) === 0n &&
      isUncached(ours.par) &&
      (ours.par | SHARING) === (theirs.par | SHARING),
    because:
      'PAR_EL1.SH is 0b10 for Device memory and for Normal memory that is not cached; QEMU has the descriptor’s.',
  },
  {
    is: ({ name }, ours) => name === 'wfe' && [ours.esr, ours.esrEl1].includes(WFE),
    because: 'HCR_EL2.TWE and SCTLR_EL1.nTWE: WFE that would wait is trapped; QEMU never traps it.',
  },
  {
    is: (_, ours, theirs) => isWalk(ours.esr) && (ours.esr | LEVEL) === (theirs.esr | LEVEL),
    because:
      'AArch64.S2Walk: the level of a fault of stage 2 that a walk of stage 1 meets is that of stage 2; QEMU tells the level of stage 1.',
  },
]

/** Whether a difference is one that is known. */
export const known = (each: TrapCase, ours: Trap, theirs: Trap): boolean =>
  DEVIATIONS.some(({ is }) => is(each, ours, theirs))
