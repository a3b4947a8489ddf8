import type { MachineMemory } from '@retrap/memory'
import { ACCESS_FETCH, ACCESS_USER } from '@retrap/paging'
import { AccessLog, LOG_BYTES } from '@retrap/replay'
import type { CodeCacheClient, CodePage } from './code-cache.ts'
import type { X86Engine } from './engine.ts'
import type { Exit } from './exit.ts'
import type { CpuHost, Translation, Words } from './host.ts'
import { MemoryAccess, newTranslation } from './memory-access.ts'
import { OP_CROSS, RECORD_BYTES, R_DISP, R_LENGTH, R_OFFSET, R_OP, R_SEGMENT, SEGMENT_LINK } from './record.ts'
import { SLOW_MODIFY, SLOW_WRITE, VECTOR_GP, VECTOR_PF, VECTOR_SS } from './semantics/context.ts'
import {
  CS,
  EVENT_INIT,
  EVENT_INTERRUPT,
  EVENT_NMI,
  EVENT_SIPI,
  EVENT_STOP,
  FLAGS_ADD,
  FLAGS_ARITHMETIC,
  FLAGS_EXPLICIT,
  FLAGS_SUB,
  FLAG_AC,
  FLAG_AF,
  FLAG_CF,
  FLAG_IF,
  FLAG_OF,
  FLAG_PF,
  FLAG_SF,
  FLAG_TF,
  FLAG_VM,
  FLAG_ZF,
  GDTR,
  IDTR,
  MODE_16,
  MODE_32,
  MODE_64,
  SEG_ATTRIBUTES,
  SEG_BASE,
  SEG_BYTES,
  SEG_LIMIT,
  SS,
  STATUS_CONTINUE,
  STATUS_DONE,
  STATUS_EXIT,
  STATUS_FAULT,
  STATUS_JUMP,
  STATUS_LEAVE,
  STATUS_RESTART,
  STATUS_RETRY,
  STATUS_STEP,
  S_ATTENTION,
  S_BUDGET,
  S_CPL,
  S_CR0,
  S_CR3,
  S_CR4,
  S_DATA,
  S_EFER,
  S_EFLAGS,
  S_ENTRY,
  S_EVENTS,
  S_FAULT_ADDRESS,
  S_FAULT_ERROR,
  S_FAULT_HAS_ERROR,
  S_FAULT_VECTOR,
  S_FETCH_STATUS,
  S_FLAGS_A,
  S_FLAGS_B,
  S_FLAGS_KIND,
  S_FLAGS_RESULT,
  S_GPR,
  S_LOGGED,
  S_MMX_GATE,
  S_MODE,
  S_PAGE_BASE,
  S_PINNED,
  S_RECORD,
  S_RIP,
  S_RIP_MASK,
  S_SEGMENTS,
  S_SHADOW,
  S_SLOTS,
  S_SSE_GATE,
  S_TLB,
  S_TLB_MISSES,
  S_TLB_SETS,
  S_TSC_OFFSET,
  S_TWO_TO_28,
  S_X87_GATE,
} from './state-layout.ts'
import { hasDataBreakpoints, matchDataBreakpoints, noteDataBreakpoints, pageHasDataBreakpoint } from './system/breakpoints.ts'
import type { Cpu, CpuModel, MachineViews } from './system/cpu.ts'
import { afterInstruction, checkInstructionBreakpoint, needsStepping } from './system/debug.ts'
import { EVENT_TYPE_EXTERNAL, EVENT_TYPE_NMI, PendingEvent, deliverEvent } from './system/events.ts'
import { RESET_INIT, RESET_POWER_ON, resetState, startAt } from './system/reset.ts'
import { setSegment } from './system/segment-cache.ts'
import { Abandon, System } from './system/system.ts'
import {
  ACTIVITY_HALTED,
  ACTIVITY_RUNNING,
  ACTIVITY_SHUTDOWN,
  ACTIVITY_WAIT_FOR_SIPI,
  S_ACTIVITY,
  S_NMI_BLOCKED,
  S_PENDING_DEBUG,
  S_PENDING_FAULT,
  S_STEP_SUPPRESSED,
} from './system/system-state.ts'
import { TLB_BYTES, TLB_EXECUTE, TLB_MISS, TLB_SUPERVISOR, TLB_SUPERVISOR_SMAP, TLB_USER, Tlb } from './tlb.ts'

const PAGE = 0x1000
const STATE_BYTES = S_TLB_SETS + TLB_BYTES
const CR0_EM = 1 << 2
const CR0_TS = 1 << 3
const CR0_PE = 1
const CR4_OSFXSR = 1 << 9
const CR4_SMAP = 1 << 21
const EFER_LMA = 1 << 10
const ATTR_L = 1 << 13
const ATTR_DB = 1 << 14

/** Instructions that run before `run` looks around. The first rounds are short, so that V8 gets to replace baseline code. */
const FIRST_SLICE = 20_000
const SLICE = 100_000
const SHORT_SLICES = 200

const EXIT_BUDGET: Exit = { reason: 'budget' }
const EXIT_HLT: Exit = { reason: 'hlt' }
const EXIT_BLOCKED: Exit = { reason: 'blocked' }
const EXIT_PAUSE: Exit = { reason: 'pause' }
const EXIT_SHUTDOWN: Exit = { reason: 'shutdown' }
const EXIT_WAIT: Exit = { reason: 'wait-for-sipi' }

/** What a part of a repeated string instruction takes from the budget: about as many iterations (semantics/string.ts). */
const REPEAT_COST = 64

/** What is in the middle of a logged pass. */
const UNIT_NONE = 0
const UNIT_INSTRUCTION = 1
const UNIT_EVENT = 2

interface InterpreterExports {
  run(state: number, record: number): number
  address(state: number, record: number, sizeAndFlags: number): number
}

