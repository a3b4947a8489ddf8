import { S_KEYS } from '../state/state-layout.ts'
import { idValues } from './id-registers.ts'
import { placeOf, S_CPTR_EL2, S_HCR_EL2, S_MDCR_EL2, S_MDSCR_EL1, S_SCTLR_EL1 } from '../state/places.ts'
import { SPECIAL_REGISTERS, type SpecialRegister } from './special-registers.ts'

/** A control that takes an access to a system register to a higher exception level. */
export interface RegisterTrap {
  /** Place of the 32 bits that have the control. */
  readonly place: number
  /** The control. */
  readonly bits: number
  /** Whether a set bit traps the access, or a clear one. */
  readonly whenSet: boolean
  /** Whether the trap is about reads, and about writes. */
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
function trapsOf(names: string): RegisterTrap[] {
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

/**
 * The system registers, but for those that the host has (the interrupt controller's, the timers'): encoding, name, what EL1
 * may do and after a colon what EL0 may, value, traps; columns are two or more spaces apart.
 *
 * The value is the bits that are kept, those after `+` are always 1; `all` bits; `@name` another register; `#n` the half `n` of
 * the keys of pointer authentication; `id` what `id-registers.ts` says; `.` reads as zero and ignores writes; `*` code of
 * its own.
 *
 * Source: Arm ARM (DDI 0487) D24.
 */
const ROWS = `
3 0 0 0 0     midr_el1         r      @vpidr_el2
3 0 0 0 5     mpidr_el1        r      @vmpidr_el2
3 0 0 0 6     revidr_el1       r      .           TID1
3 0 1 0 0     sctlr_el1        rw     0-5,7-9,12-16,18-19,23,26-27,30-31,35-36,44+11,20,22,28-29   TVM,TRVM
3 0 1 0 1     actlr_el1        rw     .           TACR
3 0 1 0 2     cpacr_el1        rw     20-21       TCPAC
3 0 2 0 0     ttbr0_el1        rw     all         TVM,TRVM
3 0 2 0 1     ttbr1_el1        rw     all         TVM,TRVM
3 0 2 0 2     tcr_el1          rw     0-5,7-34,36-42,51-52,55-56   TVM,TRVM
3 0 2 1 0     apiakeylo_el1    rw     #0          APK
3 0 2 1 1     apiakeyhi_el1    rw     #1          APK
3 0 2 1 2     apibkeylo_el1    rw     #2          APK
3 0 2 1 3     apibkeyhi_el1    rw     #3          APK
3 0 2 2 0     apdakeylo_el1    rw     #4          APK
3 0 2 2 1     apdakeyhi_el1    rw     #5          APK
3 0 2 2 2     apdbkeylo_el1    rw     #6          APK
3 0 2 2 3     apdbkeyhi_el1    rw     #7          APK
3 0 2 3 0     apgakeylo_el1    rw     #8          APK
3 0 2 3 1     apgakeyhi_el1    rw     #9          APK
3 0 4 0 0     spsr_el1         rw     0-31
3 0 4 0 1     elr_el1          rw     all
3 0 4 1 0     sp_el0           rw     *
3 0 4 2 0     spsel            rw     *
3 0 4 2 2     currentel        r      *
3 0 4 2 3     pan              rw     *
3 0 4 2 4     uao              rw     *
3 0 5 1 0     afsr0_el1        rw     .           TVM,TRVM
3 0 5 1 1     afsr1_el1        rw     .           TVM,TRVM
3 0 5 2 0     esr_el1          rw     0-31        TVM,TRVM
3 0 5 3 0     erridr_el1       r      .           TERR
3 0 6 0 0     far_el1          rw     all         TVM,TRVM
3 0 7 4 0     par_el1          rw     all
3 0 10 2 0    mair_el1         rw     all         TVM,TRVM
3 0 10 3 0    amair_el1        rw     .           TVM,TRVM
3 0 10 4 0    lorsa_el1        rw     .           TLOR
3 0 10 4 1    lorea_el1        rw     .           TLOR
3 0 10 4 2    lorn_el1         rw     .           TLOR
3 0 10 4 3    lorc_el1         rw     .           TLOR
3 0 10 4 7    lorid_el1        r      .           TLOR
3 0 12 0 0    vbar_el1         rw     11-63
3 0 12 1 0    isr_el1          r      *
3 0 12 1 1    disr_el1         rw     0-31
3 0 13 0 1    contextidr_el1   rw     0-31        TVM,TRVM
3 0 13 0 4    tpidr_el1        rw     all
3 0 14 1 0    cntkctl_el1      rw     0-9
3 1 0 0 0     ccsidr_el1       r      *           TID2
3 1 0 0 1     clidr_el1        r      id          TID2
3 1 0 0 7     aidr_el1         r      .           TID1
3 2 0 0 0     csselr_el1       rw     0-3         TID2
3 3 0 0 1     ctr_el0          r:r    id          UCT,TID2
3 3 0 0 7     dczid_el0        r:r    *
3 3 4 2 0     nzcv             rw:rw  *
3 3 4 2 1     daif             rw:rw  *           UMA
3 3 4 2 5     dit              rw:rw  *
3 3 4 2 6     ssbs             rw:rw  *
3 3 4 4 0     fpcr             rw:rw  *
3 3 4 4 1     fpsr             rw:rw  *
3 3 13 0 2    tpidr_el0        rw:rw  all
3 3 13 0 3    tpidrro_el0      rw:r   all
2 0 0 0 2     osdtrrx_el1      rw     .           TDA
2 0 0 2 0     mdccint_el1      rw     29-30       TDA
2 0 0 2 2     mdscr_el1        rw     0,12-13,15  TDA
2 0 0 3 2     osdtrtx_el1      rw     .           TDA
2 0 0 6 2     oseccr_el1       rw     .           TDA
2 0 1 0 0     mdrar_el1        r      .           TDRA
2 0 1 0 4     oslar_el1        w      *           TDOSA
2 0 1 1 4     oslsr_el1        r      all         TDOSA
2 0 1 3 4     osdlr_el1        rw     .           TDOSA
2 0 1 4 4     dbgprcr_el1      rw     0           TDOSA
2 0 7 8 6     dbgclaimset_el1  rw     *           TDA
2 0 7 9 6     dbgclaimclr_el1  rw     *           TDA
2 0 7 14 6    dbgauthstatus_el1  r    .           TDA
2 3 0 1 0     mdccsr_el0       r:r    .           TDCC,TDA
2 3 0 4 0     dbgdtr_el0       rw:rw  .           TDCC,TDA
2 3 0 5 0     dbgdtrrx_el0     rw:rw  .           TDCC,TDA
`

/** The ID registers of AArch32, by CRm from 1 on, and op2. */
const IDS32: readonly string[] = [
  'id_pfr0 id_pfr1 id_dfr0 id_afr0 id_mmfr0 id_mmfr1 id_mmfr2 id_mmfr3',
  'id_isar0 id_isar1 id_isar2 id_isar3 id_isar4 id_isar5 id_mmfr4 id_isar6',
  'mvfr0 mvfr1 mvfr2 reserved id_pfr2 id_dfr1 id_mmfr5',
]

/** Numbers of breakpoints, of those that know contexts, and of watchpoints: `ID_AA64DFR0_EL1` says so too. */
export const BREAKPOINTS = 6
export const CONTEXT_BREAKPOINTS = 2
const WATCHPOINTS = 4

/** A system register as MSR and MRS see it. */
export interface SystemRegister {
  readonly name: string
  /** Offset in the state; −1 if the state does not hold the register. */
  readonly place: number
  /** The value of a constant register: low and high word. */
  readonly constantLo: number
  readonly constantHi: number
  /** The bits that are kept, low and high word; 0 of constants. */
  readonly keptLo: number
  readonly keptHi: number
  /** The bits that are always 1, in the low word. */
  readonly fixed: number
  /** Which exception levels may read and write it: `MAY_*`. */
  readonly access: number
  readonly traps: readonly RegisterTrap[]
  /** Special code for the register. */
  readonly special: SpecialRegister | undefined
  /** Fields of the state depend on it. */
  readonly isControl: boolean
  /** The bits that translation depends on, low and high word. */
  readonly translatesLo: number
  readonly translatesHi: number
  /** Whether debug exceptions depend on the register. */
  readonly isDebug: boolean
}

/** Registers that fields of the state depend on, and the bits of them that translation depends on. */
const CONTROLS: ReadonlyMap<string, string> = new Map([
  // M and WXN. Linux writes others at each switch to a process with keys of its own.
  ['sctlr_el1', '0,19'],
  ['cpacr_el1', ''],
  ['tcr_el1', 'all'],
  ['mair_el1', 'all'],
])

/** Bits of `SystemRegister.access`; each write bit is one position above the read bit. */
export const MAY_READ_EL0 = 1
export const MAY_READ_EL1 = 4

/** op0, op1, CRn, CRm and op2 in one number of 16 bits. */
export const encodingOf = (op0: number, op1: number, n: number, m: number, op2: number): number =>
  (op0 << 14) | (op1 << 11) | (n << 7) | (m << 3) | op2

/** Returns the words of a mask, from bits and ranges: `0,4-7`. */
function maskOf(text: string): [lo: number, hi: number] {
  if (text === 'all') return [-1 >>> 0, -1 >>> 0]
  let [lo, hi] = [0, 0]
  for (const range of text.split(',')) {
    const [first = 0, last = first] = range.split('-').map(Number)
    for (let bit = first; bit <= last; bit++) {
      if (bit < 32) lo |= 1 << bit
      else hi |= 1 << (bit - 32)
    }
  }
  return [lo >>> 0, hi >>> 0]
}

const accessOf = (el1: string, el0 = ''): number =>
  (el0.includes('r') ? MAY_READ_EL0 : 0) |
  (el0.includes('w') ? MAY_READ_EL0 << 1 : 0) |
  (el1.includes('r') ? MAY_READ_EL1 : 0) |
  (el1.includes('w') ? MAY_READ_EL1 << 1 : 0)

function registerOf(name: string, access: string, value: string, traps: string): SystemRegister {
  const [kept = '', fixed] = value.split('+')
  const isKept = /^(?:all|\d)/.test(kept)
  const [keptLo, keptHi] = isKept ? maskOf(kept) : value.startsWith('#') ? maskOf('all') : [0, 0]
  const place = value.startsWith('#')
    ? S_KEYS + 8 * Number(value.slice(1))
    : value.startsWith('@')
      ? placeOf(value.slice(1))
      : isKept
        ? placeOf(name)
        : -1
  const [constantLo, constantHi] = (value === 'id' ? idValues().get(name) : undefined) ?? [0, 0]
  const [el1 = '', el0] = access.split(':')
  const translates = CONTROLS.get(name)
  const [translatesLo, translatesHi] = translates ? maskOf(translates) : [0, 0]
  return {
    name,
    place,
    constantLo,
    constantHi,
    keptLo,
    keptHi,
    fixed: fixed === undefined ? 0 : maskOf(fixed)[0],
    access: accessOf(el1, el0),
    traps: trapsOf(traps),
    special: value === '*' ? SPECIAL_REGISTERS[name] : undefined,
    isControl: translates !== undefined,
    translatesLo,
    translatesHi,
    isDebug: name === 'mdscr_el1' || name === 'oslar_el1' || name.startsWith('dbgwcr'),
  }
}

/** Yields all rows, including breakpoints and watchpoints. */
function* rows(): Iterable<readonly [encoding: number, register: SystemRegister]> {
  for (const line of ROWS.trim().split('\n')) {
    const [numbers = '', name = '', access = '', value = '', traps = ''] = line.split(/ {2,}/)
    const [op0 = 0, op1 = 0, n = 0, m = 0, op2 = 0] = numbers.split(' ').map(Number)
    yield [encodingOf(op0, op1, n, m, op2), registerOf(name, access, value, traps)]
  }
  for (let i = 0; i < BREAKPOINTS; i++) {
    yield [encodingOf(2, 0, 0, i, 4), registerOf(`dbgbvr${i}_el1`, 'rw', 'all', 'TDA')]
    yield [encodingOf(2, 0, 0, i, 5), registerOf(`dbgbcr${i}_el1`, 'rw', '0-2,5-8,13-23', 'TDA')]
  }
  for (let i = 0; i < WATCHPOINTS; i++) {
    yield [encodingOf(2, 0, 0, i, 6), registerOf(`dbgwvr${i}_el1`, 'rw', '2-63', 'TDA')]
    yield [encodingOf(2, 0, 0, i, 7), registerOf(`dbgwcr${i}_el1`, 'rw', '0-20,24-28', 'TDA')]
  }
  // The ID registers, including reserved ones, which read as zero.
  const ids = new Map([
    ...IDS32.flatMap((names, m) =>
      names.split(' ').map((name, op2) => [encodingOf(3, 0, 0, m + 1, op2), `${name}_el1`] as const),
    ),
    [encodingOf(3, 0, 0, 4, 0), 'id_aa64pfr0_el1'],
    [encodingOf(3, 0, 0, 4, 1), 'id_aa64pfr1_el1'],
    [encodingOf(3, 0, 0, 5, 0), 'id_aa64dfr0_el1'],
    [encodingOf(3, 0, 0, 6, 0), 'id_aa64isar0_el1'],
    [encodingOf(3, 0, 0, 6, 1), 'id_aa64isar1_el1'],
    [encodingOf(3, 0, 0, 7, 0), 'id_aa64mmfr0_el1'],
    [encodingOf(3, 0, 0, 7, 1), 'id_aa64mmfr1_el1'],
    [encodingOf(3, 0, 0, 7, 2), 'id_aa64mmfr2_el1'],
  ])
  const first = encodingOf(3, 0, 0, 1, 0)
  for (let encoding = first; encoding < first + 56; encoding++) {
    yield [encoding, registerOf(ids.get(encoding) ?? 'reserved', 'r', 'id', 'TID3')]
  }
}

/** Returns the system registers by encoding. */
export const systemRegisters = (): Map<number, SystemRegister> => new Map(rows())
