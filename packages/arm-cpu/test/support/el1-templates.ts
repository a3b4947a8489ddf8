/** What cases of system instructions are drawn from. */
import type { Random } from './compare-instructions.ts'
import { systemRegisters } from '../../src/system/register-table.ts'

/** A case: up to four instructions, and the state before them. */
export interface Case {
  readonly name: string
  readonly words: readonly number[]
  /** PSTATE, with its flags. */
  readonly pstate: number
  readonly x: readonly [bigint, bigint, bigint]
  readonly sctlr: number
  /** Its upper word. */
  readonly sctlrHigh: number
  readonly cpacr: number
  readonly cntkctl: number
  readonly spEl0: bigint
  readonly spEl1: bigint
  /** The bits of X0 that both must agree in: not those of values that are each processor's own, nor what it does not keep. */
  readonly compared: bigint
}

/** Where the instructions of a case are. */
const SLOT = 0x4028_0000
const STACK = 0x4050_0000n

const pick = <T>(random: Random, from: readonly T[]): T => from[random() % from.length]!
const wide = (random: Random): bigint => (BigInt(random()) << 32n) | BigInt(random())

/** RES1, and bits of SCTLR_EL1 that change nothing for the program around the cases. */
const SCTLR = 0x30d0_0800
/** SA, SA0, UMA, DZE, UCT, nTWI, nTWE, SPAN, UCI. */
const SCTLR_BITS = [3, 4, 9, 14, 15, 16, 18, 23, 26]

const sctlrOf = (random: Random): number =>
  SCTLR_BITS.reduce((value, bit) => ((random() & 1) === 0 ? value & ~(1 << bit) : value | (1 << bit)), SCTLR)

/** Flags, DIT, UAO, PAN, SSBS, DAIF with I and F set, and a mode. */
function pstateOf(random: Random, modes: readonly number[]): number {
  return ((random() & 0xf1c0_1300) | 0xc0 | pick(random, modes)) >>> 0
}

const EL1 = [5, 5, 4] as const
const ANY = [0, 0, 5, 5, 4] as const

type Template = (random: Random) => Case

function template(
  name: string,
  words: (random: Random) => readonly number[],
  more: Partial<Omit<Case, 'name' | 'words' | 'pstate'>> & {
    readonly modes?: readonly number[]
    readonly registers?: (random: Random) => Partial<Case>
  } = {},
): Template {
  const { modes = ANY, registers, ...rest } = more
  return (random) => ({
    name,
    words: words(random),
    pstate: pstateOf(random, modes),
    x: [wide(random), wide(random), STACK],
    sctlr: sctlrOf(random),
    sctlrHigh: 0,
    cpacr: 3 << 20,
    cntkctl: random() & 0x3ff,
    spEl0: STACK - 0x1000n,
    spEl1: STACK - 0x2000n,
    compared: -1n,
    ...rest,
    ...registers?.(random),
  })
}

const mrs = (encoding: number, to: number): number => 0xd530_0000 | ((encoding & 0x7fff) << 5) | to
const msr = (encoding: number, from: number): number => 0xd510_0000 | ((encoding & 0x7fff) << 5) | from

/** Registers whose values are each processor's own. */
const OWN = /^(?:midr|mpidr|revidr|aidr|ctr|dczid|clidr|ccsidr|reserved|id_|osl|dbg|mdrar|erridr|isr|lor|cnt|mdccsr)/
/** Bits of those that are more than bits that are kept: without the fields that only AArch32 has. */
const KEPT: ReadonlyMap<string, bigint> = new Map([
  ['fpcr', 0x07c8_0000n],
  ['fpsr', 0x0800_009fn],
])
/** Registers that a case may not write: with the vectors elsewhere nothing is noted, with the double lock nothing is stepped. */
const APART = new Set(['vbar_el1', 'sctlr_el1', 'mdscr_el1', 'oslar_el1', 'osdlr_el1'])

/** MSR of an immediate: UAO, PAN, SPSel, SSBS, DIT, DAIFSet, DAIFClr, and fields that are not there. */
const IMMEDIATES = [0o03, 0o04, 0o05, 0o31, 0o32, 0o36, 0o37, 0o07, 0o20, 0o40]

