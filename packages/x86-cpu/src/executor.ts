import { linearAddress, Sampling, type Turn } from '@retrap/engine'
import type { CpuCore } from './cpu-core.ts'
import { DR7_ENABLES, hasInstructionBreakpoints, S_DR7, type DebugSlot } from './system/breakpoints.ts'
import type { VcpuInterpreter } from './interpreter/shared-interpreter.ts'
import * as execution from './state/execution.ts'
import { type Exit, failed } from './state/execution.ts'
import { EventDelivery } from './event-delivery.ts'
import { InstructionPasses } from './instruction-passes.ts'
import type { InstructionFetch } from './instruction-fetch.ts'
import { NUMERIC_FAULT, NUMERIC_IGNORE, type NumericError } from './system/numeric-error.ts'
import type { OutsideEvents } from './system/outside-events.ts'
import { type Pass, PASS_EVENT, PASS_IN_PLACE, PASS_NONE } from './access/pass.ts'
import { R_OFFSET } from './state/record.ts'
import * as S from './state/state-layout.ts'
import { RESET_INIT, resetState } from './system/reset.ts'
import * as systemState from './state/system-state.ts'

/** Logged passes in one run after which the host has its turn. */
const MOST_PASSES = 1024

/**
 * Executes instructions and delivers events until something ends the run: slices of generated code, single steps, logged
 * passes, and what comes between two instructions.
 */
export class Executor {
  readonly #core: CpuCore
  readonly #u32: Uint32Array
  readonly #pass: Pass
  readonly #outside: OutsideEvents
  readonly #turn: Turn
  readonly #debug: DebugSlot
  readonly #interpreter: VcpuInterpreter
  readonly #fetch: InstructionFetch
  readonly #numericError: NumericError
  /** Samples of what is executed; see {@link Vcpu.sampleAfter}. */
  readonly sampling: Sampling
  readonly #passes: InstructionPasses
  readonly #delivery: EventDelivery
  /** Each instruction is executed alone, and a turn may end after any: see {@link step}. */
  #stepwise = false
  /** {@link ExecutionCounts.systemCalls} at which the run ends with `yield`. */
  callLimit: number = Infinity
  /** PAUSE has been executed: the run ends. */
  paused = false
  /** The error of a handler, after STATUS_ERROR. */
  error: unknown = undefined
  /** INIT starts at the reset vector; other processors wait for a start-up IPI. */
  bootstrap = true

  constructor(core: CpuCore, interpreter: VcpuInterpreter, fetch: InstructionFetch, numericError: NumericError) {
    this.#core = core
    this.#u32 = core.u32
    this.#pass = core.pass
    this.#outside = core.outside
    this.#turn = core.turn
    this.#debug = core.debug
    this.#interpreter = interpreter
    this.#fetch = fetch
    this.#numericError = numericError
    this.sampling = new Sampling(core.turn)
    this.#passes = new InstructionPasses(core, interpreter, fetch)
    this.#delivery = new EventDelivery(core, interpreter, this.#passes)
  }

