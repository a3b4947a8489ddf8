import { linearAddress } from '@retrap/engine'
import type { CpuCore } from './cpu-core.ts'
import type { DebugHooks } from './system/breakpoints.ts'
import * as S from './state/state-layout.ts'
import type { VcpuInterpreter } from './interpreter/shared-interpreter.ts'
import { type Exit, EXIT_BLOCKED, EXIT_BUDGET, EXIT_SHUTDOWN, failed } from './state/execution.ts'
import type { InstructionPasses } from './instruction-passes.ts'
import type { OutsideEvents } from './system/outside-events.ts'
import { type Pass, PASS_EVENT } from './access/pass.ts'
import { R_SEGMENT } from './state/record.ts'
import { DR6_BT } from './state/architecture.ts'
import { afterInstruction, checkInstructionBreakpoint } from './system/debug.ts'
import { EVENT_TYPE_EXTERNAL, EVENT_TYPE_NMI, EVENT_TYPE_SMI, PendingEvent, deliverEvent } from './system/events.ts'
import type { Delivery } from './system/segments/interrupt-delivery.ts'
import { startAt } from './system/reset.ts'
import * as systemState from './state/system-state.ts'
import { VECTOR_GP, VECTOR_PF, VECTOR_SS } from './state/vectors.ts'

/** Takes events between two instructions, and delivers the one that is latched, in logged passes where it meets a device. */
export class EventDelivery {
  readonly #core: CpuCore
  readonly #u32: Uint32Array
  readonly #pass: Pass
  readonly #outside: OutsideEvents
  readonly #interpreter: VcpuInterpreter
  readonly #passes: InstructionPasses
  readonly #event = new PendingEvent()
  /** Attempts of the delivery that is under way, each but the first of what the one before has met; and those that were told. */
  #attempts = 0
  #told = 0

  /** Writes down what generated code delivers, and calls it. */
  readonly #deliverQuickly = (what: Delivery): boolean => {
    if (this.#core.watched.event !== null || this.#core.places.exceptions) this.#tell(what)
    const u32 = this.#u32
    u32[S.EVENT_VECTOR >>> 2] = what.vector
    u32[S.EVENT_ERROR >>> 2] = what.errorCode
    u32[S.EVENT_FLAGS >>> 2] = (what.hasError ? S.EVENT_HAS_ERROR : 0) | (what.resume ? S.EVENT_RESUMES : 0)
    const isLong = u32[S.S_MODE >>> 2] === S.MODE_64
    const { state } = this.#core
    const interpreter = this.#interpreter
    const status = isLong ? interpreter.deliver64(state, 0, 0) : interpreter.deliver32(state, 0, 0)
    return status === S.STATUS_JUMP
  }

  constructor(core: CpuCore, interpreter: VcpuInterpreter, passes: InstructionPasses) {
    this.#core = core
    this.#u32 = core.u32
    this.#pass = core.pass
    this.#outside = core.outside
    this.#interpreter = interpreter
    this.#passes = passes
  }

  // ---------------------------------------------------------------- which event is next