/**
 * One virtual processor: x86 in real, protected, virtual-8086, compatibility and 64-bit mode.
 *
 * It knows nothing of devices; what is not plain RAM it asks of its {@link CpuHost}.
 */
export class Vcpu implements Cpu, CodeCacheClient {
  readonly memory: MachineMemory & MachineViews
  readonly host: CpuHost
  readonly model: CpuModel
  readonly engine: X86Engine
  /** Machine address of the state. */
  readonly state: number
  readonly u8: Uint8Array
  readonly u16: Uint16Array
  readonly u32: Uint32Array
  readonly i32: Int32Array
  readonly u64: BigUint64Array
  readonly log: AccessLog
  readonly system: System
  readonly #tlb: Tlb
  readonly #access: MemoryAccess
  readonly #interpreter: InterpreterExports
  readonly #event = new PendingEvent()
  readonly #translation: Translation = newTranslation()
  readonly #secondTranslation: Translation = newTranslation()
  readonly #words: Words = { lo: 0, hi: 0 }
  readonly #fetchBytes = new Uint8Array(32)
  #unit = UNIT_NONE
  #sipiVector = 0
  #bootstrap = true
  #slices = 0
  #paused = false
  #error: unknown = undefined
  /** TF was set when the instruction that has just retired, or is in the middle of a logged pass, began. */
  #stepping = false
  /** S_PENDING_DEBUG when the current instruction began. */
  #debugBefore = 0
  /** Which set the translations of explicit accesses go into; TLB_MISS keeps none. */
  #mode = TLB_SUPERVISOR
  /** S_MODE for which each set's execute table was filled. */
  readonly #executeModes = [MODE_16, MODE_16, MODE_16]
  /** Instructions retired since the vCPU was made. */
  retired = 0
  /** Counts for statistics. */
  readonly counts = { systemCalls: 0, fetches: 0, faults: 0, interrupts: 0, loggedPasses: 0, steps: 0 }

