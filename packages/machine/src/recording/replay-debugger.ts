import type { PhysicalRange } from '@retrap/hvm'
import type { MachineWatchKind } from '../debugger/debugged-cpu.ts'
import type { Removable, StopHandler } from '../debugger/stop-points.ts'
import { checkPlace, type MachinePlace } from '../debugger/stop-places.ts'
import { MachineError } from '../errors.ts'
import type { MachineRunOptions } from '../lifecycle/machine-life.ts'
import type { Pc } from '../pc/pc.ts'
import type { MachineKind } from '../machine/board.ts'
import { CallSteps, type Direction } from './call-steps.ts'
import type { RunDebugging } from './description.ts'
import { type ReplayExit, ACCESSES, type Hit, isCounted, NEVER, type Stopper, withHit } from './replay-hits.ts'
import type { ReplayStop, TravelledMachine, TravellingMachine, TravelOptions } from './travelling-machine.ts'
import type { LastWriter } from './who-wrote.ts'

/** The options of {@link ReplayDebugger.whoWrote}. */
export interface WhoWroteOptions extends MachineRunOptions {
  /** Number of bytes, up to 4096: the last write to any of them counts. Default 1. */
  readonly length?: number | undefined
  /** The address is guest-physical. Default it is linear, as a vCPU sees it now. */
  readonly physical?: boolean | undefined
  /** The vCPU that sees a linear address. Default 0. */
  readonly cpu?: number | undefined
}

/** The options of {@link ReplayDebugger.continue}. */
export interface ContinueOptions extends MachineRunOptions {
  /** No further than to before this instruction. Default to the end. */
  readonly to?: number | undefined
}

/** The options of steps over calls and out of functions. */
export interface StepOptions extends MachineRunOptions {
  /** The vCPU that steps. Default 0. */
  readonly cpu?: number | undefined
}

/** Requests to devices: by a port, by device memory, or by either. */
export type DeviceRequest = 'port' | 'mmio' | 'device'

/** Everything that an instruction reaches of a kind. */
const EVERYWHERE: Readonly<Record<DeviceRequest, readonly MachinePlace[]>> = {
  port: [{ kind: 'port', address: 0, count: 2 ** 16 }],
  mmio: [{ kind: 'mmio', address: 0, count: 2 ** 52 }],
  get device() {
    return [...this.port, ...this.mmio]
  },
}

/** Most bytes in one query. */
const MOST_BYTES = 4096

function stopOf({ told }: Hit): ReplayStop {
  const { kind: reason, ...rest } = told
  return { reason, ...rest } as ReplayStop
}

const noMemory = (address: bigint, physical: boolean): MachineError =>
  new MachineError(
    'ERR_OPTION',
    `0x${address.toString(16)}: there is no memory at this ${physical ? 'guest-physical' : 'linear'} address`,
  )

/** How a debugger sees a replay's machines, of whatever board. */
type Seen = Pick<RunDebugging<MachineKind>, 'places' | 'stepped'>

let attach: (machine: TravellingMachine<TravelledMachine>, seen: Seen) => ReplayDebugger<never>

export function attachReplayDebugger<M extends TravelledMachine>(
  machine: TravellingMachine<M>,
  seen: Seen,
): ReplayDebugger<M> {
  return attach(machine, seen)
}

/**
 * Goes through a recorded run in both directions. Made by `replay.debugger()`.
 *
 * Breakpoints and watchpoints stay when going back makes another machine; registers and memory are read by the debugger of
 * {@link ReplayDebugger.pc}.
 */
export class ReplayDebugger<M extends TravelledMachine = Pc> {
  static {
    attach = (machine, seen) => new ReplayDebugger<never>(machine as TravellingMachine<never>, seen)
  }

  readonly #machine: TravellingMachine<M>
  readonly #seen: Seen
  readonly #stoppers = new Set<Stopper>()
  readonly #caught = new Map<number, Removable>()
  /** Hits of the place that a backward run has reached, before the reported one. */
  #same: Hit[] | undefined
  /** Whether a triple fault ends a way before it ends the machine; not at first. */
  catchesShutdown = false
  /** @internal Whether a watchpoint stops before the access forwards, and behind it backwards, as gdb expects of some processors. */
  watchesBefore = false

  private constructor(machine: TravellingMachine<M>, seen: Seen) {
    this.#machine = machine
    this.#seen = seen
  }

  /** The replay's current machine, with its registers and memory: going back may make a new machine. */
  get pc(): M {
    return this.#machine.pc
  }

