import type { MachineMemory } from '@retrap/memory'
import type { AccessMode } from './access-mode.ts'
import type { Exit } from './exit.ts'
import type { CpuHost, Words } from './host.ts'
import type { InstructionFetch } from './instruction-fetch.ts'
import type { MemoryAccess } from './memory-access.ts'
import { NUMERIC_FAULT, NUMERIC_IGNORE } from './numeric-error.ts'
import type { NumericError } from './numeric-error.ts'
import type { OutsideEvents } from './outside-events.ts'
import { PASS_ACCESS, PASS_EVENT, PASS_FETCHED, PASS_INSTRUCTION, PASS_PORT } from './pass.ts'
import type { Pass } from './pass.ts'
import type { QuickPort } from './quick-port.ts'
import { R_OFFSET, R_SEGMENT } from './record.ts'
import {
  CS,
  EVENT_INIT,
  EVENT_INTERRUPT,
  EVENT_NMI,
  EVENT_SIPI,
  EVENT_STOP,
  FLAG_TF,
  MODE_64,
  SEG_BASE,
  SEG_BYTES,
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
  S_EFLAGS,
  S_EVENTS,
  S_FAULT_VECTOR,
  S_ITERATIONS,
  S_MODE,
  S_PAGE_BASE,
  S_PINNED,
  S_RECORD,
  S_RIP,
  S_SEGMENTS,
  S_SHADOW,
} from './state-layout.ts'
import { DR6_BT } from './system/architecture.ts'
import { afterInstruction, checkInstructionBreakpoint, needsStepping } from './system/debug.ts'
import { EVENT_TYPE_EXTERNAL, EVENT_TYPE_NMI, PendingEvent, deliverEvent } from './system/events.ts'
import { RESET_INIT, resetState, startAt } from './system/reset.ts'
import type { System } from './system/system.ts'
import {
  ACTIVITY_HALTED,
  ACTIVITY_RUNNING,
  ACTIVITY_SHUTDOWN,
  ACTIVITY_WAIT_FOR_SIPI,
  S_ACTIVITY,
  S_PENDING_DEBUG,
  S_PENDING_FAULT,
  S_REPEATING,
  S_STEPPING,
  S_STEP_SUPPRESSED,
} from './system/system-state.ts'
import { VECTOR_GP, VECTOR_SS } from './vectors.ts'

/** Instructions that run before `run` looks around. The first rounds are short, so that V8 gets to replace baseline code. */
const FIRST_SLICE = 20_000
const SLICE = 100_000
const SHORT_SLICES = 200

const CS_BASE = S_SEGMENTS + SEG_BYTES * CS + SEG_BASE

const EXIT_BUDGET: Exit = { reason: 'budget' }
const EXIT_HLT: Exit = { reason: 'hlt' }
const EXIT_BLOCKED: Exit = { reason: 'blocked' }
const EXIT_PAUSE: Exit = { reason: 'pause' }
const EXIT_SHUTDOWN: Exit = { reason: 'shutdown' }
const EXIT_YIELD: Exit = { reason: 'yield' }
const EXIT_WAIT: Exit = { reason: 'wait-for-sipi' }

/** Logged passes in one run after which the host has its turn; fetching an instruction from a device takes as long as several. */
const MOST_PASSES = 1024
const FETCHED_PASSES = 16

/** What the delivery of an event costs, in instructions, which take about as long. */
const EVENT_COST = 64

/** Status in place of an instruction's own: an instruction breakpoint's event, which is latched, is delivered instead. */
const STATUS_EVENT = 254

/** Functions of the generated module. */
export interface InterpreterExports {
  run(state: number, record: number): number
  address(state: number, record: number, sizeAndFlags: number): number
}

/** How much an executor has done, by kind. */
export interface ExecutionCounts {
  systemCalls: number
  faults: number
  interrupts: number
  loggedPasses: number
  steps: number
}

