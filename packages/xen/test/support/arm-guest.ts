import { defineDevice } from '@retrap/device'
import { DeterministicClock, type DomainExit, type ForkedMemory } from '@retrap/hvm'
import { ArmDomain, type ArmDomainOptions } from '@retrap/hvm/arm'
import { MachineMemory } from '@retrap/memory'
import { type ArmUpcalls, plugArmState } from '../../src/arm/paravirtual.ts'
import type { XenOptions, XenState } from '../../src/xen-state.ts'
import { RamOfGuest, TestSleeper } from './guest.ts'

/** Where RAM begins: 4 MiB. */
export const RAM = 0x4000_0000
export const RAM_FRAMES = 1024
/** Code of each vCPU; the vectors; room for arguments. */
export const CODE = RAM + 0x1_0000
export const VECTORS = RAM + 0x2_0000
export const ARGUMENTS = RAM + 0x4_0000
/** A write ends the run. */
export const DONE = 0x0900_0000
export const EVENT_PPI = 31
const DISTRIBUTOR = 0x0800_0000
const REDISTRIBUTORS = 0x080a_0000

/* Instructions of A64. */
export const HYPERCALL = 0xd400_0002 | (0xea1 << 5)
export const WFI = 0xd503_207f
export const ERET = 0xd69f_03e0
const move = (base: number, register: number, value: number, shift: number): number =>
  (base | ((shift / 16) << 21) | (value << 5) | register) >>> 0
/** Has a register be a number of 32 bits. */
export const load = (register: number, value: number): number[] => [
  move(0xd280_0000, register, value >>> 16, 16),
  move(0xf280_0000, register, value & 0xffff, 0),
]
/** STR Xt, [Xn, #offset] */
export const store = (register: number, base: number, offset = 0): number =>
  (0xf900_0000 | ((offset / 8) << 10) | (base << 5) | register) >>> 0
/** LDR Xt, [Xn, #offset] */
export const read = (register: number, base: number, offset = 0): number =>
  (store(register, base, offset) | (1 << 22)) >>> 0
/** MRS, MSR of a system register: op0:op1:CRn:CRm:op2. */
export const mrs = (register: number, encoding: number): number => (0xd520_0000 | (encoding << 5) | register) >>> 0
export const msr = (register: number, encoding: number): number => (0xd500_0000 | (encoding << 5) | register) >>> 0
/** A branch by so many instructions. */
export const branch = (by: number): number => (0x1400_0000 | (by & 0x3ff_ffff)) >>> 0
/** Ends the run. */
export const FINISH = [...load(15, DONE), store(0, 15), branch(0)]
/** Hypercall `number`, whose arguments are numbers of 32 bits. */
export const hypercall = (number: number, ...args: readonly number[]): number[] => [
  ...args.flatMap((value, i) => load(i, value)),
  ...load(16, number),
  HYPERCALL,
]

export interface XenArmTestOptions {
  readonly xen?: XenOptions
  readonly vcpus?: number
  readonly memoryBytes?: number
  /** Frames of the machine that are taken before the domain has any. */
  readonly taken?: number
  readonly domain?: Partial<ArmDomainOptions>
  /** A guest that it is a clone of, in the same machine memory, and that one's RAM. */
  readonly origin?: { readonly guest: XenArmTestGuest; readonly ram: ForkedMemory } | undefined
}

/** An Arm domain that makes hypercalls, one at a time, from code of its own; its MMU is off. */
export class XenArmTestGuest extends RamOfGuest {
  readonly domain: ArmDomain
  readonly xen: XenState<ArmUpcalls>
  readonly memory: MachineMemory
  exit: DomainExit = { reason: 'stopped' }
  readonly #takesEvents = new Set<number>()