  #isTurnOver(): boolean {
    return (this.#turn.mayEnd || this.#stepwise) && this.#turn.remaining <= 0
  }
  #setStepping(value: boolean): void {
    this.#u32[systemState.S_STEPPING >>> 2] = value ? 1 : 0
  }

  #setRepeating(value: boolean): void {
    this.#u32[systemState.S_REPEATING >>> 2] = value ? 1 : 0
  }

  /** Executes one instruction, or delivers one event; see {@link Vcpu.step}. */
  step(): Exit {
    this.#stepwise = true
    try {
      return this.run(1, Infinity)
    } finally {
      this.#stepwise = false
    }
  }

  /** Runs for a turn; see {@link Vcpu.run}. */
  run(budget: number, mostCalls: number): Exit {
    this.callLimit = this.#core.counts.systemCalls + mostCalls
    try {
      if (this.#u32[S.S_TLB_BASE >>> 2] === 0) this.#core.placeTlb()
      const exit = this.#run(budget)
      return exit === execution.EXIT_SHUTDOWN && this.#debug.hooks?.stopsForShutdown() === true
        ? execution.EXIT_DEBUG
        : exit
    } catch (error) {
      // A broken invariant, such as a replay that goes another way: nothing can go on from here.
      return failed(error)
    } finally {
      // The processor has come back, for whatever reason: what it was asked to come back for is not to end its next turn.
      if ((this.#u32[S.S_EVENTS >>> 2]! & S.EVENT_STOP) !== 0) this.#outside.clear(S.EVENT_STOP)
    }
  }

  #run(budget: number): Exit {
    const u32 = this.#u32
    this.#turn.begin(budget)
    this.#passes.count = 0
    this.paused = false
    for (;;) {
      this.#outside.neighbour?.drain()
      if (this.#pass.state !== PASS_NONE) {
        if (this.#outside.init) this.cancel()
        else {
          const status = this.#pass.state === PASS_IN_PLACE ? this.#runOn() : this.#nextPass()
          if (status === S.STATUS_RETRY && this.#pass.state !== PASS_NONE) return execution.EXIT_BLOCKED
          const exit = this.#finish(status)
          if (exit !== undefined) return exit
          continue
        }
      }
      const { hooks } = this.#debug
      if (hooks !== null) {
        if (hooks.holdsFault) {
          hooks.releaseFault()
          const exit = this.#delivery.deliver()
          if (exit !== undefined) return exit
          continue
        }
        if (hooks.stopsBetween(this.#turn.cost)) return execution.EXIT_DEBUG
      }
      if (u32[S.S_EVENTS >>> 2] !== 0) {
        if (this.#delivery.isSmiDue) {
          if (this.#core.host.smiIsDue?.() === true) return execution.EXIT_BUDGET
          this.#delivery.latchSmi()
          const exit = this.#delivery.deliver()
          if (exit !== undefined) return exit
          continue
        }
        if (this.#delivery.isInitDue) {
          this.#outside.clear(S.EVENT_INIT | S.EVENT_NMI)
          this.cancel()
          resetState(this.#core.system, RESET_INIT, this.bootstrap)
        }
      }
      if (
        (u32[systemState.S_STEPPING >>> 2]! |
          u32[systemState.S_PENDING_DEBUG >>> 2]! |
          u32[systemState.S_PENDING_FAULT >>> 2]!) !==
        0
      ) {
        if (this.#isTurnOver()) return execution.EXIT_BUDGET
        const stepping = this.#u32[systemState.S_STEPPING >>> 2] !== 0
        this.#setStepping(false)
        if (this.#delivery.latchTrap(stepping)) {
          const exit = this.#delivery.deliver()
          if (exit !== undefined) return exit
          continue
        }
      }
      if (u32[S.S_SHADOW >>> 2] === 0) {
        const exit = this.#delivery.take()
        // A stop for a frame that has left the guest does not take back what ends the turn.
        if (exit !== undefined) return exit === execution.EXIT_BUDGET && this.paused ? execution.EXIT_PAUSE : exit
        if (this.#pass.state !== PASS_NONE) continue
        if (hooks !== null && hooks.stopsBetween(this.#turn.cost)) return execution.EXIT_DEBUG
      }
      if (u32[systemState.S_ACTIVITY >>> 2] !== systemState.ACTIVITY_RUNNING) return this.#idle()
      if (this.paused) return execution.EXIT_PAUSE
      if (this.#isTurnOver()) return execution.EXIT_BUDGET
      if (this.#passes.count >= MOST_PASSES || this.#core.counts.systemCalls >= this.callLimit)
        return execution.EXIT_YIELD
      const nearsSample = this.sampling.asked && this.sampling.nears()
      const exit = this.#stepwise || nearsSample || this.#mustStep() ? this.#step() : this.#finish(this.#slice(0))
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
      if (this.#u32[S.S_TLB_BASE >>> 2] === 0) this.#core.placeTlb()
      while (this.#pass.state !== PASS_NONE) {
        if (this.#outside.init) {
          this.cancel()
          break
        }
        const status = this.#nextPass()
        if (status === S.STATUS_RETRY) return execution.EXIT_BLOCKED
        const exit = this.#finish(status)
        if (exit !== undefined && exit.reason !== 'shutdown') return exit
      }
      return undefined
    } catch (error) {
      return failed(error)
    } finally {
      if ((this.#u32[S.S_EVENTS >>> 2]! & S.EVENT_STOP) !== 0) this.#outside.clear(S.EVENT_STOP)
    }
  }

  #idle(): Exit {
    switch (this.#u32[systemState.S_ACTIVITY >>> 2]) {
      case systemState.ACTIVITY_HALTED:
        return execution.EXIT_HLT
      case systemState.ACTIVITY_MWAIT:
        return execution.EXIT_MWAIT
      case systemState.ACTIVITY_SHUTDOWN:
        return execution.EXIT_SHUTDOWN
      default:
        return execution.EXIT_WAIT
    }
  }

  /** Does the work after an instruction's or a delivery's status. */
  #finish(status: number): Exit | undefined {
    if (this.#u32[systemState.S_IGNNE >>> 2] !== 0) this.#numericError.settle(status)
    switch (status) {
      case S.STATUS_DONE:
      case S.STATUS_LEAVE:
      case S.STATUS_JUMP:
      case S.STATUS_EXIT:
        this.#u32[systemState.S_REPEATING >>> 2] = 0
        return undefined
      case S.STATUS_CONTINUE:
        this.#setRepeating(true)
        return undefined
      case S.STATUS_FAULT:
        return this.#deliverFault()
      case S.STATUS_RESTART:
        return this.#beginLogged()
      case S.STATUS_RETRY:
        if (this.#u32[S.S_ANSWERED >>> 2] !== 0) {
          this.#fetch.pin(this.#u32[S.S_RECORD >>> 2]!)
          return this.#finish(this.#passes.completeAnswered())
        }
        if (this.#pass.state === PASS_NONE) this.#waitInPlace()
        return execution.EXIT_BLOCKED
      case S.STATUS_STEP:
        return this.#step(true)
      default:
        return failed(this.error ?? this.#fetch.code.error ?? new Error(`unexpected status ${status}`))
    }
  }

  /** An instruction has faulted; x87 exceptions may have another way to the guest. */
  #deliverFault(): Exit | undefined {
    const numeric = this.#numericError.take()
    this.#setStepping(false)
    this.#pass.restoreDebug()
    if (numeric !== NUMERIC_FAULT) return numeric === NUMERIC_IGNORE ? this.#step() : undefined
    // The instruction meets its own breakpoints again; what MOV SS has held back is lost (SDM vol. 3C, "Delivery of Pending
    // Debug Exceptions after VM Entry": none is pending after a hardware exception).
    this.#u32[systemState.S_PENDING_DEBUG >>> 2] = 0
    this.#core.counts.faults++
    this.#setRepeating(false)
    this.#delivery.latchFault()
    const { hooks } = this.#debug
    if (hooks !== null) {
      hooks.points.takeAccess()
      this.#core.places.takeAccess()
      if (this.#delivery.stopsFor(hooks)) return execution.EXIT_DEBUG
    }
    return this.#delivery.deliver()
  }

  /** Linear address of the instruction that is executed, or of the next one. */
  get executing(): bigint {
    const u32 = this.#u32
    if (!this.#turn.isInSlice) {
      const { lo, hi } = this.#fetch.current()
      return linearAddress(lo, hi)
    }
    const offset = this.#core.memory.u16[(u32[S.S_RECORD >>> 2]! + R_OFFSET) >>> 1]!
    return linearAddress((u32[S.S_PAGE_BASE >>> 2]! + offset) >>> 0, u32[(S.S_PAGE_BASE >>> 2) + 1]!)
  }

  /** Runs several instructions. @param record - the first one's, where it is not to be fetched; else 0 */
  #slice(record: number): number {
    const pass = this.#pass
    const turn = this.#turn
    pass.leaveShadow(turn.retired)
    pass.begin()
    const slice = this.sampling.asked ? turn.allowSlice(this.sampling.slice) : turn.allowSlice()
    this.#outside.settleAttention()
    const { retired } = turn
    const repeating = this.#u32[systemState.S_REPEATING >>> 2]!
    this.#u32[systemState.S_REPEATING >>> 2] = 0
    const status = this.#interpreter.run(this.#core.state, record)
    turn.settle(slice)
    // The instruction that was repeated is still the next one where none has retired.
    if (turn.retired === retired) this.#u32[systemState.S_REPEATING >>> 2]! |= repeating
    if (status === S.STATUS_EXIT) this.#leaveRecord()
    else turn.mayEnd = status === S.STATUS_LEAVE || status === S.STATUS_CONTINUE
    return status
  }

  /** A handler has set RIP: the turn may end where the branch that this was would let it. */
  #leaveRecord(): void {
    const u32 = this.#u32
    const record = u32[S.S_RECORD >>> 2]!
    const lo = (u32[S.S_PAGE_BASE >>> 2]! + this.#core.memory.u16[(record + R_OFFSET) >>> 1]!) >>> 0
    this.#turn.departFrom(lo, u32[(S.S_PAGE_BASE >>> 2) + 1]!)
    this.#turn.arrive(S.STATUS_EXIT)
  }

  /** Whether the next instruction is executed alone, with the checks before and after it. */
  #mustStep(): boolean {
    const u32 = this.#u32
    const shadow = u32[S.S_SHADOW >>> 2]!
    return (
      this.#core.watched.instruction !== null ||
      this.#debug.hooks?.stepping === true ||
      // RF lasts for one instruction, and the shadow of MOV SS delays traps.
      (u32[S.S_EFLAGS >>> 2]! & (S.FLAG_TF | S.FLAG_RF)) !== 0 ||
      (shadow & S.SHADOW_MOV_SS) !== 0 ||
      ((u32[S_DR7 >>> 2]! & DR7_ENABLES) !== 0 && hasInstructionBreakpoints(this.#core.system)) ||
      u32[systemState.S_IGNNE >>> 2] !== 0 ||
      (shadow !== 0 && u32[S.S_EVENTS >>> 2] !== 0)
    )
  }

  /**
   * Executes the instruction at RIP, and only it; or what comes in its place.
   *
   * @param again - it could not be executed among others
   * @returns as `#finish`
   */
  #step(again = false): Exit | undefined {
    const u32 = this.#u32
    if (this.#debug.hooks?.points.breaks === true && u32[systemState.S_REPEATING >>> 2] === 0) {
      const { lo, hi } = this.#fetch.current()
      if (this.#debug.hooks.stopsAt(lo, hi, this.#turn.cost)) {
        this.#settleNumericError(S.STATUS_DONE)
        return execution.EXIT_DEBUG
      }
    }
    this.#core.counts.steps++
    this.#pass.begin()
    u32[systemState.S_STEP_SUPPRESSED >>> 2] = 0
    if (this.#delivery.latchBreakpoint()) {
      this.#settleNumericError(S.STATUS_DONE)
      return this.#delivery.deliver()
    }
    this.#setStepping((u32[S.S_EFLAGS >>> 2]! & S.FLAG_TF) !== 0)
    this.#pass.leaveShadow(this.#turn.retired)
    let status = this.#fetch.pinCurrent()
    if (status === S.STATUS_DONE || status === S.STATUS_RESTART) {
      if (this.#core.watched.instruction !== null && u32[systemState.S_REPEATING >>> 2] === 0)
        this.#core.watched.instruction()
      status = status === S.STATUS_RESTART ? this.#passes.startFetched() : this.#passes.executeAlone()
    }
    return again && status === S.STATUS_STEP
      ? failed(new Error('an instruction that cannot be fetched alone'))
      : this.#finish(status)
  }

  #settleNumericError(status: number): void {
    if (this.#u32[systemState.S_IGNNE >>> 2] !== 0) this.#numericError.settle(status)
  }

  // ---------------------------------------------------------------- passes of what meets a device

  /** The current instruction has met a device: it starts again, and everything it does is logged from now on. */
  #beginLogged(): Exit | undefined {
    const status = this.#passes.restartLogged()
    if (status === S.STATUS_RETRY) return execution.EXIT_BLOCKED
    return this.#finish(status)
  }

  /** A plain pass has ended with STATUS_RETRY: it waits where it stands, or its instruction has not begun. */
  #waitInPlace(): void {
    const pass = this.#pass
    if (pass.waitInPlace()) {
      this.#fetch.pin(this.#u32[S.S_RECORD >>> 2]!)
      return
    }
    // The instruction's bytes are not there yet.
    this.#setStepping(false)
    pass.restoreDebug()
    pass.restoreShadow(this.#turn.retired)
  }

  /** Makes a further pass of what is in the middle. */
  #nextPass(): number {
    switch (this.#pass.state) {
      case PASS_EVENT:
        return this.#delivery.deliverLogged()
      case PASS_IN_PLACE:
        return this.#passes.completeAccess()
      default:
        return this.#passes.loggedPass()
    }
  }

  /**
   * Completes an instruction that waits in place, and runs the instructions after it at once. An event between the two
   * asks for attention before the second one.
   */
  #runOn(): number {
    const u32 = this.#u32
    const alone =
      this.#stepwise ||
      this.#turn.remaining <= 1 ||
      // A debugger may have come while the device took its time.
      this.#core.places.ports ||
      this.#core.places.mmio ||
      (u32[systemState.S_STEPPING >>> 2]! |
        u32[systemState.S_PENDING_DEBUG >>> 2]! |
        u32[systemState.S_PENDING_FAULT >>> 2]!) !==
        0 ||
      this.#mustStep()
    if (alone) return this.#nextPass()
    const status = this.#core.device.answer()
    if (status !== S.STATUS_DONE) return status
    if (this.#outside.urgent) return this.#passes.completeAnswered()
    this.#pass.finish()
    this.#fetch.followPinned()
    return this.#slice(this.#core.state + S.S_PINNED)
  }

  /** Forgets an instruction or a delivery that is in the middle: set-context, INIT, reset. */
  cancel(): void {
    this.#pass.cancel(this.#turn.retired)
    this.#debug.hooks?.cancelled()
    this.#core.places.takeAccess()
    this.#core.places.takeException()
    this.#turn.mayEnd = true
    this.#core.host.cancelled?.()
    // The delivery of an SMI is forgotten, the SMI is not.
    if (this.#u32[systemState.S_SMM >>> 2] === systemState.SMM_ENTERING)
      this.#u32[systemState.S_SMM >>> 2] = systemState.SMM_OUTSIDE
    this.#core.memoryAccess.nonCanonical = false
    // The fault that a delivery has met is forgotten with it.
    this.#core.i32[S.S_FAULT_VECTOR >>> 2] = -1
    this.#setStepping(false)
    this.#setRepeating(false)
    this.#settleNumericError(S.STATUS_DONE)
    this.#core.mode.changed()
  }
}
