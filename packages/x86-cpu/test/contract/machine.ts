import { MachineMemory } from '@retrap/memory'
import type { TableReader } from '@retrap/paging'
import { AccessKind, STATUS_DONE } from '@retrap/replay'
import type { AccessLog } from '@retrap/replay'
import { FlatHost, Vcpu, X86Engine } from '../../src/index.ts'
import type { InitialCpuState, Translation, Words } from '../../src/index.ts'
import * as S from '../../src/state/state-layout.ts'
import { TEST_JIT } from '@retrap/tooling/jit'
import * as L from '../semantics/layout.ts'
import { loadFxState } from '../semantics/fx-state.ts'

/** Guest-physical layout. Everything below CODE_GPA is compared after each run. */
const PML4 = 0x1000
const PDPT = 0x2000
const PD = 0x3000
const PT_LOW = 0x4000
const PT_WINDOW = 0x5000
const PT_CODE = 0x6000
/** Page-directory-pointer table of PAE paging. */
export const PAE_PDPT = 0x7000
export const GDT = 0x8000
export const IDT = 0x9000
export const TSS = 0xa000
export const IST_STACK = 0xb000
/** For 32-bit protected mode, in the same pages: an IDT, and the TSS of this task and of another one. */
export const IDT_32 = IDT + 0x800
export const TSS_32 = TSS + 0x200
export const OTHER_TSS_32 = TSS + 0x400
export const HANDLERS = 0xc000
export const KERNEL_STACK = 0xd000
export const LDT = 0xe000
export const WINDOW_GPA = 0x1_0000
/** Two-level paging: page directory, and tables for the same three regions. */
const PD_NARROW = 0x1_2000
const PT_NARROW_LOW = 0x1_3000
const PT_NARROW_WINDOW = 0x1_4000
const PT_NARROW_CODE = 0x1_5000
const COMPARED_BYTES = 0x1_6000
const CODE_GPA = 0x2_0000
export const CODE_BYTES = 0x10_0000
/** Frames that the first page of the code has in turn: code in frames that are written again is rarely compiled. */
const FRESH_GPA = CODE_GPA + CODE_BYTES
const FRESH_FRAMES = 1024
const RAM_BYTES = FRESH_GPA + FRESH_FRAMES * 0x1000

const PRESENT = 1
const WRITABLE = 2
const USER = 4
/** Bit 63. */
const NO_EXECUTE = 0x8000_0000
/** A and D. */
const USED = 0x60

/** Pages that may turn into devices. The rest is code. */
export const DEVICE_PAGES: readonly number[] = [
  PAE_PDPT,
  GDT,
  IDT,
  TSS,
  IST_STACK,
  KERNEL_STACK,
  LDT,
  WINDOW_GPA,
  WINDOW_GPA + 0x1000,
]

export const KERNEL_CS = 0x10
export const KERNEL_DS = 0x18
export const LDT_SELECTOR = 0x50
export const KERNEL_CS_32 = 0x38
export const TSS_32_SELECTOR = 0x70
export const OTHER_TSS_32_SELECTOR = 0x78
const VECTORS = 64
const HLT = 0xf4
/** A byte for each set of the TLB: S_EXECUTE_MODES. */
const EXECUTE_MODES = 4
/** Executions of code after which it is compiled. */
const WARM_RUNS = 3

/** One access that a device has been asked for. */
export interface DeviceAccess {
  readonly kind: 'read' | 'write' | 'in' | 'out'
  readonly address: number
  readonly size: number
  readonly lo: number
  readonly hi: number
}

/** What a run left behind. */
export interface Outcome {
  readonly exit: string
  /** Which handler was reached. */
  readonly vector: number
  readonly registers: Uint8Array
  readonly ram: Uint8Array
  readonly accesses: readonly DeviceAccess[]
  /** How often the vCPU was blocked. */
  readonly blocked: number
  /** What went wrong in the dialogue with devices. */
  readonly violation: string | undefined
}

/** How devices behave in a run. */
export interface DevicePlan {
  /** Guest-physical addresses of the pages that are devices. */
  readonly pages: ReadonlySet<number>
  /** Ports are asynchronous devices as well. */
  readonly ports: boolean
  /** How often each access is put off. */
  readonly retries: number
  /** What other agents do to RAM that the instruction has read while it waits. */
  readonly scribble: 'no' | 'while waiting' | 'until it retires'
}

