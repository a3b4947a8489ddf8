import { TLB_EXECUTE, Tlb, Turn, tlbBytes } from '@retrap/engine'
import type { CodeCacheClient } from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import { AccessLog, LOG_BYTES } from '@retrap/replay'
import { AccessMode } from './access-mode.ts'
import { AddressSpaces } from './address-spaces.ts'
import { CpuRegisters } from './cpu-registers.ts'
import type { X86Engine } from './engine.ts'
import { Executor } from './executor.ts'
import type { ExecutionCounts, InterpreterExports } from './executor-parts.ts'
import type { Exit } from './exit.ts'
import { HandlerPath } from './handler-path.ts'
import type { SystemForm } from './handler-path.ts'
import { DeviceAccess } from './device-access.ts'
import type { CpuHost, Words } from './host.ts'
import { loadInitialState } from './initial-state.ts'
import type { InitialCpuState } from './initial-state.ts'
import { InstructionFetch } from './instruction-fetch.ts'
import { LineMonitor } from './line-monitor.ts'
import { arithmeticFlags, setArithmeticFlags } from './lazy-flags.ts'
import { LoggedAccess } from './logged-access.ts'
import { MemoryAccess } from './memory-access.ts'
import { NumericError } from './numeric-error.ts'
import { OutsideEvents } from './outside-events.ts'
import { PASS_FETCHED, Pass } from './pass.ts'
import { PlainMemory } from './plain-memory.ts'
import { PortAccess } from './port-access.ts'
import { QuickPort } from './quick-port.ts'
import { RepeatedAccess } from './repeated-access.ts'
import {
  EVENT_INIT,
  EVENT_INTERRUPT,
  EVENT_NMI,
  EVENT_SMI,
  EVENT_STOP,
  FLAGS_ARITHMETIC,
  FLAG_IF,
  STATUS_DONE,
  STATUS_ERROR,
  S_ATTENTION,
  S_DATA,
  S_EFLAGS,
  S_EVENTS,
  S_FAULT_VECTOR,
  S_LOGGED,
  S_TLB_MISSES,
  STATE_LAYOUT,
  S_TLB_SETS,
  S_TSC_OFFSET,
  S_TWO_TO_28,
} from './state-layout.ts'
import { DataBreakpoints } from './system/breakpoints.ts'
import type { Processor } from './model/processor.ts'
import type { Cpu, CpuClocks, Iterations, MachineViews } from './system/cpu.ts'
import { RESET_POWER_ON, resetState } from './system/reset.ts'
import { System } from './system/system.ts'
import { advanceToTsc } from './system/time-stamp.ts'
import {
  ACTIVITY_HALTED,
  ACTIVITY_MWAIT,
  ACTIVITY_RUNNING,
  ACTIVITY_WAIT_FOR_SIPI,
  SMBASE_RESET,
  SMM_OUTSIDE,
  S_ACTIVITY,
  S_PENDING_DEBUG,
  S_PENDING_FAULT,
  S_SMBASE,
  S_SMM,
  S_STEPPING,
} from './system/system-state.ts'
import { TLB_MODES } from './tlb-sets.ts'
import { LinearTranslation } from './translation.ts'

const STATE_BYTES = S_TLB_SETS + tlbBytes(TLB_MODES)

/**
 * One virtual processor: x86 in real, protected, virtual-8086, compatibility and 64-bit mode.
 *
 * It knows nothing of devices; what is not plain RAM it asks of its {@link CpuHost}.
 */
export class Vcpu implements Cpu, CodeCacheClient {
  /** Machine memory. */
  readonly memory: MachineMemory & MachineViews
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
  /** All of machine memory as bytes. */
  readonly u8: Uint8Array
  /** All of machine memory as 16-bit words. */
  readonly u16: Uint16Array
  /** All of machine memory as 32-bit words. */
  readonly u32: Uint32Array
  /** All of machine memory as signed 32-bit words. */
  readonly i32: Int32Array
  /** All of machine memory as 64-bit words. */
  readonly u64: BigUint64Array
  /** Registers by name. */
  readonly registers: CpuRegisters
  /** The log of the current instruction. */
  readonly log: AccessLog
  /** @internal State of system instructions. */
  readonly system: System
  readonly #tlb: Tlb
  readonly #access: MemoryAccess
  readonly #ports: PortAccess
  readonly #repeated: RepeatedAccess
  readonly #breakpoints: DataBreakpoints
  readonly #spaces: AddressSpaces
  readonly #mode: AccessMode
  readonly #pass: Pass
  readonly #numericError: NumericError
  readonly #outside: OutsideEvents
  readonly #executor: Executor
  readonly #turn: Turn
  readonly #monitor: LineMonitor
  readonly #interpreter: InterpreterExports
  /** Counts for statistics. */
  readonly counts: ExecutionCounts = { systemCalls: 0, faults: 0, interrupts: 0, loggedPasses: 0, steps: 0 }