/** What an {@link Executor} runs: the parts of one vCPU. */
export interface ExecutorParts {
  readonly memory: MachineMemory
  readonly host: CpuHost
  /** Machine address of the state. */
  readonly state: number
  readonly u32: Uint32Array
  readonly i32: Int32Array
  readonly system: System
  readonly interpreter: InterpreterExports
  readonly access: MemoryAccess
  readonly mode: AccessMode
  readonly fetch: InstructionFetch
  readonly pass: Pass
  readonly quickPort: QuickPort
  readonly outside: OutsideEvents
  readonly numericError: NumericError
  readonly counts: ExecutionCounts
}

/**
 * Executes instructions and delivers events until something ends the run: slices of generated code, single steps, logged
 * passes, and what comes between two instructions.
 */
export class Executor {
  readonly #memory: MachineMemory
  readonly #host: CpuHost
  readonly #state: number
  readonly #u32: Uint32Array
  readonly #i32: Int32Array
  readonly #system: System
  readonly #interpreter: InterpreterExports
  readonly #access: MemoryAccess
  readonly #mode: AccessMode
  readonly #fetch: InstructionFetch
  readonly #pass: Pass
  readonly #quickPort: QuickPort
  readonly #outside: OutsideEvents
  readonly #numericError: NumericError
  readonly #counts: ExecutionCounts
  readonly #event = new PendingEvent()
  readonly #place: Words = { lo: 0, hi: 0 }
  #slices = 0
  /** {@link cost} at which the current turn is used up. */
  #end = 0
  /** What is not instructions in {@link cost}. */
  #extra = 0
  /** Between the last instruction and the next one a turn may end: see {@link Vcpu.run}. */
  #mayEnd = true
  /** Each instruction is executed alone, and a turn may end after any: see {@link step}. */
  #stepwise = false
  /** Logged passes of the current run. */
  #passes = 0
  /** Linear address of an instruction that is executed alone. */
  #fromLo = 0
  #fromHi = 0
  /** Instructions retired since the vCPU was made. */
  retired = 0
  /** PAUSE has been executed: the run ends. */
  paused = false
  /** What broke in a handler, after STATUS_ERROR. */
  error: unknown = undefined
  /** INIT starts at the reset vector; other processors wait for a start-up IPI. */
  bootstrap = true

  constructor(parts: ExecutorParts) {
    this.#memory = parts.memory
    this.#host = parts.host
    this.#state = parts.state
    this.#u32 = parts.u32
    this.#i32 = parts.i32
    this.#system = parts.system
    this.#interpreter = parts.interpreter
    this.#access = parts.access
    this.#mode = parts.mode
    this.#fetch = parts.fetch
    this.#pass = parts.pass
    this.#quickPort = parts.quickPort
    this.#outside = parts.outside
    this.#numericError = parts.numericError
    this.#counts = parts.counts
  }

  /** What has been executed, in instructions; see {@link Vcpu.cost}. */
  get cost(): number {
    return this.retired + this.#extra
  }

  /** What is left of the current turn; zero or less where it is used up. */
  get remaining(): number {
    return this.#end - this.cost
  }

  get #isTurnOver(): boolean {
    return (this.#mayEnd || this.#stepwise) && this.remaining <= 0
  }

