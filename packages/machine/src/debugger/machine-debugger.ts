import type { RegisterSet, TargetCode } from '@retrap/gdb'
import type { ClockState, Domain, VirtualCpu } from '@retrap/hvm'
import { PAGE_BYTES } from '@retrap/memory'
import { MachineError } from '../errors.ts'
import type { HeldMachine } from '../lifecycle/machine-life.ts'
import type { DebuggedCpu, MachineWatchKind } from './debugged-cpu.ts'
import type { Monitor, MonitorCommand } from './monitor.ts'
import { checkPlace, type MachinePlace } from './stop-places.ts'
import { type MachineStop, type Removable, type StopHandler, StopPoints } from './stop-points.ts'

/** How a vCPU resumes. */
export interface CpuResume {
  /** `stay`: the vCPU does not run while others do. */
  readonly action: 'continue' | 'step' | 'stay'
  /** With a step: interrupts that wait are held off. Default true. */
  readonly holdInterrupts?: boolean
  /** A breakpoint at the next instruction does not count. Default true. */
  readonly passBreakpoint?: boolean
  /** A fault that it stopped for is forgotten, and its instruction executed again. Default false. */
  readonly dropFault?: boolean
}

/** The part of a machine that its debugger needs. */
export interface DebuggedMachine {
  readonly domain: Pick<Domain, 'clock' | 'guestMemory' | 'memory' | 'secondLevel' | 'wake' | 'watchDebug'>
  /** The vCPUs, by number. */
  readonly cpus: readonly DebuggedCpu[]
  /** The registers that debuggers show. */
  readonly registers: RegisterSet
  /** Returns the board's `monitor` commands, and further ones. */
  readonly monitor: (debug: MachineDebugger, further: readonly MonitorCommand[]) => Monitor
  /** The run is recorded or replayed. Nothing is written then: the recording would not have it. */
  readonly isRecorded?: boolean
  readonly life: {
    holder: HeldMachine | undefined
    hold(): void
    release(): void
  }
}

let attach: (machine: DebuggedMachine) => MachineDebugger

export function attachDebugger(machine: DebuggedMachine): MachineDebugger {
  return attach(machine)
}

const CONTINUE: CpuResume = { action: 'continue' }

/**
 * The debugger of a machine: it stops and goes on, at breakpoints, watchpoints and exceptions, by linear address. Made by
 * `pc.debugger()`.
 *
 * While the machine is stopped, none of its time passes. Reading and writing memory has no other effects: no accessed or
 * dirty bits, and no device is asked.
 */
export class MachineDebugger {
  static {
    attach = (machine) => new MachineDebugger(machine)
  }

  readonly #domain: DebuggedMachine['domain']
  readonly #life: DebuggedMachine['life']
  readonly #cpus: readonly DebuggedCpu[]
  readonly #isRecorded: boolean
  readonly #monitor: DebuggedMachine['monitor']
  /** The registers that {@link MachineDebugger.register} reads, by gdb's names. */
  readonly registers: RegisterSet
  readonly #points: StopPoints
  readonly #staying = new Set<number>()
  #stop: MachineStop = { kind: 'pause', cpu: 0 }
  #isStopped = false
  /**
   * Whether registers and memory of a machine that is recorded or replayed can be written; not at first. Its recording is of another run
   * from then on: save the machine, and give it up.
   */
  changesRecorded = false
  #over = false
  #clock: ClockState | undefined
  #next: PromiseWithResolvers<MachineStop> | undefined
  #listener: ((stop: MachineStop) => void) | null = null