/** There are no devices. */
export const QUIET: DevicePlan = { pages: new Set(), ports: false, retries: 0, scribble: 'no' }

/** RAM, page tables in it, and pages that are devices over the same bytes. */
class ContractHost extends FlatHost implements TableReader {
  vcpu: Vcpu | undefined
  plan = QUIET
  accesses: DeviceAccess[] = []
  violation: string | undefined
  /** Table entries that the current unit has read from memory, and their sizes. */
  readonly walkReads = new Map<number, number>()
  /** Called when what was logged has ended, before anything else is fetched, or at the next walk that is not logged. */
  onUnlogged: (() => void) | undefined
  #pending: { readonly access: DeviceAccess; readonly make: (into: Words) => void } | undefined
  #refusals = 0

  constructor(memory: MachineMemory) {
    super(memory, RAM_BYTES)
    this.tables = this
    this.cache = null
  }

  override attach(vcpu: Vcpu): void {
    super.attach(vcpu)
    this.vcpu = vcpu
    const { log } = vcpu
    const end = log.end.bind(log)
    log.end = () => {
      end()
      this.#unlogged()
    }
  }

  #unlogged(): void {
    this.walkReads.clear()
    this.onUnlogged?.()
  }

  /** Whatever it says to us: a logged pass is running. */
  get #logging(): boolean {
    return this.vcpu?.u32[S.S_LOGGED >>> 2] === 1
  }

  start(plan: DevicePlan): void {
    this.walkReads.clear()
    this.plan = plan
    this.accesses = []
    this.violation = undefined
    this.#pending = undefined
    this.onUnlogged = undefined
  }

  // ---------------------------------------------------------------- page tables

  read32(gpa: number, into: Uint32Array): boolean {
    if (gpa >= RAM_BYTES) return false
    if (this.#logging) this.walkReads.set(gpa, 4)
    into[0] = this.memory.u32[(this.ramMa + gpa) >>> 2] as number
    return true
  }
  read64(gpa: number, into: Uint32Array): boolean {
    if (gpa >= RAM_BYTES) return false
    if (this.#logging) this.walkReads.set(gpa, 8)
    into[0] = this.memory.u32[(this.ramMa + gpa) >>> 2] as number
    into[1] = this.memory.u32[(this.ramMa + gpa + 4) >>> 2] as number
    return true
  }
  compareExchange32(gpa: number, expect: number, value: number): boolean {
    return this.memory.compareExchange32(this.ramMa + gpa, expect, value)
  }
  compareExchange64(gpa: number, expectLo: number, expectHi: number, lo: number, hi: number): boolean {
    return this.memory.compareExchangeEntry(this.ramMa + gpa, expectLo, expectHi, lo, hi)
  }

  override translate(lo: number, hi: number, access: number, into: Translation, log: AccessLog | null): number {
    if (!this.#logging) this.#unlogged()
    return super.translate(lo, hi, access, into, log)
  }

  override ramAddress(gpa: number): number {
    return this.plan.pages.has(gpa & ~0xfff) ? -1 : super.ramAddress(gpa)
  }

  // ---------------------------------------------------------------- devices

  #ask(access: DeviceAccess, logged: boolean, make: (into: Words) => void): number {
    if (!logged) return S.STATUS_RESTART
    const pending = this.#pending
    if (pending !== undefined)
      this.violation ??= `asked for ${JSON.stringify(access)} while ${JSON.stringify(pending.access)} waits`
    this.accesses.push(access)
    this.#pending = { access, make }
    this.#refusals = this.plan.retries
    return this.answer()
  }

  override answer(): number {
    if (this.#refusals > 0) {
      this.#refusals--
      return S.STATUS_RETRY
    }
    if (this.#pending === undefined) this.violation ??= 'an answer is asked for to nothing'
    this.#pending?.make(this.record)
    this.#pending = undefined
    return S.STATUS_DONE
  }

  override physicalRead(gpa: number, size: number, into: Words, logged: boolean): number {
    if (gpa + size > RAM_BYTES) throw new Error(`read of nothing at ${gpa.toString(16)}`)
    return this.#ask({ kind: 'read', address: gpa, size, lo: 0, hi: 0 }, logged, (words) => {
      words.lo = 0
      words.hi = 0
      for (let i = 0; i < size; i++) {
        const byte = this.memory.u8[this.ramMa + gpa + i] as number
        if (i < 4) words.lo |= byte << (8 * i)
        else words.hi |= byte << (8 * (i - 4))
      }
    })
  }

  override physicalWrite(gpa: number, size: number, lo: number, hi: number, logged: boolean): number {
    const mask = size >= 4 ? 0xffff_ffff : (1 << (8 * size)) - 1
    const access = { address: gpa, size, lo: (lo & mask) >>> 0, hi: size === 8 ? hi >>> 0 : 0 }
    return this.#ask({ kind: 'write', ...access }, logged, () => {
      for (let i = 0; i < size; i++)
        this.memory.u8[this.ramMa + gpa + i] = i < 4 ? lo >>> (8 * i) : hi >>> (8 * (i - 4))
    })
  }

  override portRead(port: number, size: number, into: Words, logged: boolean): number {
    const make = (words: Words): void => {
      words.lo = Math.imul(port + 1, 0x9e37_79b1)
      words.hi = 0
    }
    if (this.plan.ports) return this.#ask({ kind: 'in', address: port, size, lo: 0, hi: 0 }, logged, make)
    make(into)
    return S.STATUS_DONE
  }

  override portWrite(port: number, size: number, value: number, logged: boolean): number {
    const mask = size === 4 ? 0xffff_ffff : (1 << (8 * size)) - 1
    return this.plan.ports
      ? this.#ask({ kind: 'out', address: port, size, lo: (value & mask) >>> 0, hi: 0 }, logged, () => {})
      : S.STATUS_DONE
  }

  // ---------------------------------------------------------------- the rest

  interrupt = -1

  override timestamp(into: Words): void {
    into.lo = 0
    into.hi = 0
  }
  override acknowledgeInterrupt(): number {
    const vector = this.interrupt
    this.interrupt = -1
    this.vcpu?.setInterruptPending(false)
    return vector
  }
}

