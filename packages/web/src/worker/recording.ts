import type { MachineExit, PluggedServer, PlugServer } from '@retrap/machine'
import type { DebuggerCall, DebuggerCalls, MachineChange, RunPosition, Travel, TravelStop } from '../debugger.ts'
import { WebError } from '../errors.ts'
import type { BoardMachine, BoardOptions } from './boards.ts'
import type { SentOptions } from '../protocol.ts'
import type { ImpairableDevices } from './impairments.ts'
import type { ReadSnapshot } from './read-snapshot.ts'
import { RecordedMachine, requireRecordable, takenNow } from './recorded-machine.ts'
import { checkKept } from './snapshots.ts'
import { type OpenedRecording, recordedRun, replayedRun, type TravelledRun } from './travelled-runs.ts'

/** The part of a machine's life that its recording needs. */
export interface RecordedLife {
  /** Has the machine stand still for an action. */
  between<T>(action: () => Promise<T>): Promise<T>
  /** Runs an action that replaces the machine by another. */
  replacing<T>(action: () => Promise<T>): Promise<T>
  /** Stops the machine between two instructions. */
  rest(): Promise<void>
  /** Called when the machine has stopped, and is not meant to run on. */
  stopped(): void
  /** Lets the machine run. @returns settles when it stands still again, or has ended */
  go(): Promise<void>
  /** The debugger has moved: shows the machine at its instant, with the end of its serial output; null: the machine itself. */
  shows(machine: BoardMachine, console: Uint8Array<ArrayBuffer> | null): void
  /** The debugger has moved, or the machine itself has reached a stop. */
  moved(position: RunPosition, stop: TravelStop | null): void
  /** The end of the serial output that is shown. */
  console(): Uint8Array
  /** Makes the machine anew, to go on from a snapshot, or ends it. */
  become(snapshot: ReadSnapshot): Promise<void>
}

/** Recorded machines of a Worker, one after another, each with its debugger. Loaded when a recording begins. */
export class Recording {
  readonly #options: SentOptions
  readonly #life: RecordedLife
  #machine: RecordedMachine | null = null
  /** Resolves when the last requested branch is complete. */
  #branching: Promise<void> = Promise.resolve()
  /** Callers that wait for the machine itself to stop. */
  #waiting: ((stop: TravelStop) => void)[] = []

  constructor(options: SentOptions, life: RecordedLife) {
    this.#options = options
    this.#life = life
  }

  /**
   * Has a machine, which stands still, go on from this instant, recorded.
   *
   * @param options - its own
   * @param begins - called before the machine is made again
   * @throws MachineError `ERR_OPTION` for a machine whose run cannot be recorded from an instant on
   */
  async begin(machine: BoardMachine, options: BoardOptions, begins: () => void): Promise<void> {
    requireRecordable(options, this.#options)
    const snapshot = await takenNow(machine, this.#life.console())
    begins()
    await this.#life.become(snapshot)
  }

  /**
   * Pauses the machine at the debugger's instant and begins a new recording.
   *
   * @param change - is made before
   * @throws WebError `ERR_MACHINE` for a machine with kept disks, or if its disks cannot be restored
   */
  branch(change?: MachineChange): Promise<void> {
    const branching = this.#branch(change)
    this.#branching = branching.catch(() => undefined)
    return branching
  }

  async #branch(change: MachineChange | undefined): Promise<void> {
    await this.#life.rest()
    await this.#life.replacing(async () => {
      checkKept(this.#options)
      await this.#life.become(await this.#taken(change))
    })
  }

  /** Makes a machine, and records it. @throws MachineError */
  async make(options: BoardOptions, page: SentOptions): Promise<BoardMachine> {
    return this.#begin(await recordedRun(options, page))
  }

  /** Makes the machine of a recording, at its end. @param onRepeated - see `replayedRun` @throws MachineError; RecordingError */
  async open(
    options: BoardOptions,
    opened: OpenedRecording,
    onRepeated: (part: number) => void,
  ): Promise<BoardMachine> {
    const machine = await this.#begin(await replayedRun(options, opened, onRepeated))
    await this.#moved(this.#recorded(), { reason: 'now' })
    return machine
  }