  constructor(engine: X86Engine, host: CpuHost, model: CpuModel) {
    const memory = engine.memory
    this.engine = engine
    this.memory = memory
    this.host = host
    this.model = model
    const state = memory.allocate(STATE_BYTES, 0x1000, 'vCPU state')
    this.state = state
    this.u8 = memory.u8.subarray(state, state + S_TLB_SETS)
    this.u16 = memory.u16.subarray(state >>> 1, (state + S_TLB_SETS) >>> 1)
    this.u32 = memory.u32.subarray(state >>> 2, (state + S_TLB_SETS) >>> 2)
    this.i32 = memory.i32.subarray(state >>> 2, (state + S_TLB_SETS) >>> 2)
    this.u64 = memory.u64.subarray(state >>> 3, (state + S_TLB_SETS) >>> 3)
    this.log = new AccessLog(memory.buffer, memory.allocate(LOG_BYTES, 8, 'access log'))
    this.#tlb = new Tlb(memory, state)
    const mode = (): number => this.#fillSet()
    this.#access = new MemoryAccess(
      memory,
      host,
      this.#tlb,
      this.log,
      {
        get fillSet() {
          return mode()
        },
        breaksAt: (lo, hi, size, write) => matchDataBreakpoints(this.system, lo, hi, size, write) !== 0,
        noteDataAccess: (lo, hi, size, write) => noteDataBreakpoints(this.system, lo, hi, size, write),
        watches: (lo, hi) => pageHasDataBreakpoint(this.system, lo, hi),
      },
      state,
    )
    this.u32[S_TWO_TO_28 >>> 2] = 0x1000_0000
    this.i32[S_FAULT_VECTOR >>> 2] = -1
    this.system = new System(this)
    const instance = new WebAssembly.Instance(engine.module, {
      cpu: {
        memory: memory.memory,
        access: (lo: number, hi: number, flags: number) => this.#access.access(lo >>> 0, hi >>> 0, flags),
        system: (fn: number, record: number) => this.#system(fn, record),
        fetch: (lo: number, hi: number) => this.#fetch(lo >>> 0, hi >>> 0),
        cross: (record: number) => this.#cross(record),
      },
    })
    this.#interpreter = instance.exports as unknown as InterpreterExports
    engine.codeCache.addClient(this)
  }

  #fillSet(): number {
    return this.u32[S_LOGGED >>> 2] === 1 || this.#mode === TLB_MISS ? -1 : this.#mode
  }

  // ---------------------------------------------------------------- Cpu, for system instructions

  access(lo: number, hi: number, flags: number): number {
    return this.#access.access(lo >>> 0, hi >>> 0, flags)
  }

  accessPhysical(gpa: number, flags: number): number {
    return this.#access.accessPhysical(gpa, flags)
  }

  port(port: number, flags: number): number {
    return this.#access.port(port, flags)
  }

  flushTlb(all: boolean): void {
    // Whoever changes DR7 comes by here.
    if (all) this.#access.dataBreakpoints = hasDataBreakpoints(this.system)
    this.#tlb.flush(all)
  }

  invalidatePage(lo: number, hi: number): void {
    this.#tlb.invalidatePage(lo >>> 0, hi >>> 0)
    this.host.invalidate(lo >>> 0, hi >>> 0)
  }

  flushExecute(): void {
    this.#tlb.flushExecute()
  }

  dropWritable(frameMa: number): void {
    this.#tlb.dropWritable(frameMa)
  }

  modeChanged(): void {
    const u32 = this.u32
    const cr0 = u32[S_CR0 >>> 2] as number
    const cr4 = u32[S_CR4 >>> 2] as number
    const eflags = u32[S_EFLAGS >>> 2] as number
    const long = ((u32[S_EFER >>> 2] as number) & EFER_LMA) !== 0
    const csAttributes = u32[(S_SEGMENTS + SEG_BYTES * CS + SEG_ATTRIBUTES) >>> 2] as number
    const ssAttributes = u32[(S_SEGMENTS + SEG_BYTES * SS + SEG_ATTRIBUTES) >>> 2] as number
    const protectedMode = (cr0 & CR0_PE) !== 0
    const cpl = !protectedMode ? 0 : (eflags & FLAG_VM) !== 0 ? 3 : (ssAttributes >>> 5) & 3
    u32[S_CPL >>> 2] = cpl
    const mode = long && (csAttributes & ATTR_L) !== 0 ? MODE_64 : (csAttributes & ATTR_DB) !== 0 && (eflags & FLAG_VM) === 0 ? MODE_32 : MODE_16
    u32[S_MODE >>> 2] = mode
    u32[S_RIP_MASK >>> 2] = 0xffff_ffff
    u32[(S_RIP_MASK >>> 2) + 1] = mode === MODE_64 ? 0xffff_ffff : 0
    const set = cpl === 3 ? TLB_USER : (cr4 & CR4_SMAP) !== 0 && (eflags & FLAG_AC) === 0 ? TLB_SUPERVISOR_SMAP : TLB_SUPERVISOR
    const checksAlignment = cpl === 3 && (eflags & FLAG_AC) !== 0 && (cr0 & (1 << 18)) !== 0
    this.#mode = checksAlignment ? TLB_MISS : set
    if (this.#mode !== TLB_MISS && this.#executeModes[set] !== mode) {
      this.#executeModes[set] = mode
      this.#tlb.flushExecute()
    }
    u32[S_TLB >>> 2] = this.#tlb.setAddress(u32[S_LOGGED >>> 2] === 1 ? TLB_MISS : this.#mode)
    const emulated = (cr0 & CR0_EM) !== 0
    const switched = (cr0 & CR0_TS) !== 0
    u32[S_SSE_GATE >>> 2] = emulated || (cr4 & CR4_OSFXSR) === 0 ? 6 : switched ? 7 : 0
    u32[S_MMX_GATE >>> 2] = emulated ? 6 : switched ? 7 : 0
    u32[S_X87_GATE >>> 2] = emulated || switched ? 7 : 0
  }

  materialiseFlags(): number {
    return ((this.u32[S_EFLAGS >>> 2] as number) & ~FLAGS_ARITHMETIC) | this.#arithmeticFlags() | 2
  }

  setRflags(value: number): void {
    const arithmetic = value & FLAGS_ARITHMETIC
    this.u32[S_EFLAGS >>> 2] = (value & ~FLAGS_ARITHMETIC) | 2
    this.u32[S_FLAGS_KIND >>> 2] = FLAGS_EXPLICIT
    this.u32[S_FLAGS_B >>> 2] = arithmetic
    this.u32[(S_FLAGS_B >>> 2) + 1] = 0
    this.u32[S_FLAGS_RESULT >>> 2] = (value & FLAG_ZF) !== 0 ? 0 : 1
    this.u32[(S_FLAGS_RESULT >>> 2) + 1] = 0
  }

  /** The lazy flags, as generated code derives them (semantics/library.ts). */
  #arithmeticFlags(): number {
    const u32 = this.u32
    const kind = u32[S_FLAGS_KIND >>> 2] as number
    const bLo = u32[S_FLAGS_B >>> 2] as number
    if (kind === FLAGS_EXPLICIT) return bLo & FLAGS_ARITHMETIC
    const bHi = u32[(S_FLAGS_B >>> 2) + 1] as number
    const aLo = u32[S_FLAGS_A >>> 2] as number
    const aHi = u32[(S_FLAGS_A >>> 2) + 1] as number
    const rLo = u32[S_FLAGS_RESULT >>> 2] as number
    const rHi = u32[(S_FLAGS_RESULT >>> 2) + 1] as number
    let parity = rLo & 0xff
    parity ^= parity >>> 4
    let flags = ((0x9669 >>> (parity & 15)) & 1) !== 0 ? FLAG_PF : 0
    if ((rLo | rHi) === 0) flags |= FLAG_ZF
    if ((rHi & 0x8000_0000) !== 0) flags |= FLAG_SF
    if (kind === FLAGS_SUB || kind === FLAGS_ADD) {
      flags |= (aLo ^ bLo ^ rLo) & FLAG_AF
      // Carry: a < b after a subtraction, result < b after an addition, unsigned.
      const [xLo, xHi] = kind === FLAGS_SUB ? [aLo, aHi] : [rLo, rHi]
      if (xHi < bHi || (xHi === bHi && xLo < bLo)) flags |= FLAG_CF
      const overflow = kind === FLAGS_SUB ? (aHi ^ bHi) & (aHi ^ rHi) : (aHi ^ rHi) & (bHi ^ rHi)
      if ((overflow & 0x8000_0000) !== 0) flags |= FLAG_OF
      return flags
    }
    return flags | (bLo & (FLAG_CF | FLAG_AF | FLAG_OF))
  }

  // ---------------------------------------------------------------- events from outside

  /** A maskable interrupt waits at the interrupt controller, or no longer does. */
  setInterruptPending(pending: boolean): void {
    if (pending) this.#raiseEvent(EVENT_INTERRUPT)
    else this.u32[S_EVENTS >>> 2]! &= ~EVENT_INTERRUPT
  }

  /** Latches a non-maskable interrupt. */
  nmi(): void {
    this.#raiseEvent(EVENT_NMI)
  }

  /** INIT: cancels whatever is in progress. */
  init(): void {
    this.#raiseEvent(EVENT_INIT)
  }

  /** A start-up IPI; ignored unless the vCPU waits for one. @param vector - page number of the entry point */
  startup(vector: number): void {
    if (this.u32[S_ACTIVITY >>> 2] !== ACTIVITY_WAIT_FOR_SIPI && (this.u32[S_EVENTS >>> 2]! & EVENT_INIT) === 0) return
    this.#sipiVector = vector & 0xff
    this.#raiseEvent(EVENT_SIPI)
  }

  /** Makes `run` return soon. */
  stop(): void {
    this.#raiseEvent(EVENT_STOP)
  }

  #raiseEvent(event: number): void {
    this.u32[S_EVENTS >>> 2]! |= event
    this.u32[S_ATTENTION >>> 2] = 1
  }

  /** PAUSE: the owner may want to run another vCPU. */
  notePause(): void {
    this.#paused = true
    this.u32[S_ATTENTION >>> 2] = 1
  }

  get halted(): boolean {
    return this.u32[S_ACTIVITY >>> 2] === ACTIVITY_HALTED
  }

  get waitsForStartup(): boolean {
    return this.u32[S_ACTIVITY >>> 2] === ACTIVITY_WAIT_FOR_SIPI
  }

  /** TLB misses and other accesses that generated code could not finish. */
  get slowAccesses(): number {
    return this.u32[S_TLB_MISSES >>> 2] as number
  }

  // ---------------------------------------------------------------- running

  /**
   * Runs until `budget` instructions have retired or something else ends it.
   */
  run(budget: number): Exit {
    const u32 = this.u32
    let remaining = budget
    this.#paused = false
    for (;;) {
      if (this.#unit !== UNIT_NONE) {
        if (((u32[S_EVENTS >>> 2] as number) & EVENT_INIT) !== 0) this.cancel()
        else {
          const status = this.#unit === UNIT_INSTRUCTION ? this.#loggedPass() : this.#deliver()
          if (status === STATUS_RETRY) return EXIT_BLOCKED
          remaining -= 1
          const exit = this.#finish(status)
          if (exit !== undefined) return exit
          continue
        }
      }
      if (this.#stepping || ((u32[S_PENDING_DEBUG >>> 2] as number) | (u32[S_PENDING_FAULT >>> 2] as number)) !== 0) {
        if (remaining <= 0) return EXIT_BUDGET
        const stepping = this.#stepping
        this.#stepping = false
        if (afterInstruction(this.system, stepping, this.#event)) {
          remaining -= 1
          const exit = this.#deliverFirst()
          if (exit !== undefined) return exit
          continue
        }
      }
      if (u32[S_SHADOW >>> 2] === 0) {
        const exit = this.#takeEvents()
        if (exit !== undefined) return exit
        if (this.#unit !== UNIT_NONE) continue
      }
      if (u32[S_ACTIVITY >>> 2] !== ACTIVITY_RUNNING) return this.#idle()
      if (this.#paused) return EXIT_PAUSE
      if (remaining <= 0) return EXIT_BUDGET
      const before = this.retired
      const status = this.#mustStep() ? this.#step() : this.#slice(remaining)
      remaining -= this.retired - before
      // It does not count as retired, but must not run for ever.
      if (status === STATUS_CONTINUE) remaining -= REPEAT_COST
      const exit = this.#finish(status)
      if (exit !== undefined) return exit
    }
  }

  #idle(): Exit {
    switch (this.u32[S_ACTIVITY >>> 2]) {
      case ACTIVITY_HALTED:
        return EXIT_HLT
      case ACTIVITY_SHUTDOWN:
        return EXIT_SHUTDOWN
      default:
        return EXIT_WAIT
    }
  }

  /** What follows an instruction's or a delivery's status. */
  #finish(status: number): Exit | undefined {
    switch (status) {
      case STATUS_DONE:
      case STATUS_LEAVE:
      case STATUS_JUMP:
      case STATUS_EXIT:
      case STATUS_CONTINUE:
        return undefined
      case STATUS_EVENT:
        return this.#deliverFirst()
      case STATUS_FAULT:
        this.counts.faults++
        // What the instruction met before it faulted, it meets again.
        this.#stepping = false
        this.u32[S_PENDING_DEBUG >>> 2] = this.#debugBefore
        this.#event.latchFault(this.system)
        this.#adjustStackFault()
        this.i32[S_FAULT_VECTOR >>> 2] = -1
        return this.#deliverFirst()
      case STATUS_RESTART:
        return this.#beginLogged()
      case STATUS_STEP: {
        const next = this.#step()
        return next === STATUS_STEP ? this.#fail(new Error('an instruction that cannot be fetched alone')) : this.#finish(next)
      }
      default:
        return this.#fail(this.#error ?? new Error(`unexpected status ${status}`))
    }
  }

  #fail(error: unknown): Exit {
    return { reason: 'error', error }
  }

  /** Generated code raises #GP for any non-canonical operand; one in SS is #SS (SDM vol. 1, "Canonical Addressing"). */
  #adjustStackFault(): void {
    const operand = this.#access.nonCanonical
    this.#access.nonCanonical = false
    if (!operand || this.#event.vector !== VECTOR_GP || this.u32[S_MODE >>> 2] !== MODE_64) return
    const record = this.u32[S_RECORD >>> 2] as number
    if (((this.memory.u8[record + R_SEGMENT] as number) & 7) === SS) this.#event.vector = VECTOR_SS
  }

  #slice(remaining: number): number {
    const u32 = this.u32
    u32[S_SHADOW >>> 2] = 0
    this.#debugBefore = u32[S_PENDING_DEBUG >>> 2] as number
    const slice = Math.min(remaining, this.#slices < SHORT_SLICES ? FIRST_SLICE : SLICE)
    this.#slices++
    u32[S_BUDGET >>> 2] = slice
    this.#settleAttention()
    const status = this.#interpreter.run(this.state, 0)
    this.retired += slice - (this.i32[S_BUDGET >>> 2] as number)
    return status
  }

  /** Attention is asked for only where something can be done about it. */
  #settleAttention(): void {
    const events = this.u32[S_EVENTS >>> 2] as number
    const interruptible = (events & EVENT_INTERRUPT) !== 0 && ((this.u32[S_EFLAGS >>> 2] as number) & FLAG_IF) !== 0
    const nmi = (events & EVENT_NMI) !== 0 && this.u32[S_NMI_BLOCKED >>> 2] === 0
    this.u32[S_ATTENTION >>> 2] = interruptible || nmi || (events & (EVENT_INIT | EVENT_STOP)) !== 0 ? 1 : 0
  }

  /** Single-stepping, breakpoints, and shadows that matter: one instruction at a time. */
  #mustStep(): boolean {
    const shadow = this.u32[S_SHADOW >>> 2] as number
    return needsStepping(this.system) || (shadow !== 0 && this.u32[S_EVENTS >>> 2] !== 0)
  }

  /** Executes the instruction at RIP, and only it. */
  #step(): number {
    const u32 = this.u32
    this.counts.steps++
    this.#debugBefore = u32[S_PENDING_DEBUG >>> 2] as number
    u32[S_STEP_SUPPRESSED >>> 2] = 0
    if (checkInstructionBreakpoint(this.system, this.#event)) return STATUS_EVENT
    this.#stepping = ((u32[S_EFLAGS >>> 2] as number) & FLAG_TF) !== 0
    u32[S_SHADOW >>> 2] = 0
    const status = this.#pinCurrent()
    if (status !== STATUS_DONE) return status
    u32[S_LOGGED >>> 2] = 2
    u32[S_BUDGET >>> 2] = 1
    const result = this.#interpreter.run(this.state, this.state + S_PINNED)
    u32[S_LOGGED >>> 2] = 0
    this.retired += 1 - (this.i32[S_BUDGET >>> 2] as number)
    return result
  }

  // ---------------------------------------------------------------- fetching

  /** Linear address of RIP. */
  #linearRip(): void {
    const rip = this.u32[S_RIP >>> 2] as number
    const base = this.u32[(S_SEGMENTS + SEG_BYTES * CS + SEG_BASE) >>> 2] as number
    if (this.u32[S_MODE >>> 2] === MODE_64) {
      this.#words.lo = rip
      this.#words.hi = this.u32[(S_RIP >>> 2) + 1] as number
    } else {
      this.#words.lo = (rip + base) >>> 0
      this.#words.hi = 0
    }
  }

  /** Copies the record of the instruction at RIP to where nothing else overwrites it, followed by a stop. */
  #pinCurrent(): number {
    this.#linearRip()
    const { lo, hi } = this.#words
    const record = this.#fetchOne(lo, hi)
    if (record === 0) return this.u32[S_FETCH_STATUS >>> 2] as number
    this.#pin(record)
    return STATUS_DONE
  }

  #pin(record: number): void {
    const at = this.state + S_PINNED
    if (record !== at) {
      const from = this.memory.u16[(record + R_OP) >>> 1] === OP_CROSS ? record + RECORD_BYTES : record
      this.memory.u8.copyWithin(at, from, from + RECORD_BYTES)
      // A link would lead on past the one instruction that is to be executed.
      if (((this.memory.u8[at + R_SEGMENT] as number) & SEGMENT_LINK) !== 0) this.memory.u32[(at + R_DISP) >>> 2] = 0
    }
    const offset = this.memory.u16[(at + R_OFFSET) >>> 1] as number
    this.engine.codeCache.writeLeave(at + RECORD_BYTES, offset + (this.memory.u8[at + R_LENGTH] as number))
  }

  /** Import of generated code: the record at a linear address, or 0 with the reason in S_FETCH_STATUS. */
  #fetch(lo: number, hi: number): number {
    this.counts.fetches++
    try {
      const record = this.#locate(lo, hi, true)
      if (record === 0) this.#leaveAt(lo, hi)
      return record
    } catch (error) {
      this.#error = error
      this.#leaveAt(lo, hi)
      this.u32[S_FETCH_STATUS >>> 2] = STATUS_ERROR
      return 0
    }
  }

  /** Makes generated code report a linear address as RIP. */
  #leaveAt(lo: number, hi: number): void {
    this.u32[S_PAGE_BASE >>> 2] = lo & ~0xfff
    this.u32[(S_PAGE_BASE >>> 2) + 1] = hi
    this.u16[(S_ENTRY + R_OFFSET) >>> 1] = lo & 0xfff
  }

  /** For a single instruction, in places where generated code does not run freely. */
  #fetchOne(lo: number, hi: number): number {
    const record = this.#locate(lo, hi, false)
    if (record !== 0 || this.u32[S_FETCH_STATUS >>> 2] !== STATUS_STEP) return record
    return this.#fetchBytewise(lo, hi)
  }

  #fetchFault(lo: number, hi: number, vector: number, errorCode: number): number {
    const u32 = this.u32
    u32[S_FAULT_VECTOR >>> 2] = vector
    u32[S_FAULT_ERROR >>> 2] = errorCode
    u32[S_FAULT_HAS_ERROR >>> 2] = 1
    u32[S_FAULT_ADDRESS >>> 2] = lo
    u32[(S_FAULT_ADDRESS >>> 2) + 1] = hi
    u32[S_FETCH_STATUS >>> 2] = STATUS_FAULT
    return 0
  }

  #translateFetch(lo: number, hi: number, into: Translation): boolean {
    const access = ACCESS_FETCH | (this.u32[S_CPL >>> 2] === 3 ? ACCESS_USER : 0)
    const status = this.host.translate(lo, hi, access, into, null)
    if (status === STATUS_DONE) return true
    if (status === STATUS_FAULT) this.#fetchFault(lo, hi, VECTOR_PF, into.errorCode)
    else this.u32[S_FETCH_STATUS >>> 2] = status
    return false
  }

  /** @param run - for running on from there: the page goes into the execute table */
  #locate(lo: number, hi: number, run: boolean): number {
    const u32 = this.u32
    const mode = u32[S_MODE >>> 2] as number
    if (mode === MODE_64) {
      if ((hi << 16) >> 16 !== (hi | 0)) return this.#fetchFault(lo, hi, VECTOR_GP, 0)
    } else {
      const base = u32[(S_SEGMENTS + SEG_BYTES * CS + SEG_BASE) >>> 2] as number
      const limit = u32[(S_SEGMENTS + SEG_BYTES * CS + SEG_LIMIT) >>> 2] as number
      const offset = (lo - base) >>> 0
      if (offset > limit) return this.#fetchFault(lo, hi, VECTOR_GP, 0)
      // The page must lie within the segment as a whole, and the next instruction's bytes with it.
      const start = ((lo & ~0xfff) - base) >>> 0
      if (start > offset || limit < 0x1010 || start > limit - 0x1010) {
        u32[S_FETCH_STATUS >>> 2] = STATUS_STEP
        return 0
      }
    }
    const t = this.#translation
    if (!this.#translateFetch(lo, hi, t)) return 0
    if (t.ma < 0) {
      u32[S_FETCH_STATUS >>> 2] = STATUS_STEP
      return 0
    }
    const cache = this.engine.codeCache
    const page = cache.page(t.ma >>> 12, mode)
    u32[S_PAGE_BASE >>> 2] = lo & ~0xfff
    u32[(S_PAGE_BASE >>> 2) + 1] = hi
    u32[S_SLOTS >>> 2] = page.slots
    if (run) this.#fillExecute(lo, hi, page, t)
    const offset = lo & 0xfff
    let record = cache.record(page, offset)
    if (record !== 0) {
      // Decoding may have dropped everything, this page included.
      u32[S_SLOTS >>> 2] = cache.page(t.ma >>> 12, mode).slots
      if (u32[S_SLOTS >>> 2] !== page.slots && run) this.#tlb.flushExecute()
      if (this.memory.u16[(record + R_OP) >>> 1] !== OP_CROSS || this.#secondPageHolds(record, lo, hi, mode)) return record
      if (u32[S_FETCH_STATUS >>> 2] === STATUS_FAULT && this.i32[S_FAULT_VECTOR >>> 2] !== -1) return 0
      cache.dropCrossing(page, record)
    }
    const second = this.#secondPage(lo, hi, mode)
    if (second === undefined) return 0
    record = cache.crossing(cache.page(t.ma >>> 12, mode), offset, second)
    if (record === 0) {
      cache.flush()
      record = cache.crossing(cache.page(t.ma >>> 12, mode), offset, cache.page(second.frame, mode))
    }
    u32[S_SLOTS >>> 2] = cache.page(t.ma >>> 12, mode).slots
    return record
  }

  /** The code page after the one that holds a linear address; undefined with S_FETCH_STATUS where there is none. */
  #secondPage(lo: number, hi: number, mode: number): CodePage | undefined {
    const next = ((lo & ~0xfff) + PAGE) >>> 0
    const nextHi = next === 0 && mode === MODE_64 ? (hi + 1) >>> 0 : hi
    const t = this.#secondTranslation
    if (!this.#translateFetch(next, nextHi, t)) return undefined
    if (t.ma < 0) {
      this.u32[S_FETCH_STATUS >>> 2] = STATUS_STEP
      return undefined
    }
    const page = this.engine.codeCache.page(t.ma >>> 12, mode)
    // Outside 64-bit mode the page may reach beyond the segment's limit, which nothing would check again.
    if (mode === MODE_64) this.#fillExecute(next, nextHi, page, t)
    return page
  }

  /** Lets generated code find a code page by itself. */
  #fillExecute(lo: number, hi: number, page: CodePage, t: Translation): void {
    if (!t.cacheable || this.#mode === TLB_MISS || this.u32[S_LOGGED >>> 2] !== 0) return
    this.#tlb.fill(this.#mode, TLB_EXECUTE, lo, hi, page.slots, t.global, t.pageBytes)
  }

  #secondPageHolds(record: number, lo: number, hi: number, mode: number): boolean {
    this.u32[S_FETCH_STATUS >>> 2] = STATUS_DONE
    const second = this.#secondPage(lo, hi, mode)
    return second !== undefined && this.engine.codeCache.crossesInto(record, second)
  }

  /** Import of generated code: 1 if the page-crossing instruction after this record is still what is mapped there. */
  #cross(record: number): number {
    const lo = ((this.u32[S_PAGE_BASE >>> 2] as number) + (this.memory.u16[(record + R_OFFSET) >>> 1] as number)) >>> 0
    const hi = this.u32[(S_PAGE_BASE >>> 2) + 1] as number
    const mode = this.u32[S_MODE >>> 2] as number
    if (this.memory.u16[(record + R_OP) >>> 1] !== OP_CROSS) return 0
    if (this.#secondPageHolds(record, lo, hi, mode)) return 1
    // A missing second page is a fault of the fetch, which looks again; anything else is decoded anew.
    this.i32[S_FAULT_VECTOR >>> 2] = -1
    const t = this.#translation
    if (this.#translateFetch(lo, hi, t) && t.ma >= 0) {
      this.engine.codeCache.dropCrossing(this.engine.codeCache.page(t.ma >>> 12, mode), record)
    }
    this.i32[S_FAULT_VECTOR >>> 2] = -1
    return 0
  }

  /** Byte by byte, with the segment limit and devices looked at for each: near a segment's end, or outside RAM. */
  #fetchBytewise(lo: number, hi: number): number {
    const u32 = this.u32
    const mode = u32[S_MODE >>> 2] as number
    const base = u32[(S_SEGMENTS + SEG_BYTES * CS + SEG_BASE) >>> 2] as number
    const limit = u32[(S_SEGMENTS + SEG_BYTES * CS + SEG_LIMIT) >>> 2] as number
    const bytes = this.#fetchBytes
    const at = this.state + S_PINNED
    this.#leaveAt(lo, hi)
    const t = this.#translation
    const offset = lo & 0xfff
    let count = 0
    for (; count < 15; count++) {
      const byteLo = (lo + count) >>> 0
      const byteHi = byteLo < lo && mode === MODE_64 ? (hi + 1) >>> 0 : hi
      let status = STATUS_DONE
      if (mode !== MODE_64 && (byteLo - base) >>> 0 > limit) {
        this.#fetchFault(byteLo, byteHi, VECTOR_GP, 0)
        status = STATUS_FAULT
      } else if (!this.#translateFetch(byteLo, byteHi, t)) status = STATUS_FAULT
      else if (t.ma >= 0) bytes[count] = this.memory.u8[t.ma] as number
      else {
        status = this.host.physicalRead(t.gpa, 1, this.#words, false)
        bytes[count] = this.#words.lo
      }
      if (status !== STATUS_DONE) {
        // What is there may be an instruction already; only one that needs the missing byte faults.
        if (count === 0 || this.engine.codeCache.decodeBytes(at, bytes, count, mode, offset) > count || this.#isUndefined(at)) {
          if (status !== STATUS_FAULT) u32[S_FETCH_STATUS >>> 2] = status
          return 0
        }
        this.i32[S_FAULT_VECTOR >>> 2] = -1
        return at
      }
    }
    this.engine.codeCache.decodeBytes(at, bytes, count, mode, offset)
    return at
  }

  #isUndefined(record: number): boolean {
    return this.engine.codeCache.isUndefined(record)
  }

  // ---------------------------------------------------------------- handlers

  /** Import of generated code: executes a TypeScript handler. */
  #system(fn: number, record: number): number {
    const { handler, form, memoryOperand } = this.engine.systemForms[fn] as X86Engine['systemForms'][number]
    this.counts.systemCalls++
    try {
      if (memoryOperand >= 0) {
        const { size, access } = form.operands[memoryOperand] as (typeof form.operands)[number]
        const rights = access === 'w' ? SLOW_WRITE : access === 'rw' ? SLOW_WRITE | SLOW_MODIFY : 0
        const bytes = size === 0 ? 1 : size
        const sizeAndFlags = bytes > 0xff ? bytes << 16 : bytes
        if (this.#interpreter.address(this.state, record, sizeAndFlags | rights) !== 0) return STATUS_FAULT
      }
      this.system.dropWrites()
      const status = handler(this.system, record, form)
      // A port breakpoint's trap follows at once.
      if (status === STATUS_DONE && this.u32[S_PENDING_DEBUG >>> 2] !== 0) return this.system.retireNext(record)
      return status
    } catch (error) {
      if (error instanceof Abandon) return error.status
      this.#error = error
      return STATUS_ERROR
    }
  }

  // ---------------------------------------------------------------- logged passes

  /** The current instruction has met a device: it starts again, and everything it does is logged from now on. */
  #beginLogged(): Exit | undefined {
    const record = this.u32[S_RECORD >>> 2] as number
    this.#pin(record)
    this.#unit = UNIT_INSTRUCTION
    this.u32[S_PENDING_DEBUG >>> 2] = this.#debugBefore
    this.log.begin()
    this.counts.loggedPasses++
    const status = this.#loggedPass()
    if (status === STATUS_RETRY) return EXIT_BLOCKED
    return this.#finish(status)
  }

  /** One pass of the instruction in the pinned record. */
  #loggedPass(): number {
    const u32 = this.u32
    if (this.log.pass > 1 || this.log.pending >= 0) this.log.restart()
    u32[S_LOGGED >>> 2] = 1
    u32[S_TLB >>> 2] = this.#tlb.setAddress(TLB_MISS)
    u32[S_BUDGET >>> 2] = 1
    u32[S_ATTENTION >>> 2] = 0
    const status = this.#interpreter.run(this.state, this.state + S_PINNED)
    return this.#endPass(status)
  }

  #endPass(status: number): number {
    const u32 = this.u32
    if (status === STATUS_RETRY) {
      u32[S_LOGGED >>> 2] = 0
      return status
    }
    if (status !== STATUS_FAULT && status !== STATUS_ERROR) {
      this.#access.commit()
      this.retired += 1 - (this.i32[S_BUDGET >>> 2] as number)
    }
    this.log.end()
    u32[S_LOGGED >>> 2] = 0
    this.#unit = UNIT_NONE
    this.modeChanged()
    return status
  }

  /** Forgets an instruction, or the delivery of an event, that waits for a device. Its owner drains and drops the answer. */
  cancel(): void {
    this.log.cancel()
    this.#stepping = false
    this.#debugBefore = 0
    this.#unit = UNIT_NONE
    this.u32[S_LOGGED >>> 2] = 0
    this.modeChanged()
  }

  /** Delivers the latched event for the first time. */
  #deliverFirst(): Exit | undefined {
    const status = deliverEvent(this.system, this.#event)
    if (status !== STATUS_RESTART) return this.#finishDelivery(status)
    this.#unit = UNIT_EVENT
    this.log.begin()
    const logged = this.#deliver()
    if (logged === STATUS_RETRY) return EXIT_BLOCKED
    return this.#finishDelivery(logged)
  }

  #finishDelivery(status: number): Exit | undefined {
    this.#access.nonCanonical = false
    this.i32[S_FAULT_VECTOR >>> 2] = -1
    if (this.u32[S_ACTIVITY >>> 2] === ACTIVITY_SHUTDOWN) return EXIT_SHUTDOWN
    return status === STATUS_FAULT || status === STATUS_RESTART ? this.#fail(new Error(`event delivery ended with status ${status}`)) : undefined
  }

  /** A logged pass over the delivery of the latched event. */
  #deliver(): number {
    if (this.log.pass > 1 || this.log.pending >= 0) this.log.restart()
    this.u32[S_LOGGED >>> 2] = 1
    this.u32[S_BUDGET >>> 2] = 1
    const status = deliverEvent(this.system, this.#event)
    if (status !== STATUS_RETRY) this.i32[S_FAULT_VECTOR >>> 2] = -1
    return this.#endPass(status)
  }

  // ---------------------------------------------------------------- events between instructions

  #takeEvents(): Exit | undefined {
    const u32 = this.u32
    const events = u32[S_EVENTS >>> 2] as number
    if (events === 0) return undefined
    if ((events & EVENT_STOP) !== 0) {
      u32[S_EVENTS >>> 2]! &= ~EVENT_STOP
      return EXIT_BUDGET
    }
    if ((events & EVENT_INIT) !== 0) {
      u32[S_EVENTS >>> 2]! &= ~(EVENT_INIT | EVENT_NMI)
      this.#init()
      // A start-up IPI may have followed already.
      return this.#takeEvents()
    }
    if ((events & EVENT_SIPI) !== 0) {
      u32[S_EVENTS >>> 2]! &= ~EVENT_SIPI
      if (u32[S_ACTIVITY >>> 2] === ACTIVITY_WAIT_FOR_SIPI) startAt(this.system, this.#sipiVector)
      return undefined
    }
    const activity = u32[S_ACTIVITY >>> 2] as number
    if (activity === ACTIVITY_WAIT_FOR_SIPI) return undefined
    if ((events & EVENT_NMI) !== 0 && u32[S_NMI_BLOCKED >>> 2] === 0) {
      u32[S_EVENTS >>> 2]! &= ~EVENT_NMI
      this.#event.setInterrupt(EVENT_TYPE_NMI, 2, false)
      this.counts.interrupts++
      return this.#deliverFirst()
    }
    if (activity === ACTIVITY_SHUTDOWN) return undefined
    if ((events & EVENT_INTERRUPT) !== 0 && ((u32[S_EFLAGS >>> 2] as number) & FLAG_IF) !== 0) {
      const vector = this.host.acknowledgeInterrupt()
      if (vector < 0) {
        u32[S_EVENTS >>> 2]! &= ~EVENT_INTERRUPT
        return undefined
      }
      this.#event.setInterrupt(EVENT_TYPE_EXTERNAL, vector, false)
      this.counts.interrupts++
      return this.#deliverFirst()
    }
    return undefined
  }

  // ---------------------------------------------------------------- reset

  /** Power-on. @param bootstrap - executes from the reset vector; others wait for a start-up IPI */
  reset(bootstrap: boolean): void {
    this.cancel()
    this.#bootstrap = bootstrap
    this.u32[S_EVENTS >>> 2] = 0
    resetState(this.system, RESET_POWER_ON, bootstrap)
  }

  #init(): void {
    this.cancel()
    resetState(this.system, RESET_INIT, this.#bootstrap)
  }

  /** Sets the registers that a boot protocol asks for. */
  load(state: InitialCpuState): void {
    const { registers, segments } = state
    for (const [i, name] of REGISTER_NAMES.entries()) this.u64[(S_GPR >>> 3) + i] = BigInt(registers[name] ?? 0)
    this.u64[S_RIP >>> 3] = BigInt(registers.rip ?? 0)
    this.setRflags(registers.rflags ?? 2)
    for (const [i, name] of SEGMENT_NAMES.entries()) {
      const { selector, base, limit, attributes } = segments[name]
      setSegment(this.system, i, selector, base, 0, limit, attributes)
    }
    setTable(this, GDTR, state.gdtr)
    setTable(this, IDTR, state.idtr)
    this.u64[S_CR0 >>> 3] = BigInt(state.cr0 >>> 0)
    this.u64[S_CR3 >>> 3] = BigInt(state.cr3)
    this.u64[S_CR4 >>> 3] = BigInt(state.cr4)
    this.u64[S_EFER >>> 3] = BigInt(state.efer)
    this.host.controlChanged()
    this.#tlb.flush(true)
    this.modeChanged()
  }

  /** When this vCPU's TSC reaches a value, in nanoseconds of the host's clock. */
  tscToHost(lo: number, hi: number, ticksPerNs: number): number {
    const offset = BigInt.asIntN(64, this.read64(S_TSC_OFFSET))
    return Number(((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)) - offset) / ticksPerNs
  }

  /** Reads a 64-bit field of the state, for people. */
  read64(offset: number): bigint {
    return this.u64[offset >>> 3] as bigint
  }

  /** S_DATA, for tests. */
  get data(): Uint8Array {
    return this.u8.subarray(S_DATA, S_DATA + 64)
  }
}

