import { Assembler } from '@retrap/x86-assembler'
import { MachineMemory } from '@retrap/memory'
import { PagingStructureCache } from '@retrap/paging'
import type { AccessLog } from '@retrap/replay'
import {
  type CpuHost,
  FlatHost,
  type CpuModel,
  type Exit,
  type InitialCpuState,
  type JitOptions,
  STATUS_DONE,
  STATUS_RESTART,
  STATUS_RETRY,
  type Translation,
  Vcpu,
  type Words,
  X86Engine,
} from '@retrap/x86-cpu'
import { REGISTER_NAMES } from '../../src/system/initial-state.ts'
import { S_CR4, S_DR, S_GPR, S_RIP, S_XCR0 } from '../../src/state/state-layout.ts'
import { S_ACTIVITY } from '../../src/state/system-state.ts'
import { TEST_JIT } from '@retrap/tooling/jit'

/** Guest RAM of a bare processor: GPA 0 up. */
export const RAM_BYTES = 0x40_0000
/** Long mode: the table of the first 2 MiB's 4 KiB pages; entry n maps page n. */
export const PAGE_TABLE = 0x30_3000
export const IDT = 0x30_5000
export const GDT = 0x30_6000
export const TSS = 0x30_7000
/** Top of the initial stack. */
export const STACK = 0x8_0000
/** Where code starts unless a test says otherwise. */
export const CODE = 0x1000

const PTE_P_RW_US = 7
const PTE_LARGE = 0x80
/** The contents of {@link PAGE_TABLE}: thousands of processors are made, and a write of its own for each entry takes long. */
const IDENTITY_TABLE = new Uint8Array(
  BigUint64Array.from({ length: 512 }, (_, i) => BigInt((i << 12) | PTE_P_RW_US)).buffer,
)

/** A device page or port: a value, or `undefined` for "not yet". */
export interface TestDevice {
  read(offset: number, size: number): bigint | undefined
  write(offset: number, size: number, value: bigint): boolean
}

/** A device whose every answer is late. @param read - what it has */
export function slowDevice(
  read = (offset: number, size: number): bigint => BigInt.asUintN(8 * size, BigInt(offset * 0x9e_3779b1 + size)),
): TestDevice {
  const asked = new Set<string>()
  const isReady = (access: string): boolean => asked.delete(access) || (asked.add(access), false)
  return {
    read: (offset, size) => (isReady(`r${offset}/${size}`) ? read(offset, size) : undefined),
    write: (offset, size) => isReady(`w${offset}/${size}`),
  }
}

/** The world around a bare processor: flat RAM, real page walks, and devices where a test puts them. */
export class BareHost extends FlatHost {
  /** A page of registers that the processor may read by itself. */
  registerPage?: NonNullable<CpuHost['registerPage']>
  /** By GFN. */
  readonly devices = new Map<number, TestDevice>()
  readonly ports = new Map<number, TestDevice>()
  readonly rom = new Set<number>()
  readonly interrupts: number[] = []
  nanoseconds = 0
  pauses = 0
  walks = 0
  /** Accesses that devices saw, in order. */
  readonly seen: string[] = []
  cpu!: Vcpu
  override cache: PagingStructureCache | null = new PagingStructureCache()
  /** Table entries that walks have read. */
  tableReads = 0
  /** What the guest has invalidated: scope and PCID. */
  readonly invalidated: string[] = []

  constructor(memory: MachineMemory, ramMa?: number) {
    super(memory, RAM_BYTES, ramMa)
  }

