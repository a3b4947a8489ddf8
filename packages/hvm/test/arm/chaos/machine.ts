/** A machine that executes programs without disturbance, or with as much of it as there can be. */
import { setImmediate } from 'node:timers/promises'
import { defineDevice, type InterruptLine, type Word64 } from '@retrap/device'
import { TestSleeper } from '@retrap/x86-assembler/guest-code/flat-guest'
import { ICC_IGRPEN1_EL1, ICC_PMR_EL1 } from '@retrap/irqchip/gic'
import { MachineMemory } from '@retrap/memory'
import type { Rng } from '@retrap/tooling/soak'
import { ArmDomain, PowerState } from '../../../src/arm/index.ts'
import { DeterministicClock } from '../../../src/index.ts'
import * as L from '../forms/layout.ts'
import { guestImage, words } from '../forms/layout.ts'
import { FIRST_PAGE, PROGRAM } from './program.ts'

const DISTRIBUTOR = 0x0800_0000
const VECTORS_FRAME = L.RAM + 0x5000
const SYNCHRONOUS = 0x200
const IRQ = 0x280

/** An interrupt, whose edges the machine gets at any time. */
const INTERRUPT = 40
const GICD_CTLR = 0
const GICD_IGROUPR1 = 0x84
const GICD_ISENABLER1 = 0x104
const GICD_ICFGR2 = 0xc08
/** ARE, and group 1. */
const CONTROL = 0x12

/** MSR TPIDR_EL1, X0; MRS X0, ELR_EL1; ADD X0, X0, #4; MSR ELR_EL1, X0; MRS X0, TPIDR_EL1; ERET: what faults is left out. */
const SKIP = words(0xd518_d080, 0xd538_4020, 0x9100_1000, 0xd518_4020, 0xd538_d080, 0xd69f_03e0)
/** MSR TPIDR_EL1, X0; MRS X0, ICC_IAR1_EL1; MSR ICC_EOIR1_EL1, X0; MRS X0, TPIDR_EL1; ERET. */
const ACKNOWLEDGE = words(0xd518_d080, 0xd538_cc00, 0xd518_cc20, 0xd538_d080, 0xd69f_03e0)

const MOST_TURNS = 1_000_000
const DEADLINE_MS = 60_000
const PSTATE = 0x345

/** What a program has come to. */
export interface Outcome {
  readonly registers: ReadonlyMap<string, bigint>
  readonly ram: Uint8Array
  /** The device's accesses, in order. */
  readonly log: readonly string[]
  /** Instructions, those of interrupts too. */
  readonly retired: number
}

/** See the file's comment. */
export class ChaosMachine {
  /** Interrupts that were sent, accesses that were answered later, and snapshots' settlings. */
  readonly counts = { interrupts: 0, late: 0, settled: 0, turns: 0 }
  readonly #domain: ArmDomain
  readonly #line: InterruptLine
  readonly #log: string[] = []
  #later: () => boolean = () => false