  /** Number of instructions that its vCPUs have retired at the current place. */
  get instructions(): number {
    return this.#machine.instructions
  }

  /** Stops before the instruction at a linear address, on any vCPU. */
  breakpoint(address: bigint): Removable {
    return this.#add({ set: (debug, handler) => debug.breakpoint(address, handler) })
  }

  /** Stops where watched bytes are accessed; devices' own accesses do not count. @param length - length in bytes, up to 1 MiB */
  watch(address: bigint, length: number, kind: MachineWatchKind): Removable {
    return this.#add({ set: (debug, handler) => debug.watch(address, length, kind, handler) })
  }

  /**
   * Stops where an instruction reaches I/O ports, device memory or MSRs, or at an exception. Elements of a string instruction that a
   * device takes as one request count together; backwards, an instruction counts once.
   *
   * @throws MachineError `ERR_OPTION` for a place that cannot be
   */
  stopAt(place: MachinePlace): Removable {
    checkPlace(place, this.#seen.places)
    return this.#add({ set: (debug, handler) => debug.stopAt(place, handler) })
  }

  /** Vectors of exceptions that stop the replay before their delivery. */
  get caughtFaults(): readonly number[] {
    return [...this.#caught.keys()].toSorted((a, b) => a - b)
  }

  /** Has the run stop before an exception is delivered, or no longer. */
  catchFault(vector: number, caught: boolean = true): void {
    const former = this.#caught.get(vector)
    if (caught) this.#caught.set(vector, former ?? this.stopAt({ kind: 'fault', vector }))
    else if (this.#caught.delete(vector)) former?.remove()
  }

  #add(stopper: Stopper): Removable {
    this.#stoppers.add(stopper)
    this.#same = undefined
    return {
      remove: () => {
        this.#stoppers.delete(stopper)
        this.#same = undefined
      },
    }
  }

  /**
   * Goes to before an instruction, by its number from power-on, past all breakpoints and watchpoints. A machine that is being
   * recorded runs on to an instruction that it has not reached yet.
   *
   * @returns `step`: the instruction is next; otherwise the reason why the replay stopped elsewhere
   * @throws MachineError `ERR_OPTION` for an invalid number, or one behind the end of the recording; as `pc.run`
   */
  async goto(instruction: number, options: MachineRunOptions = {}): Promise<ReplayStop> {
    this.#same = undefined
    const exit = await this.#machine.goto(instruction, options)
    return exit.reason === 'arrived' ? { reason: 'step' } : exit
  }

  /**
   * Runs on to the next breakpoint or watchpoint, or to the end.
   *
   * @returns `arrived`: the instruction of `to` is next
   * @throws MachineError as `pc.run`
   */
  async continue({ to = Infinity, ...options }: ContinueOptions = {}): Promise<ReplayStop> {
    this.#same = undefined
    this.#machine.forwards?.()
    const { hit, exit } = await this.#run(
      Math.min(to, this.#machine.end),
      options,
      this.#news(false),
      this.watchesBefore,
    )
    return hit === undefined ? exit : stopOf(hit)
  }

  /** Tells which hits end a run forwards from the present place. @param isStep - breakpoints do not end the run */
  #news(isStep: boolean): (hit: Hit) => boolean {
    const { pc, instructions: from } = this.#machine
    const repeats = pc.domain.vcpus.map(({ cpu }) => cpu.repeats)
    return ({ told: { kind, cpu }, at, before }) => {
      if (kind === 'breakpoint') return !isStep && at > from
      // A stop between the iterations of a string instruction has been reported already.
      return kind === 'watch' || !ACCESSES.has(kind) || before > from || repeats[cpu] !== true
    }
  }

  /**
   * Steps forward by one instruction of any vCPU, with the events that are delivered before it.
   *
   * @throws MachineError as `pc.run`
   */
  async step(options: MachineRunOptions = {}): Promise<ReplayStop> {
    this.#same = undefined
    this.#machine.forwards?.()
    const { instructions, end } = this.#machine
    const news = this.#news(true)
    const { hit, exit } = await this.#run(Math.min(instructions + 1, end), options, news, this.watchesBefore)
    if (hit !== undefined) return stopOf(hit)
    return exit.reason === 'arrived' || this.#machine.instructions > instructions ? { reason: 'step' } : exit
  }

  /**
   * Steps back by one instruction of any vCPU.
   *
   * @throws MachineError as `pc.run`
   */
  async stepBack(options: MachineRunOptions = {}): Promise<ReplayStop> {
    this.#same = undefined
    const { instructions } = this.#machine
    if (instructions <= this.#machine.begin) return { reason: 'begin' }
    const exit = await this.#machine.goto(instructions - 1, options)
    return exit.reason === 'arrived' ? { reason: 'step' } : exit
  }

  /**
   * Goes back to the last breakpoint before this place, or to the last access of watched bytes: to before the instruction that
   * makes it.
   *
   * An aborted search leaves the machine where it was, or at a checkpoint before that, after which nothing was found.
   *
   * @returns `begin` if no earlier stop was found: the machine is at power-on, or at the beginning of the remaining recording
   * @throws MachineError as `pc.run`
   */
  async reverseContinue(given: MachineRunOptions = {}): Promise<ReplayStop> {
    const options = { ...given, heardFrom: NEVER }
    const machine = this.#machine
    const now = machine.instructions
    const more = this.#same?.[0]?.before === now ? this.#same.pop() : undefined
    if (more !== undefined) return stopOf(more)
    // Keeps the present place, so that an aborted search can return here.
    await machine.keep()
    for (let before = now; before > machine.begin;) {
      await machine.makeNear(before - 1)
      const { instructions: first } = machine
      let hits: Hit[] = []
      const note = (hit: Hit): boolean => {
        if (hit.before < now && hit.before < before) hits = withHit(hits, hit)
        return false
      }
      const { exit } = await this.#run(before + 1, options, note)
      if (exit.reason === 'diverged') return exit
      if (options.signal?.aborted === true || exit.reason === 'timeout') {
        await machine.goto(before, { heardFrom: NEVER })
        return exit
      }
      const last = hits.at(-1)
      if (last !== undefined) return this.#arrive(hits, last, options)
      before = first
    }
    await machine.goto(machine.begin, options)
    return { reason: 'begin' }
  }

  /** @param hits - of one place, of which `hit` is the last */
  async #arrive(hits: readonly Hit[], hit: Hit, options: TravelOptions): Promise<ReplayStop> {
    const machine = this.#machine
    const exit = await machine.goto(hit.before, options)
    if (exit.reason !== 'arrived') return exit
    // An interrupt may be delivered before the instruction is next.
    const { told } = hit
    if (told.kind === 'breakpoint')
      await this.#run(
        hit.at + 1,
        options,
        (other) => other.told.kind === 'breakpoint' && other.told.address === told.address,
      )
    if (told.kind === 'watch' && this.watchesBefore) await machine.goOn(hit.before + 1, options)
    this.#same = hits.slice(0, -1)
    return stopOf(hit)
  }