  constructor(engine: X86Engine, host: CpuHost, clocks: CpuClocks) {
    const memory = engine.memory
    this.engine = engine
    this.memory = memory
    this.host = host
    this.processor = engine.processor
    this.clocks = clocks
    const state = memory.allocate(STATE_BYTES, 0x1000, 'vCPU state')
    this.state = state
    this.u8 = memory.u8.subarray(state, state + S_TLB_SETS)
    this.u16 = memory.u16.subarray(state >>> 1, (state + S_TLB_SETS) >>> 1)
    this.u32 = memory.u32.subarray(state >>> 2, (state + S_TLB_SETS) >>> 2)
    this.i32 = memory.i32.subarray(state >>> 2, (state + S_TLB_SETS) >>> 2)
    this.u64 = memory.u64.subarray(state >>> 3, (state + S_TLB_SETS) >>> 3)
    this.registers = new CpuRegisters(this)
    this.log = new AccessLog(memory.buffer, memory.allocate(LOG_BYTES, 8, 'access log'))
    this.#tlb = new Tlb(memory, state + S_TLB_SETS, TLB_MODES)
    this.#spaces = new AddressSpaces(this.#tlb, host, this.u32)
    this.#numericError = new NumericError(this.u32, host)
    this.#outside = new OutsideEvents(this.u32)
    this.#monitor = new LineMonitor(this.u32, engine.monitoredLines, () => host.monitorTriggered?.())
    this.#mode = new AccessMode(this.u32, this.#tlb)
    this.#pass = new Pass(this.u32, this.log, this.counts)
    this.system = new System(this)
    const { u32 } = this
    const { log } = this
    const tlb = this.#tlb
    const pass = this.#pass
    const breakpoints = new DataBreakpoints(this.system)
    const translation = new LinearTranslation(host, tlb, log, u32)
    const plain = new PlainMemory(memory, state)
    const logged = new LoggedAccess(host, log, plain, u32)
    const device = new DeviceAccess({ host, tlb, pass, logged, breakpoints, u32 })
    const mode = this.#mode
    this.#breakpoints = breakpoints
    this.#ports = new PortAccess(host, log, u32)
    this.#repeated = new RepeatedAccess(host, log, translation, breakpoints, u32)
    this.#access = new MemoryAccess({ memory, tlb, mode, translation, plain, logged, device, breakpoints, u32 })
    const fetch = new InstructionFetch(memory, host, engine.codeCache, this.#tlb, this.#mode, state)
    this.u32[S_TWO_TO_28 >>> 2] = 0x1000_0000
    this.u32[S_SMBASE >>> 2] = SMBASE_RESET
    this.i32[S_FAULT_VECTOR >>> 2] = -1
    const quickPort = new QuickPort(this.system, host, this.#pass)
    const handlers = new HandlerPath(this.system, quickPort, (record, sizeAndFlags) =>
      interpreter.address(state, record, sizeAndFlags),
    )
    const instance = new WebAssembly.Instance(engine.module as WebAssembly.Module, {
      cpu: {
        memory: memory.memory,
        access: (lo: number, hi: number, flags: number) => this.#access.generatedAccess(lo, hi, flags),
        system: (fn: number, record: number) => this.#system(handlers, fn, record),
        fetch: (lo: number, hi: number) => fetch.code.fetch(lo >>> 0, hi >>> 0),
        cross: (record: number) => fetch.code.cross(record),
        hot: (record: number) => this.#hot(record >>> 0),
      },
    })
    const interpreter = instance.exports as unknown as InterpreterExports
    this.#interpreter = interpreter
    engine.jit?.addRunner(this)
    this.#turn = new Turn(this.i32, STATE_LAYOUT)
    this.#executor = new Executor({
      memory,
      host,
      state,
      u32: this.u32,
      i32: this.i32,
      system: this.system,
      interpreter,
      access: this.#access,
      device,
      logged,
      mode: this.#mode,
      fetch,
      pass: this.#pass,
      quickPort,
      outside: this.#outside,
      numericError: this.#numericError,
      counts: this.counts,
      turn: this.#turn,
    })
    engine.codeCache.addClient(this)
    engine.monitoredLines.add(this, this.#monitor)
  }

  /** Instructions retired since the vCPU was made. */
  get retired(): number {
    return this.#turn.retired
  }

  /**
   * What all that was executed since the vCPU was made has cost, in instructions: one for each that has retired and each
   * iteration of a string instruction, 64 for each event that was delivered.
   *
   * It depends on architectural events alone, never on passes, caches or how devices answer.
   */
  get cost(): number {
    return this.#turn.cost
  }

  // ---------------------------------------------------------------- units

  #hot(record: number): number {
    return this.engine.jit?.hot(record, this) ?? record
  }