  #begin(run: TravelledRun): Promise<BoardMachine> {
    this.#machine = new RecordedMachine(run, (stop) => this.#hit(stop))
    return this.#machine.seen()
  }

  /** Whether the machine is that of a file, and does not run by itself. */
  get isReplayed(): boolean {
    return this.#machine?.run.live === null
  }

  /** Sets the end of the guest's console output, after the machine was restored to another instant. */
  startWith(console: Uint8Array): void {
    this.#machine?.run.history.startWith(console)
  }

  async run(options: { readonly signal: AbortSignal }): Promise<MachineExit> {
    await this.#returnToNow()
    const machine = this.#recorded()
    const exit = await machine.goOn(machine.run.live!, options)
    if (exit.reason !== 'stopped')
      this.#tellWaiting({ reason: 'ended', message: `the machine has ended: ${exit.reason}` })
    return exit
  }

  /** Returns the machine that the page shows: of the past, or the machine itself; undefined: off. */
  async seen(): Promise<BoardMachine | undefined> {
    return this.#machine?.seen()
  }

  /** Ends the way through the past that is under way. */
  interrupt(): void {
    this.#machine?.interrupt()
  }

  /** Answers the page. @throws WebError `ERR_MACHINE` for a machine that is not recorded */
  async debug(call: DebuggerCall, given: readonly unknown[]): Promise<unknown> {
    await this.#branching
    const machine = this.#recorded()
    if (call === 'travel') return this.#travel(machine, given[0] as Travel)
    const answer = (): Promise<unknown> =>
      Promise.resolve((machine[call] as (...values: readonly unknown[]) => unknown)(...given))
    if (call !== 'whoWrote' && call !== 'addStop' && call !== 'recording') return answer()
    return this.#life.between(answer)
  }

  async #travel(machine: RecordedMachine, way: Travel): Promise<ReturnType<DebuggerCalls['travel']>> {
    await this.#life.rest()
    const { isLive } = await machine.position()
    if (isLive && 'by' in way && way.by === 'continue' && !('to' in way)) return this.#goOn()
    const stop = await this.#life.between(() => machine.travel(way))
    await this.#moved(machine, stop)
    return stop
  }

  /** Returns the debugger to the machine's present. */
  async #returnToNow(): Promise<void> {
    const machine = this.#machine
    if (machine === null || (await machine.position()).isLive) return
    await this.#moved(machine, await machine.travel({ to: 'now' }))
  }

  async #moved(machine: RecordedMachine, stop: TravelStop): Promise<void> {
    const [position, seen] = await Promise.all([machine.position(), machine.seen()])
    const isItself = position.isLive && machine.run.live !== null
    this.#life.shows(seen, isItself ? null : machine.run.history.consoleOf(seen))
    this.#life.moved(position, stop)
  }

  /** Runs the machine itself to its next stop. */
  async #goOn(): Promise<TravelStop> {
    const { promise, resolve } = Promise.withResolvers<TravelStop>()
    this.#waiting.push(resolve)
    void this.#life.go().then(() => this.#tellWaiting({ reason: 'ended', message: 'it was paused' }))
    return promise
  }

  /** The machine has stopped at a place. */
  #hit(stop: TravelStop): void {
    this.#tellWaiting(stop)
    this.#life.stopped()
    void this.#life.rest().then(async () => {
      if (this.#machine !== null) this.#life.moved(await this.#machine.position(), stop)
    })
  }

  #tellWaiting(stop: TravelStop): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve(stop)
  }

  /** Plugs in devices of the page's, when the machine itself runs on. @throws WebError `ERR_MACHINE` for the machine of a file */
  async plug(start: PlugServer): Promise<PluggedServer> {
    return this.#recorded().run.plug(start)
  }

  /** The devices of the machine, which become slow and dead when it runs on. */
  impairable(devices: ImpairableDevices): ImpairableDevices {
    return { models: () => devices.models(), impair: (name, how) => this.#recorded().run.impair(name, how) }
  }

  /** A medium of the machine was exchanged. */
  exchanged(): void {
    this.#machine?.run.disks?.exchanged()
  }

  /**
   * Takes a snapshot at the debugger's instant, and restores the disks' contents of that instant.
   *
   * @param change - is made before
   */
  async #taken(change: MachineChange | undefined): Promise<ReadSnapshot> {
    const machine = this.#recorded()
    const { instruction, isLive } = await machine.position()
    const { disks, live } = machine.run
    if (!isLive) disks?.check(instruction)
    const pc = await machine.seen()
    if (pc.domain.hasRecordedModels)
      throw new WebError(
        'ERR_MACHINE',
        'what files and devices of the page do is in the recording, and not how they are: branch where the machine has none',
      )
    const take = async (): Promise<ReadSnapshot> => {
      const snapshot = await takenNow(pc, this.#life.console())
      if (!isLive && live !== null) await disks?.undo(instruction)
      return snapshot
    }
    if (change === undefined) return take()
    const [{ withChange }, tool] = await Promise.all([import('./changes.ts'), pc.debugger()])
    return withChange(tool, change, take)
  }

  /** @throws WebError `ERR_MACHINE` */
  #recorded(): RecordedMachine {
    if (this.#machine !== null) return this.#machine
    throw new WebError('ERR_MACHINE', 'the machine is off; run() starts it again')
  }

  /** Ends the recording, with the machine. */
  close(): void {
    const machine = this.#machine
    this.#machine = null
    this.#tellWaiting({ reason: 'ended', message: 'the recording has ended' })
    machine?.close()
  }
}