  private constructor({ domain, life, cpus, isRecorded = false, registers, monitor }: DebuggedMachine) {
    this.#domain = domain
    this.#life = life
    this.#cpus = cpus
    this.#points = new StopPoints(cpus)
    this.#isRecorded = isRecorded
    this.registers = registers
    this.#monitor = monitor
    domain.watchDebug({
      stopped: (vcpu) => this.#vcpuStopped(vcpu),
      holds: (id) => this.#staying.has(id),
    })
    life.holder = { still: () => this.#still(), over: () => this.#ended() }
  }

  /** Number of vCPUs. */
  get cpus(): number {
    return this.#cpus.length
  }

  /** Whether the machine stands still for the debugger. */
  get isStopped(): boolean {
    return this.#isStopped
  }

  /** The last stop. */
  get lastStop(): MachineStop {
    return this.#stop
  }

  // ---------------------------------------------------------------- stop and go

  /** Stops the machine between two instructions. A machine that has not been run yet stays stopped when it is run. */
  stop(): Promise<MachineStop> {
    if (this.#isStopped) return Promise.resolve(this.#stop)
    const next = this.nextStop()
    this.#life.hold()
    return next
  }

  /** Resolves at the next stop that no handler takes. @throws MachineError `ERR_STATE` when the machine ends first */
  nextStop(): Promise<MachineStop> {
    if (this.#over) return Promise.reject(ended())
    this.#next ??= Promise.withResolvers<MachineStop>()
    return this.#next.promise
  }

  /** Resumes the machine. @param actions - by vCPU; default each continues */
  resume(actions: readonly CpuResume[] = []): void {
    if (!this.#isStopped) return
    this.#staying.clear()
    for (const [i, vcpu] of this.#cpus.entries()) {
      const { action, holdInterrupts, passBreakpoint = true, dropFault = false } = actions[i] ?? CONTINUE
      if (action === 'stay') this.#staying.add(i)
      vcpu.resume({ step: action === 'step', holdInterrupts: holdInterrupts ?? true, passBreakpoint, dropFault })
    }
    this.#isStopped = false
    if (this.#clock !== undefined) this.#domain.clock.restore(this.#clock)
    this.#clock = undefined
    this.#life.release()
    this.#domain.wake()
  }

  /** Executes one instruction of a vCPU; other vCPUs do not run. */
  step(cpu = 0): Promise<MachineStop> {
    this.#checkCpu(cpu)
    const next = this.nextStop()
    this.resume(this.#cpus.map((_, i) => ({ action: i === cpu ? 'step' : 'stay' })))
    return next
  }

  /** @internal Names the listener that is notified of each stop that no handler takes. */
  onStop(listener: ((stop: MachineStop) => void) | null): void {
    this.#listener = listener
  }

  /** Takes all breakpoints away, and lets the machine run on without a debugger. */
  close(): void {
    for (const each of this.#cpus) each.detach()
    this.#domain.watchDebug(null)
    this.#life.holder = undefined
    this.#listener = null
    if (this.#isStopped) this.resume()
    this.#life.release()
    this.#ended()
  }

  #vcpuStopped({ id }: VirtualCpu): void {
    const stop = this.#cpus[id]!.stop
    if (stop === undefined) return
    this.#stop = { ...stop, cpu: id }
    this.#life.hold()
  }

  #still(): void {
    if (this.#isStopped) return
    this.#isStopped = true
    const { clock } = this.#domain
    if (!clock.deterministic) this.#clock = clock.save()
    const told = this.#cpus[this.#stop.cpu]!.stop
    // The vCPU that had stopped last has gone on since: somebody has asked for this stop.
    if (told === undefined) this.#stop = { kind: 'pause', cpu: this.#stop.cpu }
    const stop = this.#stop
    const handlers = this.#points.handlersOf(stop)
    if (handlers.length > 0) void this.#handle(handlers, stop)
    else this.#tell(stop)
  }

  async #handle(handlers: readonly StopHandler[], stop: MachineStop): Promise<void> {
    let stays = false
    try {
      for (const handler of handlers) stays = (await handler(stop)) === 'stay' || stays
    } catch (error) {
      this.#rejectNext(error)
      stays = true
    }
    if (stays) this.#tell(stop)
    else this.resume()
  }

  #tell(stop: MachineStop): void {
    const next = this.#next
    this.#next = undefined
    next?.resolve(stop)
    this.#listener?.(stop)
  }

  #rejectNext(error: unknown): void {
    const next = this.#next
    this.#next = undefined
    next?.reject(error)
  }

  #ended(): void {
    this.#over = true
    this.#rejectNext(ended())
  }

  #checkCpu(cpu: number): void {
    if (this.#cpus[cpu] === undefined)
      throw new MachineError('ERR_OPTION', `vCPU ${cpu}: expected 0 to ${this.#cpus.length - 1}`)
  }

  // ---------------------------------------------------------------- stops

  /** Stops before the instruction at a linear address, on any vCPU. Guest memory stays as it is: code may be written anew. */
  breakpoint(address: bigint, handler?: StopHandler): Removable {
    return this.#points.breakpoint(address, handler)
  }

  /**
   * Stops after an instruction that accesses watched bytes. Devices' own accesses do not count.
   *
   * @param length - length in bytes, up to 1 MiB
   */
  watch(address: bigint, length: number, kind: MachineWatchKind, handler?: StopHandler): Removable {
    return this.#points.watch(address, length, kind, handler)
  }

  /**
   * Whether watchpoints of an Arm machine stop before the instruction that accesses, which is executed when the machine goes
   * on; not at first. Watchpoints of a PC never stop before it.
   */
  get watchesBefore(): boolean {
    return this.#cpus[0]!.watchesBefore === true
  }
  set watchesBefore(before: boolean) {
    for (const each of this.#cpus) if (each.watchesBefore !== undefined) each.watchesBefore = before
  }

  /**
   * Stops after an instruction that reaches I/O ports, device memory or MSRs, or at an exception. Elements of a string
   * instruction that a device takes as one request count together. An Arm board has device memory and exceptions.
   *
   * @throws MachineError `ERR_OPTION` for a place that cannot be
   */
  stopAt(place: MachinePlace, handler?: StopHandler): Removable {
    checkPlace(place, this.#cpus[0]!.places)
    return this.#points.stopAt(place, handler)
  }

  /** Numbers of exceptions that stop the machine before they are delivered: vectors of a PC. */
  get caughtFaults(): readonly number[] {
    return this.#points.caughtFaults
  }

  /** Sets whether an exception stops the machine before its delivery. */
  catchFault(number: number, caught: boolean = true): void {
    this.#points.catchFault(number, caught)
  }

  /** Whether a triple fault stops a PC before it shuts down; default false. Arm machines have no triple faults. */
  get catchesShutdown(): boolean {
    return this.#cpus[0]!.catchesShutdown === true
  }
  set catchesShutdown(caught: boolean) {
    for (const each of this.#cpus) if (each.catchesShutdown !== undefined) each.catchesShutdown = caught
  }

  /** Describes a vCPU for people: `CPU 0, halted`. */
  describeCpu(cpu: number): string {
    this.#checkCpu(cpu)
    return `CPU ${cpu}, ${this.#vcpu(cpu).activity}`
  }

  /** Returns the commands of gdb's `monitor`, with further ones: one with the name of a command of the machine takes its place. */
  monitor(further: readonly MonitorCommand[] = []): Monitor {
    return this.#monitor(this, further)
  }

  // ---------------------------------------------------------------- registers and memory

  /** The code that a vCPU executes: its next instruction, and the return addresses of its callers. */
  code(cpu = 0): TargetCode {
    this.#checkCpu(cpu)
    return this.#vcpu(cpu).code
  }

  /**
   * Reads a register of a stopped machine, by gdb's name for it. Of a PC: `rax`, `rip`, `eflags`, `cs`, `xmm0`, or one of
   * `cs_base`, `cr0`, `efer`, `gdtr_base` and so on.
   *
   * @throws MachineError `ERR_OPTION` for a register that does not exist
   */
  register(name: string, cpu = 0): bigint {
    this.#checkCpu(cpu)
    const value = this.#cpus[cpu]!.state.read(name)
    if (value === undefined) throw new MachineError('ERR_OPTION', `there is no register '${name}'`)
    return value
  }

  /** Writes a register. @returns false if impossible: an instruction waits for a device, or the run is recorded or replayed */
  setRegister(name: string, value: bigint, cpu = 0): boolean {
    this.register(name, cpu)
    return this.#isStopped && this.#canChange && this.#cpus[cpu]!.state.write(name, value)
  }

  /** Reads memory at a linear address of a vCPU. @returns how many bytes were read, up to the first unmapped byte */
  read(address: bigint, into: Uint8Array, cpu = 0): number {
    this.#checkCpu(cpu)
    return this.#vcpu(cpu).memory.peek(address, into)
  }

  /** Writes memory at a linear address, ROM too. @returns how many bytes were written: none in a recorded or replayed run */
  write(address: bigint, bytes: Uint8Array, cpu = 0): number {
    this.#checkCpu(cpu)
    return this.#canChange ? this.#vcpu(cpu).memory.poke(address, bytes) : 0
  }

  /** Reads memory at a guest-physical address. @returns how many bytes were read, up to the first byte without memory */
  readPhysical(address: number, into: Uint8Array): number {
    const { secondLevel, memory } = this.#domain
    return pieces(address, into.length, (gpa, from, to) => {
      const ma = secondLevel.peek(gpa)
      if (ma < 0) return false
      into.set(memory.u8.subarray(ma, ma + to - from), from)
      return true
    })
  }

  /** Writes memory at a guest-physical address, as {@link MachineDebugger.write}. @returns how many bytes were written */
  writePhysical(address: number, bytes: Uint8Array): number {
    const { secondLevel, guestMemory } = this.#domain
    return pieces(address, bytes.length, (gpa, from, to) => {
      return this.#canChange && secondLevel.peek(gpa) >= 0 && guestMemory.load(gpa, bytes.subarray(from, to))
    })
  }

  get #canChange(): boolean {
    return !this.#isRecorded || this.changesRecorded
  }

  #vcpu(cpu: number): DebuggedCpu {
    return this.#cpus[cpu]!
  }
}

const ended = (): MachineError => new MachineError('ERR_STATE', 'the machine has ended')

/** Guest-physical addresses have no more bits. */
const PHYSICAL_END = 2 ** 52

/** Calls `each` with each page's part of a range. @returns the bytes up to the first that fails */
function pieces(address: number, length: number, each: (gpa: number, from: number, to: number) => boolean): number {
  let done = 0
  while (done < length && address + done < PHYSICAL_END) {
    const end = Math.min(length, done + PAGE_BYTES - ((address + done) % PAGE_BYTES))
    if (!each(address + done, done, end)) break
    done = end
  }
  return done
}