  constructor(options: XenArmTestOptions = {}) {
    super()
    const { origin } = options
    this.memory = origin?.guest.memory ?? MachineMemory.create({ bytes: options.memoryBytes ?? 48 << 20 })
    for (let i = 0; i < (options.taken ?? 0); i++) this.memory.frames.allocate(i % 2 === 0 ? 9 : 0)
    this.domain = new ArmDomain({
      memory: this.memory,
      vcpus: options.vcpus ?? 1,
      clock: new DeterministicClock(),
      sleeper: new TestSleeper(),
      codeCacheBytes: 2 << 20,
      gic: { distributor: DISTRIBUTOR, redistributors: REDISTRIBUTORS },
      frameCounts: origin?.guest.domain.frameCounts,
      engine: origin?.guest.domain.engine,
      ...options.domain,
    })
    const places = { storeFrame: 0xc000, consoleFrame: 0xc001, eventInterrupt: EVENT_PPI }
    this.xen = plugArmState(this.domain, places, options.xen)
    if (origin === undefined) this.domain.p2m.populate(RAM / 0x1000, RAM_FRAMES)
    else origin.ram.populate(this.domain, RAM / 0x1000, RAM_FRAMES)
    this.domain.attach(
      defineDevice({
        name: 'done',
        stateless: true,
        synchronous: true,
        mmio: { base: DONE, size: 8 },
        write: () => this.domain.stop({ reason: 'stopped' }),
      }),
    )
    this.domain.reset()
    this.program(CODE, [HYPERCALL, ...FINISH])
  }

  program(gpa: number, words: readonly number[]): void {
    this.write32(gpa, ...words)
  }

  get registers() {
    return this.domain.vcpus[0]!.processor.registers
  }

  /** Has a vCPU begin at an address. */
  start(vcpu = 0, entry = CODE): void {
    this.domain.vcpus[vcpu]!.start(BigInt(entry), 0n)
    if (this.#takesEvents.has(vcpu)) this.#openInterface(vcpu)
  }

  /** Runs what the first vCPU has from an address on. */
  async run(entry = CODE): Promise<void> {
    this.start(0, entry)
    this.exit = await this.domain.run()
  }

  /** Makes a hypercall. @returns the result */
  async call(number: number | bigint, ...args: readonly (number | bigint)[]): Promise<number> {
    this.start()
    for (const [i, value] of args.entries()) this.registers.setX(i, BigInt(value))
    this.registers.setX(16, BigInt(number))
    this.exit = await this.domain.run()
    return Number(BigInt.asIntN(64, this.registers.x(0)))
  }

  /** Has the interrupt controller forward the private interrupt of events, as a kernel does. */
  enableEvents(vcpu = 0): void {
    const { dispatch } = this.domain
    dispatch.mmioWrite(DISTRIBUTOR, 4, 2, 0)
    const frame = REDISTRIBUTORS + vcpu * 0x2_0000
    dispatch.mmioWrite(frame + 0x14, 4, 0, 0)
    dispatch.mmioWrite(frame + 0x1_0080, 4, 0xffff_ffff, 0)
    dispatch.mmioWrite(frame + 0x1_0100, 4, 2 ** EVENT_PPI, 0)
    this.#takesEvents.add(vcpu)
    this.#openInterface(vcpu)
  }

  /** A start has closed it. */
  #openInterface(vcpu: number): void {
    const { gic } = this.domain.architecture
    gic.systemRegisters!.writeSystemRegister(vcpu, ICC_PMR, 0xff, 0)
    gic.systemRegisters!.writeSystemRegister(vcpu, ICC_IGRPEN1, 1, 0)
  }
}

/* Encodings of system registers, op0:op1:CRn:CRm:op2. */
const register = (op0: number, op1: number, crn: number, crm: number, op2: number): number =>
  (op0 << 14) | (op1 << 11) | (crn << 7) | (crm << 3) | op2
export const ICC_PMR: number = register(3, 0, 4, 6, 0)
export const ICC_IGRPEN1: number = register(3, 0, 12, 12, 7)
export const ICC_IAR1: number = register(3, 0, 12, 12, 0)
export const ICC_EOIR1: number = register(3, 0, 12, 12, 1)
export const VBAR: number = register(3, 0, 12, 0, 0)
export const ELR: number = register(3, 0, 4, 0, 1)
export const SPSR: number = register(3, 0, 4, 0, 0)
/** MSR DAIFClr, #2: interrupts may come. */
export const UNMASK = 0xd503_42ff