  override attach(cpu: Vcpu): void {
    super.attach(cpu)
    this.cpu = cpu
  }
  override translate(lo: number, hi: number, access: number, into: Translation, log: AccessLog | null): number {
    this.walks++
    const status = super.translate(lo, hi, access, into, log)
    this.tableReads += this.walked.reads
    if (status === STATUS_DONE && this.rom.has(into.gpa >>> 12)) into.ma = this.ramMa + into.gpa
    return status
  }
  override ramAddress(gpa: number): number {
    const gfn = Math.floor(gpa / 0x1000)
    return this.rom.has(gfn) || this.devices.has(gfn) ? -1 : super.ramAddress(gpa)
  }
  /** Makes the access that waits. */
  #again: (into: Words) => number = () => STATUS_DONE
  override answer(): number {
    return this.#again(this.record)
  }
  answersAtOnce(port: boolean): boolean {
    return port
  }
  #ask(name: string, device: TestDevice | undefined, at: number, size: number, into: Words, logged: boolean): number {
    const value = device === undefined ? ~0n : device.read(at, size)
    if (value === undefined) return logged ? STATUS_RETRY : STATUS_RESTART
    this.seen.push(`${name} read ${at.toString(16)}/${size}`)
    into.lo = Number(BigInt.asUintN(32, value))
    into.hi = Number(BigInt.asUintN(32, value >> 32n))
    return STATUS_DONE
  }
  #tell(
    name: string,
    device: TestDevice | undefined,
    at: number,
    size: number,
    value: bigint,
    logged: boolean,
  ): number {
    if (device !== undefined && !device.write(at, size, value)) return logged ? STATUS_RETRY : STATUS_RESTART
    this.seen.push(`${name} write ${at.toString(16)}/${size}=${value.toString(16)}`)
    return STATUS_DONE
  }
  override physicalRead(gpa: number, size: number, into: Words, logged: boolean): number {
    this.#again = (words) => this.physicalRead(gpa, size, words, true)
    return this.#ask('mmio', this.devices.get(Math.floor(gpa / 0x1000)), gpa & 0xfff, size, into, logged)
  }
  override physicalWrite(gpa: number, size: number, lo: number, hi: number, logged: boolean): number {
    const gfn = Math.floor(gpa / 0x1000)
    if (this.rom.has(gfn)) return STATUS_DONE
    const value = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
    this.#again = () => this.physicalWrite(gpa, size, lo, hi, true)
    return this.#tell('mmio', this.devices.get(gfn), gpa & 0xfff, size, value, logged)
  }
  override portRead(port: number, size: number, into: Words, logged: boolean): number {
    this.#again = (words) => this.portRead(port, size, words, true)
    return this.#ask('port', this.ports.get(port), port, size, into, logged)
  }
  override portWrite(port: number, size: number, value: number, logged: boolean): number {
    this.#again = () => this.portWrite(port, size, value, true)
    return this.#tell('port', this.ports.get(port), port, size, BigInt(value >>> 0), logged)
  }
  override timestamp(into: Words): void {
    into.lo = this.nanoseconds >>> 0
    into.hi = Math.floor(this.nanoseconds / 0x1_0000_0000)
  }
  override random(into: Words): void {
    into.lo = 0x1234_5678
    into.hi = 0x9abc_def0
  }
  override acknowledgeInterrupt(): number {
    const vector = this.interrupts.shift() ?? -1
    this.cpu.setInterruptPending(this.interrupts.length > 0)
    return vector
  }
  override pause(): void {
    this.pauses++
    this.cpu.notePause()
  }
  override invalidate(scope: number, pcid: number): void {
    this.invalidated.push(`${scope}:${pcid}`)
    super.invalidate(scope, pcid)
  }
}

export type GeneralRegister = (typeof REGISTER_NAMES)[number]

export interface BareOptions {
  readonly mode?: 'real' | 'protected' | 'long'
  readonly codeCacheBytes?: number
  /** As `X86EngineOptions.jit`. */
  readonly jit?: JitOptions | boolean
  /** As `X86EngineOptions.cpu`. */
  readonly cpu?: CpuModel | string
  /** As `X86EngineOptions.poison`; default true. */
  readonly poison?: boolean
  /** What a machine is free to choose is another: addresses of memory, numbers of handlers. Default false. */
  readonly isOther?: boolean
  /** Other threads may have its memory. Default false. */
  readonly shared?: boolean
  /** Another processor, whose memory and engine this one shares; it decides on the other options. */
  readonly beside?: BareCpu
}

/**
 * One processor with nothing around it but RAM: in 64-bit mode with identity paging (4 KiB pages for the first 2 MiB), a
 * GDT, an IDT and a TSS; in flat 32-bit protected mode without paging; or in real mode.
 */
