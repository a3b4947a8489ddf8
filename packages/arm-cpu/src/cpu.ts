import {
  ATTENTION_ASKED,
  linearAddress,
  STATUS_CONTINUE,
  STATUS_DONE,
  STATUS_EXIT,
  STATUS_FAULT,
  STATUS_LEAVE,
  STATUS_STEP,
  type StoreWatch,
  Sampling,
  Tlb,
  Turn,
} from '@retrap/engine'
import type { MachineMemory, Neighbour, Neighbours } from '@retrap/memory'
import { TLB_SETS } from './state/access-rights.ts'
import { BranchTypes } from './system/branch-types.ts'
import { ArmCodeSpace } from './access/code-space.ts'
import { ArmCpuError } from './errors.ts'
import { DebugSlot, DebugStops } from './access/debug-stops.ts'
import { type ArmExecutionWatch, WatchedExecution, Exceptions } from './system/exceptions.ts'
import { ARM_CPU_ALIGN, ARM_CPU_BYTES, type ArmEngine } from './engine.ts'
import { type ArmExit, StateExits } from './access/state-exits.ts'
import { GeneratedCode } from './generated-code.ts'
import type { ArmHost } from './state/host.ts'
import { MemoryAccess } from './access/memory-access.ts'
import { PSTATE_BTYPE, PSTATE_IL, PSTATE_SS } from './state/pstate.ts'
import { makeRegisters, type ArmRegisters } from './state/registers.ts'
import * as S from './state/state-layout.ts'
import { Debug, DEBUG_ALONE, DEBUG_RAISED } from './system/debug.ts'
import { EC_HVC64, exceptionClassOf } from './state/syndrome.ts'
import { SystemInstructions } from './system/instructions.ts'
import { SystemState } from './state/system-state.ts'
import { Watchpoints } from './system/watchpoints.ts'
import { TLB_TAG, Translation } from './access/translation.ts'
import { ProcessorState, type TrappedState } from './state/trapped-state.ts'

const BUDGET: ArmExit = { reason: 'budget' }

let stopsOf: (cpu: ArmCpu) => DebugStops

/** The parts of a processor that its debugger holds. */
export const debugStopsOf = (cpu: ArmCpu): DebugStops => stopsOf(cpu)

/**
 * One processor: A64 code of EL0 and EL1, A32 and Thumb code of EL0. Exceptions to EL2 are returned to the caller: at first all
 * exceptions of EL0, since HCR_EL2.TGE is set; after `registers.reset()` those that EL2 traps.
 *
 * Its {@link ArmHost} translates addresses and reaches devices.
 */
export class ArmCpu {
  static {
    stopsOf = (cpu) => cpu.#stops
  }

  /** Machine memory. */
  readonly memory: MachineMemory
  /** The engine of the processor. */
  readonly engine: ArmEngine
  /** Machine address of the state. */
  readonly state: number
  /** Registers by name. */
  readonly registers: ArmRegisters
  /** The state between an exception to EL2 and the next instruction, for a hypervisor that finishes the instruction. */
  readonly trapped: TrappedState
  readonly #u32: Uint32Array
  readonly #u64: BigUint64Array
  readonly #tlb: Tlb
  readonly #turn: Turn
  readonly #code: GeneratedCode
  readonly #space: ArmCodeSpace
  readonly #system: SystemState
  readonly #exceptions: Exceptions
  readonly #debug: Debug
  readonly #branches: BranchTypes
  readonly #exits: StateExits
  readonly #stops: DebugStops
  readonly #accesses: MemoryAccess
  /** Interrupts, and other exceptions, that EL1 has taken. */
  readonly counts = { interrupts: 0, faults: 0 }
  readonly #watched = new WatchedExecution()
  readonly #sampling: Sampling
  readonly #translation: Translation
  #neighbour: Neighbour | undefined
  #neighbours: Neighbours | undefined
  /** The run ends behind one instruction. */
  #isStep = false