/** DC, IC, AT and TLBI, as the manual writes them; all of X2. */
const MAINTENANCE: readonly (readonly [name: string, op1: number, m: number, op2: number, n?: number])[] = [
  ['ic ialluis', 0, 1, 0],
  ['ic iallu', 0, 5, 0],
  ['dc ivac', 0, 6, 1],
  ['dc isw', 0, 6, 2],
  ['dc csw', 0, 10, 2],
  ['dc cisw', 0, 14, 2],
  ['dc zva', 3, 4, 1],
  ['ic ivau', 3, 5, 1],
  ['dc cvac', 3, 10, 1],
  ['dc cvau', 3, 11, 1],
  ['dc cvap', 3, 12, 1],
  ['dc civac', 3, 14, 1],
  ['at s1e1r', 0, 8, 0],
  ['at s1e0w', 0, 8, 3],
  ['tlbi vmalle1is', 0, 3, 0, 8],
  ['tlbi vae1', 0, 7, 1, 8],
  ['tlbi aside1', 0, 7, 2, 8],
  ['tlbi vaale1is', 0, 3, 7, 8],
  ['tlbi vae1os', 0, 1, 1, 8],
  ['tlbi rvae1is', 0, 2, 1, 8],
  ['tlbi rvaae1os', 0, 5, 3, 8],
  ['tlbi rvaale1', 0, 6, 7, 8],
  ['tlbi alle2', 4, 7, 0, 8],
  ['at s12e1r', 4, 8, 4],
]

/** BTI, BTI c, j and jc; PACIASP, PACIBSP, PACIAZ; NOP; BRK, HLT, UDF; SVC; B .+4; ADD X0, X0, X1. */
const LANDINGS = [
  0xd503_241f, 0xd503_245f, 0xd503_249f, 0xd503_24df, 0xd503_233f, 0xd503_237f, 0xd503_231f, 0xd503_201f, 0xd420_0000,
  0xd440_0000, 0, 0xd400_0001, 0x1400_0001, 0x8b01_0000,
]