  /**
   * INIT is next: no shadow holds it off, and the traps of the instruction before it come later. The trap of a task switch
   * comes first, and so does the fault that one has ended with (SDM vol. 3A, table "Priority Among Concurrent Events").
   */
  get isInitDue(): boolean {
    const u32 = this.#u32
    if (!this.#outside.init) return false
    return (u32[systemState.S_PENDING_DEBUG >>> 2]! & DR6_BT) === 0 && u32[systemState.S_PENDING_FAULT >>> 2] === 0
  }

  /**
   * SMI is next: it comes before INIT, and what that waits for it waits for as well (the same table; of the two of one
   * class the first). A processor that waits for a start-up IPI holds it off.
   */
  get isSmiDue(): boolean {
    const u32 = this.#u32
    if (!this.#outside.smi || u32[systemState.S_ACTIVITY >>> 2] === systemState.ACTIVITY_WAIT_FOR_SIPI) return false
    return (u32[systemState.S_PENDING_DEBUG >>> 2]! & DR6_BT) === 0 && u32[systemState.S_PENDING_FAULT >>> 2] === 0
  }

  /** Latches the system-management interrupt. Its delivery takes it away. */
  latchSmi(): void {
    this.#event.setSystemManagement()
  }

  /** Latches the trap or fault that the last instruction has left. @returns false: there is none */
  latchTrap(stepping: boolean): boolean {
    if (!afterInstruction(this.#core.system, stepping, this.#event)) return false
    this.#event.resume ||= this.#u32[systemState.S_REPEATING >>> 2] !== 0
    return true
  }

  /** Latches the breakpoint of the instruction at RIP. @returns false: there is none */
  latchBreakpoint(): boolean {
    return checkInstructionBreakpoint(this.#core.system, this.#event)
  }

  /** Latches the exception that an instruction has raised. */
  latchFault(): void {
    this.#event.latchFault(this.#core.system)
    this.#adjustStackFault()
    this.#core.i32[S.S_FAULT_VECTOR >>> 2] = -1
  }

  /** Whether a debugger is to be told of the latched exception before it is delivered. */
  stopsFor(hooks: DebugHooks): boolean {
    const { vector, errorCode, addressLo, addressHi } = this.#event
    return hooks.stopsForFault(vector, errorCode, addressLo, addressHi)
  }

  /** Generated code raises #GP for any non-canonical operand; one in SS is #SS (SDM vol. 1, "Canonical Addressing"). */
  #adjustStackFault(): void {
    const operand = this.#core.memoryAccess.nonCanonical
    this.#core.memoryAccess.nonCanonical = false
    if (!operand || this.#event.vector !== VECTOR_GP || this.#u32[S.S_MODE >>> 2] !== S.MODE_64) return
    const record = this.#u32[S.S_RECORD >>> 2]!
    if ((this.#core.memory.u8[record + R_SEGMENT]! & 7) === S.SS) this.#event.vector = VECTOR_SS
  }

  /** Takes what waits outside. @returns an exit where it ends the run */
  take(): Exit | undefined {
    const u32 = this.#u32
    let events = u32[S.S_EVENTS >>> 2]!
    if (events === 0) return undefined
    if ((events & S.EVENT_STOP) !== 0) {
      this.#outside.clear(S.EVENT_STOP)
      if (this.#core.host.called?.() !== true) return EXIT_BUDGET
      events = u32[S.S_EVENTS >>> 2]!
    }
    if ((events & S.EVENT_SIPI) !== 0) {
      this.#outside.clear(S.EVENT_SIPI)
      if (u32[systemState.S_ACTIVITY >>> 2] === systemState.ACTIVITY_WAIT_FOR_SIPI)
        startAt(this.#core.system, this.#outside.startupVector)
      return undefined
    }
    const activity = u32[systemState.S_ACTIVITY >>> 2]!
    if (activity === systemState.ACTIVITY_WAIT_FOR_SIPI) return undefined
    if (this.#outside.nmi) {
      this.#outside.clear(S.EVENT_NMI)
      return this.#interrupt(EVENT_TYPE_NMI, 2)
    }
    if (activity === systemState.ACTIVITY_SHUTDOWN) return undefined
    if (this.#outside.interrupt) {
      const vector = this.#core.host.acknowledgeInterrupt()
      if (vector >= 0) return this.#interrupt(EVENT_TYPE_EXTERNAL, vector)
      this.#outside.clear(S.EVENT_INTERRUPT)
      return undefined
    }
    // A masked interrupt is not taken, but MWAIT may have been told to end for it.
    const breaks = (u32[systemState.S_MWAIT_EXTENSIONS >>> 2]! & systemState.MWAIT_BREAKS) !== 0
    if (activity === systemState.ACTIVITY_MWAIT && breaks && (events & S.EVENT_INTERRUPT) !== 0) this.#core.endMonitor()
    return undefined
  }

  #interrupt(type: number, vector: number): Exit | undefined {
    this.#event.setInterrupt(type, vector, this.#u32[systemState.S_REPEATING >>> 2] !== 0)
    this.#core.counts.interrupts++
    return this.deliver()
  }

  // ---------------------------------------------------------------- delivery

  /** Delivers the latched event for the first time. */
  deliver(): Exit | undefined {
    this.#core.turn.addEvent()
    this.#attempts = this.#told = 0
    if (this.#event.type === EVENT_TYPE_SMI)
      this.#core.watched.event?.({ kind: 'smi', vector: -1, errorCode: undefined, address: undefined })
    const status = deliverEvent(this.#core.system, this.#event, this.#deliverQuickly)
    if (status !== S.STATUS_RESTART) return this.#finish(status)
    this.#pass.startLogging(PASS_EVENT)
    const logged = this.deliverLogged()
    if (logged === S.STATUS_RETRY) return EXIT_BLOCKED
    return this.#finish(logged)
  }

  /** Reports an attempt, once: logged passes make it again. */
  #tell({ vector, hasError, errorCode, addressLo, addressHi }: Delivery): void {
    if (++this.#attempts <= this.#told) return
    this.#told = this.#attempts
    const { type } = this.#event
    const isException = this.#attempts > 1 || (type !== EVENT_TYPE_EXTERNAL && type !== EVENT_TYPE_NMI)
    const isPageFault = isException && vector === VECTOR_PF
    const address = isPageFault ? linearAddress(addressLo, addressHi) : undefined
    const exception = { vector, errorCode: hasError ? errorCode : 0, address: address ?? 0n }
    this.#core.places.noteException(isException ? exception : null)
    this.#core.watched.event?.({
      kind: isException ? 'exception' : type === EVENT_TYPE_NMI ? 'nmi' : 'interrupt',
      vector,
      errorCode: hasError ? errorCode : undefined,
      address,
    })
  }

  #finish(status: number): Exit | undefined {
    this.#u32[systemState.S_REPEATING >>> 2] = 0
    this.#core.turn.mayEnd = true
    this.#core.memoryAccess.nonCanonical = false
    this.#core.i32[S.S_FAULT_VECTOR >>> 2] = -1
    if (this.#u32[systemState.S_ACTIVITY >>> 2] === systemState.ACTIVITY_SHUTDOWN) {
      this.#core.places.takeException()
      return EXIT_SHUTDOWN
    }
    return status === S.STATUS_FAULT || status === S.STATUS_RESTART
      ? failed(new Error(`event delivery ended with status ${status}`))
      : undefined
  }

  /** Makes a logged pass over the delivery of the latched event. @returns a status */
  deliverLogged(): number {
    this.#pass.beginLogged()
    this.#attempts = 0
    const status = deliverEvent(this.#core.system, this.#event, this.#deliverQuickly)
    if (status !== S.STATUS_RETRY) this.#core.i32[S.S_FAULT_VECTOR >>> 2] = -1
    return this.#passes.endPass(status)
  }
}