/** A run's beginning. */
export interface Start {
  /** As native.c has it: registers, flags, x87 and SSE state, and the middle of the window. */
  readonly input: Uint8Array
  readonly supervisor: boolean
  /** 32-bit protected mode with PAE paging, at level 0, in place of IA-32e mode. */
  readonly legacy?: boolean | undefined
  /** Two-level paging, in place of IA-32e mode or PAE paging, for code of 32 and 16 bits. */
  readonly narrow?: boolean | undefined
  /** Changes to RAM, by guest-physical address, before the run. */
  readonly patch?: ((ram: DataView) => void) | undefined
  /** Bytes of the instruction at RIP, which other agents overwrite while it waits. */
  readonly length: number
  /** A and D are set in all tables from the beginning. */
  readonly used: boolean
  /** Vector of an interrupt that is delivered before the instruction. */
  readonly interrupt?: number | undefined
}

/** A CPU with four-level paging over RAM and devices; every exception ends in HLT. */
export class ContractMachine {
  readonly vcpu: Vcpu
  readonly host: ContractHost
  readonly #memory: MachineMemory
  readonly #base: number
  readonly #state: Uint8Array
  readonly #initial = new Map<string, Uint8Array>()
  readonly #before = new Uint8Array(COMPARED_BYTES)
  /** RAM before a run, without and with A and D set. */
  readonly #templates: readonly [Uint8Array, Uint8Array]
  /** The beginning whose code has been executed often enough to be compiled, and not been written since. */
  #warm: Start['input'] | undefined
  /** Frames that the code's first page has had. */
  #frames = 0
  /** Where it is now. */
  #codeGpa = CODE_GPA

