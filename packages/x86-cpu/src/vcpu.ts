import {
  ATTENTION_ASKED,
  linearAddress,
  type StoreWatch,
  TLB_EXECUTE,
  type Turn,
  type UnitRunner,
} from '@retrap/engine'
import type { MachineMemory, Neighbour, Neighbours } from '@retrap/memory'
import type { AccessLog } from '@retrap/replay'
import { CpuCore } from './cpu-core.ts'
import { CpuRegisters } from './state/cpu-registers.ts'
import type { X86Engine } from './engine.ts'
import { Executor } from './executor.ts'
import type { ExecutionCounts, ExecutionWatch, Exit } from './state/execution.ts'
import { HandlerPath, type AddressOperand } from './interpreter/handler-path.ts'
import type { CpuHost, Words } from './state/host.ts'
import { type InitialCpuState, loadInitialState } from './system/initial-state.ts'
import { InstructionFetch } from './instruction-fetch.ts'
import { NumericError } from './system/numeric-error.ts'
import type { OutsideEvents } from './system/outside-events.ts'
import { type Pass, PASS_EVENT, PASS_NONE } from './access/pass.ts'
import { QuickPort } from './access/quick-port.ts'
import * as S from './state/state-layout.ts'
import type { Processor } from './model/processor.ts'
import type { CpuClocks } from './system/cpu.ts'
import { initialiseX87 } from './system/fpu/fpu-image.ts'
import { RESET_POWER_ON, resetState } from './system/reset.ts'
import type { System } from './system/system.ts'
import { advanceToTsc } from './system/time-stamp.ts'
import * as systemState from './state/system-state.ts'

/** Sixteen iterations of a string instruction, made a page at a time, take about as long as an instruction, or less. */
const QUICK_BULK_SHIFT = 4

/**
 * One virtual processor: x86 in real, protected, virtual-8086, compatibility and 64-bit mode.
 *
 * It knows nothing of devices; what is not plain RAM it asks of its {@link CpuHost}.
 */
export class Vcpu {
  /** Machine memory. */
  readonly memory: MachineMemory
  /** The world around the CPU. */
  readonly host: CpuHost
  /** Which processor it is. */
  readonly processor: Processor
  /** The rates of its clocks. */
  readonly clocks: CpuClocks
  /** The engine that it runs on. */
  readonly engine: X86Engine
  /** Machine address of the state. */
  readonly state: number
  /** The state area as bytes. */
  readonly u8: Uint8Array
  /** The state area as 32-bit words. */
  readonly u32: Uint32Array
  /** The state area as signed 32-bit words. */
  readonly i32: Int32Array
  /** The state area as 64-bit words. */
  readonly u64: BigUint64Array
  /** Registers by name. */
  readonly registers: CpuRegisters
  /** The log of the current instruction. */
  readonly log: AccessLog
  /** Counts for statistics. */
  readonly counts: ExecutionCounts
  /** @internal The processor as its instructions see it. */
  readonly core: CpuCore
  /** @internal State of system instructions. */
  readonly system: System
  readonly #pass: Pass
  readonly #outside: OutsideEvents
  readonly #turn: Turn
  readonly #numericError: NumericError
  readonly #executor: Executor
  readonly #fetch: InstructionFetch
  #neighbour: Neighbour | undefined
  #neighbours: Neighbours | undefined

