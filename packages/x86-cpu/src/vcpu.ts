import type { MachineMemory } from '@retrap/memory'
import { AccessLog, LOG_BYTES } from '@retrap/replay'
import { AddressSpaces } from './address-spaces.ts'
import type { CodeCacheClient } from './code-cache.ts'
import type { X86Engine } from './engine.ts'
import { deriveMode, implicitSet } from './execution-mode.ts'
import type { Exit } from './exit.ts'
import { loadInitialState } from './initial-state.ts'
import { HandlerPath } from './handler-path.ts'
import type { SystemForm } from './handler-path.ts'
import type { InitialCpuState } from './initial-state.ts'
import { InstructionFetch } from './instruction-fetch.ts'
import { arithmeticFlags, setArithmeticFlags } from './lazy-flags.ts'
import type { CpuHost } from './host.ts'
import { MemoryAccess } from './memory-access.ts'
import { OutsideEvents } from './outside-events.ts'
import { NUMERIC_FAULT, NUMERIC_IGNORE, NumericError } from './numeric-error.ts'
import { QuickPort } from './quick-port.ts'
import { R_SEGMENT } from './record.ts'
import { VECTOR_GP, VECTOR_SS } from './vectors.ts'
import {
  EVENT_INIT,
  EVENT_INTERRUPT,
  EVENT_NMI,
  EVENT_SIPI,
  EVENT_STOP,
  FLAGS_ARITHMETIC,
  FLAG_IF,
  FLAG_TF,
  MODE_16,
  MODE_64,
  SS,
  STATUS_CONTINUE,
  STATUS_DONE,
  STATUS_ERROR,
  STATUS_EXIT,
  STATUS_FAULT,
  STATUS_JUMP,
  STATUS_LEAVE,
  STATUS_RESTART,
  STATUS_RETRY,
  STATUS_STEP,
  S_ATTENTION,
  S_BUDGET,
  S_DATA,
  S_EFLAGS,
  S_EVENTS,
  S_FAULT_VECTOR,
  S_LOGGED,
  S_MODE,
  S_PINNED,
  S_RECORD,
  S_SHADOW,
  S_TLB,
  S_TLB_MISSES,
  S_TLB_SETS,
  S_TSC_OFFSET,
  S_TWO_TO_28,
} from './state-layout.ts'
import { DR6_BT } from './system/architecture.ts'
import {
  hasDataBreakpoints,
  matchDataBreakpoints,
  noteDataBreakpoints,
  pageHasDataBreakpoint,
} from './system/breakpoints.ts'
import type { Cpu, CpuModel, MachineViews } from './system/cpu.ts'
import { afterInstruction, checkInstructionBreakpoint, needsStepping } from './system/debug.ts'
import { EVENT_TYPE_EXTERNAL, EVENT_TYPE_NMI, PENDING_EXTERNAL, PendingEvent, deliverEvent } from './system/events.ts'
import { RESET_INIT, RESET_POWER_ON, resetState, startAt } from './system/reset.ts'
import { System } from './system/system.ts'
import {
  ACTIVITY_HALTED,
  ACTIVITY_RUNNING,
  ACTIVITY_SHUTDOWN,
  ACTIVITY_WAIT_FOR_SIPI,
  S_ACTIVITY,
  S_PENDING_DEBUG,
  S_PENDING_FAULT,
  S_PENDING_FAULT_ADDRESS,
  S_PENDING_FAULT_ERROR,
  S_PENDING_FAULT_HAS_ERROR,
  S_REPEATING,
  S_STEPPING,
  S_STEP_SUPPRESSED,
} from './system/system-state.ts'
import { TLB_BYTES, TLB_MISS, TLB_SUPERVISOR, Tlb } from './tlb.ts'