export class BareCpu {
  readonly memory: MachineMemory
  readonly engine: X86Engine
  readonly host: BareHost
  readonly cpu: Vcpu
  readonly mode: 'real' | 'protected' | 'long'
  readonly #view: DataView

  constructor(options: BareOptions = {}) {
    const { beside } = options
    this.mode = beside?.mode ?? options.mode ?? 'long'
    this.memory = beside?.memory ?? MachineMemory.create({ bytes: 16 << 20, shared: options.shared ?? false })
    if (options.isOther === true) this.memory.allocate(0x3_5000, 0x1000, 'another part')
    this.engine =
      beside?.engine ??
      new X86Engine(this.memory, {
        cpu: options.cpu ?? 'max',
        codeCacheBytes: options.codeCacheBytes ?? 1 << 20,
        jit: options.jit ?? TEST_JIT,
        poison: options.poison ?? true,
      })
    const { systemForms } = this.engine as unknown as { readonly systemForms: unknown[] }
    if (options.isOther === true) systemForms.push(...systemForms, ...systemForms)
    this.host = new BareHost(this.memory, beside?.host.ramMa)
    this.cpu = new Vcpu(this.engine, this.host, { tscHz: 1e9, crystalHz: 1e9 })
    this.host.attach(this.cpu)
    this.#view = new DataView(this.memory.buffer, this.host.ramMa, RAM_BYTES)
    this.cpu.reset(true)
    if (this.mode === 'long' && beside === undefined) this.#buildLongMode()
    this.cpu.load(initialState(this.mode))
  }