  constructor(engine: X86Engine, host: CpuHost, clocks: CpuClocks) {
    const core = new CpuCore(engine, host, clocks)
    const { memory, state, u32, system, pass, memoryAccess } = core
    this.memory = memory
    this.host = host
    this.processor = engine.processor
    this.clocks = clocks
    this.engine = engine
    this.state = state
    this.u8 = core.u8
    this.u32 = u32
    this.i32 = core.i32
    this.u64 = core.u64
    this.registers = new CpuRegisters(core)
    this.log = core.log
    this.counts = core.counts
    this.core = core
    this.system = system
    this.#pass = pass
    this.#outside = core.outside
    this.#turn = core.turn
    const numericError = new NumericError(u32, host)
    this.#numericError = numericError
    const fetch = new InstructionFetch(core, host, engine.codeCache)
    const quickPort = new QuickPort(system, host, pass)
    this.#fetch = fetch
    const addressOperand: AddressOperand = (record, sizeAndFlags) => interpreter.address(state, record, sizeAndFlags)
    const handlers = new HandlerPath(system, quickPort, addressOperand, engine.poison)
    const counter: Words = { lo: 0, hi: 0 }
    const runner: UnitRunner = {
      state,
      executeSlots: (lo, hi) => core.tlb.lookup(core.mode.executeSet, TLB_EXECUTE, lo, hi),
    }
    const interpreter = engine.interpreter.of({
      access: memoryAccess.generatedAccess,
      timestamp: () => {
        host.timestamp(counter)
        u32[S.S_DATA >>> 2] = counter.lo
        u32[(S.S_DATA >>> 2) + 1] = counter.hi
      },
      system: (fn, record) => this.#system(handlers, fn, record >>> 0),
      fetch: (lo, hi) => fetch.code.fetch(lo >>> 0, hi >>> 0),
      cross: (record) => fetch.code.cross(record >>> 0),
      runner,
    })
    this.#executor = new Executor(core, interpreter, fetch, numericError)
  }

  /**
   * Takes the memory for its translations, which it otherwise takes when it first executes: the machine may be full by then.
   *
   * @throws MemoryError `ERR_NO_MEMORY`
   */
  takeMemory(): void {
    this.core.placeTlb()
  }

  /** Gives the memory for its translations back: it takes it again when it executes. Not while it executes. */
  leaveMemory(): void {
    this.core.leaveTlb()
  }

  /** Ends the vCPU: other vCPUs of its engine go on, and its part of machine memory is free. It must not be used any more. */
  close(): void {
    if (this.#neighbour !== undefined) {
      this.engine.codeCache.flush()
      this.#neighbours?.part(this.#neighbour)
    }
    this.core.close()
  }

  /** Instructions retired since the vCPU was made. It may be set between two runs, as of one that this one goes on from. */
  get retired(): number {
    return this.#turn.retired
  }
  set retired(instructions: number) {
    this.#turn.retired = instructions
  }

  /** The same while an access or an event is told, which does not count its instruction. */
  get retiredSoFar(): number {
    return this.#turn.retiredSoFar
  }

  /** Linear address of the instruction that is executed, while an access or an event of it is told; else of the next one. */
  get executing(): bigint {
    return this.#executor.executing
  }

  /**
   * The cost of all execution since the vCPU was made, in instructions: one for each that has retired and each iteration of a
   * string instruction, 64 for each event that was delivered.
   *
   * It depends on architectural events alone, never on passes, caches or how devices answer; but see `mostCalls` of
   * {@link Vcpu.run}.
   */
  get cost(): number {
    return this.#turn.cost
  }

  // ---------------------------------------------------------------- other threads

  /**
   * Other threads execute code of the memory at the same time, each with an engine of its own. To be called before the vCPU
   * first executes; its engine has no other vCPU.
   *
   * @param number - of this thread among them, from 0
   * @throws MemoryError `ERR_RANGE`
   */
  join(neighbours: Neighbours, number: number): Neighbour {
    const { codeCache, frameWriters } = this.engine
    const neighbour = neighbours.join(number, this.state + S.S_ATTENTION, ATTENTION_ASKED, {
      dropWritable: (frameMa) => this.core.tlb.dropWritable(frameMa),
      dropTranslations: () => this.mapChanged(),
      codeWritten: (frame, first, last) => this.memory.hearWrite(frame, first, last),
      allCodeWritten: () => codeCache.invalidateAll(),
    })
    codeCache.neighbour = neighbour
    frameWriters.neighbour = neighbour
    this.#outside.neighbour = neighbour
    this.core.memoryAccess.neighbour = neighbour
    this.u32[S.S_PAIR_LOCK >>> 2] = neighbours.lock
    this.#neighbour = neighbour
    this.#neighbours = neighbours
    return neighbour
  }

  // ---------------------------------------------------------------- changes from outside

  /** Drops TLB entries; `all`: global ones too. */
  flushTlb(all: boolean): void {
    this.core.flushTlb(all)
  }

  /**
   * The host's map of guest-physical addresses has changed: drops all translations. The next instruction is looked up and
   * finds the new map, also where a device makes the change while it answers an access.
   *
   * @param from - machine address of a frame whose contents alone are elsewhere now: translations go there
   * @param to - machine address of that frame, which may be written
   */
  mapChanged(from?: number, to = 0): void {
    this.core.mapChanged(from, to)
    this.u32[S.S_ATTENTION >>> 2] = ATTENTION_ASKED
  }