  constructor() {
    const memory = MachineMemory.create({ bytes: 64 << 20 })
    this.#memory = memory
    const engine = new X86Engine(memory, { codeCacheBytes: 32 << 20, jit: TEST_JIT, poison: true })
    this.host = new ContractHost(memory)
    this.#base = this.host.ramMa
    this.vcpu = new Vcpu(engine, this.host, { tscHz: 1e9, crystalHz: 1e9 })
    this.host.attach(this.vcpu)
    this.#state = memory.u8.subarray(this.vcpu.state, this.vcpu.state + S.STATE_BYTES)
    this.#templates = [tables(0), tables(USED)]
    memory.u8.fill(0xcc, this.#base + CODE_GPA, this.#base + FRESH_GPA)
    for (const cs of [L.CS_64, L.CS_32, L.CS_16]) {
      for (const supervisor of cs === L.CS_16 ? [false] : [false, true]) {
        for (const narrow of cs === L.CS_64 ? [false] : [false, true]) {
          this.vcpu.reset(true)
          this.vcpu.load(initialState(cs, supervisor, narrow))
          this.vcpu.u32[S.S_XCR0 >>> 2] = 7
          this.#initial.set(stateKey(cs, supervisor, narrow), this.#state.slice())
        }
      }
    }
    this.vcpu.reset(true)
    this.vcpu.load(legacyState())
    this.vcpu.u32[S.S_PDPTE >>> 2] = PD | PRESENT
    this.#initial.set('legacy', this.#state.slice())
  }

  /** Whether there are frames for code that have never been written. */
  get isFresh(): boolean {
    return this.#frames < FRESH_FRAMES
  }

  /** Puts code into the first page of the code region, which has another frame from then on. */
  setCode(code: Uint8Array): void {
    const u8 = this.#memory.u8
    this.#warm = undefined
    this.#codeGpa = FRESH_GPA + 0x1000 * (this.#frames++ % FRESH_FRAMES)
    const at = this.#base + this.#codeGpa
    u8.fill(0xcc, at, at + 0x1000)
    u8.set(code, at)
    this.#memory.noteWrite(at, 0x1000)
    for (const [i, ram] of this.#templates.entries()) {
      const view = new DataView(ram.buffer)
      const entry = this.#codeGpa | USER | PRESENT | (i === 0 ? 0 : USED)
      view.setUint32(PT_CODE, entry, true)
      view.setUint32(PT_NARROW_CODE, entry, true)
    }
  }

  /** @param settled - RAM at the end: what the instruction writes is not scribbled upon until it retires */
  run(start: Start, plan: DevicePlan, settled?: Uint8Array): Outcome {
    const { vcpu, host } = this
    if (TEST_JIT !== false && this.#warm !== start.input) this.#compile(start)
    this.prepare(start, plan)
    host.interrupt = start.interrupt ?? -1
    if (start.interrupt !== undefined) vcpu.setInterruptPending(true)
    let blocked = 0
    let scribbled: Scribble | undefined
    const undo = (): void => {
      scribbled?.undo()
      scribbled = undefined
    }
    let exit = vcpu.run(1000)
    while (exit.reason === 'blocked' && blocked < 3000) {
      blocked++
      undo()
      host.violation ??= this.#unchanged(start, plan)
      const waits =
        plan.scribble === 'while waiting' ? blocked % plan.retries !== 0 : plan.scribble === 'until it retires'
      if (waits) {
        scribbled = new Scribble(
          this.#memory,
          this.#base,
          vcpu.log,
          host.walkReads,
          settled,
          start.interrupt === undefined ? this.#codeOf(start) : undefined,
        )
        this.#warm = undefined
        if (plan.scribble === 'until it retires') host.onUnlogged = undo
      }
      exit = vcpu.run(1000)
    }
    undo()
    const at = this.#base
    return {
      exit: exit.reason === 'error' ? `error: ${String(exit.error)}` : exit.reason,
      vector: ((vcpu.u32[S.S_RIP >>> 2] as number) - HANDLERS) >>> 4,
      registers: this.#registers(),
      ram: this.#memory.u8.slice(at, at + COMPARED_BYTES),
      accesses: host.accesses,
      blocked,
      violation: host.violation,
    }
  }

  /**
   * Executes a case over plain RAM until its code is compiled: branches that the TLB has are counted, and the first of
   * them is none.
   */
  #compile(start: Start): void {
    for (let i = 0; i < WARM_RUNS; i++) {
      this.#begin(start, i > 0)
      this.host.start(QUIET)
      this.vcpu.run(1000)
    }
    this.#warm = start.input
  }

  /** Everything before the first pass. */
  prepare(start: Start, plan: DevicePlan): void {
    this.#begin(start)
    this.host.start(plan)
  }

  /** @param keepsTlb - what it has stays as it is, so that code that is executed again may be compiled */
  #begin({ input, supervisor, legacy, narrow, patch, used }: Start, keepsTlb = false): void {
    const { vcpu } = this
    const state = this.#state
    const u8 = this.#memory.u8
    const view = new DataView(input.buffer, input.byteOffset, L.IN_BYTES)
    const cs = view.getUint16(L.IN_CS, true)
    // A run that went wrong may have left an instruction in the middle.
    vcpu.cancel()
    u8.set(this.#templates[used ? 1 : 0], this.#base)
    u8.set(input.subarray(L.IN_BAND), this.#base + WINDOW_GPA + 0xf00)
    patch?.(new DataView(this.#memory.buffer as ArrayBuffer, this.#base, RAM_BYTES))
    for (const page of [WINDOW_GPA, WINDOW_GPA + 0x1000]) this.#memory.noteWrite(this.#base + page, 0x1000)
    const key = legacy === true ? 'legacy' : stateKey(cs, supervisor, narrow === true)
    const modes = state.slice(S.S_EXECUTE_MODES, S.S_EXECUTE_MODES + EXECUTE_MODES)
    state.set(this.#initial.get(key) as Uint8Array)
    if (keepsTlb) state.set(modes, S.S_EXECUTE_MODES)
    this.host.controlChanged()
    state.set(input.subarray(L.IN_GPR, L.IN_GPR + 128), S.S_GPR)
    vcpu.u32[S.S_RIP >>> 2] = view.getUint32(L.IN_RIP, true)
    // IF, and IOPL 3, so that ports may be used.
    vcpu.setRflags(view.getUint32(L.IN_RFLAGS, true) | 0x3202)
    loadFxState(vcpu, state, input.subarray(L.IN_FX))
    for (let i = 0; i < 16; i++)
      state.set(input.subarray(L.IN_YMM + 16 * i, L.IN_YMM + 16 * i + 16), S.S_XMM + 64 * i + 16)
    if (!keepsTlb) vcpu.flushTlb(true)
    vcpu.modeChanged()
  }

  /** While the first instruction waits, nothing has happened yet: A and D bits aside, and what devices hold. */
  #unchanged({ input, interrupt, patch, used }: Start, plan: DevicePlan): string | undefined {
    const { vcpu } = this
    const view = new DataView(input.buffer, input.byteOffset, L.IN_BYTES)
    if (interrupt !== undefined || vcpu.u32[S.S_RIP >>> 2] !== view.getUint32(L.IN_RIP, true)) return undefined
    if (this.#repeats(linearRip(view))) return undefined
    for (let i = 0; i < 128; i++) {
      if (this.#state[S.S_GPR + i] !== input[L.IN_GPR + i])
        return `general register ${i >>> 3} has changed while the instruction waits`
    }
    const before = this.#before
    before.set(this.#templates[used ? 1 : 0])
    before.set(input.subarray(L.IN_BAND), WINDOW_GPA + 0xf00)
    patch?.(new DataView(before.buffer))
    const ram = this.#memory.u8.subarray(this.#base, this.#base + COMPARED_BYTES)
    for (let page = 0; page < COMPARED_BYTES; page += 0x1000) {
      if (
        plan.pages.has(page) ||
        Buffer.compare(before.subarray(page, page + 0x1000), ram.subarray(page, page + 0x1000)) === 0
      )
        continue
      for (let gpa = page; gpa < page + 0x1000; gpa++) {
        const entry = gpa < GDT ? (gpa & 7) === 0 : gpa >= PD_NARROW && (gpa & 3) === 0
        const mask = entry ? ~USED : 0xff
        if (((before[gpa]! ^ ram[gpa]!) & mask) !== 0)
          return `memory at ${gpa.toString(16)} has changed while the instruction waits`
      }
    }
    return undefined
  }

  /** Where an instruction lies: in the code's first page, or in the window. */
  #instructionGpa(rip: number): number {
    return rip < L.CODE ? WINDOW_GPA + rip - L.WINDOW : this.#codeGpa + rip - L.CODE
  }

  /** A repetition keeps the iterations that it has finished. */
  #repeats(rip: number): boolean {
    let at = this.#base + this.#instructionGpa(rip)
    for (;;) {
      const byte = this.#memory.u8[at++] as number
      if (byte === 0xf2 || byte === 0xf3) return true
      if (![0x66, 0x67, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0xf0].includes(byte)) return false
    }
  }

  /** The bytes of a case's instruction; none where it is not among the code. */
  #codeOf({ input, length }: Start): Code | undefined {
    const rip = linearRip(new DataView(input.buffer, input.byteOffset))
    return rip < L.CODE ? undefined : { ma: this.#base + this.#instructionGpa(rip), length }
  }

  /** Everything that an instruction may change, in one piece. */
  #registers(): Uint8Array {
    const { vcpu } = this
    const flags = Uint32Array.of(vcpu.materialiseFlags(), vcpu.u32[S.S_SHADOW >>> 2] as number)
    const parts = [
      new Uint8Array(flags.buffer),
      this.#state.subarray(S.S_GPR, S.S_RIP + 8),
      this.#state.subarray(S.S_SEGMENTS, S.S_FAULT_VECTOR),
      this.#state.subarray(S.S_FPR, S.S_SCRATCH),
    ]
    const all = new Uint8Array(parts.reduce((sum, p) => sum + p.length, 0))
    let at = 0
    for (const part of parts) {
      all.set(part, at)
      at += part.length
    }
    return all
  }
}

/** Instruction bytes. */
interface Code {
  readonly ma: number
  readonly length: number
}

/** Another agent has changed what a waiting instruction has read. */
class Scribble {
  readonly #memory: MachineMemory
  readonly #saved: [ma: number, byte: number][] = []

  /** @param code - overwritten as well */
  constructor(
    memory: MachineMemory,
    base: number,
    log: AccessLog,
    walkReads: ReadonlyMap<number, number>,
    settled: Uint8Array | undefined,
    code: Code | undefined,
  ) {
    this.#memory = memory
    for (const [gpa, size] of walkReads) for (let i = 0; i < size; i++) this.#change(base + gpa + i)
    const each = (index: number, visit: (ma: number) => void): void => {
      for (let i = 0; i < log.size(index); i++) visit(base + log.addressLo(index) + i)
    }
    for (let i = 0; i < log.count; i++) {
      if (log.kind(i) !== AccessKind.READ || log.state(i) !== STATUS_DONE) continue
      each(i, (ma) => {
        if (settled === undefined || settled[ma - base] === memory.u8[ma]) this.#change(ma)
      })
    }
    if (code === undefined) return
    for (let i = 0; i < code.length; i++) this.#change(code.ma + i)
    memory.noteWrite(code.ma, code.length)
  }

  #change(ma: number): void {
    const u8 = this.#memory.u8
    this.#saved.push([ma, u8[ma] as number])
    u8[ma]! ^= 0xff
  }

  undo(): void {
    for (let i = this.#saved.length - 1; i >= 0; i--) {
      const [ma, byte] = this.#saved[i] as [number, number]
      this.#memory.u8[ma] = byte
      if (this.#memory.codeBits[ma >>> 12] !== 0) this.#memory.noteWrite(ma, 1)
    }
  }
}

/** Linear address of a case's instruction; 16-bit code has a base. */
function linearRip(input: DataView): number {
  return input.getUint32(L.IN_RIP, true) + (input.getUint16(L.IN_CS, true) === L.CS_16 ? L.CODE : 0)
}

function stateKey(cs: number, supervisor: boolean, narrow: boolean): string {
  return `${cs} ${supervisor} ${narrow}`
}

/** Page tables, descriptor tables and handlers. */
function tables(used: number): Uint8Array {
  const ram = new Uint8Array(COMPARED_BYTES)
  const view = new DataView(ram.buffer)
  const entry = (table: number, index: number, gpa: number, flags: number): void =>
    view.setUint32(table + 8 * index, gpa | flags | PRESENT | used, true)
  entry(PML4, 0, PDPT, WRITABLE | USER)
  entry(PDPT, 0, PD, WRITABLE | USER)
  entry(PD, 0, PT_LOW, WRITABLE | USER)
  entry(PD, L.WINDOW >>> 21, PT_WINDOW, WRITABLE | USER)
  entry(PD, L.CODE >>> 21, PT_CODE, USER)
  for (let gpa = GDT; gpa <= LDT; gpa += 0x1000) entry(PT_LOW, gpa >>> 12, gpa, WRITABLE)
  for (let i = 0; i < 2; i++) {
    entry(PT_WINDOW, i, WINDOW_GPA + 0x1000 * i, WRITABLE | USER)
    view.setUint32(PT_WINDOW + 8 * i + 4, NO_EXECUTE, true)
  }
  for (let i = 0; i < CODE_BYTES >>> 12; i++) entry(PT_CODE, i, CODE_GPA + 0x1000 * i, USER)
  narrowTables(view, used)

  const descriptor = (at: number, value: bigint): void => view.setBigUint64(at, value, true)
  // Accessed bits are clear: loading sets them.
  descriptor(GDT + KERNEL_CS, 0x00af_9a00_0000_ffffn)
  descriptor(GDT + KERNEL_DS, 0x00cf_9200_0000_ffffn)
  descriptor(GDT + 0x20, 0x00cf_fa00_0000_ffffn)
  descriptor(GDT + 0x28, 0x00cf_f200_0000_ffffn)
  descriptor(GDT + 0x30, 0x00af_fa00_0000_ffffn)
  // A free TSS and an LDT, and a call gate to the kernel.
  systemDescriptor(view, GDT + 0x40, TSS, 0x67, 0x89)
  systemDescriptor(view, GDT + LDT_SELECTOR, LDT, 0x7f, 0x82)
  view.setUint32(GDT + 0x60, (KERNEL_CS << 16) | (HANDLERS & 0xffff), true)
  view.setUint32(GDT + 0x64, (HANDLERS & 0xffff_0000) | 0xec00, true)
  descriptor(LDT + (L.CS_16 & ~7), 0x2000_fb00_0000_ffffn)
  descriptor(LDT + (L.DATA_16 & ~7), 0x1000_f300_0000_ffffn)
  // RSP0, IST1; no I/O bitmap within the limit.
  descriptor(TSS + 4, BigInt(KERNEL_STACK + 0x1000))
  descriptor(TSS + 0x24, BigInt(IST_STACK + 0x1000))
  view.setUint16(TSS + 0x66, 0xffff, true)
  for (let vector = 0; vector < VECTORS; vector++) {
    const handler = HANDLERS + vector * 16
    ram[handler] = HLT
    view.setUint32(IDT + vector * 16, (handler & 0xffff) | (KERNEL_CS << 16), true)
    // Vectors from 32 on switch to the stack of level 0 instead of IST1.
    view.setUint32(IDT + vector * 16 + 4, (handler & 0xffff_0000) | 0xee00 | (vector < 32 ? 1 : 0), true)
  }
  legacyTables(view)
  return ram
}

/** The same pages for two-level paging, which knows no XD. */
function narrowTables(view: DataView, used: number): void {
  const entry = (table: number, index: number, gpa: number, flags: number): void =>
    view.setUint32(table + 4 * index, gpa | flags | PRESENT | used, true)
  entry(PD_NARROW, 0, PT_NARROW_LOW, WRITABLE | USER)
  entry(PD_NARROW, L.WINDOW >>> 22, PT_NARROW_WINDOW, WRITABLE | USER)
  entry(PD_NARROW, L.CODE >>> 22, PT_NARROW_CODE, USER)
  for (let gpa = GDT; gpa <= LDT; gpa += 0x1000) entry(PT_NARROW_LOW, gpa >>> 12, gpa, WRITABLE)
  for (let i = 0; i < 2; i++) entry(PT_NARROW_WINDOW, i, WINDOW_GPA + 0x1000 * i, WRITABLE | USER)
  for (let i = 0; i < CODE_BYTES >>> 12; i++) entry(PT_NARROW_CODE, i, CODE_GPA + 0x1000 * i, USER)
}

/** What 32-bit protected mode has besides. */
function legacyTables(view: DataView): void {
  view.setUint32(PAE_PDPT, PD | PRESENT, true)
  view.setBigUint64(GDT + KERNEL_CS_32, 0x00cf_9a00_0000_ffffn, true)
  systemDescriptor(view, GDT + TSS_32_SELECTOR, TSS_32, 0x67, 0x8b)
  systemDescriptor(view, GDT + OTHER_TSS_32_SELECTOR, OTHER_TSS_32, 0x67, 0x89)
  for (let vector = 0; vector < VECTORS; vector++) {
    const handler = HANDLERS + vector * 16
    view.setUint32(IDT_32 + vector * 8, (handler & 0xffff) | (KERNEL_CS_32 << 16), true)
    view.setUint32(IDT_32 + vector * 8 + 4, (handler & 0xffff_0000) | 0xee00, true)
  }
  // The other task runs at level 0 with a stack of its own, just after the first byte of the code.
  const fields: readonly (readonly [number, number])[] = [
    [0x1c, PAE_PDPT],
    [0x20, L.CODE + 1],
    [0x24, 0x202],
    [0x38, KERNEL_STACK + 0x800],
    [0x48, KERNEL_DS],
    [0x4c, KERNEL_CS_32],
    [0x50, KERNEL_DS],
    [0x54, KERNEL_DS],
  ]
  for (const tss of [TSS_32, OTHER_TSS_32]) {
    for (let i = 0x28; i < 0x48; i += 4) view.setUint32(tss + i, 0x1111_1111 * (i >>> 3), true)
    view.setUint32(tss + 4, KERNEL_STACK + 0x1000, true)
    view.setUint32(tss + 8, KERNEL_DS, true)
    for (const [at, value] of fields) view.setUint32(tss + at, value, true)
    view.setUint16(tss + 0x66, 0xffff, true)
  }
}

function systemDescriptor(view: DataView, at: number, base: number, limit: number, type: number): void {
  view.setUint32(at, ((base & 0xffff) << 16) | limit, true)
  view.setUint32(at + 4, ((base >>> 16) & 0xff) | (type << 8) | (base & 0xff00_0000), true)
}

function initialState(cs: number, supervisor: boolean, narrow: boolean): InitialCpuState {
  const dpl = supervisor ? 0 : 0x60
  const sixteen = cs === L.CS_16
  const long = cs === L.CS_64
  const data = sixteen
    ? { selector: L.DATA_16, base: L.WINDOW, limit: 0xffff, attributes: 0x0093 | dpl }
    : { selector: supervisor ? KERNEL_DS : L.USER_DATA, base: 0, limit: 0xffff_ffff, attributes: 0xc093 | dpl }
  const none = { selector: 0, base: 0, limit: 0, attributes: 0 }
  const selector = !supervisor ? cs : long ? KERNEL_CS : KERNEL_CS_32
  return {
    registers: { rip: L.CODE, rflags: 0x202 },
    segments: {
      cs: sixteen
        ? { selector, base: L.CODE, limit: 0xffff, attributes: 0x009b | dpl }
        : { selector, base: 0, limit: 0xffff_ffff, attributes: (long ? 0xa09b : 0xc09b) | dpl },
      ss: data,
      ds: data,
      es: data,
      fs: none,
      gs: none,
      ldtr: sixteen ? { selector: LDT_SELECTOR, base: LDT, limit: 0x1f, attributes: 0x82 } : none,
      tr: narrow
        ? { selector: TSS_32_SELECTOR, base: TSS_32, limit: 0x67, attributes: 0x008b }
        : { selector: 0x40, base: TSS, limit: 0x67, attributes: 0x008b },
    },
    gdtr: { base: GDT, limit: 0x7f },
    idtr: narrow ? { base: IDT_32, limit: VECTORS * 8 - 1 } : { base: IDT, limit: VECTORS * 16 - 1 },
    // CR4: PAE, OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE, PKE; EFER: SCE, LME, LMA, NXE.
    cr0: 0x8005_0033,
    cr3: narrow ? PD_NARROW : PML4,
    cr4: narrow ? 0x0004_0600 : 0x0045_0620,
    efer: narrow ? 0 : 0xd01,
  }
}

function legacyState(): InitialCpuState {
  const long = initialState(L.CS_32, true, false)
  return {
    ...long,
    segments: {
      ...long.segments,
      cs: { selector: KERNEL_CS_32, base: 0, limit: 0xffff_ffff, attributes: 0xc09b },
      tr: { selector: TSS_32_SELECTOR, base: TSS_32, limit: 0x67, attributes: 0x008b },
    },
    idtr: { base: IDT_32, limit: VECTORS * 8 - 1 },
    cr3: PAE_PDPT,
    efer: 0x800,
  }
}
