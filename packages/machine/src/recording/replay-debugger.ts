import type { PhysicalRange } from '@retrap/hvm'
import type { MachineWatchKind, PlaceAccess } from '../debugger/debugged-cpu.ts'
import type { MachineDebugger } from '../debugger/machine-debugger.ts'
import type { MachineStop, Removable, StopHandler } from '../debugger/stop-points.ts'
import { checkPlace, type MachinePlace } from '../debugger/stop-places.ts'
import { MachineError } from '../errors.ts'
import type { MachineRunOptions } from '../life/machine-life.ts'
import type { Pc } from '../pc/pc.ts'
import type { ReplayExit } from './replay-exit.ts'
import type { LastWriter } from './who-wrote.ts'

/** Why a replay that is debugged has stopped. */
export type ReplayStop =
  /** The instruction at a breakpoint is next. */
  | { readonly reason: 'breakpoint'; readonly cpu: number; readonly address: bigint }
  /** Watched bytes are accessed: by the instruction before this place, or, backwards, by the one that is next. */
  | { readonly reason: 'watch'; readonly cpu: number; readonly address: bigint; readonly watch: MachineWatchKind }
  /** A place is reached: by the instruction before this place, or an iteration of it, or, backwards, by the one that is next. */
  | (Omit<PlaceAccess, 'kind'> & { readonly reason: PlaceAccess['kind']; readonly cpu: number })
  /**
   * An exception: `fault`, it is about to be delivered; `handler`, the first instruction of its handler is next. Backwards, the
   * instruction that causes it is next. `address`: of a page fault.
   */
  | {
      readonly reason: 'fault' | 'handler'
      readonly cpu: number
      readonly vector: number
      readonly errorCode: number
      readonly address: bigint
    }
  /** A step back has ended. */
  | { readonly reason: 'step' }
  /** The machine is at power-on, or where what is left of the recording begins. */
  | { readonly reason: 'begin' }
  /** The replay could not get further, as in `PcReplay.run`. */
  | ReplayExit

/** The replay that is debugged. */
export interface TravellingMachine {
  /** The machine as it is now. */
  readonly pc: Pc
  /** Instructions that its vCPUs have retired. */
  readonly instructions: number
  /** The first instruction that can be gone to. */
  readonly begin: number
  /** Where the recording ends; Infinity: the run goes on. */
  readonly end: number
  /** Called before a command runs forwards: a past that has reached the present becomes the machine that is recorded. */
  forwards?(): void
  /** Goes to an instruction. */
  goto(instruction: number, options: MachineRunOptions): Promise<ReplayExit>
  /** Takes a checkpoint here, if that is possible. */
  keep(): Promise<void>
  /** Brings the machine to the last checkpoint that is not after an instruction. */
  makeNear(instruction: number): Promise<void>
  /** Runs the machine on to an instruction, which may be behind the end by one. */
  goOn(instruction: number, options: MachineRunOptions): Promise<ReplayExit>
  /** Finds who wrote some of RAM last. */
  whoWrote(ranges: readonly PhysicalRange[], options: MachineRunOptions): Promise<LastWriter>
}

/** The options of {@link ReplayDebugger.whoWrote}. */
export interface WhoWroteOptions extends MachineRunOptions {
  /** How many bytes, up to 4096: the last write to any of them counts. Default 1. */
  readonly length?: number | undefined
  /** The address is guest-physical. Default it is linear, as a vCPU sees it now. */
  readonly physical?: boolean | undefined
  /** The vCPU that sees a linear address. Default 0. */
  readonly cpu?: number | undefined
}

/** Bytes that can be asked for. */
const MOST_BYTES = 4096

/** A breakpoint or a watchpoint. */
interface Stopper {
  set(debug: MachineDebugger, handler: StopHandler): Removable
}

/** Stops that count, forwards and backwards. */
type CountedStop = Extract<MachineStop, { readonly kind: (typeof COUNTED)[number] }>