export function templates(): Template[] {
  const all: Template[] = []
  for (const [encoding, { name, special, keptLo, keptHi }] of systemRegisters()) {
    const kept = special === undefined ? BigInt(keptLo) | (BigInt(keptHi) << 32n) : (KEPT.get(name) ?? -1n)
    const compared = OWN.test(name) ? 0n : kept
    all.push(template(`mrs ${name}`, () => [mrs(encoding, 0)], { compared }))
    if (APART.has(name)) continue
    all.push(template(`msr ${name}`, () => [msr(encoding, 1), mrs(encoding, 0)], { compared }))
  }
  // Timers, which EL1 may keep from EL0.
  for (const [m, op2] of [
    [0, 0],
    [0, 1],
    [0, 2],
    [2, 1],
    [2, 2],
    [3, 0],
    [3, 1],
    [3, 2],
  ] as const) {
    const encoding = 0xdf00 | (m << 3) | op2
    all.push(template('mrs of a timer', () => [mrs(encoding, 0)], { compared: 0n }))
  }
  all.push(
    template('a register of EL2 or EL3', (random) => [
      mrs(0xc000 | (pick(random, [4, 5, 6]) << 11) | (random() & 0x3ff), 0),
    ]),
    template('svc', (random) => [0xd400_0001 | ((random() & 0xffff) << 5)]),
    template('smc', (random) => [0xd400_0003 | ((random() & 0xffff) << 5)]),
    template('brk', (random) => [0xd420_0000 | ((random() & 0xffff) << 5)]),
    template('hlt', (random) => [0xd440_0000 | ((random() & 0xffff) << 5)]),
    template('dcps', (random) => [0xd4a0_0001 | ((random() & 0xffff) << 5)]),
    template('udf', (random) => [random() & 0xffff]),
    template('eret of EL0', () => [0xd69f_03e0], { modes: [0] }),
    template('sevl, wfe', () => [0xd503_20bf, 0xd503_205f]),
    template('esb', () => [0xd503_221f]),
    template('ldr through an unaligned stack pointer', () => [0xf940_03e0], {
      spEl0: STACK + 8n,
      spEl1: STACK + 4n,
      compared: 0n,
    }),
    template('br to an unaligned address', () => [0xd61f_0020], {
      registers: (random) => ({ x: [0n, BigInt(SLOT + 1 + (random() % 3)), 0n] }),
    }),
    template('an unaligned load, strictly', () => [0xf940_0040], {
      registers: (random) => ({ x: [0n, 0n, STACK + BigInt(random() & 7)], sctlr: sctlrOf(random) | 2 }),
      compared: 0n,
    }),
  )
  for (const word of [0x9e67_0020, 0xfd40_0040, 0x4e22_8420, mrs(0xda20, 0), msr(0xda21, 1)]) {
    const registers = (random: Random): Partial<Case> => ({ cpacr: (random() & 3) << 20 })
    all.push(template('simd and floating point', () => [word], { registers, compared: 0n }))
  }
  for (const field of IMMEDIATES) {
    const bits = ((field >> 3) << 16) | ((field & 7) << 5)
    all.push(template('msr of an immediate', (random) => [0xd500_401f | bits | ((random() & 15) << 8)]))
  }
  for (const [name, op1, m, op2, n = 7] of MAINTENANCE) {
    const word = 0xd508_0000 | (op1 << 16) | (n << 12) | (m << 8) | (op2 << 5) | 2
    all.push(template(name, () => [word]))
  }
  // An exception return after which software step has one instruction executed, or none: the program's first one.
  for (const [control, mode] of [
    [1, 0],
    [1, 0],
    [0x2001, 5],
    [0x2001, 4],
  ] as const) {
    all.push(
      template('software step', () => [msr(0x8012, 0), msr(0xc201, 1), msr(0xc200, 2), 0xd69f_03e0], {
        modes: [5],
        registers: (random) => ({
          x: [BigInt(control), 0x4020_0000n, BigInt(((random() & 0xf1e0_1100) | 0xc0 | mode) >>> 0)],
          compared: 0n,
        }),
      }),
    )
  }
  // A watchpoint of EL1: some bytes side by side of a doubleword, loads or stores or both.
  const watched = (random: Random): bigint => {
    const first = random() & 7
    const bytes = (1 << (1 + (random() % (8 - first)))) - 1
    return BigInt(1 | ((random() & 3) << 1) | ((1 + (random() % 3)) << 3) | (bytes << (5 + first)))
  }
  // ldr x0, [x2]; strb w0, [x2, #4]; stp xzr, xzr, [x2]; ldadd x0, x3, [x2]
  for (const word of [0xf940_0040, 0x3900_1040, 0xa900_7c5f, 0xf820_0043]) {
    all.push(
      template('watchpoint', () => [msr(0x8006, 2), msr(0x8007, 0), msr(0x8012, 1), word], {
        modes: [5],
        registers: (random) => ({ x: [watched(random), 0xa000n, STACK] }),
        compared: 0n,
      }),
    )
  }
  // Branches, and returns with BTYPE, to what is a landing or none; where the MMU is on, in a guarded page.
  const guarded = (random: Random): Partial<Case> => ({
    x: [wide(random), BigInt(SLOT + 8), BigInt(SLOT + 8)],
    pstate: (pstateOf(random, ANY) | (random() & 0xc00)) >>> 0,
    sctlr: sctlrOf(random) | (random() % 4 === 0 ? 0 : 1),
    sctlrHigh: random() & 0x18,
  })
  for (const landing of LANDINGS) {
    // mov x16, x1; br x16; the same with x17; nop; br x1; blr x2
    for (const branch of [
      [0xaa01_03f0, 0xd61f_0200],
      [0xaa01_03f1, 0xd61f_0220],
      [0xd503_24df, 0xd61f_0020],
      [0xd503_24df, 0xd63f_0040],
    ]) {
      all.push(template('branch to a landing', () => [...branch, landing], { registers: guarded, compared: 0n }))
    }
    all.push(template('return to a landing', () => [landing], { registers: guarded, compared: 0n }))
  }
  const saved = (random: Random): bigint =>
    BigInt(((random() & 0xf1f0_1300) | 0xc0 | pick(random, [0, 0, 4, 5, 5, 1, 8, 9, 12, 13, 2, 6, 7])) >>> 0)
  for (let i = 0; i < 8; i++) {
    all.push(
      template('eret', () => [msr(0xc201, 1), msr(0xc200, 0), 0xd69f_03e0], {
        modes: EL1,
        registers: (random) => ({ x: [saved(random), BigInt(SLOT + 12 + (i === 0 ? 2 : 0)), 0n] }),
      }),
    )
  }
  return all
}