  /**
   * Goes on over a call, INT n or SYSCALL: to behind it, in the same frame, past the handlers of interrupts. Another instruction is
   * a step, to which an interrupt that comes before it does not count. The way may be long: `signal` ends it, and so does a stop.
   *
   * The frame is the same where the stack pointer is, up to the bytes of arguments that the function pops as it returns.
   *
   * @returns `step` after the instruction or call
   * @throws MachineError `ERR_OPTION` for a vCPU that does not exist; as `pc.run`
   */
  async stepOver({ cpu = 0, ...options }: StepOptions = {}): Promise<ReplayStop> {
    return this.#calls(cpu).over(options)
  }

  /** Steps back over a call, or by one instruction: the reverse of {@link ReplayDebugger.stepOver}, with its errors. */
  async reverseStepOver({ cpu = 0, ...options }: StepOptions = {}): Promise<ReplayStop> {
    return this.#calls(cpu).overBack(options)
  }

  /**
   * Goes on to where the function returns to, or the handler of an interrupt. Their frames are found on the stack: a word counts as a
   * return address where a call stands before it, and it is the next that is returned to with the stack pointer behind it.
   *
   * @throws MachineError `ERR_OPTION` where the stack has no return address, and in 16-bit code; as `stepOver`
   */
  async stepOut({ cpu = 0, ...options }: StepOptions = {}): Promise<ReplayStop> {
    return this.#calls(cpu).out(options)
  }

  /** Goes back to before the call of the function, or to where its handler interrupts. @throws as {@link ReplayDebugger.stepOut} */
  async reverseStepOut({ cpu = 0, ...options }: StepOptions = {}): Promise<ReplayStop> {
    return this.#calls(cpu).outBack(options)
  }