  /**
   * @param id - number of the processor in its machine, for completing its instructions
   * @throws MemoryError if machine memory has no room for the state
   */
  constructor(engine: ArmEngine, host: ArmHost, id: number = 0) {
    const { memory, codeCache } = engine
    this.memory = memory
    this.engine = engine
    const state = memory.allocate(ARM_CPU_BYTES, ARM_CPU_ALIGN, 'Arm processor')
    this.state = state
    this.#u32 = memory.u32.subarray(state >>> 2)
    this.#u64 = memory.u64.subarray(state >>> 3)
    this.#u32[S.S_COUNTERS >>> 2] = engine.countersAt
    this.#u32[S.S_PAIR_LOCK >>> 2] = state + S.S_OWN_PAIR_LOCK
    const tlb = new Tlb(memory, state + S.S_TLB_SETS, TLB_SETS, TLB_TAG, engine.frameWriters)
    this.#tlb = tlb
    const translation = new Translation(memory, tlb, host, state, engine)
    this.#translation = translation
    codeCache.addClient(tlb, state + S.S_RETURNS)
    const system = new SystemState(this.#u32, translation, tlb)
    this.#system = system
    this.#exceptions = new Exceptions(system)
    this.#debug = new Debug(system, this.#exceptions)
    this.#turn = new Turn(memory.i32.subarray(state >>> 2), S.STATE_LAYOUT)
    this.#sampling = new Sampling(this.#turn)
    const slot = new DebugSlot()
    this.#stops = new DebugStops(slot, system, this.#turn)
    this.#branches = new BranchTypes(memory, state, system, this.#exceptions)
    this.#exits = new StateExits(memory, state, system, translation)
    this.#space = new ArmCodeSpace(this.#u32, translation, slot)
    this.registers = makeRegisters(memory, state, system)
    this.trapped = new ProcessorState(id, memory, state, system)
    const accesses = new MemoryAccess(memory, tlb, translation, state, new Watchpoints(system), slot)
    const instructions = new SystemInstructions(memory, system, this.#exceptions, host)
    this.#accesses = accesses
    this.#code = new GeneratedCode(engine, state, { tlb, translation, space: this.#space, accesses, instructions })
  }

  /** Closes the processor, and frees its part of machine memory: others of the engine continue. It is unusable afterwards. */
  close(): void {
    if (this.#neighbour !== undefined) {
      this.engine.codeCache.flush()
      this.#neighbours?.part(this.#neighbour)
    }
    this.engine.codeCache.removeClient(this.#tlb)
    this.#tlb.close()
    this.#code.close()
    this.memory.free(this.state)
  }

  /**
   * Other threads execute code of the memory at the same time, each with an engine of its own. To be called before the processor
   * first executes; its engine has no other one. TLBI for other processors is done when DSB has executed.
   *
   * @param number - of this thread among them, from 0
   * @throws MemoryError `ERR_RANGE`
   */
  join(neighbours: Neighbours, number: number): Neighbour {
    const { codeCache, frameWriters } = this.engine
    const neighbour = neighbours.join(number, this.state + S.S_ATTENTION, ATTENTION_ASKED, {
      dropWritable: (frameMa) => this.#tlb.dropWritable(frameMa),
      dropTranslations: () => this.flushTlb(),
      codeWritten: (frame, first, last) => this.memory.hearWrite(frame, first, last),
      allCodeWritten: () => codeCache.invalidateAll(),
    })
    for (const part of [codeCache, frameWriters, this.#system, this.#translation]) part.neighbour = neighbour
    this.#u32[S.S_PAIR_LOCK >>> 2] = neighbours.lock
    this.#u32[S.S_JOINED >>> 2] = 0xffff_ffff
    this.#neighbour = neighbour
    this.#neighbours = neighbours
    return neighbour
  }

  /** Instructions retired since the processor was made. */
  get retired(): number {
    return this.#turn.retired
  }

  /** The cost of all execution so far, in instructions: an exception that EL1 takes is 64. */
  get cost(): number {
    return this.#turn.cost
  }

  /** Makes `run` return at the end of the present instruction, or soon after. */
  stop(): void {
    this.#system.setEvent(S.EVENT_STOP, true)
  }

  /** Sets the level of the interrupt to EL1: the virtual one, as HCR_EL2.VI signals it. */
  setIrq(level: boolean): void {
    this.#system.setEvent(S.EVENT_IRQ, level)
  }

  /** Sets the level of the fast interrupt to EL1, as HCR_EL2.VF signals it. */
  setFiq(level: boolean): void {
    this.#system.setEvent(S.EVENT_FIQ, level)
  }

  /** Has an SError pending for EL1, as HCR_EL2.VSE signals it: until it is taken, with VSESR_EL2 as its syndrome. */
  setSerror(level: boolean): void {
    this.#system.setEvent(S.EVENT_SERROR, level)
  }

  /** Sets the event register, as SEV of another processor or the event stream does: WFE goes on. */
  signalEvent(): void {
    this.#system.setEvent(S.EVENT_REGISTER, true)
  }

  /** Whether an interrupt waits that PSTATE lets EL1 take now. */
  get interruptWaits(): boolean {
    return this.#system.dueInterrupt !== 0
  }

  /** Whether `run` would return at once, because WFI or WFE still waits. */
  get dormant(): boolean {
    // A turn begins with the monitor open, which ends a wait for that.
    return this.#u32[S.S_WAITING >>> 2] !== S.WAIT_MONITOR && this.#system.isDormant
  }

  /** Makes the processor wait like WFI: for an interrupt, which may be masked. */
  waitForInterrupt(): void {
    this.#u32[S.S_WAITING >>> 2] = S.WAIT_INTERRUPT
  }

  /** Number of accesses that generated code could not finish: TLB misses, and page-crossing ones. */
  get slowAccesses(): number {
    return this.#u32[S.S_SLOW_ACCESSES >>> 2]!
  }

  /**
   * Calls `sample` once, between two instructions, when {@link ArmCpu.cost} has grown by `cost`: for profilers.
   *
   * The program executes as without a sample. A sample that falls where the processor waits or a turn ends is taken at the
   * next instruction; one in more than 128 instructions without a backward branch may be taken behind them. A second call
   * replaces the first.
   *
   * @param cost - in instructions, from now
   * @param sample - may read the processor's state, and changes nothing
   */
  sampleAfter(cost: number, sample: () => void): void {
    this.#sampling.after(cost, sample)
  }

  /** The watch of executed events; null: there is none. Another one passes on to it what it is told. */
  get watching(): ArmExecutionWatch | null {
    return this.#watched.current
  }

  /** Reports executed events to `watch` from now on; null: no longer. Execution itself is not affected. */
  watch(watch: ArmExecutionWatch | null): void {
    this.#watched.set(watch)
  }

  /** Tells `watch` of stores to some machine memory; null ends that. */
  watchStores(watch: StoreWatch | null): void {
    this.#accesses.stores = watch
  }

  /** Virtual address of the next instruction, or of the present one that is executed alone. Of Thumb bit 0 is clear. */
  get nextAddress(): bigint {
    return linearAddress(this.#stops.counterLo, this.#u32[(S.S_PC + 4) >>> 2]!)
  }

  /** Drops cached translations, after a change of the host's. */
  flushTlb(): void {
    this.#tlb.flush(true)
  }

  /** The contents of a machine frame are in another one, which may be written, by machine addresses. */
  frameMoved(from: number, to: number): void {
    this.#tlb.moveFrame(from, to, this.engine.codeCache.frameMoved(from >>> 12, this.#u32[S.S_SLOTS >>> 2]!))
  }

  /** Drops translations for writing of the first `count` of some machine frames: the next writes are to be noticed. */
  watchWrites(frames: Uint32Array, count: number): void {
    this.#tlb.dropWritableFrames(frames, count)
  }

  /** Has EL1 take an exception before the next instruction. @param syndrome - ESR_EL1 @param address - FAR_EL1, where the class has one */
  inject(syndrome: number, address: bigint = 0n): void {
    this.#exceptions.raise(syndrome)
    this.#u64[S.S_FAULT_ADDRESS >>> 3] = address
    this.#watched.exception(this.#system, this.#exceptions)
    this.#stops.slot.hooks?.takes()
    this.#exceptions.take()
    this.counts.faults++
    this.finished(false)
  }

  /**
   * Tells a debugger that EL2 has executed the present instruction, or has given EL1 an exception of it; {@link ArmCpu.advance}
   * and {@link ArmCpu.inject} do it too.
   */
  finished(hasRetired: boolean = true): void {
    this.#stops.slot.hooks?.finished(hasRetired)
  }

  /** Tells a debugger that EL2 has accessed a device for the present instruction. */
  reached(gpa: number, size: number, write: boolean, lo: number, hi: number): void {
    this.#stops.slot.hooks?.places.note('mmio', gpa, size, write, lo, hi)
  }

  /** Moves the program counter behind the present instruction, which EL2 has executed. */
  advance(): void {
    this.#system.advance(this.#exits.instructionBytes())
    this.#system.setPstate(this.#system.pstate & ~(PSTATE_SS | PSTATE_BTYPE))
    this.finished()
  }

  /**
   * Runs until about `budget` instructions have retired, or something else ends the run.
   *
   * A turn ends at the first place after that where control goes back or to another page. Other processors may run between
   * two turns, so each turn begins with the exclusive monitor open: a store-exclusive fails whose load-exclusive was in the
   * turn before.
   *
   * @param budget - a whole number, or Infinity
   * @throws ArmCpuError `ERR_BUDGET` for anything else
   */
  run(budget: number): ArmExit {
    if (!Number.isInteger(budget) && budget !== Infinity) {
      throw new ArmCpuError('ERR_BUDGET', `budget of ${String(budget)}: expected a whole number`)
    }
    const { jit } = this.engine
    if (jit === undefined) return this.#runGuarded(budget)
    const { retired } = this.#turn
    jit.beginTurn()
    const exit = this.#runGuarded(budget)
    jit.endTurn(this.#turn.retired - retired)
    return exit
  }

  /**
   * Executes one instruction, with the exceptions and interrupts that come before it, or after it where it is the turn's last.
   *
   * @returns `budget` when it has ended
   */
  step(): ArmExit {
    this.#isStep = true
    const exit = this.#runGuarded(1)
    this.#isStep = false
    return exit
  }

  /** Instructions of the turn behind the budget of the next run or step: the turn goes on with the run after that. */
  get laterBudget(): number {
    return this.#turn.later
  }
  set laterBudget(instructions: number) {
    this.#turn.later = instructions
  }

  /** The last run has ended within its turn, by its budget: the next one goes on with the turn. */
  get isCut(): boolean {
    return this.#stops.isCut
  }
  set isCut(isCut: boolean) {
    this.#stops.isCut = isCut
  }

  /** A run that {@link ArmCpu.stop} has ended is followed by the rest of its turn: no other processor runs between. */
  goOn(): void {
    if (this.#stops.isStopped) this.#stops.isCut = true
  }

  /** The turn may end before the next instruction. After anything but a cut and a stop it may. */
  get turnMayEnd(): boolean {
    const { isCut, isStopped } = this.#stops
    return this.#turn.mayEnd || !(isCut || isStopped)
  }
  set turnMayEnd(mayEnd: boolean) {
    this.#turn.mayEnd = mayEnd
  }

  /** The host may throw where TypeScript fetches an instruction. */
  #runGuarded(budget: number): ArmExit {
    this.#neighbour?.enter()
    try {
      return this.#run(budget)
    } catch (error) {
      return { reason: 'error', error }
    } finally {
      this.#neighbour?.leave()
    }
  }

  #run(budget: number): ArmExit {
    const turn = this.#turn
    const stops = this.#stops
    // A turn may have been cut in two.
    if (!stops.begin()) this.#openMonitor()
    turn.begin(budget)
    let hasStepped = false
    // The debugger has been notified of this exception already.
    if (this.#u32[S.S_FAULT_SYNDROME >>> 2] !== 0 && !this.#take()) return this.#exception()
    for (;;) {
      if (stops.stopsBetween()) return stops.stop()
      if (hasStepped && (this.#turnGoesOn || !turn.mayEnd)) return stops.cut()
      const exit = this.#between()
      if (exit !== undefined) return exit
      hasStepped = this.#isStep
      const debug = this.#debug.check()
      if (debug === DEBUG_RAISED) {
        const raised = this.#raised()
        if (raised !== undefined) return raised
        continue
      }
      const nearsSample = this.#sampling.asked && this.#sampling.nears()
      const isAlone =
        this.#isStep || debug === DEBUG_ALONE || stops.stepping || this.#watched.instruction !== null || nearsSample
      let status = isAlone ? STATUS_STEP : this.#slice()
      if (status === STATUS_STEP) {
        if (stops.stopsHere()) return stops.stop()
        status = this.#alone()
        // Before an access.
        if (status === STATUS_STEP && stops.slot.hooks !== null) return stops.stop()
      }
      if (status === STATUS_FAULT || status === STATUS_EXIT) {
        turn.mayEnd = true
        if (this.#u32[S.S_FAULT_SYNDROME >>> 2] === 0) continue
        const raised = this.#raised()
        if (raised !== undefined) return raised
      } else if (status !== STATUS_LEAVE && status !== STATUS_CONTINUE) {
        return { reason: 'error', error: this.#code.takeError(status) }
      }
    }
  }

  /** An exception has been raised. @returns why the run ends, if it does */
  #raised(): ArmExit | undefined {
    if (!this.#exceptions.isForEl2 && this.#stops.stopsForException()) return this.#stops.stop()
    return this.#take() ? undefined : this.#exception()
  }

  #slice(): number {
    const turn = this.#turn
    if (!this.#branches.lands()) return STATUS_FAULT
    this.#system.settleAttention()
    const slice = this.#sampling.asked ? turn.allowSlice(this.#sampling.slice) : turn.allowSlice()
    this.#branches.depart()
    const status = this.#code.run()
    this.#branches.arrive()
    turn.settle(slice)
    turn.mayEnd = status === STATUS_LEAVE || status === STATUS_CONTINUE
    return status
  }

  /** Executes the next instruction, and only it. */
  #alone(): number {
    const turn = this.#turn
    const u32 = this.#u32
    if (!this.#branches.lands()) return STATUS_FAULT
    const status32 = this.#system.status
    const word = this.#code.pin()
    if (word < 0) return u32[S.S_FETCH_STATUS >>> 2]!
    this.#watched.instruction?.()
    u32[S.S_ALONE >>> 2] = 1
    u32[S.S_ATTENTION >>> 2] = 0
    turn.depart()
    turn.allow(1)
    this.#branches.depart()
    const status = this.#code.runPinned()
    this.#branches.arrive()
    u32[S.S_ALONE >>> 2] = 0
    turn.settle(1)
    turn.arrive(status)
    const hasRetired = status === STATUS_LEAVE || (status === STATUS_EXIT && u32[S.S_FAULT_SYNDROME >>> 2] === 0)
    if (hasRetired) {
      this.#debug.stepped(word, status32)
      this.#stops.slot.hooks?.executed()
    }
    return status
  }

  /** Opens the exclusive monitor, because another processor may have written the marked memory, which is an event. */
  #openMonitor(): void {
    const marked = this.#u32[S.S_EXCLUSIVE_BYTES >>> 2]
    if (marked === 0 || marked === S.EXCLUSIVE_ELSEWHERE) return
    this.#u32[S.S_EXCLUSIVE_BYTES >>> 2] = 0
    this.#system.setEvent(S.EVENT_REGISTER, true)
  }

  /** Whether something of the turn is left, behind the budget perhaps. */
  get #turnGoesOn(): boolean {
    return this.#turn.remaining + this.#turn.later > 0
  }

  /** Does the work between two instructions. @returns why the run ends, if it does */
  #between(): ArmExit | undefined {
    const turn = this.#turn
    const system = this.#system
    const stops = this.#stops
    this.#space.untag()
    for (;;) {
      this.#neighbour?.drain()
      if (system.takeStop()) return stops.stopped()
      if (system.waits()) return this.#exits.wait()
      const event = system.dueInterrupt
      if (event !== 0 && !stops.holdsInterrupts) {
        this.#watched.interrupt(event === S.EVENT_SERROR ? 'serror' : event === S.EVENT_FIQ ? 'fiq' : 'irq')
        this.#exceptions.interrupt(event)
        this.counts.interrupts++
        turn.addEvent()
        stops.slot.hooks?.executed()
        if (stops.stopsBetween()) return stops.stop()
        continue
      }
      if (turn.mayEnd && turn.remaining <= 0) return this.#turnGoesOn ? stops.cut() : BUDGET
      if ((system.pstate & PSTATE_IL) === 0) return undefined
      // An instruction that cannot be fetched comes first.
      if (this.#space.reach() === STATUS_DONE) this.#exceptions.illegalState()
      const raised = this.#raised()
      if (raised !== undefined) return raised
      if (stops.stopsBetween()) return stops.stop()
    }
  }

  /** Takes the exception that an instruction has raised, unless it is EL2's. @returns whether it was taken */
  #take(): boolean {
    this.#watched.exception(this.#system, this.#exceptions)
    this.#stops.slot.hooks?.takes()
    if (!this.#exceptions.take()) return false
    this.#turn.addEvent()
    this.counts.faults++
    this.#stops.slot.hooks?.executed()
    return true
  }

  #exception(): ArmExit {
    const { hooks } = this.#stops.slot
    hooks?.leftToHypervisor()
    // The program counter is already past the instruction.
    if (exceptionClassOf(this.#u32[S.S_FAULT_SYNDROME >>> 2]!) === EC_HVC64) hooks?.executed()
    return this.#exits.exception()
  }
}
