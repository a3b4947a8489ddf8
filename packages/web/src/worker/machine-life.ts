import type { DeviceFailure } from '@retrap/ioreq'
import { type Mouse, Screen } from '@retrap/display'
import { GuestWatch, type MachineExit, Pc, type PcOptions } from '@retrap/machine'
import { WebError } from '../errors.ts'
import type { FromWorker, MachineState, SavedSnapshot, SentOptions } from '../protocol.ts'
import type { AttachedDevices } from './attached-devices.ts'
import { type BoardMachine, type BoardOptions, type BoardParts, createBoard, putBackBoard } from './boards.ts'
import { CompiledCodes } from './compiled-code.ts'
import { DiskRequests } from './disk-requests.ts'
import { FrameSender } from './frames.ts'
import { GuestInput, InputRoute } from './guest-input.ts'
import { type ImpairableDevices, Impairments } from './impairments.ts'
import { loadSnapshots, type OpenedParts, openParts } from './opening.ts'
import type { ReadSnapshot } from './read-snapshot.ts'
import { SerialSender } from './serial-sender.ts'
import { MachineSound } from './sound.ts'
import { reasonOf, type SourceListener } from './sources.ts'
import type { Recording } from './recording.ts'
import type { OpenedRecording } from './travelled-runs.ts'
import type { Stepper } from './stepper.ts'
import { type LoadedImages, readOtherImages } from './whole-images.ts'

export type Send = (message: FromWorker, transfer?: Transferable[]) => void

/** 60 frames a second. */
const FRAME_MS = 16
/** Milliseconds between checks for a halted guest. */
const LOOK_MS = 1000
/** The answer to keys while the past is shown. */
const PAST =
  'This is the past, and nobody takes what you type: Now in the debugger leads back to the machine, Go on from here has it go on here.'

/** The life of a Worker's machine: it is made, runs in turns, and ends or starts anew. */
export class MachineLife {
  readonly send: Send
  readonly parts: Pick<OpenedParts, 'options' | 'drives' | 'network' | 'files'>
  /** Options of the machine of a recording that was opened. */
  readonly #recorded: PcOptions | null
  #images: LoadedImages
  readonly listener: SourceListener
  // The parts that go on when the machine starts anew.
  readonly screen: Screen = new Screen({ intervalMs: FRAME_MS })
  readonly input: GuestInput
  readonly route: InputRoute = new InputRoute()
  /** Whether the user was told that keys are ignored in the past. */
  #isPastTold = false
  readonly frames: FrameSender
  readonly serial: SerialSender
  readonly sound: MachineSound = new MachineSound()
  readonly impairments: Impairments = new Impairments()
  readonly codes: CompiledCodes = new CompiledCodes()
  /** Devices of the page's; null before any was attached. */
  attached: AttachedDevices | null = null
  pc: BoardMachine | null = null
  /** The recording, once the machine is to be recorded. */
  recording: Recording | null = null
  /** The stepper, once somebody has stepped through a machine of this Worker, or changed one. */
  stepper: Stepper | null = null
  /** Settles when the machine stands still. */
  #loop: Promise<void> | null = null
  /** See `ReadSnapshot`. */
  arrived: Promise<void> | undefined
  #stop = new AbortController()
  /** The machine runs, or is about to. */
  isWanted = false
  /** Whether the machine runs for the user, even if it stands still while its past is shown. */
  isMeantToRun = false
  /** Lets input continue that waits for the machine to start anew. */
  #anew: (() => void) | null = null
  told: MachineState = 'off'
  /** The last saved instant, from which the guest's writes are tracked; null after a restore. */
  saved: Pick<SavedSnapshot, 'instant' | 'pages'> | null = null
  /** The serial output that is shown in place of the machine's own; null: that is shown. */
  shown: Uint8Array | null = null
  #watch: GuestWatch | null = null
  /** The work between two turns of the machine. */
  readonly #errands: (() => Promise<void>)[] = []

  /** See `Machine.turns`. */
  turns: string | null = null

  private constructor(parts: OpenedParts, listener: SourceListener, send: Send) {
    const { options, drives, network, files } = parts
    this.parts = { options, drives, network, files }
    this.#images = parts.images
    this.#recorded = parts.recording?.options ?? null
    this.listener = listener
    this.send = send
    this.input = new GuestInput(options.layout ?? 'us', (pointer: Mouse['pointer']) =>
      send({ event: 'pointer', pointer }),
    )
    this.frames = new FrameSender(this.screen, options.shared, (frame, transfer) =>
      send({ event: 'frame', frame }, transfer),
    )
    this.serial = new SerialSender(
      (bytes) => send({ event: 'serial', bytes }, [bytes.buffer]),
      () => this.#stop.abort(),
    )
  }

  /** Loads the machine's images, and makes the machine. @throws WebError */
  static async open(options: SentOptions, send: Send): Promise<MachineLife> {
    const listener: SourceListener = {
      progress: (progress) => send({ event: 'progress', progress }),
      warning: (message) => send({ event: 'warning', message }),
      requests: new DiskRequests(),
      keepsFetched: options.keepFetched !== false,
    }
    const parts = await openParts(options, listener)
    const machine = new MachineLife(parts, listener, send)
    if (options.record === true || parts.recording !== null) machine.recording = await machine.newRecording()
    await machine.#make(parts.snapshot, parts.recording)
    if (parts.recording !== null || parts.snapshot?.isPaused === true) machine.tellState('paused')
    return machine
  }