  /** Goes to the next or previous request to a device, as to a stop of {@link ReplayDebugger.stopAt}. */
  toRequest(kind: DeviceRequest, direction: Direction, options: MachineRunOptions = {}): Promise<ReplayStop> {
    const places = EVERYWHERE[kind].filter((place) => this.#seen.places.kinds.some((one) => one === place.kind))
    if (places.length === 0) checkPlace(EVERYWHERE[kind][0]!, this.#seen.places)
    const stops = places.map((place): Stopper => ({ set: (debug, handler) => debug.stopAt(place, handler) }))
    return this.#until(direction, stops, options)
  }

  #calls(cpu: number): CallSteps {
    return new CallSteps(
      { debug: this, stepped: (vcpu) => this.#seen.stepped(vcpu), until: (...way) => this.#until(...way) },
      cpu,
    )
  }

  /** Runs to the next stop, or back to the previous stop, with further stops. */
  async #until(direction: Direction, stops: readonly Stopper[], options: MachineRunOptions): Promise<ReplayStop> {
    const added = stops.map((stopper) => this.#add(stopper))
    try {
      return await (direction === 'forwards' ? this.continue(options) : this.reverseContinue(options))
    } finally {
      for (const each of added) each.remove()
    }
  }

  /**
   * Finds who wrote memory last before this place: an instruction, a device by DMA, or nobody since power-on. The machine
   * goes back for it, and is where it was when this resolves: use nothing of it meanwhile. `goto(instructions)` leads to
   * before that instruction.
   *
   * Of a page table's accessed and dirty bits, the instruction whose walk set them is the writer.
   *
   * @throws MachineError `ERR_OPTION` for an address that is not RAM, and a length that is too long; as `pc.run`
   */
  async whoWrote(address: bigint, options: WhoWroteOptions = {}): Promise<LastWriter> {
    const { length = 1, physical = false, cpu = 0, signal, timeoutMs } = options
    if (!(Number.isSafeInteger(length) && length >= 1 && length <= MOST_BYTES))
      throw new MachineError('ERR_OPTION', `length: ${length} bytes; expected 1 to ${MOST_BYTES}`)
    const { domain } = this.#machine.pc
    const vcpu = domain.vcpus[cpu]
    if (vcpu === undefined) throw new MachineError('ERR_OPTION', `there is no vCPU ${cpu}`)
    const ranges: PhysicalRange[] = []
    for (let done = 0; done < length;) {
      const at = address + BigInt(done)
      const gpa = physical ? Number(at) : vcpu.translation.peekPhysical(at)
      const bytes = Math.min(length - done, MOST_BYTES - Number(BigInt.asUintN(12, at)))
      if (gpa < 0 || domain.secondLevel.peek(gpa) < 0) throw noMemory(at, physical)
      ranges.push({ gpa, length: bytes })
      done += bytes
    }
    return this.#machine.whoWrote(ranges, { signal, timeoutMs })
  }

  /**
   * Runs on with all breakpoints and watchpoints.
   *
   * @param stops - whether the machine is to stop at a hit
   * @param watchesBefore - whether watchpoints stop before the access
   */
  async #run(
    to: number,
    options: TravelOptions,
    stops: (hit: Hit) => boolean,
    watchesBefore = false,
  ): Promise<{ readonly hit: Hit | undefined; readonly exit: ReplayExit }> {
    const machine = this.#machine
    const debug = await machine.pc.debugger()
    const abort = new AbortController()
    const stop = (): void => abort.abort()
    options.signal?.addEventListener('abort', stop)
    if (options.signal?.aborted === true) stop()
    let found: Hit | undefined
    const handler: StopHandler = (told) => {
      if (!isCounted(told)) return undefined
      const at = machine.instructions
      const isOver = ACCESSES.has(told.kind) && machine.pc.domain.vcpus[told.cpu]?.cpu.repeats !== true
      const hit: Hit = { told, at, before: isOver ? at - 1 : at }
      if (found !== undefined || !stops(hit)) return undefined
      found = hit
      stop()
      return 'stay'
    }
    const set = [...this.#stoppers].map((stopper) => stopper.set(debug, handler))
    // A triple fault, or a fault that others catch.
    debug.onStop((told) => {
      if (told.kind === 'fault' || told.kind === 'exception' || !isCounted(told)) stop()
    })
    const { catchesShutdown } = debug
    debug.catchesShutdown = catchesShutdown || this.catchesShutdown
    debug.watchesBefore = watchesBefore
    try {
      const exit = await machine.goOn(to, { ...options, signal: abort.signal })
      return { hit: found, exit }
    } finally {
      options.signal?.removeEventListener('abort', stop)
      for (const each of set) each.remove()
      debug.onStop(null)
      debug.catchesShutdown = catchesShutdown
      if (debug.isStopped) debug.resume()
      debug.watchesBefore = false
    }
  }
}