const COUNTED = ['breakpoint', 'watch', 'port', 'mmio', 'msr', 'fault', 'handler'] as const
/** Stops that show when their instruction, or an iteration of it, is over. */
const ACCESSES: ReadonlySet<string> = new Set<CountedStop['kind']>(['watch', 'port', 'mmio', 'msr'])

const isCounted = (stop: MachineStop): stop is CountedStop => (COUNTED as readonly string[]).includes(stop.kind)

/** A place where one of them stops. */
interface Hit {
  readonly told: CountedStop
  /** Instructions that have retired there. */
  readonly at: number
  /** The place before its instruction. */
  readonly before: number
}

/** Adds a hit to those of one place; of a later place it is the first. An instruction's first access of a kind counts, as forwards. */
function withHit(hits: Hit[], hit: Hit): Hit[] {
  if (hits[0]?.before !== hit.before) return [hit]
  const { kind, cpu } = hit.told
  const isTold = ACCESSES.has(kind) && hits.some(({ told }) => told.kind === kind && told.cpu === cpu)
  return isTold ? hits : [...hits, hit]
}

function stopOf({ told }: Hit): ReplayStop {
  const { kind: reason, ...rest } = told
  return { reason, ...rest } as ReplayStop
}

const noMemory = (address: bigint, physical: boolean): MachineError =>
  new MachineError(
    'ERR_OPTION',
    `0x${address.toString(16)}: there is no memory at this ${physical ? 'guest-physical' : 'linear'} address`,
  )

let attach: (machine: TravellingMachine) => ReplayDebugger

/** Gives a replay its debugger. */
export function attachReplayDebugger(machine: TravellingMachine): ReplayDebugger {
  return attach(machine)
}

/**
 * Goes through a recorded run in both directions. Made by `replay.debugger()`.
 *
 * Breakpoints and watchpoints stay when going back makes another machine; registers and memory are those of the debugger of
 * {@link ReplayDebugger.pc}.
 */
export class ReplayDebugger {
  static {
    attach = (machine) => new ReplayDebugger(machine)
  }

  readonly #machine: TravellingMachine
  readonly #stoppers = new Set<Stopper>()
  readonly #caught = new Map<number, Removable>()
  /** Hits of the place that a way back has come to, before the one that was told. */
  #same: Hit[] | undefined
  /** Whether a triple fault ends a way before it ends the machine; not at first. */
  catchesShutdown = false

  private constructor(machine: TravellingMachine) {
    this.#machine = machine
  }

  /** The machine where it is now, with its registers and memory: going back may make another one. */
  get pc(): Pc {
    return this.#machine.pc
  }

  /** Instructions that its vCPUs have retired there. */
  get instructions(): number {
    return this.#machine.instructions
  }

  /** Stops before the instruction at a linear address, whichever vCPU comes there. */
  breakpoint(address: bigint): Removable {
    return this.#add({ set: (debug, handler) => debug.breakpoint(address, handler) })
  }