  constructor(compiles: boolean) {
    const domain = new ArmDomain({
      memory: MachineMemory.create({ bytes: 48 << 20 }),
      vcpus: 1,
      clock: new DeterministicClock(),
      sleeper: new TestSleeper(),
      codeCacheBytes: 4 << 20,
      ...(compiles && { jit: { threshold: 4, fewestInstructions: 1 } }),
      gic: { distributor: DISTRIBUTOR, redistributors: 0x080a_0000 },
    })
    this.#domain = domain
    domain.p2m.populate(L.RAM / 4096, L.RAM_PAGES)
    domain.attach(this.#device())
    this.#line = domain.architecture.interruptLine(INTERRUPT)
  }

  #device(): Parameters<ArmDomain['attach']>[0] {
    /** No value twice: an access too many changes all that follow. */
    const answer = <T>(access: string, make: (fresh: number) => T): T | Promise<T> => {
      this.#log.push(access)
      const value = make(Math.imul(this.#log.length, 0x9e37_79b1) >>> 0)
      if (!this.#later()) return value
      this.counts.late++
      return Promise.resolve(value)
    }
    return defineDevice({
      name: 'counter',
      stateless: true,
      mmio: { base: L.DEVICE, size: L.DEVICE_PAGES * 4096, maximumAccess: 8 },
      read: (offset, size) =>
        answer(`r${offset.toString(16)}:${size}`, (fresh) => (size === 4 ? fresh : fresh & (2 ** (8 * size) - 1))),
      write: (offset, size, value) => answer(`w${offset.toString(16)}:${size}=${value.toString(16)}`, () => undefined),
      read64: (offset, into: Word64) =>
        answer(`r${offset.toString(16)}:8`, (fresh) => void Object.assign(into, { lo: fresh, hi: ~fresh >>> 0 })),
      write64: (offset, lo, hi) =>
        answer(`w${offset.toString(16)}:8=${hi.toString(16)},${lo.toString(16)}`, () => undefined),
    })
  }

  #begin(program: readonly number[], x: readonly bigint[], v: readonly bigint[]): void {
    const domain = this.#domain
    domain.reset()
    this.#log.length = 0
    for (const { kind, gpa } of L.PAGES) if (kind === 'ram') domain.guestMemory.write(gpa, new Uint8Array(4096))
    for (const { gpa, bytes } of guestImage()) domain.guestMemory.write(gpa, bytes)
    domain.guestMemory.write(VECTORS_FRAME + SYNCHRONOUS, SKIP)
    domain.guestMemory.write(VECTORS_FRAME + IRQ, ACKNOWLEDGE)
    domain.guestMemory.write(L.CODE_GPA, words(...program))
    const bit = 1 << (INTERRUPT & 31)
    for (const [register, value] of [
      [GICD_CTLR, CONTROL],
      [GICD_IGROUPR1, bit],
      [GICD_ISENABLER1, bit],
      [GICD_ICFGR2, 2 << (2 * (INTERRUPT & 15))],
    ] as const) {
      domain.dispatch.mmioWrite(DISTRIBUTOR + register, 4, value >>> 0, 0)
    }
    domain.architecture.writeSystem(0, ICC_PMR_EL1, 0xff, 0)
    domain.architecture.writeSystem(0, ICC_IGRPEN1_EL1, 1, 0)
    const { registers } = domain.vcpus[0]!.processor
    registers.set('vbar_el1', BigInt(L.VECTORS))
    registers.set('cpacr_el1', 3n << 20n)
    registers.set('mair_el1', L.MAIR)
    registers.set('tcr_el1', L.TCR)
    registers.set('ttbr0_el1', L.TTBR0)
    registers.set('sctlr_el1', 0x34d0_5805n)
    registers.pc = BigInt(PROGRAM)
    for (const [i, value] of x.entries()) registers.setX(i, value)
    registers.setX(28, BigInt(FIRST_PAGE))
    for (const [i, value] of v.entries()) registers.setV(i, value)
    registers.pstate = PSTATE
    registers.sp = BigInt(FIRST_PAGE)
  }

  /** Runs a program to its end. @param rng - disturbs it; absent: nothing does */
  async run(program: readonly number[], x: readonly bigint[], v: readonly bigint[], rng?: Rng): Promise<Outcome> {
    const domain = this.#domain
    const vcpu = domain.vcpus[0]!
    this.#begin(program, x, v)
    this.#later = () => rng?.chance() === true
    const before = vcpu.cpu.retired
    for (let turn = 0; vcpu.power === PowerState.ON; turn++) {
      if (turn > MOST_TURNS) throw new Error('the program does not end')
      if (rng !== undefined) this.#disturb(rng)
      const budget = rng === undefined ? 100_000 : 1 + rng.below(rng.chance(1, 4) ? 400 : 12)
      const exit = domain.runVcpu(vcpu, budget)
      this.counts.turns++
      if (exit.reason === 'error') throw exit.error
      if (exit.reason !== 'blocked' || vcpu.power !== PowerState.ON) continue
      if (rng?.chance(1, 8) === true) {
        this.counts.settled++
        await domain.settle(DEADLINE_MS)
      } else await setImmediate()
    }
    return { ...this.#seen(), log: this.#log.slice(), retired: vcpu.cpu.retired - before }
  }

  #disturb(rng: Rng): void {
    const vcpu = this.#domain.vcpus[0]!
    if (rng.chance(1, 4)) {
      this.counts.interrupts++
      this.#line.pulse()
    }
    if (rng.chance(1, 16)) vcpu.mapChanged()
  }

  #seen(): Pick<Outcome, 'registers' | 'ram'> {
    const { registers } = this.#domain.vcpus[0]!.processor
    const found = new Map<string, bigint>()
    for (let i = 1; i < 31; i++) found.set(`x${i}`, registers.x(i))
    for (let i = 0; i < 32; i++) found.set(`v${i}`, registers.v(i))
    for (const name of ['esr_el1', 'far_el1', 'sp_el0'] as const) found.set(name, registers.get(name))
    found.set('sp', registers.sp)
    found.set('nzcv', BigInt(registers.nzcv >>> 0))
    found.set('fpsr', BigInt(registers.fpsr))
    const ram = new Uint8Array(L.RAM_PAGES * 4096)
    this.#domain.guestMemory.read(L.RAM, ram)
    return { registers: found, ram }
  }
}
