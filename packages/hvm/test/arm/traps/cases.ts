/** What is executed below EL2: loads and stores of every form, and what the controls of EL2 have trapped. */
import { loadStoreFormsA64, type Form } from '@retrap/arm-decoder'
import type { Rng } from '@retrap/tooling/soak'
import { ABSENT, drawCase } from '../forms/cases.ts'
import { CODE } from '../forms/layout.ts'
import { PLACES } from './guest.ts'

/** Up to four instructions, and the state before them. */
export interface TrapCase {
  readonly name: string
  readonly code: readonly number[]
  readonly x: readonly bigint[]
  readonly spEl0: bigint
  readonly spEl1: bigint
  /** SPSR_EL2 of the exception return to it. */
  readonly pstate: number
  readonly sctlr: bigint
  readonly hcr: bigint
  readonly cptr: bigint
  readonly mdcr: bigint
  readonly cpacr: bigint
  /** The access is not aligned, and to Device memory. */
  readonly offDevice: boolean
}

/** RES1, and the MMU and caches. */
const SCTLR = 0x30d0_0800n | 1n | (1n << 2n) | (1n << 12n)
/** DZE, UCT, nTWI, nTWE, UCI; keys. */
const SCTLR_BITS = [14, 15, 16, 18, 26]
/** SA, SA0: QEMU checks no stack pointer. */
const SCTLR_STACK = (1n << 3n) | (1n << 4n)

/** RW, stage 2, API: instructions that use keys are not trapped. With APK, accesses to keys are not either. */
const HCR = (1n << 31n) | 1n | (1n << 41n)
const HCR_APK = 1n << 40n
/** TWI, TWE, TID1, TID2, TID3, TSC, TIDCP, TACR, TSW, TPCP, TPU, TTLB, TVM, TDZ, TRVM, TLOR, TERR, APK. */
const HCR_BITS = [13, 14, 16, 17, 18, 21, 22, 23, 24, 25, 26, 28, 30, 35, 36, 40]
const HCR_TWI = 1n << 13n
const HCR_TSC = 1n << 19n
const HCR_TVM = 1n << 26n

/** RES1; TFP and TCPAC. */
const CPTR = 0x33ffn & ~(1n << 10n)
const CPTR_BITS = [10, 31]
/** TDE, TDA, TDOSA, TDRA. */
const MDCR_BITS = [8, 9, 10, 11]
const MDCR_TDA = 1n << 9n
const MDCR_TDOSA = 1n << 10n

const PSTATE_MASKED = 0x3c0
const MODES = [5, 5, 4, 0] as const

const some = (rng: Rng, bits: readonly number[]): bigint =>
  bits.reduce((value, bit) => (rng.chance() ? value | (1n << BigInt(bit)) : value), 0n)

const general = (rng: Rng): bigint[] => Array.from({ length: 31 }, () => rng.u64())

export const FORMS: readonly Form[] = loadStoreFormsA64.filter(({ feature }) => !ABSENT.includes(feature))

/** A case of a form of loads and stores; undefined if what was drawn is another's, or the manual leaves it open. */
export function drawAccess(form: Form, rng: Rng): TrapCase | undefined {
  const drawn = drawCase(form, rng)
  if (drawn === undefined) return undefined
  const { text, code, x, sp, pstate, sctlr, pages, address, unit } = drawn
  const isOwn = (pstate & 1) !== 0
  return {
    name: text,
    code,
    x,
    spEl0: isOwn ? 0n : sp,
    spEl1: isOwn ? sp : 0n,
    pstate,
    sctlr: sctlr & ~SCTLR_STACK,
    hcr: HCR | HCR_APK,
    cptr: CPTR,
    mdcr: 0n,
    cpacr: 3n << 20n,
    offDevice: pages.some(({ type }) => type === 0) && (unit === 0 || address % (unit === 8 ? 16 : unit) !== 0),
  }
}

