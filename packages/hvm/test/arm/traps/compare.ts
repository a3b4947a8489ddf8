/** Has cases executed below QEMU's EL2 and in a domain, and compares what each trapped with. */
import { fileURLToPath } from 'node:url'
import { P2mEntry, type P2m } from '@retrap/p2m'
import { assemblePayload, PAYLOAD, runPayload } from '@retrap/tooling/arm-payload'
import type { ArmDomain } from '../../../src/arm/index.ts'
import { bareDomain } from '../../support/arm-guest.ts'
import { CODE_GPA, MAIR, RAM, words } from '../forms/layout.ts'
import type { TrapCase } from './cases.ts'
import type { Trap } from './trap.ts'
import { known } from './deviations.ts'
import { type TrapGuest, trapGuest } from './guest.ts'

const SOURCE = fileURLToPath(new URL('el2-cases.s', import.meta.url))
const RAM_MIB = 64
/** Where QEMU's machine has the guest's RAM, its stage-2 tables, cases and results. */
const GUEST = 0x4100_0000
const STAGE2 = 0x4180_0000
const CASES = 0x4200_0000
const CASE_BYTES = 512
const RESULTS = 0x4300_0000
const RESULT_BYTES = 128
/** More have no room. */
export const MOST_CASES: number = (RESULTS - CASES) / CASE_BYTES - 1

/** HVC #0x78, which follows each case. */
const END = 0xd400_0f02

const NAMES = ['esr', 'far', 'hpfar', 'elr', 'spsr', 'esrEl1', 'farEl1', 'elrEl1', 'spsrEl1', 'par'] as const

function encode(cases: readonly TrapCase[], p2m: P2m, guest: TrapGuest): Buffer {
  const bytes = Buffer.alloc((cases.length + 1) * CASE_BYTES)
  const put = (at: number, values: readonly bigint[]): void => {
    for (const [i, value] of values.entries()) bytes.writeBigUInt64LE(BigInt.asUintN(64, value), at + 8 * i)
  }
  const { vtcr } = p2m.stage2!.registers
  const code = BigInt(CODE_GPA - RAM + GUEST)
  put(0, [BigInt(cases.length), BigInt(STAGE2), BigInt(vtcr)])
  put(24, [MAIR, guest.tcr, guest.ttbr0, guest.ttbr1, guest.vbar, code, guest.code])
  for (const [i, each] of cases.entries()) {
    const at = (i + 1) * CASE_BYTES
    for (let j = 0; j < 4; j++) bytes.writeUInt32LE((each.code[j] ?? END) >>> 0, at + 4 * j)
    put(at + 16, each.x)
    put(at + 264, [each.spEl0, each.spEl1, BigInt(each.pstate), each.sctlr, each.hcr, each.cptr, each.mdcr, each.cpacr])
  }
  return bytes
}

const ORDER_BITS = [18, 9, 0]
const TABLE = 3n
const BLOCK = 1n

/** The map as stage-2 tables, with the guest's RAM where QEMU's machine has it: as many levels, and holes as large. */
function stage2Tables(p2m: P2m): Uint8Array {
  const tables: BigUint64Array[] = []
  const entry = new P2mEntry()
  const fill = (level: number, first: number, entries: number): number => {
    const own = tables.length
    for (let i = 0; i < entries; i += 512) tables.push(new BigUint64Array(512))
    const order = ORDER_BITS[level]!
    for (let i = 0; i < entries; i++) {
      const gfn = first + i * 2 ** order
      p2m.lookup(gfn, entry)
      if (entry.order >= order && entry.mfn < 0) continue
      const value = entry.order < order ? BigInt(STAGE2 + 4096 * fill(level + 1, gfn, 512)) | TABLE : leafOf(gfn, entry)
      tables[own + (i >> 9)]![i & 511] = value
    }
    return own
  }
  fill(0, 0, p2m.stage2!.rootTables * 512)
  const bytes = new Uint8Array(tables.length * 4096)
  for (const [i, table] of tables.entries()) bytes.set(new Uint8Array(table.buffer), 4096 * i)
  return bytes
}

/** A page of RAM, or 2 MiB: AF, inner shareable, write-back; read and write; XN. */
function leafOf(gfn: number, { order, rights }: P2mEntry): bigint {
  const address = BigInt(gfn * 4096 - RAM + GUEST)
  const kind = order === 0 ? TABLE : BLOCK
  return address | 0x73cn | kind | (BigInt(rights & 3) << 6n) | ((rights & 4) === 0 ? 1n << 54n : 0n)
}

/** A domain whose processor is run without the hypervisor behind it. */
export class TrapDomain {
  readonly #domain: ArmDomain
  readonly #guest: TrapGuest

  constructor(guest: TrapGuest = trapGuest()) {
    this.#guest = guest
    const domain = bareDomain()
    this.#domain = domain
    guest.map(domain.p2m)
    domain.secondLevel.onAccessViolation = () => {}
    for (const { gpa, bytes } of guest.image) domain.guestMemory.write(gpa, bytes)
  }

  get p2m(): P2m {
    return this.#domain.p2m
  }