const REGISTER_NAMES = [
  'rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15',
] as const
/** In the order of segment numbers. */
const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'] as const

function setTable(vcpu: Vcpu, table: number, { base, limit }: { readonly base: number; readonly limit: number }): void {
  vcpu.u64[(S_SEGMENTS + SEG_BYTES * table + SEG_BASE) >>> 3] = BigInt(base)
  vcpu.u32[(S_SEGMENTS + SEG_BYTES * table + SEG_LIMIT) >>> 2] = limit
}

/** What a boot protocol wants registers to be; those not named are zero. */
export interface InitialCpuState {
  readonly registers: Readonly<Partial<Record<(typeof REGISTER_NAMES)[number] | 'rip' | 'rflags', number>>>
  /** Limits in bytes; attributes as descriptor bits 55:40. */
  readonly segments: Readonly<
    Record<
      (typeof SEGMENT_NAMES)[number],
      { readonly selector: number; readonly base: number; readonly limit: number; readonly attributes: number }
    >
  >
  readonly gdtr: { readonly base: number; readonly limit: number }
  readonly idtr: { readonly base: number; readonly limit: number }
  readonly cr0: number
  readonly cr3: number
  readonly cr4: number
  readonly efer: number
}

/** In the instruction's stead the latched event is to be delivered: an instruction breakpoint. */
const STATUS_EVENT = 254
/** A broken invariant: `Vcpu.run` returns an `error` exit. */
const STATUS_ERROR = 255