  /**
   * The next write to each of some machine frames is to come to the host: drops the translations for writing them. Code
   * keeps none from before a call of the host, so that the next access finds it so.
   *
   * @param frames - numbers of machine frames, of which the first `count` are meant
   */
  watchWrites(frames: Uint32Array, count: number): void {
    this.core.tlb.dropWritableFrames(frames, count)
  }

  /** Works the mode out anew: CS, CR0, EFER or RFLAGS.VM have changed. */
  modeChanged(): void {
    this.core.modeChanged()
  }

  /** Returns RFLAGS with the arithmetic flags worked out. */
  materialiseFlags(): number {
    return this.core.materialiseFlags()
  }

  /** Sets RFLAGS. */
  setRflags(value: number): void {
    this.core.setRflags(value)
  }

  // ---------------------------------------------------------------- events from outside

  /** A maskable interrupt waits at the interrupt controller, or no longer does. */
  setInterruptPending(pending: boolean): void {
    if (pending) this.#outside.raise(S.EVENT_INTERRUPT)
    else this.#outside.clear(S.EVENT_INTERRUPT)
  }

  /** Latches a non-maskable interrupt. */
  nmi(): void {
    this.#outside.raise(S.EVENT_NMI)
  }

  /** Latches a system-management interrupt; one that comes in system-management mode waits for RSM. */
  smi(): void {
    this.#outside.raise(S.EVENT_SMI)
  }

  /**
   * Whether its accesses are those of system-management mode: the host may let it see other memory than otherwise. The
   * delivery of an SMI counts, too.
   */
  get inSystemManagement(): boolean {
    return this.u32[systemState.S_SMM >>> 2] !== systemState.SMM_OUTSIDE
  }

  /** Whether an SMI is pending: a processor in system-management mode, or one that waits for a start-up IPI, takes it later. */
  get smiPending(): boolean {
    return (this.u32[S.S_EVENTS >>> 2]! & S.EVENT_SMI) !== 0
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
    return this.#outside.inject(vector, external, errorCode, addressLo, addressHi)
  }

  /** INIT: cancels whatever is in progress. */
  init(): void {
    this.#outside.raise(S.EVENT_INIT)
  }

  /** A start-up IPI; ignored unless the vCPU waits for one. @param vector - page number of the entry point */
  startup(vector: number): void {
    this.#outside.startup(vector)
  }

  /** Makes `run` return soon, once: the one that is under way, or the next. */
  stop(): void {
    this.#outside.raise(S.EVENT_STOP)
  }

  /**
   * How another thread does what {@link Vcpu.stop} does: by `events` |= `stop`, then `attention` = `asked`, at machine addresses.
   * With `smi` in place of `stop` it does what {@link Vcpu.smi} does.
   */
  get stopWords(): {
    readonly events: number
    readonly stop: number
    readonly attention: number
    readonly asked: number
    readonly smi: number
  } {
    const { state } = this
    return {
      events: state + S.S_EVENTS,
      stop: S.EVENT_STOP,
      smi: S.EVENT_SMI,
      attention: state + S.S_ATTENTION,
      asked: ATTENTION_ASKED,
    }
  }

  /** PAUSE: the owner may want to run another vCPU. */
  notePause(): void {
    this.#executor.paused = true
    this.u32[S.S_ATTENTION >>> 2] = ATTENTION_ASKED
  }

  /** Whether HLT waits for an event. */
  get halted(): boolean {
    return this.u32[systemState.S_ACTIVITY >>> 2] === systemState.ACTIVITY_HALTED
  }

  /** Whether the vCPU waits for a start-up IPI. */
  get waitsForStartup(): boolean {
    return this.u32[systemState.S_ACTIVITY >>> 2] === systemState.ACTIVITY_WAIT_FOR_SIPI
  }

  /** Whether MWAIT waits for a write. */
  get waitsForWrite(): boolean {
    return this.u32[systemState.S_ACTIVITY >>> 2] === systemState.ACTIVITY_MWAIT
  }

  /** Ends the wait of MWAIT, which may end without a write (SDM vol. 2B, "MWAIT"): where other threads write unseen. */
  endWait(): void {
    this.core.endMonitor()
  }