  /**
   * @param snapshot - the snapshot to go on from; null: the machine is switched on
   * @param opened - the recording of the machine
   */
  async #make(snapshot: ReadSnapshot | null, opened: OpenedRecording | null = null): Promise<void> {
    // Typed bytes that the old machine's guest has not read go to the new machine.
    const unread = this.pc?.serial.unread
    this.recording?.close()
    this.pc?.close()
    this.pc = null
    this.attached?.close()
    if (this.stepper !== null) this.stepper.debugger = null
    this.codes.clear()
    if (snapshot === null) this.#images = await readOtherImages(this.parts.options, this.#images, this.listener)
    if (snapshot !== null) {
      const { settleDisks } = await loadSnapshots()
      await settleDisks(this.parts.drives.media)
      snapshot.checkDisks(this.parts.drives.media)()
    }
    this.pc = await this.#createBoard(snapshot, opened)
    this.impairments.applyAll(this.impairable(this.pc))
    // The output of an opened recording is not shown again.
    const watch = new GuestWatch((trouble) => this.send({ event: 'trouble', trouble }))
    this.#watch = watch
    if (opened === null)
      this.pc.serial.onTransmit((bytes) => {
        this.serial.transmit(bytes)
        watch.printed(bytes)
      })
    if (snapshot !== null) this.#goesOn(snapshot)
    if (unread !== undefined && unread.length > 0) this.pc.serial.receive(unread)
  }

  /** Puts the machine back in its own memory; one that is off, is recorded or was stepped through is made anew. */
  async #goBack(snapshot: ReadSnapshot): Promise<void> {
    const isOther = this.#anew !== null || this.recording !== null || (this.stepper?.debugger ?? null) !== null
    if (this.pc === null || isOther) return this.#make(snapshot)
    const atRest = snapshot.checkDisks(this.parts.drives.media)
    // Snapshots have none of the page's devices.
    this.attached?.close()
    await putBackBoard(this.powered(), snapshot, atRest)
    this.#goesOn(snapshot)
  }

  #goesOn({ console, arrived }: ReadSnapshot): void {
    this.arrived = arrived
    const printed = console ?? new Uint8Array()
    this.serial.startWith(printed)
    this.recording?.startWith(printed)
    this.shown = null
    this.#isPastTold = false
    this.send({ event: 'console', bytes: printed.slice() })
  }

  /** Shows a machine of the past, or the machine itself again. */
  #show(machine: BoardMachine, console: Uint8Array<ArrayBuffer> | null): void {
    const before = this.shown
    this.frames.show(console === null ? this.screen : machine.screen)
    this.serial.flush()
    this.shown = console
    this.#isPastTold = false
    if (console === null && before === null) return
    const bytes = console ?? this.serial.tail
    // A terminal with the same content stays unchanged.
    if (bytes.length !== before?.length || bytes.some((byte, i) => byte !== before[i]))
      this.send({ event: 'console', bytes: bytes.slice() })
  }

  /** The cable may be plugged in elsewhere by now. */
  currentOptions(): SentOptions {
    return this.parts.network === null
      ? this.parts.options
      : { ...this.parts.options, network: this.parts.network.options }
  }

  boardParts(): BoardParts {
    return {
      recorded: this.#recorded,
      images: this.#images,
      drives: this.parts.drives,
      network: this.parts.network,
      input: this.input,
      sound: this.sound,
      files: this.parts.files,
      screen: this.screen,
      onCode: this.codes.onCode,
      onTurns: (why) => (this.turns = why),
      onDeviceFailure: (failure: DeviceFailure) => this.#deviceFailed(failure),
      onSleep: (asleep: boolean) => this.tellState(asleep ? 'asleep' : 'running'),
    }
  }

  #createBoard(snapshot: ReadSnapshot | null, opened: OpenedRecording | null): Promise<BoardMachine> {
    const parts = this.boardParts()
    const recording = this.recording
    const repeated = (part: number): void => {
      const totalBytes = opened!.file.size
      this.listener.progress({ image: 'recording, run again', loadedBytes: part * totalBytes, totalBytes })
    }
    const recorded =
      recording &&
      ((all: BoardOptions): Promise<BoardMachine> =>
        opened === null ? recording.make(all, this.currentOptions()) : recording.open(all, opened, repeated))
    return createBoard(this.parts.options, parts, snapshot, recorded ?? undefined)
  }

  tellState(state: MachineState): void {
    this.told = state
    this.send({ event: 'state', state })
  }

  /** Has the machine stand still for an action. */
  between<T>(action: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#errands.push(() => action().then(resolve, reject))
      this.#stop.abort()
      this.#loop ??= this.#live()
    })
  }

  /** Runs an action that replaces the machine by another. */
  replacing<T>(action: () => Promise<T>): Promise<T> {
    return this.between(() => this.route.during(action))
  }

  /** Has the machine go on from a snapshot, in its own memory where that can be. */
  restore(snapshot: ReadSnapshot): Promise<void> {
    return this.between(async () => {
      await this.#become(snapshot, () => this.#goBack(snapshot))
      this.saved = null
      this.#releaseAnew()
      // A machine that was off is paused at the instant of the snapshot.
      if (!this.isWanted) this.tellState('paused')
    })
  }

  /** Has the machine go on from a snapshot, or end. */
  async #become(snapshot: ReadSnapshot, make: () => Promise<void>): Promise<void> {
    try {
      await make()
    } catch (error) {
      snapshot.pages.close?.()
      this.#end({ reason: 'internal-error', detail: { message: reasonOf(error) } })
      throw error
    }
  }

  go(): Promise<void> {
    this.isWanted = true
    return (this.#loop ??= this.#live())
  }

  async rest(): Promise<void> {
    this.isWanted = false
    this.#stop.abort()
    await this.#loop
  }

  /** Has the machine start anew when it has stopped; input from now on waits for that. */
  startAnew(): void {
    this.#anew ??= this.route.hold()
    this.#stop.abort()
  }

  async #live(): Promise<void> {
    try {
      while (this.isWanted || this.#errands.length > 0) {
        const errand = this.#errands.shift()
        if (errand !== undefined) {
          await errand()
          continue
        }
        if (this.#anew !== null || this.pc === null) {
          await this.route.during(() => {
            const [pc, isReset] = [this.pc, this.#anew !== null && this.recording === null]
            this.#releaseAnew()
            return pc !== null && isReset ? this.#reset(pc) : this.#make(null)
          })
          // The machine may have been paused, or reset, meanwhile.
          continue
        }
        this.#stop = new AbortController()
        if (this.told !== 'running') this.tellState('running')
        const { signal } = this.#stop
        const { pc } = this
        const looking = setInterval(() => this.#watch?.look(pc instanceof Pc && pc.isHaltedForGood), LOOK_MS)
        const exit = await (this.recording ?? pc!).run({ signal }).finally(() => clearInterval(looking))
        await this.serial.ready()
        if (exit.reason === 'reset') this.#anew ??= this.route.hold()
        else if (exit.reason !== 'stopped' && this.#anew === null) return this.#end(exit)
      }
      if (this.told !== 'off') this.tellState('paused')
    } catch (error) {
      this.#end({ reason: 'internal-error', detail: { message: String(error) } })
    } finally {
      this.#loop = null
      // Requests that arrived during the end get an error: the machine is off.
      if (this.#errands.length > 0) this.#loop = this.#live()
    }
  }

  /** RAM and the clock stay: the machine is reset in place. */
  async #reset(pc: BoardMachine): Promise<void> {
    this.#images = await readOtherImages(this.parts.options, this.#images, this.listener)
    await pc.reset(this.#images)
  }

  #releaseAnew(): void {
    this.#anew?.()
    this.#anew = null
  }

  #end(exit: MachineExit): void {
    this.isWanted = false
    this.#releaseAnew()
    // The past of a recorded machine can still be shown.
    if (this.recording === null) this.pc?.close()
    this.pc = null
    this.attached?.close()
    if (this.stepper !== null) this.stepper.debugger = null
    this.serial.flush()
    this.tellState('off')
    this.send({ event: 'exit', exit })
  }

  /** @throws WebError `ERR_MACHINE` for a machine that is off */
  powered(): BoardMachine {
    if (this.pc === null) throw new WebError('ERR_MACHINE', 'the machine is off; run() starts it again')
    return this.pc
  }

  impairable({ domain }: BoardMachine): ImpairableDevices {
    return this.recording?.impairable(domain.devices) ?? domain.devices
  }

  async newRecording(): Promise<Recording> {
    const { Recording: Loaded } = await import('./recording.ts')
    return new Loaded(this.parts.options, {
      between: (action) => this.between(action),
      replacing: (action) => this.replacing(action),
      rest: () => this.rest(),
      go: () => {
        this.isMeantToRun = true
        return this.go()
      },
      stopped: () => (this.isMeantToRun = false),
      shows: (machine, console) => this.#show(machine, console),
      moved: (position, stop) => this.send({ event: 'position', position, stop }),
      console: () => this.shown ?? this.serial.tail,
      become: (snapshot) => this.#become(snapshot, () => this.#make(snapshot)),
    })
  }

  /** Reports the end of the machine with its reason. */
  #deviceFailed({ policy, device, request, cause }: DeviceFailure): void {
    if (policy === 'detach')
      this.listener.warning(`device ${device} is taken out, as it has failed (${request}): ${reasonOf(cause)}`)
  }

  /** Gives input to the machine. @param refuse - called instead while its past is shown; default: the user gets a warning */
  give(input: () => void, refuse: () => void = () => undefined): void {
    this.route.give(() => {
      // While the debugger returns to the present, input goes to the machine itself.
      if (this.shown === null || this.isWanted) return input()
      refuse()
      if (!this.#isPastTold) this.send({ event: 'warning', message: PAST })
      this.#isPastTold = true
    })
  }
}
