// A program of a bare Arm machine that misuses everything a guest can reach: devices, system registers, translation tables,
// firmware calls, and instructions that are none. It runs wherever it is loaded.
import type { Rng } from '@retrap/tooling/soak'
import { type Access, drawAccesses, enable } from './hostile-accesses.ts'
import type { HostileMachine } from './hostile-machines.ts'

/** Words of the header of an arm64 Image, whose first instruction jumps behind it. */
const HEADER_WORDS = 16
const VECTORS = 0x800
/** Exceptions have 16 vectors of 32 instructions. */
const VECTOR_BYTES = 0x80
const PROGRAM = 0x1000
const RAM = 0x4000_0000
/** Where translation tables are, behind the program. */
const TABLES = RAM + 0x8_0000
const PORTS = 0x3eff_0000
const ECAM = 0x40_1000_0000

/** Flash, distributor, processor interface, message frame, ITS, redistributor, UART, RTC, fw_cfg, GPIO, virtio, Xen, PCI, RAM. */
const ADDRESSES = [
  ...[0, 0x0400_0000, 0x0800_0000, 0x0801_0000, 0x0802_0000, 0x0808_0000, 0x0809_0000, 0x080a_0000, 0x080b_0000],
  ...[0x0900_0000, 0x0901_0000, 0x0902_0000, 0x0902_0010, 0x0903_0000, 0x0a00_0000, 0x0a00_3e00, 0x0b00_0000],
  ...[0x0c00_0000, 0x1000_0000, PORTS, 0x3fff_f000, RAM, TABLES, ECAM, 0x80_0000_0000, 0x4000_ffff_f000],
]
const EDGES = [0, 1, 0xffff_ffff, 0x8000_0000, 0x7fff_ffff, 0xfff, 0x1000] as const

/** Instructions of stores and loads of X1's address from and to W2, by bytes. */
const STORES = { 1: 0x3900_0022, 2: 0x7900_0022, 4: 0xb900_0022 } as const
const LOADS = { 1: 0x3940_0022, 2: 0x7940_0022, 4: 0xb940_0022 } as const
/** Of X1's address, what no driver does to a device: pairs, vectors, exclusives, atomics, prefetches, zeroing. */
const ODD_ACCESSES = [
  ...[0xa900_0822, 0xa940_0822, 0x3d80_0022, 0x3dc0_0022, 0x885f_7c22, 0x8803_7c22, 0xb862_0023, 0xb8e2_8023],
  ...[0xf880_0020, 0xd50b_7421, 0xd50b_7e21, 0xd50b_7521, 0xb840_4422, 0xb81f_cc22, 0x0c00_7022, 0xd61f_0020],
] as const
/** WFI, WFE, SEV, YIELD, ISB, DSB, and masking and unmasking of interrupts. */
const HINTS = [0xd503_207f, 0xd503_205f, 0xd503_209f, 0xd503_203f, 0xd503_3fdf, 0xd503_3f9f, 0xd503_42ff, 0xd503_42df]
/** MSR of X0 to SCTLR, CPACR, TTBR0, TTBR1, TCR, VBAR, MAIR, CONTEXTIDR, ELR, SPSR, SP_EL0 and the timers' registers. */
const REGISTERS = [
  ...[0xd518_1000, 0xd518_1040, 0xd518_2000, 0xd518_2020, 0xd518_2040, 0xd518_c000, 0xd518_a200, 0xd518_d020],
  ...[0xd518_4020, 0xd518_4000, 0xd518_4100, 0xd51b_e300, 0xd51b_e320, 0xd51b_e340, 0xd51b_e200, 0xd51b_e220],
] as const
const MSR_VBAR = 0xd518_c000
const [HVC, SMC, SVC, BRK, ERET] = [0xd400_0002, 0xd400_0003, 0xd400_0001, 0xd420_0000, 0xd69f_03e0]
/** HVC with the immediate of Xen (public/arch-arm.h); its hypercall's number is in X16. */
const HVC_XEN = 0xd41d_4822

const move = (register: number, value: number): number[] => [
  (0xd280_0000 | ((value & 0xffff) << 5) | register) >>> 0,
  (0xf2a0_0000 | (((value >>> 16) & 0xffff) << 5) | register) >>> 0,
  ...(value > 0xffff_ffff ? [(0xf2c0_0000 | ((Math.floor(value / 2 ** 32) & 0xffff) << 5) | register) >>> 0] : []),
]
const branch = (from: number, to: number): number => (0x1400_0000 | (((to - from) >> 2) & 0x3ff_ffff)) >>> 0
const adr = (register: number, from: number, to: number): number =>
  (0x1000_0000 | (((to - from) & 3) << 29) | ((((to - from) >> 2) & 0x7_ffff) << 5) | register) >>> 0

function value(rng: Rng): number {
  if (rng.chance(1, 3)) return rng.pick(EDGES)
  return rng.chance() ? rng.pick(ADDRESSES) + rng.below(32) : rng.u32()
}

function perform({ space, address, bytes, value: written }: Access): number[] {
  const at = { configuration: ECAM, memory: 0, port: PORTS }[space] + address
  return [...move(1, at), ...(written === undefined ? [LOADS[bytes]] : [...move(2, written), STORES[bytes]])]
}