  /** Stops where watched bytes are accessed; devices' own accesses do not count. @param length - in bytes, up to 1 MiB */
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
    checkPlace(place)
    return this.#add({ set: (debug, handler) => debug.stopAt(place, handler) })
  }

  /** Vectors of exceptions at which it stops before they are delivered. */
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
   * Goes to before an instruction, by its number from power-on, past all breakpoints and watchpoints. A machine that is recorded
   * just now runs on to an instruction that it has not come to yet.
   *
   * @returns `step`: it is there; else why it is not
   * @throws MachineError `ERR_OPTION` for an invalid number, or one behind the end of the recording; as `pc.run`
   */
  async goto(instruction: number, options: MachineRunOptions = {}): Promise<ReplayStop> {
    this.#same = undefined
    const exit = await this.#machine.goto(instruction, options)
    return exit.reason === 'arrived' ? { reason: 'step' } : exit
  }

  /** Runs on to the next breakpoint or watchpoint, or to the end. @throws MachineError as `pc.run` */
  async continue(options: MachineRunOptions = {}): Promise<ReplayStop> {
    this.#same = undefined
    this.#machine.forwards?.()
    const { hit, exit } = await this.#run(this.#machine.end, options, this.#news(false))
    return hit === undefined ? exit : stopOf(hit)
  }

  /** Tells the hits of a way forwards from here that are to end it. @param isStep - no breakpoint does */
  #news(isStep: boolean): (hit: Hit) => boolean {
    const { pc, instructions: from } = this.#machine
    const repeats = pc.domain.vcpus.map(({ cpu }) => cpu.repeats)
    return ({ told: { kind, cpu }, at, before }) => {
      if (kind === 'breakpoint') return !isStep && at > from
      // A string instruction that has stopped between its iterations has been told of.
      return kind === 'watch' || !ACCESSES.has(kind) || before > from || repeats[cpu] !== true
    }
  }

  /**
   * Goes on by one instruction, whichever vCPU executes it, with what is delivered before it.
   *
   * @throws MachineError as `pc.run`
   */
  async step(options: MachineRunOptions = {}): Promise<ReplayStop> {
    this.#same = undefined
    this.#machine.forwards?.()
    const { instructions, end } = this.#machine
    const { hit, exit } = await this.#run(Math.min(instructions + 1, end), options, this.#news(true))
    if (hit !== undefined) return stopOf(hit)
    return exit.reason === 'arrived' || this.#machine.instructions > instructions ? { reason: 'step' } : exit
  }

  /**
   * Goes back by one instruction, whichever vCPU has executed it.
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
   * A search that is ended leaves the machine where it was, or at a checkpoint before that, after which there is none.
   *
   * @returns `begin` where there was none: the machine is at power-on, or where what is left of the recording begins
   * @throws MachineError as `pc.run`
   */
  async reverseContinue(options: MachineRunOptions = {}): Promise<ReplayStop> {
    const machine = this.#machine
    const now = machine.instructions
    const more = this.#same?.[0]?.before === now ? this.#same.pop() : undefined
    if (more !== undefined) return stopOf(more)
    // Where a search that is ended leaves the machine is at hand.
    await machine.keep()
    for (let before = now; before > machine.begin;) {
      // oxlint-disable-next-line no-await-in-loop -- from the last checkpoint on, backwards
      await machine.makeNear(before - 1)
      const { instructions: first } = machine
      let hits: Hit[] = []
      const note = (hit: Hit): boolean => {
        if (hit.before < now && hit.before < before) hits = withHit(hits, hit)
        return false
      }
      // oxlint-disable-next-line no-await-in-loop
      const { exit } = await this.#run(before + 1, options, note)
      if (exit.reason === 'diverged') return exit
      if (options.signal?.aborted === true || exit.reason === 'timeout') {
        // oxlint-disable-next-line no-await-in-loop
        await machine.goto(before, {})
        return exit
      }
      const last = hits.at(-1)
      // oxlint-disable-next-line no-await-in-loop
      if (last !== undefined) return this.#arrive(hits, last, options)
      before = first
    }
    await machine.goto(machine.begin, options)
    return { reason: 'begin' }
  }

  /** @param hits - of one place, of which `hit` is the last */
  async #arrive(hits: readonly Hit[], hit: Hit, options: MachineRunOptions): Promise<ReplayStop> {
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
    this.#same = hits.slice(0, -1)
    return stopOf(hit)
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
   */
  async #run(
    to: number,
    options: MachineRunOptions,
    stops: (hit: Hit) => boolean,
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
      if (told.kind === 'fault' || !isCounted(told)) stop()
    })
    const { catchesShutdown } = debug
    debug.catchesShutdown = catchesShutdown || this.catchesShutdown
    try {
      const exit = await machine.goOn(to, { ...options, signal: abort.signal })
      return { hit: found, exit }
    } finally {
      options.signal?.removeEventListener('abort', stop)
      for (const each of set) each.remove()
      debug.onStop(null)
      debug.catchesShutdown = catchesShutdown
      if (debug.isStopped) debug.resume()
    }
  }
}