  /** `run` would come back at once: HLT, MWAIT or the wait for a start-up IPI goes on, and nothing has happened since. */
  get dormant(): boolean {
    const activity = this.u32[systemState.S_ACTIVITY >>> 2]
    return (
      (activity === systemState.ACTIVITY_HALTED ||
        activity === systemState.ACTIVITY_MWAIT ||
        activity === systemState.ACTIVITY_WAIT_FOR_SIPI) &&
      this.u32[S.S_EVENTS >>> 2] === 0 &&
      this.#pass.state === PASS_NONE &&
      (this.u32[systemState.S_STEPPING >>> 2]! |
        this.u32[systemState.S_PENDING_DEBUG >>> 2]! |
        this.u32[systemState.S_PENDING_FAULT >>> 2]!) ===
        0
    )
  }

  /** RFLAGS.IF. */
  get interruptsEnabled(): boolean {
    return (this.u32[S.S_EFLAGS >>> 2]! & S.FLAG_IF) !== 0
  }

  /** An NMI or a maskable interrupt waits, and can be taken now. */
  get interruptWaits(): boolean {
    return this.#outside.nmi || this.#outside.interrupt
  }

  /** TLB misses and other accesses that generated code could not finish. */
  get slowAccesses(): number {
    return this.u32[S.S_TLB_MISSES >>> 2]!
  }

  // ---------------------------------------------------------------- running

