import { type MachineExit, type ReplayStop, requireSupported, traitsOf } from '@retrap/machine'
import { describeDivergence } from '@retrap/machine/debug'
import type {
  CallView,
  MemoryPlace,
  PrintedPlace,
  RegisterPlace,
  RegisterView,
  RunHistory,
  RunPosition,
  StopPlace,
  TaskView,
  Travel,
  TravelStop,
  WriterView,
} from '../debugger.ts'
import { PAGE_BYTES } from '@retrap/memory'
import { crc32 } from '@retrap/snapshot'
import { WebError } from '../errors.ts'
import type { BoardMachine, BoardOptions, TravellingDebugger } from './boards.ts'
import { findMemory, readMemory } from './changes.ts'
import { GuestNames } from './guest-names.ts'
import type { SentOptions } from '../protocol.ts'
import type { ReadSnapshot } from './read-snapshot.ts'
import { onClock } from './snapshots.ts'
import { sha256, type TravelledRun } from './travelled-runs.ts'
import type { FoundWriter } from './writers.ts'

/** @throws MachineError `ERR_OPTION` for a machine whose run cannot be recorded from an instant on */
export const requireRecordable = (options: BoardOptions, { board }: Pick<SentOptions, 'board'>): void =>
  requireSupported('record-on', traitsOf({ ...options, clock: 'deterministic', machine: board }, 'recorded'))

/** Takes a snapshot of a running machine, with a copy of its RAM, for a machine that continues from it. @throws MachineError */
export async function takenNow(machine: BoardMachine, console: Uint8Array): Promise<ReadSnapshot> {
  const { state, pages } = await machine.save()
  const contents = (index: number): Uint8Array => pages.bytes.subarray(index * PAGE_BYTES, (index + 1) * PAGE_BYTES)
  const taken = { gfns: pages.gfns, contents }
  const arrived = Promise.resolve()
  const checkDisks = (): (() => void) => () => undefined
  return { state, onClock: onClock(state, taken), pages: taken, arrived, options: {}, console, checkDisks }
}

/** A recorded machine with its debugger, which can go back: `PageDebugger` describes the calls. */
export class RecordedMachine {
  readonly run: TravelledRun
  readonly #onHit: (stop: TravelStop) => void
  readonly #names = new GuestNames()
  readonly #places = new Map<number, { readonly place: StopPlace; set: { remove(): void } }>()
  #lastPlace = 0
  #debugger: Promise<TravellingDebugger> | undefined
  #isOver = false
  /** Cancels the debugger's present move; null: none. */
  #way: AbortController | null = null

  /** @param onHit - called when the machine itself reaches a stop while it runs */
  constructor(run: TravelledRun, onHit: (stop: TravelStop) => void) {
    this.run = run
    this.#onHit = onHit
    // A machine from a file exists only at the debugger's position.
    if (run.live === null) this.#debugger = run.debugger()
  }

