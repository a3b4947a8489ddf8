import { defineDevice } from '@retrap/device'
import { DeterministicClock, X86Domain, type DomainExit, type ForkedMemory, type X86DomainOptions } from '@retrap/hvm'
import { MachineMemory } from '@retrap/memory'
import { Assembler, al } from '@retrap/x86-assembler'
import type { InitialCpuState } from '@retrap/x86-cpu'
import { TEST_JIT } from '@retrap/tooling/jit'
import { plugState } from '../../src/paravirtual.ts'
import type { EventUpcalls } from '../../src/events/upcalls.ts'
import type { XenOptions, XenState } from '../../src/xen-state.ts'
import { RamOfGuest, TestSleeper } from './guest.ts'

/** 64-bit mode; 32-bit protected mode without paging; 32-bit code under a 64-bit kernel's tables; real-address mode. */
export type CallerMode = '64' | '32' | 'compatibility' | 'real'
export const MODES: readonly CallerMode[] = ['64', '32', 'compatibility']

/** The code that makes the call, its stack, and room for arguments that nothing else uses. */
const CODE = 0x1_0000
const STACK = 0x1_8000
export const ARGUMENTS = 0x4_0000
/** RAM from 0 on. */
export const RAM_BYTES = 4 << 20
const PML4 = 0x2_0000
const PDPT = 0x2_1000
const PD = 0x2_2000
/** Of 4 KiB, for the first 2 MiB. */
const PT = 0x2_3000
const P_RW = 3
/** Tables that map each page to itself: a write of its own for each of their entries took a fifth of many tests. */
const tableOf = (entry: (i: number) => number): Uint8Array =>
  new Uint8Array(BigUint64Array.from({ length: 512 }, (_, i) => BigInt(entry(i))).buffer)
const SMALL_PAGES = tableOf((i) => i * 0x1000 + P_RW)
const LARGE_PAGES = tableOf((i) => i * 0x20_0000 + 0x83)
const DONE_PORT = 0xf4

const RAX = 0
const NATIVE = [7, 6, 2, 10, 8, 9] as const
const COMPAT = [3, 1, 2, 6, 7, 5] as const

export interface XenTestOptions {
  readonly xen?: XenOptions | undefined
  readonly vcpus?: number
  readonly memoryBytes?: number
  /** Frames of the machine that are taken before the domain has any. */
  readonly taken?: number
  readonly domain?: Partial<X86DomainOptions>
  /** A guest that it is a clone of, in the same machine memory, and that one's RAM. */
  readonly origin?: { readonly guest: XenTestGuest; readonly ram: ForkedMemory } | undefined
}

/** A domain that makes hypercalls, one at a time, from code of its own. */
export class XenTestGuest extends RamOfGuest {
  readonly domain: X86Domain
  readonly xen: XenState<EventUpcalls>
  readonly memory: MachineMemory
  readonly mode: CallerMode
  readonly sleeper: TestSleeper = new TestSleeper()
  /** How the last run ended. */
  exit: DomainExit = { reason: 'stopped' }
  /** Privilege level of the caller; its pages must be a user's. */
  ring: 0 | 3 = 0
  /** RFLAGS.AC of the caller. */
  flags: number = 2

  constructor(mode: CallerMode = '64', options: XenTestOptions = {}) {
    super()
    this.mode = mode
    const { origin } = options
    this.memory = origin?.guest.memory ?? MachineMemory.create({ bytes: options.memoryBytes ?? 16 << 20 })
    for (let i = 0; i < (options.taken ?? 0); i++) this.memory.frames.allocate(i % 2 === 0 ? 9 : 0)
    this.domain = new X86Domain({
      memory: this.memory,
      vcpus: options.vcpus ?? 1,
      clock: new DeterministicClock(),
      random: () => 4,
      sleeper: this.sleeper,
      codeCacheBytes: 1 << 20,
      jit: TEST_JIT,
      frameCounts: origin?.guest.domain.frameCounts,
      engine: origin?.guest.domain.engine,
      ...options.domain,
    })
    this.xen = plugState(this.domain, options.xen)
    if (origin === undefined) this.domain.p2m.populate(0, RAM_BYTES / 0x1000)
    else origin.ram.populate(this.domain, 0, RAM_BYTES / 0x1000)
    this.domain.attach(
      defineDevice({
        name: 'done',
        stateless: true,
        synchronous: true,
        ports: { base: DONE_PORT, size: 1 },
        write: () => this.domain.stop({ reason: 'stopped' }),
      }),
    )
    this.#writeTables()
    this.program((asm) => asm.vmcall().out(DONE_PORT, al).hlt())
    for (const vcpu of this.domain.vcpus) vcpu.cpu.reset(vcpu.id === 0)
  }