  get #stepping(): boolean {
    return this.#u32[S_STEPPING >>> 2] !== 0
  }
  set #stepping(value: boolean) {
    this.#u32[S_STEPPING >>> 2] = value ? 1 : 0
  }

  get #repeating(): boolean {
    return this.#u32[S_REPEATING >>> 2] !== 0
  }
  set #repeating(value: boolean) {
    this.#u32[S_REPEATING >>> 2] = value ? 1 : 0
  }

  /** Executes one instruction, or delivers one event; see {@link Vcpu.step}. */
  step(): Exit {
    this.#stepwise = true
    try {
      return this.run(1)
    } finally {
      this.#stepwise = false
    }
  }

  /** Runs for a turn; see {@link Vcpu.run}. */
  run(budget: number): Exit {
    try {
      return this.#run(budget)
    } catch (error) {
      // A broken invariant, such as a replay that goes another way: nothing can go on from here.
      return this.#fail(error)
    }
  }

  #run(budget: number): Exit {
    const u32 = this.#u32
    this.#end = this.cost + budget
    this.#passes = 0
    this.paused = false
    for (;;) {
      if (this.#pass.active) {
        if (((u32[S_EVENTS >>> 2] as number) & EVENT_INIT) !== 0) this.cancel()
        else {
          const status = this.#pass.inPlace ? this.#runOn() : this.#nextPass()
          if (status === STATUS_RETRY && this.#pass.active) return EXIT_BLOCKED
          const exit = this.#finish(status)
          if (exit !== undefined) return exit
          continue
        }
      }
      if (this.#isInitDue()) {
        this.#outside.clear(EVENT_INIT | EVENT_NMI)
        this.cancel()
        resetState(this.#system, RESET_INIT, this.bootstrap)
      }
      // Not by the accessor: V8 calls its runtime for a private one.
      if ((u32[S_STEPPING >>> 2]! | u32[S_PENDING_DEBUG >>> 2]! | u32[S_PENDING_FAULT >>> 2]!) !== 0) {
        if (this.#isTurnOver) return EXIT_BUDGET
        const stepping = this.#stepping
        this.#stepping = false
        if (afterInstruction(this.#system, stepping, this.#event)) {
          this.#event.resume ||= this.#repeating
          const exit = this.#deliverFirst()
          if (exit !== undefined) return exit
          continue
        }
      }
      if (u32[S_SHADOW >>> 2] === 0) {
        const exit = this.#takeEvents()
        if (exit !== undefined) return exit
        if (this.#pass.active) continue
      }
      if (u32[S_ACTIVITY >>> 2] !== ACTIVITY_RUNNING) return this.#idle()
      if (this.paused) return EXIT_PAUSE
      if (this.#isTurnOver) return EXIT_BUDGET
      if (this.#passes >= MOST_PASSES) return EXIT_YIELD
      const status = this.#stepwise || this.#mustStep() ? this.#step() : this.#slice(0)
      const exit = this.#finish(status)
      if (exit !== undefined) return exit
    }
  }

  /**
   * Goes on with what is in the middle, and begins nothing new: for snapshots, which are taken between instructions.
   *
   * @returns undefined when nothing is in the middle any more; else why not: `blocked`, `error`
   */
  settle(): Exit | undefined {
    try {
      while (this.#pass.active) {
        if (((this.#u32[S_EVENTS >>> 2] as number) & EVENT_INIT) !== 0) {
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
    switch (this.#u32[S_ACTIVITY >>> 2]) {
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
        this.#u32[S_REPEATING >>> 2] = 0
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
          this.#pass.restoreDebug()
          return numeric === NUMERIC_IGNORE ? this.#finish(this.#step()) : undefined
        }
        this.#counts.faults++
        // What the instruction met before it faulted, it meets again.
        this.#stepping = false
        this.#repeating = false
        this.#pass.restoreDebug()
        this.#event.latchFault(this.#system)
        this.#adjustStackFault()
        this.#i32[S_FAULT_VECTOR >>> 2] = -1
        return this.#deliverFirst()
      }
      case STATUS_RESTART:
        return this.#beginLogged()
      case STATUS_RETRY:
        if (!this.#pass.active) this.#waitInPlace()
        return EXIT_BLOCKED
      case STATUS_STEP: {
        const next = this.#step()
        return next === STATUS_STEP
          ? this.#fail(new Error('an instruction that cannot be fetched alone'))
          : this.#finish(next)
      }
      default:
        return this.#fail(this.error ?? this.#fetch.error ?? new Error(`unexpected status ${status}`))
    }
  }

  #fail(error: unknown): Exit {
    return { reason: 'error', error }
  }

  /** Generated code raises #GP for any non-canonical operand; one in SS is #SS (SDM vol. 1, "Canonical Addressing"). */
  #adjustStackFault(): void {
    const operand = this.#access.nonCanonical
    this.#access.nonCanonical = false
    if (!operand || this.#event.vector !== VECTOR_GP || this.#u32[S_MODE >>> 2] !== MODE_64) return
    const record = this.#u32[S_RECORD >>> 2] as number
    if (((this.#memory.u8[record + R_SEGMENT] as number) & 7) === SS) this.#event.vector = VECTOR_SS
  }

  /** Runs several instructions. @param record - the first one's, where it is not to be fetched; else 0 */
  #slice(record: number): number {
    const u32 = this.#u32
    this.#pass.leaveShadow(this.retired)
    this.#pass.begin()
    const slice = Math.min(this.remaining, this.#slices < SHORT_SLICES ? FIRST_SLICE : SLICE)
    this.#slices++
    u32[S_BUDGET >>> 2] = slice
    u32[S_ITERATIONS >>> 2] = 0
    this.#outside.settleAttention()
    const status = this.#interpreter.run(this.#state, record)
    this.#count(slice)
    if (status === STATUS_EXIT) {
      const record = u32[S_RECORD >>> 2] as number
      this.#fromLo = (u32[S_PAGE_BASE >>> 2]! + this.#memory.u16[(record + R_OFFSET) >>> 1]!) >>> 0
      this.#fromHi = u32[(S_PAGE_BASE >>> 2) + 1] as number
      this.#arrive(status)
    } else this.#mayEnd = status === STATUS_LEAVE || status === STATUS_CONTINUE
    return status
  }

  /** Adds what generated code has executed with a budget. */
  #count(budget: number): void {
    const iterations = this.#u32[S_ITERATIONS >>> 2] as number
    this.retired += budget - (this.#i32[S_BUDGET >>> 2] as number) - iterations
    this.#extra += iterations
  }

  /** An instruction is executed alone from here: {@link #arrive} looks at where it leads. */
  #depart(): void {
    const place = this.#place
    this.#linear(place)
    this.#fromLo = place.lo
    this.#fromHi = place.hi
  }

  /**
   * An instruction has ended with a status. Further on in the same page no turn ends, as generated code has it for
   * branches that are linked.
   */
  #arrive(status: number): void {
    const place = this.#place
    this.#linear(place)
    const samePage = (place.lo ^ this.#fromLo) >>> 12 === 0 && place.hi === this.#fromHi
    this.#mayEnd = status === STATUS_CONTINUE || !samePage || place.lo <= this.#fromLo
  }

  /** Linear address of RIP. */
  #linear(into: Words): void {
    const u32 = this.#u32
    const long = u32[S_MODE >>> 2] === MODE_64
    into.lo = long ? u32[S_RIP >>> 2]! : (u32[S_RIP >>> 2]! + u32[CS_BASE >>> 2]!) >>> 0
    into.hi = long ? u32[(S_RIP >>> 2) + 1]! : 0
  }

  /** Single-stepping, breakpoints, and shadows that matter: one instruction at a time. */
  #mustStep(): boolean {
    const shadow = this.#u32[S_SHADOW >>> 2] as number
    return (
      needsStepping(this.#system) || this.#numericError.ignoring || (shadow !== 0 && this.#u32[S_EVENTS >>> 2] !== 0)
    )
  }

  /** Executes the instruction at RIP, and only it. */
  #step(): number {
    const u32 = this.#u32
    this.#counts.steps++
    this.#pass.begin()
    u32[S_STEP_SUPPRESSED >>> 2] = 0
    if (checkInstructionBreakpoint(this.#system, this.#event)) return STATUS_EVENT
    this.#stepping = ((u32[S_EFLAGS >>> 2] as number) & FLAG_TF) !== 0
    this.#pass.leaveShadow(this.retired)
    const status = this.#fetch.pinCurrent()
    if (status === STATUS_RESTART) return this.#beginFetched()
    if (status !== STATUS_DONE) return status
    this.#pass.beginAlone(false)
    this.#depart()
    u32[S_BUDGET >>> 2] = 1
    u32[S_ITERATIONS >>> 2] = 0
    const result = this.#interpreter.run(this.#state, this.#state + S_PINNED)
    this.#pass.endAlone()
    this.#count(1)
    this.#arrive(result)
    return result
  }

  // ---------------------------------------------------------------- passes of what meets a device

  /** The current instruction has met a device: it starts again, and everything it does is logged from now on. */
  #beginLogged(): Exit | undefined {
    this.#fetch.pin(this.#u32[S_RECORD >>> 2] as number)
    this.#pass.restoreDebug()
    this.#pass.startLogging(PASS_INSTRUCTION)
    const status = this.#loggedPass()
    if (status === STATUS_RETRY) return EXIT_BLOCKED
    return this.#finish(status)
  }

  /** Bytes of the next instruction come from a device. */
  #beginFetched(): number {
    this.#pass.startLogging(PASS_FETCHED)
    return this.#loggedPass()
  }

  /** A plain pass has ended with STATUS_RETRY: it waits where it stands, or its instruction has not begun. */
  #waitInPlace(): void {
    const pass = this.#pass
    if (pass.waitInPlace()) {
      if (pass.state === PASS_ACCESS) this.#fetch.pin(this.#u32[S_RECORD >>> 2] as number)
      return
    }
    // The instruction's bytes are not there yet.
    this.#stepping = false
    pass.restoreDebug()
    pass.restoreShadow(this.retired)
  }

  /** Makes a further pass of what is in the middle. */
  #nextPass(): number {
    switch (this.#pass.state) {
      case PASS_EVENT:
        return this.#deliver()
      case PASS_PORT:
        return this.#completePort()
      case PASS_ACCESS:
        return this.#completeAccess()
      default:
        return this.#loggedPass()
    }
  }

  #completePort(): number {
    this.#depart()
    const status = this.#quickPort.complete()
    if (status !== STATUS_DONE) return status
    this.retired++
    this.#arrive(status)
    this.#pass.finish()
    return STATUS_LEAVE
  }

  /**
   * Completes an instruction that waits in place, and runs the instructions after it at once. An event between the two
   * asks for attention before the second one.
   */
  #runOn(): number {
    const u32 = this.#u32
    const alone =
      this.#stepwise ||
      this.remaining <= 1 ||
      (u32[S_STEPPING >>> 2]! | u32[S_PENDING_DEBUG >>> 2]! | u32[S_PENDING_FAULT >>> 2]!) !== 0 ||
      this.#mustStep()
    if (alone) return this.#nextPass()
    if (this.#pass.state === PASS_PORT) {
      const status = this.#completePort()
      return status === STATUS_RETRY || this.#outside.urgent ? status : this.#slice(0)
    }
    const status = this.#access.answer()
    if (status !== STATUS_DONE) return status
    if (this.#outside.urgent) return this.#completeAnswered()
    this.#pass.finish()
    this.#fetch.followPinned()
    return this.#slice(this.#state + S_PINNED)
  }

  /** Completes, alone, an instruction that waits in place at its access, if there is an answer. */
  #completeAccess(): number {
    const answer = this.#access.answer()
    return answer === STATUS_DONE ? this.#completeAnswered() : answer
  }

  /** Executes, alone, the instruction whose access has been answered. */
  #completeAnswered(): number {
    this.#pass.beginAlone(true)
    const status = this.#runPinned()
    // No writes are held, and the mode has not changed.
    this.#count(1)
    this.#arrive(status)
    this.#pass.finish()
    this.#mode.useSet()
    return status
  }

  /** Runs the instruction in the pinned record, every access of which misses the TLB. */
  #runPinned(): number {
    const u32 = this.#u32
    this.#mode.missAll()
    this.#depart()
    u32[S_BUDGET >>> 2] = 1
    u32[S_ITERATIONS >>> 2] = 0
    u32[S_ATTENTION >>> 2] = 0
    return this.#interpreter.run(this.#state, this.#state + S_PINNED)
  }

  /** Makes one logged pass of the instruction in the pinned record, which PASS_FETCHED fetches first. */
  #loggedPass(): number {
    this.#pass.beginLogged()
    const fetches = this.#pass.state === PASS_FETCHED
    this.#passes += fetches ? FETCHED_PASSES : 1
    const fetched = fetches ? this.#fetch.pinLogged(this.#pass.log) : STATUS_DONE
    if (fetched !== STATUS_DONE) return this.#endPass(fetched)
    const status = this.#runPinned()
    if (status !== STATUS_RETRY && status !== STATUS_ERROR) {
      this.#count(1)
      this.#arrive(status)
    }
    return this.#endPass(status)
  }

  #endPass(status: number): number {
    if (status === STATUS_RETRY) {
      this.#pass.suspend()
      return status
    }
    if (status !== STATUS_FAULT && status !== STATUS_ERROR) this.#access.commit()
    this.#pass.log.end()
    this.#pass.finish()
    this.#mode.changed()
    return status
  }

  /** Forgets an instruction or a delivery that is in the middle: set-context, INIT, reset. */
  cancel(): void {
    this.#pass.cancel(this.retired)
    this.#mayEnd = true
    this.#host.cancelled?.()
    this.#access.nonCanonical = false
    // The fault that a delivery has met is forgotten with it.
    this.#i32[S_FAULT_VECTOR >>> 2] = -1
    this.#stepping = false
    this.#repeating = false
    if (this.#numericError.ignoring) this.#numericError.settle(STATUS_DONE)
    this.#mode.changed()
  }

  /** Delivers the latched event for the first time. */
  #deliverFirst(): Exit | undefined {
    this.#repeating = false
    this.#extra += EVENT_COST
    const status = deliverEvent(this.#system, this.#event)
    if (status !== STATUS_RESTART) return this.#finishDelivery(status)
    this.#pass.startLogging(PASS_EVENT)
    const logged = this.#deliver()
    if (logged === STATUS_RETRY) return EXIT_BLOCKED
    return this.#finishDelivery(logged)
  }

  #finishDelivery(status: number): Exit | undefined {
    this.#mayEnd = true
    this.#access.nonCanonical = false
    this.#i32[S_FAULT_VECTOR >>> 2] = -1
    if (this.#u32[S_ACTIVITY >>> 2] === ACTIVITY_SHUTDOWN) return EXIT_SHUTDOWN
    return status === STATUS_FAULT || status === STATUS_RESTART
      ? this.#fail(new Error(`event delivery ended with status ${status}`))
      : undefined
  }

  /** A logged pass over the delivery of the latched event. */
  #deliver(): number {
    this.#pass.beginLogged()
    const status = deliverEvent(this.#system, this.#event)
    if (status !== STATUS_RETRY) this.#i32[S_FAULT_VECTOR >>> 2] = -1
    return this.#endPass(status)
  }

  // ---------------------------------------------------------------- events between instructions

  /**
   * INIT is next: no shadow holds it off, and the traps of the instruction before it come later. The trap of a task switch
   * comes first, and so does the fault that one has ended with (SDM vol. 3A, table "Priority Among Concurrent Events").
   */
  #isInitDue(): boolean {
    const u32 = this.#u32
    if (((u32[S_EVENTS >>> 2] as number) & EVENT_INIT) === 0) return false
    return ((u32[S_PENDING_DEBUG >>> 2] as number) & DR6_BT) === 0 && u32[S_PENDING_FAULT >>> 2] === 0
  }

  #takeEvents(): Exit | undefined {
    const u32 = this.#u32
    const events = u32[S_EVENTS >>> 2] as number
    if (events === 0) return undefined
    if ((events & EVENT_STOP) !== 0) {
      this.#outside.clear(EVENT_STOP)
      return EXIT_BUDGET
    }
    if ((events & EVENT_SIPI) !== 0) {
      this.#outside.clear(EVENT_SIPI)
      if (u32[S_ACTIVITY >>> 2] === ACTIVITY_WAIT_FOR_SIPI) startAt(this.#system, this.#outside.startupVector)
      return undefined
    }
    const activity = u32[S_ACTIVITY >>> 2] as number
    if (activity === ACTIVITY_WAIT_FOR_SIPI) return undefined
    if (this.#outside.nmi) {
      this.#outside.clear(EVENT_NMI)
      this.#event.setInterrupt(EVENT_TYPE_NMI, 2, this.#repeating)
      this.#counts.interrupts++
      return this.#deliverFirst()
    }
    if (activity === ACTIVITY_SHUTDOWN) return undefined
    if (this.#outside.interrupt) {
      const vector = this.#host.acknowledgeInterrupt()
      if (vector < 0) {
        this.#outside.clear(EVENT_INTERRUPT)
        return undefined
      }
      this.#event.setInterrupt(EVENT_TYPE_EXTERNAL, vector, this.#repeating)
      this.#counts.interrupts++
      return this.#deliverFirst()
    }
    return undefined
  }
}