  /** @internal Finds the slot table that a linear page is executed by; -1 where none is known. */
  executeSlots(lo: number, hi: number): number {
    return this.#tlb.lookup(this.#mode.executeSet, TLB_EXECUTE, lo, hi)
  }

  /** @internal Makes a unit ready to be called as an entry of the table. */
  install(module: object, entry: number): void {
    const { table, flags, checkSegment } = this.#interpreter
    const instance = new WebAssembly.Instance(module as WebAssembly.Module, {
      cpu: { memory: this.memory.memory, table: table as never, flags, checkSegment },
    })
    if (table.length <= entry) table.grow(Math.max(64, table.length >> 2, entry + 1 - table.length))
    table.set(entry, instance.exports['unit'])
  }

  /** @internal Gives a unit of the table up. */
  uninstall(entry: number): void {
    this.#interpreter.table.set(entry, null)
  }

  // ---------------------------------------------------------------- Cpu, for system instructions

  /** Makes a system instruction’s memory access; returns a status. */
  access(lo: number, hi: number, flags: number): number {
    return this.#access.systemAccess(lo >>> 0, hi >>> 0, flags)
  }

  /** Makes a system instruction’s access by guest-physical address; returns a status. */
  accessPhysical(gpa: number, flags: number): number {
    return this.#access.accessPhysical(gpa, flags)
  }

  /** Makes an access to a port; returns a status. */
  port(port: number, flags: number): number {
    return this.#ports.access(port, flags)
  }

  /** Drops TLB entries; `all`: global ones too. */
  flushTlb(all: boolean): void {
    this.#monitor.trigger()
    // A change of DR7 flushes everything.
    if (all) this.#breakpoints.refresh()
    this.#spaces.flush(all)
  }

  /**
   * The host's map of guest-physical addresses has changed: drops all translations. The next instruction is looked up and
   * finds the new map, also where a device makes the change while it answers an access.
   */
  mapChanged(): void {
    this.flushTlb(true)
    this.u32[S_ATTENTION >>> 2] = 1
  }

  /** Drops the translations for data of pages with some protection keys, one bit for each `Translation.key`. */
  dropKeys(keys: number): void {
    this.#tlb.dropKeys(keys)
  }

  /** Drops the translations of one linear address. */
  invalidatePage(lo: number, hi: number): void {
    this.#monitor.trigger()
    this.#spaces.invalidatePage(lo, hi)
  }

  /** Drops translations as INVPCID does. */
  invalidatePcid(scope: number, pcid: number, lo: number, hi: number): void {
    this.#monitor.trigger()
    this.#spaces.invalidatePcid(scope, pcid, lo, hi)
  }

  /** Goes over to another address space; `keep`: its translations stay. */
  switchPcid(from: number, to: number, keep: boolean): void {
    this.#monitor.trigger()
    this.#spaces.switchPcid(from, to, keep)
  }

  /** Drops TLB entries for instruction fetches. */
  flushExecute(): void {
    this.#tlb.flushExecute()
  }

  /** Drops TLB entries that allow writes to a machine frame. */
  dropWritable(frameMa: number): void {
    this.#tlb.dropWritable(frameMa)
  }

  /** Works the mode out anew: CS, CR0, EFER or RFLAGS.VM have changed. */
  modeChanged(): void {
    this.#monitor.trigger()
    this.#mode.changed()
  }

  /** Translates a byte as a load of it would, and arms its line for MWAIT; returns a status. */
  monitor(lo: number, hi: number): number {
    const status = this.#access.locate(lo, hi)
    if (status === STATUS_DONE) this.#monitor.arm(this.#access.locatedGpa, this.#access.locatedMa)
    return status
  }

  /** Arms the line of a byte for MWAIT; with `ma` -1 a wait ends. */
  armMonitor(gpa: number, ma: number): void {
    if (ma >= 0) this.#monitor.arm(gpa, ma)
    else if (this.u32[S_ACTIVITY >>> 2] === ACTIVITY_MWAIT) this.u32[S_ACTIVITY >>> 2] = ACTIVITY_RUNNING
  }

  /** Ends the monitoring of a line, and a wait for it. */
  endMonitor(): void {
    this.#monitor.trigger()
  }