/** System registers: op0, op1, CRn, CRm, op2. Those with a control may only be written where it traps that. */
const REGISTERS: readonly (readonly [name: string, encoding: string, control?: bigint])[] = [
  ['midr_el1', '3 0 0 0 0'],
  ['mpidr_el1', '3 0 0 0 5'],
  ['revidr_el1', '3 0 0 0 6'],
  ['sctlr_el1', '3 0 1 0 0', HCR_TVM],
  ['actlr_el1', '3 0 1 0 1'],
  ['cpacr_el1', '3 0 1 0 2'],
  ['ttbr0_el1', '3 0 2 0 0', HCR_TVM],
  ['ttbr1_el1', '3 0 2 0 1', HCR_TVM],
  ['tcr_el1', '3 0 2 0 2', HCR_TVM],
  ...['2 1 0', '2 1 1', '2 1 2', '2 1 3', '2 2 0', '2 2 1', '2 2 2', '2 2 3', '2 3 0', '2 3 1'].map(
    (n) => ['a key', `3 0 ${n}`, 0n] as const,
  ),
  ['spsr_el1', '3 0 4 0 0'],
  ['elr_el1', '3 0 4 0 1'],
  ['afsr0_el1', '3 0 5 1 0'],
  ['afsr1_el1', '3 0 5 1 1'],
  ['esr_el1', '3 0 5 2 0'],
  ['erridr_el1', '3 0 5 3 0'],
  ['far_el1', '3 0 6 0 0'],
  ['mair_el1', '3 0 10 2 0', HCR_TVM],
  ['amair_el1', '3 0 10 3 0'],
  ['lorsa_el1', '3 0 10 4 0'],
  ['lorea_el1', '3 0 10 4 1'],
  ['lorn_el1', '3 0 10 4 2'],
  ['lorc_el1', '3 0 10 4 3'],
  ['lorid_el1', '3 0 10 4 7'],
  ['contextidr_el1', '3 0 13 0 1'],
  ['tpidr_el1', '3 0 13 0 4', 0n],
  ['ccsidr_el1', '3 1 0 0 0'],
  ['clidr_el1', '3 1 0 0 1'],
  ['aidr_el1', '3 1 0 0 7'],
  ['csselr_el1', '3 2 0 0 0'],
  ['ctr_el0', '3 3 0 0 1'],
  ['dczid_el0', '3 3 0 0 7'],
  ['fpcr', '3 3 4 4 0'],
  ['fpsr', '3 3 4 4 1'],
  ['mdccint_el1', '2 0 0 2 0', MDCR_TDA],
  ['mdscr_el1', '2 0 0 2 2', MDCR_TDA],
  ['mdrar_el1', '2 0 1 0 0'],
  ['oslar_el1', '2 0 1 0 4', MDCR_TDOSA],
  ['oslsr_el1', '2 0 1 1 4'],
  ['osdlr_el1', '2 0 1 3 4', MDCR_TDOSA],
  ['dbgbvr0_el1', '2 0 0 0 4', MDCR_TDA],
  ['dbgbcr5_el1', '2 0 0 5 5', MDCR_TDA],
  ['dbgwvr0_el1', '2 0 0 0 6', MDCR_TDA],
  ['dbgwcr3_el1', '2 0 0 3 7', MDCR_TDA],
  ['mdccsr_el0', '2 3 0 1 0'],
  ...[1, 2, 3, 4, 5, 6, 7].map((m) => ['an ID register', `3 0 0 ${m} *`] as const),
]

/** DC, IC, AT and TLBI, as the manual writes them. */
const MAINTENANCE: readonly (readonly [name: string, encoding: string])[] = [
  ['ic ialluis', '1 0 7 1 0'],
  ['ic iallu', '1 0 7 5 0'],
  ['dc ivac', '1 0 7 6 1'],
  ['dc isw', '1 0 7 6 2'],
  ['dc csw', '1 0 7 10 2'],
  ['dc cisw', '1 0 7 14 2'],
  ['dc zva', '1 3 7 4 1'],
  ['ic ivau', '1 3 7 5 1'],
  ['dc cvac', '1 3 7 10 1'],
  ['dc cvau', '1 3 7 11 1'],
  ['dc cvap', '1 3 7 12 1'],
  ['dc civac', '1 3 7 14 1'],
  ['tlbi vmalle1is', '1 0 8 3 0'],
  ['tlbi vae1is', '1 0 8 3 1'],
  ['tlbi vmalle1', '1 0 8 7 0'],
  ['tlbi vae1', '1 0 8 7 1'],
  ['tlbi aside1', '1 0 8 7 2'],
  ['tlbi vaae1', '1 0 8 7 3'],
  ['tlbi vale1', '1 0 8 7 5'],
  ['tlbi vaale1', '1 0 8 7 7'],
  ['at s1e1r', '1 0 7 8 0'],
  ['at s1e1w', '1 0 7 8 1'],
  ['at s1e0r', '1 0 7 8 2'],
  ['at s1e0w', '1 0 7 8 3'],
  ['at s1e1rp', '1 0 7 9 0'],
  ['at s1e1wp', '1 0 7 9 1'],
]

/** MSR, or SYS, from X0. */
function msr(rng: Rng, encoding: string): number {
  const [op0 = 0, op1 = 0, n = 0, m = 0, op2 = rng.below(8)] = encoding
    .split(' ')
    .map((field) => (field === '*' ? undefined : Number(field)))
  return (0xd500_0000 | (op0 << 19) | (op1 << 16) | (n << 12) | (m << 8) | (op2 << 5)) >>> 0
}
const READS = 1 << 21

const VIRTUALS = Object.entries(PLACES)