  /** Runs the machine itself on, as its `run` does. A stop place ends it as a pause does, after `onHit`. */
  async goOn(live: BoardMachine, options: { readonly signal: AbortSignal }): Promise<MachineExit> {
    if (this.#debugger === undefined) return live.run(options)
    const stop = await (await this.#debugger).continue(options)
    if (isExit(stop)) return stop
    this.#onHit(this.#told(stop))
    return { reason: 'stopped' }
  }

  /** The machine as the debugger sees it: of the past, or the machine itself. */
  async seen(): Promise<BoardMachine> {
    return this.#debugger === undefined ? this.run.live! : (await this.#debugger).pc
  }

  /** Returns the recording so far. */
  recording(): Promise<Blob> {
    return this.run.file()
  }

  async position(): Promise<RunPosition> {
    const { now, begin } = this.run
    const debug = await this.#debugger
    const isLive = debug === undefined || this.#isLive(debug)
    const { clock, spent } = (await this.seen()).domain
    const guestMs = (clock.now() + spent) / 1e6
    return { instruction: debug?.instructions ?? now, now, begin, guestMs, isLive }
  }

  /** Goes through the run. The machine itself stands still before and after. @throws MachineError */
  async travel(way: Travel): Promise<TravelStop> {
    const debug = await this.#travelling()
    if (this.#way !== null) throw new WebError('ERR_MACHINE', 'the debugger is on its way; interrupt it first')
    const abort = (this.#way = new AbortController())
    try {
      return this.#told(await this.#go(debug, way, abort.signal))
    } finally {
      this.#way = null
    }
  }

  async #go(debug: TravellingDebugger, way: Travel, signal: AbortSignal): Promise<ReplayStop | { reason: 'now' }> {
    const { now, begin } = this.run
    if ('to' in way) {
      const to = way.to === 'now' ? now : way.to
      if (!(Number.isSafeInteger(to) && to >= begin && to <= now))
        throw new WebError('ERR_OPTION', `instruction ${to}: expected a whole number from ${begin} to ${now}`)
      if (!('by' in way)) return debug.goto(to, { signal })
    }
    const isLive = this.#isLive(debug)
    const stop = await goBy(debug, way, signal)
    // The machine's present shows the state after the last recorded instruction.
    const isOver = stop.reason === 'end-of-recording' || (stop.reason === 'arrived' && debug.instructions >= now)
    return isOver && !isLive ? debug.goto(now, { signal }) : stop
  }

  /** Ends the move through the run that is in progress. */
  interrupt(): void {
    this.#way?.abort()
  }

  async addStop(place: StopPlace): Promise<number> {
    const debug = await this.#travelling()
    this.#places.set(++this.#lastPlace, { place, set: placeIn(debug, place) })
    return this.#lastPlace
  }

  removeStop(id: number): void {
    this.#places.get(id)?.set.remove()
    this.#places.delete(id)
  }

  async readMemory(place: MemoryPlace): Promise<Uint8Array<ArrayBuffer>> {
    return readMemory(await (await this.seen()).debugger(), place)
  }

  async whoWrote(place: MemoryPlace | RegisterPlace | PrintedPlace): Promise<WriterView> {
    const debug = await this.#travelling()
    const [here, isLive] = [debug.instructions, this.#isLive(debug)]
    const { signal } = (this.#way = new AbortController())
    const own = [...this.#places.values()]
    // The user's stops end no search.
    for (const { set } of own) set.remove()
    try {
      const writer = await this.#writer(debug, place, signal)
      if (writer.by !== 'instruction') return writer
      await debug.goto(writer.instruction, { signal })
      const { instruction, cpu } = writer
      const calls = await this.calls(cpu)
      const address = calls[0]?.address ?? writer.address
      return { by: 'instruction', instruction, cpu, address, task: await this.task(cpu), calls }
    } finally {
      // A machine of the past may have executed as many instructions.
      if (isLive || debug.instructions !== here) await debug.goto(here)
      for (const one of own) one.set = placeIn(debug, one.place)
      this.#way = null
    }
  }

  async #writer(
    debug: TravellingDebugger,
    place: MemoryPlace | RegisterPlace | PrintedPlace,
    signal: AbortSignal,
  ): Promise<Exclude<WriterView, { readonly by: 'instruction' }> | ({ readonly by: 'instruction' } & FoundWriter)> {
    if ('address' in place) {
      const writer = await debug.whoWrote(place.address, { ...place, signal })
      if (writer.by === 'nobody') return writer
      if (writer.by === 'unknown') return { by: 'unknown', message: sentenceOf(writer.exit) }
      const { instructions: instruction } = writer
      if (writer.by === 'instruction')
        return { by: 'instruction', instruction, cpu: writer.cpu, address: writer.address }
      return writer.by === 'device'
        ? { by: 'device', instruction, device: writer.device }
        : { by: 'machine', instruction }
    }
    const { printer, registerWriter } = await import('./writers.ts')
    const { begin, history } = this.run
    const addressOf = (name: string): bigint | null => this.#names.addressOf(debug.pc, name)
    const found =
      'register' in place
        ? await registerWriter(debug, begin, place, signal)
        : await printer(debug, begin, place, history.view(begin).marks, addressOf, signal)
    if (found !== null) return { by: 'instruction', ...found }
    const message = signal.aborted
      ? 'it was interrupted'
      : 'register' in place
        ? 'it was written longer ago than was searched'
        : 'it was printed before the recording begins, or in another way than by the serial port'
    return { by: 'unknown', message }
  }

  async registers(cpu: number): Promise<RegisterView[]> {
    const tool = await (await this.seen()).debugger()
    const value = (name: string): bigint => tool.register(name, cpu)
    return tool.registers.shown(value).map((one) => ({ ...one, value: one.value! }))
  }

  async calls(cpu: number): Promise<CallView[]> {
    const machine = await this.seen()
    const tool = await machine.debugger()
    if (!(cpu < tool.cpus)) return []
    const { address, callers } = tool.code(cpu)
    return this.#names.calls(machine, [address, ...callers])
  }

  async task(cpu: number): Promise<TaskView | null> {
    return this.#names.task(await this.seen(), cpu)
  }

  /** Searches the guest's RAM where the debugger is. */
  async findMemory(bytes: Uint8Array): Promise<number[]> {
    return findMemory(await this.seen(), bytes)
  }

  history(): RunHistory {
    const { begin, bytes, history, notes } = this.run
    return { ...history.view(begin), bytes, notes }
  }

  async mark(name: string): Promise<void> {
    this.run.mark(name, (await this.position()).instruction)
  }

  async names(addresses: readonly bigint[]): Promise<(string | null)[]> {
    return this.#names.nameAll(await this.seen(), addresses)
  }

  async addressOf(name: string): Promise<bigint | null> {
    return this.#names.addressOf(await this.seen(), name)
  }

  async namesLike(start: string): Promise<string[]> {
    return this.#names.find(await this.seen(), start)
  }

  loadSymbols(file: Blob): Promise<number> {
    return this.#names.load(file)
  }

  async lookAt(line: string, cpu: number): Promise<string> {
    return this.#names.look(await this.seen(), line, cpu)
  }

  async stateHash(): Promise<string> {
    const machine = await this.seen()
    const { secondLevel, memory, vcpus } = machine.domain
    // Checksum of each frame below 4 GiB; 0: unknown.
    const sums = new Uint32Array(2 ** 20)
    for (let gfn = 0; gfn < sums.length; gfn++) {
      const at = secondLevel.peek(gfn * PAGE_BYTES)
      if (at >= 0) sums[gfn] = crc32(memory.u8.subarray(at, at + PAGE_BYTES))
    }
    const tool = await machine.debugger()
    const registers = vcpus.map(({ cpu, id }) => [
      cpu.retired,
      ...tool.registers.registers.map(({ name }) => tool.register(name, id)),
    ])
    return sha256(await new Blob([registers.join(), sums]).arrayBuffer())
  }

  /** Ends the recording and the machine. */
  close(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#way?.abort()
    this.run.close()
  }

  #isLive(debug: TravellingDebugger): boolean {
    return this.run.live === null ? debug.instructions === this.run.now : debug.pc === this.run.live
  }

  #travelling(): Promise<TravellingDebugger> {
    return (this.#debugger ??= this.run.debugger())
  }

  #told(stop: ReplayStop | { readonly reason: 'now' }): TravelStop {
    if (stop.reason === 'breakpoint' || stop.reason === 'watch')
      return { reason: stop.reason, cpu: stop.cpu, address: stop.address }
    if (stop.reason === 'port' || stop.reason === 'mmio' || stop.reason === 'msr') {
      const { reason, cpu, address, size, write, value } = stop
      return { reason, cpu, address, size, write, ...(value !== undefined && { value }) }
    }
    if (stop.reason === 'handler')
      return { reason: 'handler', cpu: stop.cpu, vector: stop.vector, errorCode: stop.errorCode }
    if (stop.reason === 'begin' || stop.reason === 'now') return { reason: stop.reason }
    if (stop.reason === 'step' || stop.reason === 'arrived') return { reason: 'step' }
    return { reason: 'ended', message: sentenceOf(stop) }
  }
}

/** Goes through a run by a command. @throws MachineError */
function goBy(
  debug: TravellingDebugger,
  way: Extract<Travel, { readonly by: string }>,
  signal: AbortSignal,
): Promise<ReplayStop> {
  if (way.by === 'request') return debug.toRequest(way.kind, way.direction, { signal })
  if (way.by === 'continue') return debug.continue({ signal, ...('to' in way && { to: way.to }) })
  return 'cpu' in way ? debug[way.by]({ cpu: way.cpu, signal }) : debug[way.by]({ signal })
}

/** Adds a stop. @throws MachineError `ERR_OPTION` for a place that cannot be */
function placeIn(debug: TravellingDebugger, place: StopPlace): { remove(): void } {
  if (place.kind === 'breakpoint') return debug.breakpoint(place.address)
  return place.kind === 'watch' ? debug.watch(place.address, place.length, place.access) : debug.stopAt(place)
}

/** Reasons that are of the way, and not of the machine's end. */
const OWN = [
  ...(['breakpoint', 'watch', 'port', 'mmio', 'msr', 'fault', 'handler'] as const),
  ...(['step', 'begin', 'arrived', 'end-of-recording', 'diverged'] as const),
]
type OwnReason = (typeof OWN)[number]

/** Whether the machine itself has ended, or was stopped. */
const isExit = (
  stop: ReplayStop,
): stop is MachineExit & { readonly reason: Exclude<MachineExit['reason'], OwnReason> } =>
  !(OWN as readonly string[]).includes(stop.reason)

/** Says for people why a way has ended. */
function sentenceOf(stop: ReplayStop): string {
  if (stop.reason === 'diverged') return describeDivergence(stop)
  if (stop.reason === 'stopped') return 'it was interrupted'
  if (stop.reason === 'begin') return 'it was written before what is left of the recording begins, or by nobody'
  if (stop.reason === 'end-of-recording') return 'the recording has no more'
  const detail = 'detail' in stop ? stop.detail?.message : undefined
  return `the machine has ended: ${stop.reason}${detail === undefined ? '' : `, ${detail}`}`
}