  /** Makes several iterations of a string instruction; returns a status. */
  repeat(iterations: Iterations): number {
    // An instruction whose bytes a device holds is fetched for each iteration, however fast the device is.
    if (this.#pass.state === PASS_FETCHED) return 0
    return this.#repeated.make(iterations)
  }

  /** Returns how many iterations of a string instruction the turn has room for. */
  affordableIterations(): number {
    return this.log.nextKind() >= 0 ? Infinity : Math.max(1, this.#turn.remaining)
  }

  /** Tells whether several iterations of a string instruction may go in one request. */
  mayRepeat(): boolean {
    // What comes up while a request is waited for is too late: the pass that made it has decided.
    return this.u32[S_EVENTS >>> 2] === 0 || this.log.nextKind() >= 0
  }

  /** Tells whether an event may end a gather here. */
  mayEndGather(): boolean {
    if (this.u32[S_LOGGED >>> 2] !== 1 || this.log.nextKind() >= 0) return false
    return this.#outside.nmi || this.#outside.interrupt || this.#outside.smi
  }

  /** Returns RFLAGS with the arithmetic flags worked out. */
  materialiseFlags(): number {
    return ((this.u32[S_EFLAGS >>> 2] as number) & ~FLAGS_ARITHMETIC) | arithmeticFlags(this.u32) | 2
  }

  /** Sets RFLAGS. */
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

  /** Latches a system-management interrupt; one that comes in system-management mode waits for RSM. */
  smi(): void {
    this.#outside.raise(EVENT_SMI)
  }

  /**
   * Whether its accesses are those of system-management mode: the host may let it see other memory than otherwise. The
   * delivery of an SMI counts, too.
   */
  get inSystemManagement(): boolean {
    return this.u32[S_SMM >>> 2] !== SMM_OUTSIDE
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
    this.#executor.paused = true
    this.u32[S_ATTENTION >>> 2] = 1
  }

  /** Whether HLT waits for an event. */
  get halted(): boolean {
    return this.u32[S_ACTIVITY >>> 2] === ACTIVITY_HALTED
  }

  /** Whether it waits for a start-up IPI. */
  get waitsForStartup(): boolean {
    return this.u32[S_ACTIVITY >>> 2] === ACTIVITY_WAIT_FOR_SIPI
  }

  /** `run` would come back at once: HLT, MWAIT or the wait for a start-up IPI goes on, and nothing has happened since. */
  get dormant(): boolean {
    const activity = this.u32[S_ACTIVITY >>> 2]
    return (
      (activity === ACTIVITY_HALTED || activity === ACTIVITY_MWAIT || activity === ACTIVITY_WAIT_FOR_SIPI) &&
      this.u32[S_EVENTS >>> 2] === 0 &&
      !this.#pass.active &&
      (this.u32[S_STEPPING >>> 2]! | this.u32[S_PENDING_DEBUG >>> 2]! | this.u32[S_PENDING_FAULT >>> 2]!) === 0
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
   * Runs until {@link Vcpu.cost} has grown by `budget`, or something else ends the run.
   *
   * A turn ends at the first place after that where control goes back or to another page, a string instruction or an
   * event's delivery is between two steps, or it has just ended: the same place however the program is executed. A turn
   * that was interrupted (`blocked`) goes on with the rest of its budget, which may be zero or less.
   */
  run(budget: number): Exit {
    return this.#executor.run(budget)
  }

  /**
   * Executes one instruction or one iteration of a repeated one, or delivers one event: for debuggers.
   *
   * @returns `budget` when it has ended
   */
  step(): Exit {
    return this.#executor.step()
  }

  /** An instruction, or the delivery of an event, is in the middle. */
  get busy(): boolean {
    return this.#pass.active
  }

  /**
   * Completes the instruction or delivery that is in the middle, and begins nothing new: for snapshots.
   *
   * @returns undefined when nothing is in the middle any more; else why not: `blocked`, `error`
   */
  settle(): Exit | undefined {
    return this.#executor.settle()
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
    this.counts.systemCalls++
    try {
      return handlers.run(this.engine.systemForms[fn] as SystemForm, record)
    } catch (error) {
      this.#executor.error = error
      return STATUS_ERROR
    }
  }

  // ---------------------------------------------------------------- reset

  /** Power-on. @param bootstrap - executes from the reset vector; others wait for a start-up IPI */
  reset(bootstrap: boolean): void {
    this.cancel()
    this.#executor.bootstrap = bootstrap
    this.u32[S_EVENTS >>> 2] = 0
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

  /** How far the guest's time-stamp counter is ahead of the host's, modulo 2^64. */
  get tscOffset(): bigint {
    return this.read64(S_TSC_OFFSET)
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
    return this.u64[offset >>> 3] as bigint
  }

  /** S_DATA, for tests. */
  get data(): Uint8Array {
    return this.u8.subarray(S_DATA, S_DATA + 64)
  }
}