  #buildLongMode(): void {
    this.write64(0x30_0000, BigInt(0x30_1000 | PTE_P_RW_US))
    this.write64(0x30_1000, BigInt(0x30_2000 | PTE_P_RW_US))
    this.write64(0x30_2000, BigInt(PAGE_TABLE | PTE_P_RW_US))
    this.write64(0x30_2008, BigInt(0x20_0000 | PTE_P_RW_US | PTE_LARGE))
    this.load(PAGE_TABLE, IDENTITY_TABLE)
    // Null, code, data, user code, user data, TSS.
    const gdt = [0n, 0x00af_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn, 0x00af_fb00_0000_ffffn, 0x00cf_f300_0000_ffffn]
    for (const [i, descriptor] of gdt.entries()) this.write64(GDT + 8 * i, descriptor)
    this.write64(TSS + 4, BigInt(STACK - 0x1_0000))
  }

  /** Assembles a program of this mode at a linear address, and puts it there. @returns the addresses of its labels */
  program(build: (asm: Assembler) => void, address: number = CODE): (label: string) => number {
    const asm = new Assembler({ bits: this.mode === 'long' ? 64 : this.mode === 'protected' ? 32 : 16, address })
    build(asm)
    const { bytes, symbols } = asm.assemble()
    this.load(address, bytes)
    return (label) => Number(symbols.get(label))
  }

  /** Writes guest RAM as a loader or a device does: decoded code of it dies. */
  load(gpa: number, bytes: Uint8Array | readonly number[]): void {
    this.memory.write(this.host.ramMa + gpa, bytes instanceof Uint8Array ? bytes : Uint8Array.from(bytes))
  }
  write64(gpa: number, value: bigint): void {
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setBigUint64(0, value, true)
    this.load(gpa, bytes)
  }
  /** Writes quadwords, in one go: each write of its own takes microseconds. @param value - of a quadword's address */
  fill64(gpa: number, end: number, value: (at: number) => bigint): void {
    const words = new BigUint64Array((end - gpa) >>> 3)
    for (let i = 0; i < words.length; i++) words[i] = value(gpa + 8 * i)
    this.load(gpa, new Uint8Array(words.buffer))
  }
  write32(gpa: number, value: number): void {
    this.load(gpa, [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24])
  }
  read64(gpa: number): bigint {
    return this.#view.getBigUint64(gpa, true)
  }
  read32(gpa: number): number {
    return this.#view.getUint32(gpa, true)
  }
  read16(gpa: number): number {
    return this.#view.getUint16(gpa, true)
  }
  read8(gpa: number): number {
    return this.#view.getUint8(gpa)
  }

  /** Points an interrupt vector to code: a 64-bit interrupt gate, or a real-mode far pointer. */
  vector(number: number, address: number): void {
    if (this.mode === 'real') {
      this.write32(4 * number, address)
      return
    }
    const low = BigInt(address & 0xffff) | (8n << 16n) | (0x8e00n << 32n) | (BigInt(address >>> 16) << 48n)
    this.write64(IDT + 16 * number, low)
    this.write64(IDT + 16 * number + 8, 0n)
  }

  interrupt(vector: number): void {
    this.host.interrupts.push(vector)
    this.cpu.setInterruptPending(true)
  }

  /** Sets CR4.OSXSAVE, and XCR0. */
  enableState(xcr0: number): void {
    this.cpu.u32[S_CR4 >>> 2]! |= 1 << 18
    this.cpu.u32[S_XCR0 >>> 2] = xcr0
    this.cpu.modeChanged()
  }

  register(name: GeneralRegister): bigint {
    return this.cpu.read64(S_GPR + 8 * REGISTER_NAMES.indexOf(name))
  }
  setRegister(name: GeneralRegister, value: number | bigint): void {
    this.cpu.u64[(S_GPR >>> 3) + REGISTER_NAMES.indexOf(name)] = BigInt.asUintN(64, BigInt(value))
  }
  get rip(): number {
    return Number(this.cpu.read64(S_RIP))
  }
  set rip(value: number) {
    this.cpu.u64[S_RIP >>> 3] = BigInt(value)
  }
  get dr6(): number {
    return this.cpu.u32[(S_DR + 48) >>> 2] as number
  }
  get activity(): number {
    return this.cpu.u32[S_ACTIVITY >>> 2] as number
  }
  /** Sets DR0–DR3 and DR7 as MOV DR would. */
  breakpoint(index: number, address: number, dr7: number): void {
    this.cpu.u64[(S_DR >>> 3) + index] = BigInt(address)
    this.cpu.u64[(S_DR >>> 3) + 7] = BigInt(dr7 | 0x400)
    this.cpu.flushTlb(true)
  }

  /** Executes one instruction, or delivers one event. */
  step(): Exit {
    const exit = this.cpu.step()
    if (exit.reason === 'error') throw exit.error
    return exit
  }

  /** Runs for a whole turn, however often the host has its own in between. */
  turn(budget: number): Exit {
    const end = this.cpu.cost + budget
    for (;;) {
      const exit = this.run(end - this.cpu.cost)
      if (exit.reason !== 'yield') return exit
    }
  }

  /** Runs from CODE, or from where it stopped. */
  run(budget = 10_000): Exit {
    const exit = this.cpu.run(budget)
    if (exit.reason === 'error') throw exit.error
    return exit
  }
}

/** What a mode begins with. */
export function initialState(mode: 'real' | 'protected' | 'long'): InitialCpuState {
  const long = mode === 'long'
  const real = mode === 'real'
  const limit = real ? 0xffff : 0xffff_ffff
  const data = { selector: real ? 0 : 0x10, base: 0, limit, attributes: real ? 0x93 : 0xc093 }
  return {
    registers: { rip: CODE, rsp: real ? 0x8000 : STACK, rflags: 2 },
    segments: {
      cs: { selector: real ? 0 : 8, base: 0, limit, attributes: long ? 0xa09b : real ? 0x9b : 0xc09b },
      ds: data,
      es: data,
      fs: data,
      gs: data,
      ss: data,
      ldtr: { selector: 0, base: 0, limit: 0xffff, attributes: 0x82 },
      tr: { selector: long ? 0x28 : 0, base: TSS, limit: 0x67, attributes: 0x8b },
    },
    gdtr: { base: GDT, limit: 0x37 },
    idtr: { base: real ? 0 : IDT, limit: real ? 0x3ff : 0xfff },
    cr0: long ? 0x8000_0011 : real ? 0x10 : 0x11,
    cr3: long ? 0x30_0000 : 0,
    cr4: long ? 0x620 : 0x600,
    efer: long ? 0x500 : 0,
  }
}