  /**
   * Runs until {@link Vcpu.cost} has grown by `budget`, or something else ends the run.
   *
   * A turn ends at the first place after that where control goes back or to another page, a string instruction or an
   * event's delivery is between two steps, or it has just ended: the same place however the program is executed. A turn
   * that was interrupted (`blocked`) goes on with the rest of its budget, which may be zero or less.
   *
   * @param mostCalls - the run ends with `yield` soon after so many instructions that TypeScript executes: they may take a
   *   thousand times as long as others. Host time decides then, and not the place: iterations of string instructions that
   *   are made a page at a time cost a sixteenth of an instruction each
   */
  run(budget: number, mostCalls: number = Infinity): Exit {
    this.u32[S.S_BULK_SHIFT >>> 2] = mostCalls === Infinity ? 0 : QUICK_BULK_SHIFT
    const { jit } = this.engine
    const { retired } = this.#turn
    jit?.beginTurn()
    this.#neighbour?.enter()
    const exit = this.#executor.run(budget, mostCalls)
    this.#neighbour?.leave()
    jit?.endTurn(this.#turn.retired - retired)
    return exit
  }

  /**
   * Executes one instruction or one iteration of a repeated one, or delivers one event: for debuggers.
   *
   * @returns `budget` when it has ended
   */
  step(): Exit {
    this.#neighbour?.enter()
    const exit = this.#executor.step()
    this.#neighbour?.leave()
    return exit
  }

  /**
   * Calls `sample` once, between two instructions, when {@link Vcpu.cost} has grown by `cost`: for profilers.
   *
   * The program executes as without a sample. A sample that falls where the processor waits or a turn ends is taken at the
   * next instruction; one in more than 128 instructions without a backward branch may be taken behind them. A second call
   * replaces the first.
   *
   * @param cost - in instructions, from now
   * @param sample - may read the processor's state, and changes nothing
   */
  sampleAfter(cost: number, sample: () => void): void {
    this.#executor.sampling.after(cost, sample)
  }

  /** Tells `watch` of what is executed from now on; null ends that. It changes nothing of how the program executes. */
  watch(watch: ExecutionWatch | null): void {
    this.core.watched.set(watch)
  }

  /** The watch that is told of what is executed; null: there is none. Another one passes on to it what it is told. */
  get watching(): ExecutionWatch | null {
    return this.core.watched.current
  }

  /** Tells `watch` of stores to some machine memory; null ends that. */
  watchStores(watch: StoreWatch | null): void {
    this.core.memoryAccess.stores = watch
  }

  /** Linear address of the next instruction; of the present one in a logged pass. */
  get nextAddress(): bigint {
    const { lo, hi } = this.#fetch.current()
    return linearAddress(lo, hi)
  }

  /** The next instruction is a string instruction that has made some of its iterations. */
  get repeats(): boolean {
    return this.u32[systemState.S_REPEATING >>> 2] !== 0
  }

  /** The delivery of an event is in the middle. */
  get delivers(): boolean {
    return this.#pass.state === PASS_EVENT
  }

  /** A turn that is used up may end before the next instruction; see {@link Vcpu.run}. */
  get turnMayEnd(): boolean {
    return this.#turn.mayEnd
  }
  set turnMayEnd(mayEnd: boolean) {
    this.#turn.mayEnd = mayEnd
  }

  /** Instructions of the turn behind the budget of the next run or step: a device's request for several elements may be of them. */
  get laterBudget(): number {
    return this.#turn.later
  }
  set laterBudget(instructions: number) {
    this.#turn.later = instructions
  }

  /** An instruction, or the delivery of an event, is in the middle. */
  get busy(): boolean {
    return this.#pass.state !== PASS_NONE
  }

  /**
   * Completes the instruction or delivery that is in the middle, and begins nothing new: for snapshots.
   *
   * @returns undefined when nothing is in the middle any more; else why not: `blocked`, `error`
   */
  settle(): Exit | undefined {
    this.#neighbour?.enter()
    const exit = this.#executor.settle()
    this.#neighbour?.leave()
    return exit
  }

  /** Forgets an instruction or a delivery that is in the middle: set-context, INIT, reset. */
  cancel(): void {
    this.#executor.cancel()
  }

  /** IGNNE#: asserted by what answers FERR#, for as long as the exception is pending. */
  ignoreNumericError(): void {
    this.#numericError.ignore()
  }

  // ---------------------------------------------------------------- handlers

  /** Import of generated code: executes a TypeScript handler. */
  #system(handlers: HandlerPath, fn: number, record: number): number {
    if (++this.counts.systemCalls >= this.#executor.callLimit) this.u32[S.S_ATTENTION >>> 2] = ATTENTION_ASKED
    // Before serialising instructions, among others: a jump within the page is no check.
    if (this.u32[S.S_ATTENTION >>> 2] !== 0) this.#neighbour?.drain()
    try {
      return handlers.run(this.engine.handlerOf(fn), record)
    } catch (error) {
      this.#executor.error = error
      return S.STATUS_ERROR
    }
  }

  // ---------------------------------------------------------------- reset

  /** Whether INIT starts it at the reset vector, as {@link Vcpu.reset} does; another one waits for a start-up IPI. Default true. */
  get bootstrap(): boolean {
    return this.#executor.bootstrap
  }
  set bootstrap(bootstrap: boolean) {
    this.#executor.bootstrap = bootstrap
  }

  /** Power-on. @param bootstrap - see {@link Vcpu.bootstrap} */
  reset(bootstrap: boolean = this.bootstrap): void {
    this.cancel()
    this.bootstrap = bootstrap
    this.u32[S.S_EVENTS >>> 2] = 0
    resetState(this.system, RESET_POWER_ON, bootstrap)
  }

  /** Sets the registers that a boot protocol asks for. */
  load(state: InitialCpuState): void {
    this.cancel()
    loadInitialState(this.system, state)
    this.host.controlChanged()
    this.flushTlb(true)
    this.modeChanged()
  }

  /** Leaves the x87 unit as FNINIT does, not as reset: for who enters a guest as firmware would. */
  initialiseX87(): void {
    initialiseX87(this.system)
  }

  /** How far the guest's time-stamp counter is ahead of the host's, modulo 2^64. */
  get tscOffset(): bigint {
    return this.read64(S.S_TSC_OFFSET)
  }
  set tscOffset(offset: bigint) {
    this.u64[S.S_TSC_OFFSET >>> 3] = offset
  }

  /**
   * Moves a count of the host's counter on to where this vCPU's TSC reaches a value; leaves it where the TSC has passed it.
   *
   * @param counter - as `CpuHost.timestamp` returns it; 2^64 − 1 afterwards if the TSC gets there later than the counter ends
   */
  tscDeadline(lo: number, hi: number, counter: Words): void {
    advanceToTsc(this.system, lo, hi, counter)
  }

  /** Reads a 64-bit field of the state, for people. */
  read64(offset: number): bigint {
    return this.u64[offset >>> 3]!
  }

  /** S_DATA, for tests. */
  get data(): Uint8Array {
    return this.u8.subarray(S.S_DATA, S.S_DATA + 64)
  }
}