/** Translation tables of one level or more, some entries of which are wrecked, and the registers that turn them on. */
function translate(rng: Rng): number[] {
  const words: number[] = []
  const put = (at: number, entry: number): void => void words.push(...move(1, at), ...move(2, entry), 0xf900_0022)
  // 39 bits of address: GiB blocks as they are, of device memory below RAM.
  for (const [i, entry] of [0x0000_0401, 0x4000_0705, 0x8000_0705].entries()) {
    put(TABLES + 8 * i, rng.chance(1, 6) ? value(rng) : entry)
  }
  for (let i = rng.below(4); i > 0; i--) put(TABLES + 8 * rng.below(512), value(rng))
  const set = (register: number, content: number): void =>
    void words.push(...move(0, rng.chance(1, 12) ? value(rng) : content), register)
  set(0xd518_a200, 0xff00)
  set(0xd518_2000, TABLES)
  set(0xd518_2040, 25 + 2 ** 23 + 2 * 2 ** 32)
  words.push(0xd508_871f, 0xd503_3f9f)
  set(0xd518_1000, 0x30d0_0801)
  return [...words, 0xd503_3fdf]
}

/** One misuse of the processor or the board. @param at - where its first word will be */
function misuse(rng: Rng, at: number): number[] {
  const small = (): number[] => [1, 2, 3].flatMap((register) => move(register, value(rng)))
  switch (rng.below(12)) {
    case 0:
    case 1: {
      const bytes = rng.pick([4, 1, 2] as const)
      const address = rng.pick(ADDRESSES) + (rng.chance() ? rng.below(0x1000) & -bytes : 0)
      return perform({ space: 'memory', address, bytes, ...(rng.chance(2, 3) && { value: rng.u32() }) })
    }
    case 2:
      return [...move(1, rng.pick(ADDRESSES) + 8 * rng.below(64)), ...move(2, value(rng)), rng.pick(ODD_ACCESSES)]
    case 3:
      return [...move(0, value(rng)), rng.pick(REGISTERS)]
    case 4:
      // MSR, MRS or SYS of any register.
      return [...move(0, value(rng)), (rng.pick([0xd518_0000, 0xd538_0000, 0xd508_0000]) + rng.below(2 ** 19)) >>> 0]
    case 5: {
      // PSCI and SMC calling conventions (DEN0022, DEN0028), with an entry that is code now and then.
      const call = [
        ...move(0, rng.pick([0x8400_0000, 0xc400_0000, 0x8600_0000, 0x8000_0000]) + rng.below(0x20)),
        ...small(),
      ]
      if (rng.chance()) call.push(...move(1, rng.below(4)), adr(2, at + 4 * (call.length + 2), PROGRAM))
      return [...call, rng.pick([HVC, HVC, SMC])]
    }
    case 6:
      return [...move(16, rng.below(64)), ...move(0, rng.below(16)), ...small(), HVC_XEN]
    case 7:
      return [rng.pick(HINTS)]
    case 8:
      return rng.chance(1, 3) ? translate(rng) : [rng.pick([SVC, BRK, ERET, 0xd508_871f, 0xd508_751f])]
    case 9:
      // An exception return to any state: another level, AArch32, or none.
      return [
        adr(0, at, PROGRAM),
        0xd518_4020,
        ...move(0, rng.pick([5, 4, 0, 0x10, 0x13, rng.u32()])),
        0xd518_4000,
        ERET,
      ]
    case 10:
      // Code that changes itself.
      return [adr(1, at, at + 16 + 4 * rng.below(8)), ...move(2, rng.u32()), STORES[4]]
    default:
      return Array.from({ length: rng.between(1, 4) }, () => rng.u32())
  }
}

/** A kernel, or what a flash has, and what it is made of. */
export function hostileArm(
  rng: Rng,
  machine: HostileMachine,
): { readonly image: Uint8Array; readonly listing: () => string } {
  const program: number[] = []
  program.push(adr(0, PROGRAM, VECTORS), MSR_VBAR)
  for (const device of machine.devices) program.push(...enable(machine, device).flatMap(perform))
  const onlyDevices = rng.chance(1, 3)
  const body = program.length
  for (let i = rng.between(1, 60); i > 0; i--) {
    const accesses = onlyDevices || rng.chance()
    program.push(
      ...(accesses ? drawAccesses(rng, machine).flatMap(perform) : misuse(rng, PROGRAM + 4 * program.length)),
    )
  }
  const end = PROGRAM + 4 * program.length
  program.push(rng.chance(3, 4) ? branch(end, PROGRAM + 4 * body) : HINTS[0]!)
  const words = new Uint32Array(PROGRAM / 4 + program.length)
  words[0] = branch(0, PROGRAM)
  words.set([words.length * 4], 4)
  words[HEADER_WORDS - 2] = 0x644d_5241
  // Each exception leads to somewhere in the program.
  for (let at = VECTORS; at < PROGRAM; at += VECTOR_BYTES)
    words[at / 4] = branch(at, PROGRAM + 4 * rng.below(program.length))
  words.set(program, PROGRAM / 4)
  const listing = (): string => program.map((word) => word.toString(16).padStart(8, '0')).join(' ')
  return { image: new Uint8Array(words.buffer), listing }
}