/** Instructions with an address in X0, whose register is X1. */
const ACCESSES: readonly (readonly [name: string, word: number])[] = [
  ['ldr', 0xf940_0001],
  ['ldrsb', 0x39c0_0001],
  ['str', 0xf900_0001],
  ['strh', 0x7900_0001],
  ['ldp', 0xa940_0801],
  ['stp', 0xa900_0801],
  ['ldxr', 0xc85f_7c01],
  ['ldadd', 0xf822_0001],
  ['swp', 0xf822_8001],
  ['cas', 0xc8a2_7c01],
  ['ldr q', 0x3dc0_0001],
  ['st4', 0x4c00_0001],
  ['ldtr', 0xf840_0801],
  ['prfm', 0xf980_0000],
  ['br', 0xd61f_0000],
  ['blr', 0xd63f_0000],
]

type Template = (rng: Rng) => Omit<TrapCase, 'offDevice'>

const base = (rng: Rng, name: string, code: readonly number[]): Omit<TrapCase, 'offDevice'> => ({
  name,
  code,
  x: general(rng),
  spEl0: rng.u64() & ~15n,
  spEl1: rng.u64() & ~15n,
  pstate: (PSTATE_MASKED | rng.pick(MODES) | (rng.u32() & 0xf000_0000)) >>> 0,
  sctlr: SCTLR | some(rng, SCTLR_BITS),
  hcr: HCR | some(rng, HCR_BITS) | HCR_TWI | HCR_TSC,
  cptr: CPTR | some(rng, CPTR_BITS),
  mdcr: some(rng, MDCR_BITS),
  cpacr: BigInt(rng.below(4)) << 20n,
})

/** An access to a place of the upper half. */
const atPlace =
  (instruction: string, word: (rng: Rng) => number): Template =>
  (rng) => {
    const [place, address] = rng.pick(VIRTUALS)
    const isSystem = instruction.includes(' ')
    return {
      ...base(rng, `${instruction} of ${place}`, [word(rng)]),
      x: general(rng).map((value, i) => (i === 0 ? address : value)),
      hcr: HCR | HCR_APK | (isSystem ? 0n : some(rng, [17, 18])),
      cptr: CPTR,
      cpacr: 3n << 20n,
    }
  }

/** All that is no load or store. */
export function templates(): Template[] {
  const all: Template[] = []
  for (const [name, encoding, control] of REGISTERS) {
    all.push((rng) => base(rng, `mrs ${name}`, [msr(rng, encoding) | READS]))
    if (control === 0n) continue
    all.push((rng) => {
      const drawn = base(rng, `msr ${name}`, [msr(rng, encoding)])
      const isDebug = name.includes('d') && encoding.startsWith('2')
      return control === undefined
        ? drawn
        : isDebug
          ? { ...drawn, mdcr: drawn.mdcr | control }
          : { ...drawn, hcr: drawn.hcr | control }
    })
  }
  for (const [name, encoding] of MAINTENANCE) {
    all.push((rng) => ({
      ...base(rng, name, [msr(rng, encoding)]),
      // An address that is mapped, so that only a control traps it.
      x: general(rng).map((value, i) => (i === 0 ? BigInt(CODE) : value)),
    }))
    if (name.startsWith('tlbi')) continue
    all.push(atPlace(name, (rng) => msr(rng, encoding)))
  }
  for (const [name, word] of ACCESSES) {
    const template = atPlace(name, () => word >>> 0)
    all.push(template, template, template)
  }
  for (const word of [0x9e67_0020, 0x4e22_8420, 0x1e62_2820, 0xfd40_0040]) {
    all.push((rng) => base(rng, 'simd and floating point', [word]))
  }
  // PACIA X1, X2; AUTDB; PACGA; PACIASP; RETAA: no keys are enabled but for some.
  for (const word of [0xdac1_0041, 0xdac1_1c41, 0x9ac2_3020, 0xd503_233f, 0xdac1_43e1]) {
    all.push((rng) => {
      const drawn = base(rng, 'a key is used', [word >>> 0])
      return { ...drawn, sctlr: drawn.sctlr | some(rng, [13, 27, 30, 31]) }
    })
  }
  for (const [name, word] of [
    ['svc', 0xd400_0001],
    ['hvc', 0xd400_0002],
    ['smc', 0xd400_0003],
    ['brk', 0xd420_0000],
    ['udf', 0],
  ] as const) {
    all.push((rng) => base(rng, name, [(word | (rng.below(0x1_0000) << (name === 'udf' ? 0 : 5))) >>> 0]))
  }
  // WFI, at both levels; SEVL and WFE, which does not wait.
  for (let i = 0; i < 3; i++) all.push((rng) => base(rng, 'wfi', [0xd503_207f]))
  all.push((rng) => base(rng, 'sevl, wfe', [0xd503_20bf, 0xd503_205f]))
  all.push((rng) => {
    const drawn = base(rng, 'wfe', [0xd503_205f])
    return { ...drawn, hcr: drawn.hcr | (1n << 14n) }
  })
  return all
}

export const drawTemplate = (template: Template, rng: Rng): TrapCase => ({ ...template(rng), offDevice: false })