  #writeTables(): void {
    this.write64(PML4, BigInt(PDPT | 7))
    this.write64(PDPT, BigInt(PD | 7))
    this.write(PD, LARGE_PAGES)
    this.write64(PD, BigInt(PT | 7))
    this.write(PT, SMALL_PAGES)
  }

  /** Sets the table entry of one of the first 512 pages. @param flags - default: present, writable */
  map(linear: number, gpa: number, flags: number = P_RW): void {
    this.write64(PT + 8 * (linear >>> 12), BigInt(gpa + flags))
  }

  /** Replaces the code that runs: it begins with the registers that `call` was given, and ends the run with a write to port F4H. */
  program(build: (asm: Assembler) => unknown, address: number = CODE): void {
    const bits = this.mode === '64' ? 64 : this.mode === 'real' ? 16 : 32
    const asm = new Assembler({ bits, address })
    build(asm)
    this.write(address, asm.assemble().bytes)
  }

  /** Makes a hypercall. @returns the result, as the caller's signed integer */
  async call(number: number | bigint, ...args: readonly (number | bigint)[]): Promise<number> {
    const { cpu } = this.domain.vcpus[0] as X86Domain['vcpus'][number]
    cpu.load(this.state())
    const registers = this.mode === '64' ? NATIVE : COMPAT
    this.setRegister(RAX, BigInt(number))
    for (const [i, value] of args.entries()) this.setRegister(registers[i] as number, BigInt(value))
    this.exit = await this.domain.run()
    const rax = this.register(RAX)
    return Number(this.mode === '64' ? BigInt.asIntN(64, rax) : BigInt.asIntN(32, rax))
  }

  register(index: number): bigint {
    return this.domain.vcpus[0]?.cpu.registers.general[index] ?? 0n
  }

  get rip(): bigint {
    return this.domain.vcpus[0]?.cpu.registers.rip ?? 0n
  }

  setRegister(index: number, value: bigint): void {
    const { cpu } = this.domain.vcpus[0] as X86Domain['vcpus'][number]
    cpu.registers.general[index] = value
  }

  /** The registers that a call begins with. */
  state(): InitialCpuState {
    const long = this.mode === '64' || this.mode === 'compatibility'
    const real = this.mode === 'real'
    const dpl = this.ring << 5
    const limit = real ? 0xffff : 0xffff_ffff
    const data = { selector: real ? 0 : 0x10 | this.ring, base: 0, limit, attributes: (real ? 0x93 : 0xc093) | dpl }
    const code = this.mode === '64' ? 0xa09b : real ? 0x9b : 0xc09b
    return {
      registers: {
        rip: real ? 0 : CODE,
        rsp: real ? 0xf000 : STACK,
        rflags: this.flags | (this.ring === 3 ? 0x3000 : 0),
      },
      segments: {
        cs: { selector: real ? CODE >> 4 : 8 | this.ring, base: real ? CODE : 0, limit, attributes: code | dpl },
        ds: data,
        es: data,
        fs: data,
        gs: data,
        ss: data,
        ldtr: { selector: 0, base: 0, limit: 0, attributes: 0x82 },
        tr: { selector: 0, base: 0, limit: 0x67, attributes: 0x8b },
      },
      gdtr: { base: 0, limit: 0 },
      idtr: { base: 0, limit: 0 },
      cr0: long ? 0x8001_0011 : real ? 0x10 : 0x11,
      cr3: long ? PML4 : 0,
      cr4: long ? 0x20_0020 : 0,
      efer: long ? 0xd00 : 0,
    }
  }

  /** Writes integers as wide as the caller's longs. */
  writeLongs(gpa: number, ...values: readonly number[]): void {
    if (this.mode === '64') this.write64(gpa, ...values)
    else this.write32(gpa, ...values)
  }

  /** Zero-ended text. */
  readText(gpa: number, length: number): string {
    const bytes = this.read(gpa, length)
    const end = bytes.indexOf(0)
    return String.fromCharCode(...(end < 0 ? bytes : bytes.subarray(0, end)))
  }

  /** 4 KiB frames of the machine that are free, or tables of the map: the rest is RAM, and what never changes. */
  get spareFrames(): number {
    return this.memory.frames.freeFrames + this.domain.p2m.tableBytes / 0x1000
  }
}