  /** What the guest's RAM holds. */
  get ram(): Uint8Array {
    const bytes = new Uint8Array(this.#guest.ramPages * 4096)
    this.#domain.guestMemory.read(RAM, bytes)
    return bytes
  }

  /** The cases on QEMU's processor, and the guest's RAM after them. */
  askQemu(program: Uint8Array, cases: readonly TrapCase[]): { traps: Trap[]; ram: Uint8Array } {
    const everything = Buffer.alloc(RESULTS - GUEST + cases.length * RESULT_BYTES)
    const bytes = everything.subarray(RESULTS - GUEST)
    const inputs = [
      { address: PAYLOAD, bytes: program },
      { address: GUEST, bytes: this.ram },
      { address: STAGE2, bytes: stage2Tables(this.p2m) },
      { address: CASES, bytes: encode(cases, this.p2m, this.#guest) },
    ]
    runPayload(',virtualization=on', RAM_MIB, inputs, { address: GUEST, bytes: everything })
    const traps = cases.map((_, i) => {
      const value = (j: number): bigint => bytes.readBigUInt64LE(i * RESULT_BYTES + 8 * (j + 1))
      return Object.fromEntries(NAMES.map((name, j) => [name, value(j)])) as unknown as Trap
    })
    return { traps, ram: everything.subarray(0, this.#guest.ramPages * 4096) }
  }

  run(each: TrapCase): Trap {
    const domain = this.#domain
    const guest = this.#guest
    domain.guestMemory.write(CODE_GPA, words(...Array.from({ length: 4 }, (_, i) => each.code[i] ?? END)))
    domain.secondLevel.cancel(0)
    const { processor } = domain.vcpus[0]!
    const { registers } = processor
    registers.reset()
    const own = (each.pstate & 1) !== 0
    registers.pstate = (each.pstate & 0x0fff_ffff) >>> 0
    registers.nzcv = each.pstate & 0xf000_0000
    registers.sp = own ? each.spEl1 : each.spEl0
    for (const [name, value] of [
      [own ? 'sp_el0' : 'sp_el1', own ? each.spEl0 : each.spEl1],
      ['vbar_el1', guest.vbar],
      ['mair_el1', MAIR],
      ['tcr_el1', guest.tcr],
      ['ttbr0_el1', guest.ttbr0],
      ['ttbr1_el1', guest.ttbr1],
      ['sctlr_el1', each.sctlr],
      ['cpacr_el1', each.cpacr],
      ['hcr_el2', each.hcr],
      ['cptr_el2', each.cptr],
      ['mdcr_el2', each.mdcr],
      ['oslsr_el1', 8n],
    ] as const) {
      registers.set(name, value)
    }
    for (let i = 0; i < 31; i++) registers.setX(i, each.x[i]!)
    registers.pc = guest.code
    const exit = processor.run(100)
    if (exit.reason === 'error') throw exit.error
    if (exit.reason !== 'exception') throw new Error(`${each.name}: it ended by ${exit.reason}`)
    return {
      esr: BigInt(exit.syndrome),
      far: exit.address,
      hpfar: exit.hpfar ?? 0n,
      elr: registers.pc,
      spsr: BigInt((registers.pstate | registers.nzcv) >>> 0),
      esrEl1: registers.get('esr_el1'),
      farEl1: registers.get('far_el1'),
      elrEl1: registers.get('elr_el1'),
      spsrEl1: registers.get('spsr_el1'),
      par: registers.get('par_el1'),
    }
  }
}

/** Whether HPFAR_EL2 is told of an abort: not of permission faults, but of those of walks (D24.2.66, "HPFAR_EL2"). */
const tellsIpa = (esr: bigint): boolean => (esr & 0x3cn) !== 0xcn || (esr & 0x80n) !== 0n

/** HVC of EL1's vectors. */
const VECTOR_ESR = 0x5a00_0077n
/** N, Z, C, V and DIT, which QEMU clears on an exception to EL1; `AArch64.TakeException` leaves them as they are. */
const LEFT = 0xf100_0000n

/** Bits 63:32 of ESR_EL1 and SPSR_EL1 are RES0; QEMU keeps what is written. */
const RESERVED = 0xffff_ffff_0000_0000n

/** Bits that are not compared. */
function unlike(name: string, esr: bigint): bigint {
  if (name === 'spsr') return esr === VECTOR_ESR ? LEFT : 0n
  return name === 'esrEl1' || name === 'spsrEl1' ? RESERVED : 0n
}

/** Compares cases. @returns where they differ, and the class of the exception to EL2 of each */
export function compareTraps(
  cases: readonly TrapCase[],
  guest: TrapGuest = trapGuest(),
): { differences: string[]; classes: number[]; traps: Trap[] } {
  const domain = new TrapDomain(guest)
  const { traps: all, ram } = domain.askQemu(assemblePayload(SOURCE), cases)
  const classes: number[] = []
  const differences = cases.flatMap((each, i) => {
    const theirs = all[i]!
    const ours = domain.run(each)
    classes.push(Number(ours.esr >> 26n))
    const found = NAMES.filter((name) => {
      if (name === 'hpfar' && !tellsIpa(ours.esr)) return false
      return ((ours[name] ^ theirs[name]) & ~unlike(name, ours.esr)) !== 0n
    })
    if (found.length === 0 || known(each, ours, theirs)) return []
    const state = `pstate ${each.pstate.toString(16)} sctlr ${each.sctlr.toString(16)} hcr ${each.hcr.toString(16)} cptr ${each.cptr.toString(16)} mdcr ${each.mdcr.toString(16)} cpacr ${each.cpacr.toString(16)}`
    const values = found.map((name) => `${name} ${ours[name].toString(16)}, not ${theirs[name].toString(16)}`)
    return [`${each.name}: ${each.code.map((word) => word.toString(16)).join(' ')} (${state}): ${values.join('; ')}`]
  })
  const at = guest.comparesRam ? domain.ram.findIndex((byte, i) => byte !== ram[i]) : -1
  if (at >= 0 && differences.length === 0) differences.push(`RAM differs at ${(RAM + at).toString(16)}`)
  return { differences, classes, traps: all }
}