const STATE_BYTES = S_TLB_SETS + TLB_BYTES

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
/** An instruction whose bytes a device holds: fetching it is part of each pass. */
const UNIT_FETCHED = 3
/** An IN or OUT whose port is all there is to it. */
const UNIT_PORT = 4
/** An instruction that stands at the one access it makes, that of a device. */
const UNIT_ACCESS = 5

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
  readonly #spaces: AddressSpaces
  readonly #numericError: NumericError
  readonly #outside: OutsideEvents
  readonly #interpreter: InterpreterExports
  readonly #event = new PendingEvent()
  readonly #fetch: InstructionFetch
  readonly #quickPort: QuickPort
  readonly #handlers: HandlerPath
  #unit = UNIT_NONE
  #bootstrap = true
  #slices = 0
  #paused = false
  #error: unknown = undefined
  /** S_PENDING_DEBUG when the current instruction began. */
  #debugBefore = 0
  /** S_SHADOW, and how many had retired, before it or the first of several. */
  #shadowBefore = 0
  #retiredBefore = 0
  /** Which set the translations of explicit accesses go into; TLB_MISS keeps none. */
  #mode = TLB_SUPERVISOR
  /** S_MODE for which each set's execute table was filled. */
  readonly #executeModes = [MODE_16, MODE_16, MODE_16]
  /** Instructions retired since the vCPU was made. */
  retired = 0
  /** Counts for statistics. */
  readonly counts = { systemCalls: 0, faults: 0, interrupts: 0, loggedPasses: 0, steps: 0 }

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
    this.#spaces = new AddressSpaces(this.#tlb, host, this.u32)
    this.#numericError = new NumericError(this.u32, host)
    this.#outside = new OutsideEvents(this.u32)
    const mode = (): number => this.#fillSet()
    const implicit = (): number => this.#implicitSet()
    this.#access = new MemoryAccess(
      memory,
      host,
      this.#tlb,
      this.log,
      {
        get fillSet() {
          return mode()
        },
        get implicitSet() {
          return implicit()
        },
        breaksAt: (lo, hi, size, write) => matchDataBreakpoints(this.system, lo, hi, size, write) !== 0,
        noteDataAccess: (lo, hi, size, write) => noteDataBreakpoints(this.system, lo, hi, size, write),
        watches: (lo, hi) => pageHasDataBreakpoint(this.system, lo, hi),
      },
      state,
    )
    this.#fetch = new InstructionFetch(memory, host, engine.codeCache, this.#tlb, state, () => this.#mode)
    this.u32[S_TWO_TO_28 >>> 2] = 0x1000_0000
    this.i32[S_FAULT_VECTOR >>> 2] = -1
    this.system = new System(this)
    this.#quickPort = new QuickPort(this.system, host, this.log)
    this.#handlers = new HandlerPath(this.system, this.#quickPort, (record, sizeAndFlags) =>
      this.#interpreter.address(this.state, record, sizeAndFlags),
    )
    const instance = new WebAssembly.Instance(engine.module as WebAssembly.Module, {
      cpu: {
        memory: memory.memory,
        access: (lo: number, hi: number, flags: number) => this.#access.generatedAccess(lo, hi, flags),
        system: (fn: number, record: number) => this.#system(fn, record),
        fetch: (lo: number, hi: number) => this.#fetch.fetch(lo >>> 0, hi >>> 0),
        cross: (record: number) => this.#fetch.cross(record),
      },
    })
    this.#interpreter = instance.exports as unknown as InterpreterExports
    engine.codeCache.addClient(this)
  }

  get #stepping(): boolean {
    return this.u32[S_STEPPING >>> 2] !== 0
  }
  set #stepping(value: boolean) {
    this.u32[S_STEPPING >>> 2] = value ? 1 : 0
  }

  get #repeating(): boolean {
    return this.u32[S_REPEATING >>> 2] !== 0
  }
  set #repeating(value: boolean) {
    this.u32[S_REPEATING >>> 2] = value ? 1 : 0
  }

  #fillSet(): number {
    return this.u32[S_LOGGED >>> 2] === 1 || this.#mode === TLB_MISS ? -1 : this.#mode
  }

  #implicitSet(): number {
    return this.u32[S_LOGGED >>> 2] === 1 ? -1 : implicitSet(this.u32)
  }

  // ---------------------------------------------------------------- Cpu, for system instructions

  access(lo: number, hi: number, flags: number): number {
    return this.#access.systemAccess(lo >>> 0, hi >>> 0, flags)
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
    this.#spaces.flush(all)
  }

  invalidatePage(lo: number, hi: number): void {
    this.#spaces.invalidatePage(lo, hi)
  }

  invalidatePcid(scope: number, pcid: number, lo: number, hi: number): void {
    this.#spaces.invalidatePcid(scope, pcid, lo, hi)
  }

  switchPcid(from: number, to: number, keep: boolean): void {
    this.#spaces.switchPcid(from, to, keep)
  }

  flushExecute(): void {
    this.#tlb.flushExecute()
  }

  dropWritable(frameMa: number): void {
    this.#tlb.dropWritable(frameMa)
  }

  modeChanged(): void {
    const u32 = this.u32
    const set = deriveMode(u32)
    const mode = u32[S_MODE >>> 2] as number
    this.#mode = set
    if (set !== TLB_MISS && this.#executeModes[set] !== mode) {
      this.#executeModes[set] = mode
      this.#tlb.flushExecute()
    }
    u32[S_TLB >>> 2] = this.#tlb.setAddress(u32[S_LOGGED >>> 2] === 1 ? TLB_MISS : set)
  }

  repeat(
    port: number,
    otherLo: number,
    otherHi: number,
    lo: number,
    hi: number,
    flags: number,
    count: number,
    down: boolean,
  ): number {
    // An instruction whose bytes a device holds is fetched for each iteration, however fast the device is.
    if (this.#unit === UNIT_FETCHED) return 0
    return this.#access.repeat(port, otherLo, otherHi, lo, hi, flags, count, down)
  }

  mayRepeat(): boolean {
    // What comes up while a request is waited for is too late: the pass that made it has decided.
    return this.u32[S_EVENTS >>> 2] === 0 || this.log.nextKind() >= 0
  }

  mayEndGather(): boolean {
    if (this.u32[S_LOGGED >>> 2] !== 1 || this.log.nextKind() >= 0) return false
    return this.#outside.nmi || this.#outside.interrupt
  }

  materialiseFlags(): number {
    return ((this.u32[S_EFLAGS >>> 2] as number) & ~FLAGS_ARITHMETIC) | arithmeticFlags(this.u32) | 2
  }

  setRflags(value: number): void {
    this.u32[S_EFLAGS >>> 2] = (value & ~FLAGS_ARITHMETIC) | 2
    setArithmeticFlags(this.u32, value)
  }

  // ---------------------------------------------------------------- events from outside

  /** A maskable interrupt waits at the interrupt controller, or no longer does. */
  setInterruptPending(pending: boolean): void {
    if (pending) this.#outside.raise(EVENT_INTERRUPT)
    else this.#outside.clear(EVENT_INTERRUPT)
  }

  /** Latches a non-maskable interrupt. */
  nmi(): void {
    this.#outside.raise(EVENT_NMI)
  }

  /**
   * Has an event delivered before the next instruction, as a hypervisor injects it: an exception, or with `external` an
   * interrupt that no controller has been asked for, whatever RFLAGS.IF says.
   *
   * @param errorCode - −1: it has none
   * @param addressLo - of #PF, what CR2 is to hold; with `addressHi`
   * @returns false where one waits already, or the vCPU has not been started
   */
  inject(vector: number, external: boolean, errorCode: number, addressLo: number, addressHi: number): boolean {
    const u32 = this.u32
    if (u32[S_PENDING_FAULT >>> 2] !== 0 || this.waitsForStartup) return false
    u32[S_PENDING_FAULT >>> 2] = ((vector & 0xff) + 1) | (external ? PENDING_EXTERNAL : 0)
    u32[S_PENDING_FAULT_HAS_ERROR >>> 2] = errorCode === -1 || external ? 0 : 1
    u32[S_PENDING_FAULT_ERROR >>> 2] = errorCode
    u32[S_PENDING_FAULT_ADDRESS >>> 2] = addressLo
    u32[(S_PENDING_FAULT_ADDRESS >>> 2) + 1] = addressHi
    u32[S_ATTENTION >>> 2] = 1
    return true
  }

  /** INIT: cancels whatever is in progress. */
  init(): void {
    this.#outside.raise(EVENT_INIT)
  }

  /** A start-up IPI; ignored unless the vCPU waits for one. @param vector - page number of the entry point */
  startup(vector: number): void {
    this.#outside.startup(vector)
  }

  /** Makes `run` return soon. */
  stop(): void {
    this.#outside.raise(EVENT_STOP)
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

  /** `run` would come back at once: halted, or waiting for a start-up IPI, and nothing has happened since. */
  get dormant(): boolean {
    const activity = this.u32[S_ACTIVITY >>> 2]
    return (
      (activity === ACTIVITY_HALTED || activity === ACTIVITY_WAIT_FOR_SIPI) &&
      this.u32[S_EVENTS >>> 2] === 0 &&
      this.#unit === UNIT_NONE &&
      !this.#stepping &&
      ((this.u32[S_PENDING_DEBUG >>> 2] as number) | (this.u32[S_PENDING_FAULT >>> 2] as number)) === 0
    )
  }

  /** RFLAGS.IF. */
  get interruptsEnabled(): boolean {
    return ((this.u32[S_EFLAGS >>> 2] as number) & FLAG_IF) !== 0
  }

  /** An NMI or a maskable interrupt waits, and can be taken now. */
  get interruptWaits(): boolean {
    return this.#outside.nmi || this.#outside.interrupt
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
    try {
      return this.#run(budget)
    } catch (error) {
      // A broken invariant, such as a replay that goes another way: nothing can go on from here.
      return this.#fail(error)
    }
  }

  #run(budget: number): Exit {
    const u32 = this.u32
    let remaining = budget
    this.#paused = false
    for (;;) {
      if (this.#unit !== UNIT_NONE) {
        if (((u32[S_EVENTS >>> 2] as number) & EVENT_INIT) !== 0) this.cancel()
        else {
          const before = this.retired
          const status = this.#unit >= UNIT_PORT ? this.#runOn(remaining) : this.#nextPass()
          if (status === STATUS_RETRY && this.#unit !== UNIT_NONE) return EXIT_BLOCKED
          // Events and iterations count, though they do not retire.
          remaining -= Math.max(this.retired - before, 1)
          const exit = this.#finish(status)
          if (exit !== undefined) return exit
          continue
        }
      }
      if (this.#isInitDue()) {
        this.#outside.clear(EVENT_INIT | EVENT_NMI)
        this.#init()
      }
      // Not by the accessor: V8 calls its runtime for a private one.
      if ((u32[S_STEPPING >>> 2]! | u32[S_PENDING_DEBUG >>> 2]! | u32[S_PENDING_FAULT >>> 2]!) !== 0) {
        if (remaining <= 0) return EXIT_BUDGET
        const stepping = this.#stepping
        this.#stepping = false
        if (afterInstruction(this.system, stepping, this.#event)) {
          this.#event.resume ||= this.#repeating
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
      const passes = this.counts.loggedPasses
      const status = this.#mustStep() ? this.#step() : this.#slice(remaining, 0)
      const exit = this.#finish(status)
      if (exit !== undefined) return exit
      // What it has ended with may have executed an instruction too, or an event's delivery.
      remaining -= Math.max(1, this.retired - before)
      // Iterations and faults do not count as retired, but must not run for ever, and take as long as many instructions; so do
      // logged passes.
      const slow = status === STATUS_CONTINUE || status === STATUS_FAULT || this.counts.loggedPasses !== passes
      if (slow) remaining -= REPEAT_COST
    }
  }

  /** An instruction, or the delivery of an event, is in the middle. */
  get busy(): boolean {
    return this.#unit !== UNIT_NONE
  }

  /**
   * Goes on with what is in the middle, and begins nothing new: for snapshots, which are taken between instructions.
   *
   * @returns undefined when nothing is in the middle any more; else why not: `blocked`, `error`
   */
  settle(): Exit | undefined {
    try {
      while (this.#unit !== UNIT_NONE) {
        if (((this.u32[S_EVENTS >>> 2] as number) & EVENT_INIT) !== 0) {
          this.cancel()
          break
        }
        const status = this.#nextPass()
        if (status === STATUS_RETRY) return EXIT_BLOCKED
        const exit = this.#finish(status)
        if (exit !== undefined && exit.reason !== 'shutdown') return exit
      }
      return undefined
    } catch (error) {
      return this.#fail(error)
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
    if (this.#numericError.ignoring) this.#numericError.settle(status)
    switch (status) {
      case STATUS_DONE:
      case STATUS_LEAVE:
      case STATUS_JUMP:
      case STATUS_EXIT:
        this.u32[S_REPEATING >>> 2] = 0
        return undefined
      case STATUS_CONTINUE:
        this.#repeating = true
        return undefined
      case STATUS_EVENT:
        return this.#deliverFirst()
      case STATUS_FAULT: {
        const numeric = this.#numericError.take()
        if (numeric !== NUMERIC_FAULT) {
          this.#stepping = false
          this.u32[S_PENDING_DEBUG >>> 2] = this.#debugBefore
          return numeric === NUMERIC_IGNORE ? this.#finish(this.#step()) : undefined
        }
        this.counts.faults++
        // What the instruction met before it faulted, it meets again.
        this.#stepping = false
        this.#repeating = false
        this.u32[S_PENDING_DEBUG >>> 2] = this.#debugBefore
        this.#event.latchFault(this.system)
        this.#adjustStackFault()
        this.i32[S_FAULT_VECTOR >>> 2] = -1
        return this.#deliverFirst()
      }
      case STATUS_RESTART:
        return this.#beginLogged()
      case STATUS_RETRY:
        if (this.#unit === UNIT_NONE) {
          if (this.#quickPort.waits || this.log.pending >= 0) this.#waitInPlace()
          else this.#fetchAgain()
        }
        return EXIT_BLOCKED
      case STATUS_STEP: {
        const next = this.#step()
        return next === STATUS_STEP
          ? this.#fail(new Error('an instruction that cannot be fetched alone'))
          : this.#finish(next)
      }
      default:
        return this.#fail(this.#error ?? this.#fetch.error ?? new Error(`unexpected status ${status}`))
    }
  }

  #fail(error: unknown): Exit {
    return { reason: 'error', error }
  }

  /** IGNNE#: asserted by what answers FERR#, for as long as the exception is pending. */
  ignoreNumericError(): void {
    this.#numericError.ignore()
  }

  /** Generated code raises #GP for any non-canonical operand; one in SS is #SS (SDM vol. 1, "Canonical Addressing"). */
  #adjustStackFault(): void {
    const operand = this.#access.nonCanonical
    this.#access.nonCanonical = false
    if (!operand || this.#event.vector !== VECTOR_GP || this.u32[S_MODE >>> 2] !== MODE_64) return
    const record = this.u32[S_RECORD >>> 2] as number
    if (((this.memory.u8[record + R_SEGMENT] as number) & 7) === SS) this.#event.vector = VECTOR_SS
  }

  /** The instruction that a shadow protects is next. */
  #leaveShadow(): void {
    this.#shadowBefore = this.u32[S_SHADOW >>> 2] as number
    this.#retiredBefore = this.retired
    this.u32[S_SHADOW >>> 2] = 0
  }

  /** Runs several instructions. @param record - the first one's, where it is not to be fetched; else 0 */
  #slice(remaining: number, record: number): number {
    const u32 = this.u32
    this.#leaveShadow()
    this.#debugBefore = u32[S_PENDING_DEBUG >>> 2] as number
    const slice = Math.min(remaining, this.#slices < SHORT_SLICES ? FIRST_SLICE : SLICE)
    this.#slices++
    u32[S_BUDGET >>> 2] = slice
    this.#outside.settleAttention()
    const status = this.#interpreter.run(this.state, record)
    this.retired += slice - (this.i32[S_BUDGET >>> 2] as number)
    return status
  }

  /** Single-stepping, breakpoints, and shadows that matter: one instruction at a time. */
  #mustStep(): boolean {
    const shadow = this.u32[S_SHADOW >>> 2] as number
    return needsStepping(this.system) || this.#numericError.ignoring || (shadow !== 0 && this.u32[S_EVENTS >>> 2] !== 0)
  }

  /** Executes the instruction at RIP, and only it. */
  #step(): number {
    const u32 = this.u32
    this.counts.steps++
    this.#debugBefore = u32[S_PENDING_DEBUG >>> 2] as number
    u32[S_STEP_SUPPRESSED >>> 2] = 0
    if (checkInstructionBreakpoint(this.system, this.#event)) return STATUS_EVENT
    this.#stepping = ((u32[S_EFLAGS >>> 2] as number) & FLAG_TF) !== 0
    this.#leaveShadow()
    const status = this.#fetch.pinCurrent()
    if (status === STATUS_RESTART) return this.#beginFetched()
    if (status !== STATUS_DONE) return status
    u32[S_LOGGED >>> 2] = 2
    u32[S_BUDGET >>> 2] = 1
    const result = this.#interpreter.run(this.state, this.state + S_PINNED)
    u32[S_LOGGED >>> 2] = 0
    this.retired += 1 - (this.i32[S_BUDGET >>> 2] as number)
    return result
  }

  // ---------------------------------------------------------------- handlers

  /** Import of generated code: executes a TypeScript handler. */
  #system(fn: number, record: number): number {
    this.counts.systemCalls++
    try {
      return this.#handlers.run(this.engine.systemForms[fn] as SystemForm, record)
    } catch (error) {
      this.#error = error
      return STATUS_ERROR
    }
  }

  // ---------------------------------------------------------------- logged passes

  /** The current instruction has met a device: it starts again, and everything it does is logged from now on. */
  #beginLogged(): Exit | undefined {
    const record = this.u32[S_RECORD >>> 2] as number
    this.#fetch.pin(record)
    this.#unit = UNIT_INSTRUCTION
    this.u32[S_PENDING_DEBUG >>> 2] = this.#debugBefore
    this.log.begin()
    this.counts.loggedPasses++
    const status = this.#loggedPass()
    if (status === STATUS_RETRY) return EXIT_BLOCKED
    return this.#finish(status)
  }

  /** Bytes of the next instruction come from a device. */
  #beginFetched(): number {
    this.#unit = UNIT_FETCHED
    this.log.begin()
    this.counts.loggedPasses++
    return this.#loggedPass()
  }

  /** A plain pass has become a logged one where it stood, and waits (`MemoryAccess`, `QuickPort`). */
  #waitInPlace(): void {
    if (this.#quickPort.waits) this.#unit = UNIT_PORT
    else {
      this.#fetch.pin(this.u32[S_RECORD >>> 2] as number)
      this.#unit = UNIT_ACCESS
    }
    this.u32[S_PENDING_DEBUG >>> 2] = this.#debugBefore
    this.counts.loggedPasses++
  }

  /** The bytes of the next instruction are not there yet: it has not begun. */
  #fetchAgain(): void {
    this.#stepping = false
    this.u32[S_PENDING_DEBUG >>> 2] = this.#debugBefore
    if (this.retired === this.#retiredBefore) this.u32[S_SHADOW >>> 2] = this.#shadowBefore
  }

  /** A further pass of what is in the middle. */
  #nextPass(): number {
    switch (this.#unit) {
      case UNIT_EVENT:
        return this.#deliver()
      case UNIT_PORT:
        return this.#completePort()
      case UNIT_ACCESS:
        return this.#completeAccess()
      default:
        return this.#loggedPass()
    }
  }

  #completePort(): number {
    const status = this.#quickPort.complete()
    if (status !== STATUS_DONE) return status
    this.retired++
    this.#unit = UNIT_NONE
    return STATUS_LEAVE
  }

  /**
   * A pass that stands at its device goes on, and with its answer so do the instructions after it: what may be between two
   * instructions, an interrupt for instance, asks for attention before the second.
   */
  #runOn(remaining: number): number {
    const u32 = this.u32
    const alone =
      remaining <= 1 ||
      (u32[S_STEPPING >>> 2]! | u32[S_PENDING_DEBUG >>> 2]! | u32[S_PENDING_FAULT >>> 2]!) !== 0 ||
      this.#mustStep()
    if (alone) return this.#nextPass()
    if (this.#unit === UNIT_PORT) {
      const status = this.#completePort()
      return status === STATUS_RETRY ? status : this.#slice(remaining - 1, 0)
    }
    const status = this.#access.answer()
    if (status !== STATUS_DONE) return status
    this.#unit = UNIT_NONE
    this.#fetch.followPinned()
    return this.#slice(remaining, this.state + S_PINNED)
  }

  /** The pass that stands at its device goes on, once there is an answer. */
  #completeAccess(): number {
    const answer = this.#access.answer()
    if (answer !== STATUS_DONE) return answer
    const u32 = this.u32
    this.#beginPass()
    const status = this.#interpreter.run(this.state, this.state + S_PINNED)
    // No writes are held, and the mode is what it was.
    this.retired += 1 - (this.i32[S_BUDGET >>> 2] as number)
    u32[S_LOGGED >>> 2] = 0
    this.#unit = UNIT_NONE
    u32[S_TLB >>> 2] = this.#tlb.setAddress(this.#mode)
    return status
  }

  #beginPass(): void {
    const u32 = this.u32
    u32[S_LOGGED >>> 2] = 1
    u32[S_TLB >>> 2] = this.#tlb.setAddress(TLB_MISS)
    u32[S_BUDGET >>> 2] = 1
    u32[S_ATTENTION >>> 2] = 0
  }

  /** One pass of the instruction in the pinned record. */
  #loggedPass(): number {
    if (this.log.pass > 1 || this.log.pending >= 0) this.log.restart()
    this.#beginPass()
    const fetched = this.#unit === UNIT_FETCHED ? this.#fetch.pinLogged(this.log) : STATUS_DONE
    const status = fetched === STATUS_DONE ? this.#interpreter.run(this.state, this.state + S_PINNED) : fetched
    return this.#endPass(status)
  }

  #endPass(status: number): number {
    const u32 = this.u32
    if (status === STATUS_RETRY) {
      // It waits for memory, not for an answer: the next pass is known by its number alone.
      if (this.log.pending < 0) this.log.restart()
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

  /** Forgets an instruction, or the delivery of an event, that is in the middle: set-context, INIT, reset. */
  cancel(): void {
    // An answer that is still to come is nobody's, and neither is a frame that is waited for.
    this.log.cancel()
    this.host.cancelled?.()
    this.#quickPort.forget()
    this.#access.forget()
    this.#access.nonCanonical = false
    // A fault that an event's delivery has met is nobody's now.
    this.i32[S_FAULT_VECTOR >>> 2] = -1
    // An instruction that has not begun is in the shadow still.
    const instruction = this.#unit !== UNIT_NONE && this.#unit !== UNIT_EVENT
    if (instruction && this.retired === this.#retiredBefore) this.u32[S_SHADOW >>> 2] = this.#shadowBefore
    this.#stepping = false
    this.#repeating = false
    this.#debugBefore = 0
    if (this.#numericError.ignoring) this.#numericError.settle(STATUS_DONE)
    this.#unit = UNIT_NONE
    this.u32[S_LOGGED >>> 2] = 0
    this.modeChanged()
  }

  /** Delivers the latched event for the first time. */
  #deliverFirst(): Exit | undefined {
    this.#repeating = false
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
    return status === STATUS_FAULT || status === STATUS_RESTART
      ? this.#fail(new Error(`event delivery ended with status ${status}`))
      : undefined
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

  /**
   * INIT is next: no shadow holds it off, and the traps of the instruction before it come later. The trap of a task switch
   * comes first, and so does the fault that one has ended with (SDM vol. 3A, table "Priority Among Concurrent Events").
   */
  #isInitDue(): boolean {
    const u32 = this.u32
    if (((u32[S_EVENTS >>> 2] as number) & EVENT_INIT) === 0) return false
    return ((u32[S_PENDING_DEBUG >>> 2] as number) & DR6_BT) === 0 && u32[S_PENDING_FAULT >>> 2] === 0
  }

  #takeEvents(): Exit | undefined {
    const u32 = this.u32
    const events = u32[S_EVENTS >>> 2] as number
    if (events === 0) return undefined
    if ((events & EVENT_STOP) !== 0) {
      this.#outside.clear(EVENT_STOP)
      return EXIT_BUDGET
    }
    if ((events & EVENT_SIPI) !== 0) {
      this.#outside.clear(EVENT_SIPI)
      if (u32[S_ACTIVITY >>> 2] === ACTIVITY_WAIT_FOR_SIPI) startAt(this.system, this.#outside.startupVector)
      return undefined
    }
    const activity = u32[S_ACTIVITY >>> 2] as number
    if (activity === ACTIVITY_WAIT_FOR_SIPI) return undefined
    if (this.#outside.nmi) {
      this.#outside.clear(EVENT_NMI)
      this.#event.setInterrupt(EVENT_TYPE_NMI, 2, this.#repeating)
      this.counts.interrupts++
      return this.#deliverFirst()
    }
    if (activity === ACTIVITY_SHUTDOWN) return undefined
    if (this.#outside.interrupt) {
      const vector = this.host.acknowledgeInterrupt()
      if (vector < 0) {
        this.#outside.clear(EVENT_INTERRUPT)
        return undefined
      }
      this.#event.setInterrupt(EVENT_TYPE_EXTERNAL, vector, this.#repeating)
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
    this.cancel()
    loadInitialState(this.system, state)
    this.host.controlChanged()
    this.flushTlb(true)
    this.modeChanged()
  }

  /** How far the guest's time-stamp counter is ahead of the host's, modulo 2^64. */
  get tscOffset(): bigint {
    return this.read64(S_TSC_OFFSET)
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

/** In the instruction's stead the latched event is to be delivered: an instruction breakpoint. */
const STATUS_EVENT = 254
