import type { DeviceFailure } from '@retrap/ioreq'
import { type KeyboardLayoutName, type Mouse, Screen } from '@retrap/display'
import type { MachineExit, PcOptions, PcSnapshot } from '@retrap/machine'
import type { ArmSnapshot } from '@retrap/machine/arm'
import type { DebuggerCall, MachineChange, MemoryPlace, TravelStop } from '../debugger.ts'
import { WebError } from '../errors.ts'
import type { AddressView, CompiledView, Impairment, MachineView } from '../inspection.ts'
import type {
  FromWorker,
  MachineState,
  MachineStatistics,
  SavedSnapshot,
  SentNetwork,
  SentOptions,
  SentSource,
  ToWorker,
} from '../protocol.ts'
import type { AttachedDevices } from './attached-devices.ts'
import {
  areVcpusAway,
  type BoardMachine,
  type BoardOptions,
  type BoardParts,
  boardOptions,
  createBoard,
  inspectBoard,
  putBackBoard,
} from './boards.ts'
import { CompiledCodes } from './compiled-code.ts'
import { DiskRequests } from './disk-requests.ts'
import { FrameSender } from './frames.ts'
import { GuestInput, InputRoute } from './guest-input.ts'
import { addTime } from './host-sleep.ts'
import { type ImpairableDevices, Impairments } from './impairments.ts'
import type { MachineDrives } from './machine-drives.ts'
import type { MachineNetwork } from './networks.ts'
import { loadSnapshots, type OpenedParts, openParts } from './opening.ts'
import type { ReadSnapshot } from './read-snapshot.ts'
import { SerialSender } from './serial-sender.ts'
import type { SharedFiles } from './shared-files.ts'
import { MachineSound } from './sound.ts'
import { reasonOf, type SourceListener } from './sources.ts'
import type { Recording } from './recording.ts'
import type { OpenedRecording } from './travelled-runs.ts'
import type { Stepper } from './stepper.ts'
import { type LoadedImages, readOtherImages } from './whole-images.ts'

/** Sends a message to the page. */
type Send = (message: FromWorker, transfer?: Transferable[]) => void

/** 60 frames a second. */
const FRAME_MS = 16
/** Instants at which a branch is tried before a machine counts as one whose devices are never at rest. */
const MOST_TRIES = 40

/** The answer to keys while the past is shown. */
const PAST =
  'This is the past, and nobody takes what you type: Now in the debugger leads back to the machine, Go on from here has it go on here.'

/** The machine of a Worker, which carries out the page's calls. */
export class WorkerMachine {
  readonly #send: Send
  readonly #options: SentOptions
  #images: LoadedImages
  readonly #drives: MachineDrives
  /** Options of the machine of a recording that was opened. */
  readonly #recorded: PcOptions | null
  readonly #listener: SourceListener
  readonly #network: MachineNetwork | null
  readonly #files: SharedFiles | null
  // The parts that go on when the machine starts anew.
  readonly #screen = new Screen({ intervalMs: FRAME_MS })
  readonly #input: GuestInput
  readonly #route = new InputRoute()
  /** Whether the user was told that keys are ignored in the past. */
  #isPastTold = false
  readonly #frames: FrameSender
  readonly #serial: SerialSender
  readonly #sound = new MachineSound()
  readonly #impairments = new Impairments()
  readonly #codes = new CompiledCodes()
  /** Devices of the page's; null before any was attached. */
  #attached: AttachedDevices | null = null
  #pc: BoardMachine | null = null
  /** The recording, once the machine is to be recorded. */
  #recording: Recording | null = null
  /** The stepper, once somebody has stepped through a machine of this Worker, or changed one. */
  #stepper: Stepper | null = null
  /** Resolves to the stepper: later steps wait for earlier ones. */
  #stepping: Promise<Stepper> | null = null
  #life: Promise<void> | null = null
  /** See `ReadSnapshot`. */
  #arrived: Promise<void> | undefined
  #stop = new AbortController()
  /** The machine runs, or is about to. */
  #wanted = false
  /** Whether the machine runs for the user, even if it stands still while its past is shown. */
  #isMeantToRun = false
  /** Lets input continue that waits for the machine to start anew. */
  #anew: (() => void) | null = null
  #told: MachineState = 'off'
  /** The last saved instant, from which the guest's writes are tracked; null after a restore. */
  #saved: Pick<SavedSnapshot, 'instant' | 'pages'> | null = null
  #instants = 0
  /** The serial output that is shown in place of the machine's own; null: that is shown. */
  #shown: Uint8Array | null = null
  /** The work between two turns of the machine. */
  readonly #errands: (() => Promise<void>)[] = []

  /** See `Machine.turns`. */
  turns: string | null = null

  private constructor(
    { options, images, drives, network, files, recording }: OpenedParts,
    listener: SourceListener,
    send: Send,
  ) {
    this.#options = options
    this.#images = images
    this.#drives = drives
    this.#recorded = recording?.options ?? null
    this.#network = network
    this.#files = files
    this.#listener = listener
    this.#send = send
    this.#input = new GuestInput(options.layout ?? 'us', (pointer: Mouse['pointer']) =>
      send({ event: 'pointer', pointer }),
    )
    this.#frames = new FrameSender(this.#screen, options.shared, (frame, transfer) =>
      send({ event: 'frame', frame }, transfer),
    )
    this.#serial = new SerialSender(
      (bytes) => send({ event: 'serial', bytes }, [bytes.buffer]),
      () => this.#stop.abort(),
    )
  }

  /** Loads the machine's images, and makes the machine. @throws WebError */
  static async open(options: SentOptions, send: Send): Promise<WorkerMachine> {
    const listener: SourceListener = {
      progress: (progress) => send({ event: 'progress', progress }),
      warning: (message) => send({ event: 'warning', message }),
      requests: new DiskRequests(),
      keepsFetched: options.keepFetched !== false,
    }
    const parts = await openParts(options, listener)
    const machine = new WorkerMachine(parts, listener, send)
    if (options.record === true || parts.recording !== null) machine.#recording = await machine.#newRecording()
    await machine.#make(parts.snapshot, parts.recording)
    if (parts.recording !== null || parts.snapshot?.isPaused === true) machine.#tellState('paused')
    return machine
  }

  /**
   * @param snapshot - the snapshot to go on from; null: the machine is switched on
   * @param opened - the recording of the machine
   */
  async #make(snapshot: ReadSnapshot | null, opened: OpenedRecording | null = null): Promise<void> {
    // Typed bytes that the old machine's guest has not read go to the new machine.
    const unread = this.#pc?.serial.unread
    this.#recording?.close()
    this.#pc?.close()
    this.#pc = null
    this.#attached?.close()
    if (this.#stepper !== null) this.#stepper.debugger = null
    this.#codes.clear()
    if (snapshot === null) this.#images = await readOtherImages(this.#options, this.#images, this.#listener)
    if (snapshot !== null) {
      const { settleDisks } = await loadSnapshots()
      await settleDisks(this.#drives.media)
      snapshot.checkDisks(this.#drives.media)()
    }
    this.#pc = await this.#createBoard(snapshot, opened)
    this.#impairments.applyAll(this.#impairable(this.#pc))
    // The output of an opened recording is not shown again.
    if (opened === null) this.#pc.serial.onTransmit((bytes) => this.#serial.transmit(bytes))
    if (snapshot !== null) this.#goesOn(snapshot)
    if (unread !== undefined && unread.length > 0) this.#pc.serial.receive(unread)
  }

  /** Puts the machine back in its own memory; one that is off, is recorded or was stepped through is made anew. */
  async #goBack(snapshot: ReadSnapshot): Promise<void> {
    const isOther = this.#anew !== null || this.#recording !== null || (this.#stepper?.debugger ?? null) !== null
    if (this.#pc === null || isOther) return this.#make(snapshot)
    const atRest = snapshot.checkDisks(this.#drives.media)
    // Snapshots have none of the page's devices.
    this.#attached?.close()
    await putBackBoard(this.#powered(), snapshot, atRest)
    this.#goesOn(snapshot)
  }

  #goesOn({ console, arrived }: ReadSnapshot): void {
    this.#arrived = arrived
    const printed = console ?? new Uint8Array()
    this.#serial.startWith(printed)
    this.#recording?.startWith(printed)
    this.#shown = null
    this.#isPastTold = false
    this.#send({ event: 'console', bytes: printed.slice() })
  }

  /** Shows a machine of the past, or the machine itself again. */
  #show(machine: BoardMachine, console: Uint8Array<ArrayBuffer> | null): void {
    const before = this.#shown
    this.#frames.show(console === null ? this.#screen : machine.screen)
    this.#serial.flush()
    this.#shown = console
    this.#isPastTold = false
    if (console === null && before === null) return
    const bytes = console ?? this.#serial.tail
    // A terminal with the same content stays unchanged.
    if (bytes.length !== before?.length || bytes.some((byte, i) => byte !== before[i]))
      this.#send({ event: 'console', bytes: bytes.slice() })
  }

  /** The cable may be plugged in elsewhere by now. */
  #currentOptions(): SentOptions {
    return this.#network === null ? this.#options : { ...this.#options, network: this.#network.options }
  }

  #boardParts(): BoardParts {
    return {
      recorded: this.#recorded,
      images: this.#images,
      drives: this.#drives,
      network: this.#network,
      input: this.#input,
      sound: this.#sound,
      files: this.#files,
      screen: this.#screen,
      onCode: this.#codes.onCode,
      onTurns: (why) => (this.turns = why),
      onDeviceFailure: (failure: DeviceFailure) => this.#deviceFailed(failure),
      onSleep: (asleep: boolean) => this.#tellState(asleep ? 'asleep' : 'running'),
    }
  }

  #createBoard(snapshot: ReadSnapshot | null, opened: OpenedRecording | null): Promise<BoardMachine> {
    const parts = this.#boardParts()
    const recording = this.#recording
    const repeated = (part: number): void => {
      const totalBytes = opened!.file.size
      this.#listener.progress({ image: 'recording, run again', loadedBytes: part * totalBytes, totalBytes })
    }
    const recorded =
      recording &&
      ((all: BoardOptions): Promise<BoardMachine> =>
        opened === null ? recording.make(all, this.#currentOptions()) : recording.open(all, opened, repeated))
    return createBoard(this.#options, parts, snapshot, recorded ?? undefined)
  }

  #tellState(state: MachineState): void {
    this.#told = state
    this.#send({ event: 'state', state })
  }

  /** Has the machine stand still for an action. */
  #between<T>(action: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#errands.push(() => action().then(resolve, reject))
      this.#stop.abort()
      this.#life ??= this.#live()
    })
  }

  /** Runs an action that replaces the machine by another. */
  #replacing<T>(action: () => Promise<T>): Promise<T> {
    return this.#between(() => this.#route.during(action))
  }

  /** See `Machine.save`, and `Calls`. RAM is copied while the guest runs on. */
  async save(since: number | null): Promise<SavedSnapshot> {
    // Otherwise the guest would stop until all of its RAM is loaded.
    await this.#arrived
    return this.#between(async () => {
      const pc = this.#powered()
      this.#attached?.checkNone()
      const { checkKept, savedWrites, wholeSnapshot } = await loadSnapshots()
      checkKept(this.#options)
      const resumed = Promise.withResolvers<void>()
      const before = this.#saved?.instant === since ? this.#saved?.pages : undefined
      const isPaused = this.#told !== 'off' && !this.#isMeantToRun
      const saving = pc.save({ onResumed: () => resumed.resolve(), forRestore: true, since: before })
      await Promise.race([resumed.promise, saving])
      // Devices have nothing under way: disks are as they were at that instant.
      const writes = await savedWrites(this.#drives.media)
      const { tail } = this.#serial
      const named = (snapshot: PcSnapshot | ArmSnapshot): SavedSnapshot => {
        const instant = ++this.#instants
        this.#saved = { instant, pages: snapshot.pages }
        return { ...wholeSnapshot(this.#currentOptions(), snapshot, writes, tail, isPaused), instant }
      }
      // The guest does not wait for its end.
      return { whole: saving.then(named) }
    }).then(({ whole }) => whole)
  }

  /** See `Machine`. */
  restore(source: SentSource): Promise<void> {
    // Input from now on is for the instant of the snapshot, though the machine runs on until that is read.
    return this.#route.during(() => this.#restore(source))
  }

  async #restore(source: SentSource): Promise<void> {
    const { openAgain } = await loadSnapshots()
    const snapshot = await openAgain(this.#options, source, this.#listener)
    await this.#between(async () => {
      await this.#become(snapshot, () => this.#goBack(snapshot))
      this.#saved = null
      this.#releaseAnew()
      // A machine that was off is paused at the instant of the snapshot.
      if (!this.#wanted) this.#tellState('paused')
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

  /** Starts the machine, or lets it go on. */
  async run(): Promise<void> {
    this.#isMeantToRun = true
    this.#recording?.interrupt()
    // The run of a file has an end: the machine goes on by itself.
    if (this.#recording?.isReplayed === true) await this.branch()
    await (await this.#stepping)?.idle()
    this.#stepper?.debugger?.resume()
    void this.#go()
  }

  #go(): Promise<void> {
    this.#wanted = true
    return (this.#life ??= this.#live())
  }

  /** Stops between two instructions. Resolves when the machine has stopped. */
  async pause(): Promise<void> {
    this.#isMeantToRun = false
    this.#recording?.interrupt()
    await (await this.#stepping)?.idle()
    await this.#rest()
  }

  async #rest(): Promise<void> {
    this.#wanted = false
    this.#stop.abort()
    await this.#life
  }

  /** Starts the machine anew, as its reset button would. */
  async reset(): Promise<void> {
    // Input from now on is for the machine that starts, though this one runs on until it has stopped.
    this.#anew ??= this.#route.hold()
    this.#stop.abort()
    await this.run()
  }

  async #live(): Promise<void> {
    try {
      while (this.#wanted || this.#errands.length > 0) {
        const errand = this.#errands.shift()
        if (errand !== undefined) {
          // oxlint-disable-next-line no-await-in-loop -- a machine lives in order
          await errand()
          continue
        }
        if (this.#anew !== null || this.#pc === null) {
          await this.#route.during(() => {
            const [pc, isReset] = [this.#pc, this.#anew !== null && this.#recording === null]
            this.#releaseAnew()
            return pc !== null && isReset ? this.#reset(pc) : this.#make(null)
          })
          // The machine may have been paused, or reset, meanwhile.
          continue
        }
        this.#stop = new AbortController()
        if (this.#told !== 'running') this.#tellState('running')
        const { signal } = this.#stop
        const exit = await (this.#recording ?? this.#pc!).run({ signal })
        await this.#serial.ready()
        if (exit.reason === 'reset') this.#anew ??= this.#route.hold()
        else if (exit.reason !== 'stopped' && this.#anew === null) return this.#end(exit)
      }
      if (this.#told !== 'off') this.#tellState('paused')
    } catch (error) {
      this.#end({ reason: 'internal-error', detail: { message: String(error) } })
    } finally {
      this.#life = null
      // Requests that arrived during the end get an error: the machine is off.
      if (this.#errands.length > 0) this.#life = this.#live()
    }
  }

  /** RAM and the clock stay: the machine is reset in place. */
  async #reset(pc: BoardMachine): Promise<void> {
    this.#images = await readOtherImages(this.#options, this.#images, this.#listener)
    await pc.reset(this.#images)
  }

  #releaseAnew(): void {
    this.#anew?.()
    this.#anew = null
  }

  #end(exit: MachineExit): void {
    this.#wanted = false
    this.#releaseAnew()
    // The past of a recorded machine can still be shown.
    if (this.#recording === null) this.#pc?.close()
    this.#pc = null
    this.#attached?.close()
    if (this.#stepper !== null) this.#stepper.debugger = null
    this.#serial.flush()
    this.#tellState('off')
    this.#send({ event: 'exit', exit })
  }

  /** @throws WebError `ERR_MACHINE` for a machine that is off */
  #powered(): BoardMachine {
    if (this.#pc === null) throw new WebError('ERR_MACHINE', 'the machine is off; run() starts it again')
    return this.#pc
  }

  /** See `Machine`. */
  powerButton(): Promise<boolean> {
    return this.#powered().powerButton()
  }

  /** See `Machine`. */
  type(text: string, layout: KeyboardLayoutName | undefined): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    this.#give(
      () => resolve(this.#input.keyboard.type(text, layout === undefined ? {} : { layout })),
      () => resolve(false),
    )
    return promise
  }

  /** See `Machine`. */
  screenText(): string | null {
    this.#screen.refresh()
    return this.#screen.text
  }

  /** See `Machine`. */
  statistics(): MachineStatistics {
    return this.#powered().statistics()
  }

  /** See `Machine`. */
  inspect(): Promise<MachineView> {
    return this.#look(async (machine) => ({
      ...(await inspectBoard(machine)),
      requests: this.#listener.requests.list(),
      devices: this.#impairments.list(machine.domain.devices),
    }))
  }

  /** Looks at the machine that is shown. vCPUs in threads stand still for that. */
  async #look<T>(look: (machine: BoardMachine) => Promise<T>): Promise<T> {
    const machine = (await this.#recording?.seen()) ?? this.#powered()
    return areVcpusAway(machine) ? this.#between(() => look(this.#powered())) : look(machine)
  }

  /** See `Machine`. */
  async inspectAddress(address: bigint, cpu: number): Promise<AddressView> {
    const { inspectAddress } = await import('./inspect-address.ts')
    return this.#look(async (machine) => inspectAddress(machine, address, cpu))
  }

  /**
   * Called after the host has slept, which stopped its monotonic clock: guest time jumps ahead. The guest's timers catch
   * up only a moment's ticks.
   *
   * @param ms - milliseconds that the clock has missed
   */
  async slept(ms: number): Promise<void> {
    // The guest of a recorded machine has lost the time: no recording would have it.
    if (this.#pc === null || this.#recording !== null) return
    // Between two turns: waits are worked out anew.
    await this.#between(async () => {
      if (this.#pc !== null) addTime(this.#pc.domain.clock, ms)
    })
  }

  /** See `Machine`. */
  compiledCode(): CompiledView[] {
    return this.#codes.list()
  }

  /** See `Machine`. */
  impairDevice(name: string, impairment: Impairment): void {
    this.#impairments.set(this.#impairable(this.#powered()), name, impairment)
  }

  #impairable({ domain }: BoardMachine): ImpairableDevices {
    return this.#recording?.impairable(domain.devices) ?? domain.devices
  }

  #loadStepper(): Promise<Stepper> {
    return (this.#stepping ??= import('./stepper.ts').then(
      ({ Stepper: Loaded }) =>
        (this.#stepper = new Loaded({
          rest: () => this.#rest(),
          go: () => this.#go(),
          powered: () => this.#powered(),
        })),
    ))
  }

  /** See `Machine`. Of a recorded machine, whichever vCPU is next executes one. */
  async step(vcpu: number): Promise<boolean> {
    if (this.#recording === null) return (await this.#loadStepper()).step(vcpu)
    const { reason } = (await this.debug('travel', [{ by: 'step' }])) as TravelStop
    return reason === 'step'
  }

  /** See `PageDebugger`. */
  async debug(call: DebuggerCall, given: readonly unknown[]): Promise<unknown> {
    // Nothing of that needs a recording.
    if (this.#recording === null && call === 'readMemory')
      return this.#look(async () => (await this.#loadStepper()).readMemory(given[0] as MemoryPlace))
    return this.#recorder().debug(call, given)
  }

  /** @throws WebError `ERR_MACHINE` for a machine that is not recorded */
  #recorder(): Recording {
    if (this.#recording !== null) return this.#recording
    throw new WebError('ERR_MACHINE', 'the machine is not recorded; machine.debugger.record() begins to')
  }

  async #newRecording(): Promise<Recording> {
    const { Recording: Loaded } = await import('./recording.ts')
    return new Loaded(this.#options, {
      between: (action) => this.#between(action),
      replacing: (action) => this.#replacing(action),
      rest: () => this.#rest(),
      go: () => {
        this.#isMeantToRun = true
        return this.#go()
      },
      stopped: () => (this.#isMeantToRun = false),
      shows: (machine, console) => this.#show(machine, console),
      moved: (position, stop) => this.#send({ event: 'position', position, stop }),
      console: () => this.#shown ?? this.#serial.tail,
      become: (snapshot) => this.#become(snapshot, () => this.#make(snapshot)),
    })
  }

  /** See `PageDebugger`: the machine goes on from where the debugger is. */
  async branch(change?: MachineChange): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- one try after another
        await this.#recorder().branch(change)
        break
      } catch (error) {
        // A timer that is due fires when the machine goes on for a moment.
        const isAtWork = (error as { readonly code?: unknown }).code === 'ERR_SNAPSHOT'
        if (!isAtWork || !this.#isMeantToRun || tries === MOST_TRIES) throw error
        void this.#go()
        // oxlint-disable-next-line no-await-in-loop -- as above
        await new Promise((resolve) => setTimeout(resolve, tries))
      }
    }
    if (this.#isMeantToRun && change === undefined) void this.#go()
    else this.#tellState('paused')
  }

  /** See `PageDebugger`. @returns whether the machine has branched */
  async change(change: MachineChange): Promise<boolean> {
    if (this.#recording === null) await (await this.#loadStepper()).change(change)
    else await this.branch(change)
    return this.#recording !== null
  }

  /** See `PageDebugger`: the machine goes on from this instant, recorded. */
  async record(): Promise<void> {
    if (this.#recording !== null) return
    const recording = await this.#newRecording()
    if (this.#pc === null) return void (this.#recording = recording)
    // Otherwise the guest would stop until all of its RAM is loaded.
    await this.#arrived
    await this.#replacing(async () => {
      // The page may have called twice.
      if (this.#recording !== null) return
      const pc = this.#powered()
      this.#attached?.checkNone()
      await recording.begin(pc, boardOptions(this.#options, this.#boardParts()), () => (this.#recording = recording))
    })
  }

  /** Reports the end of the machine with its reason. */
  #deviceFailed({ policy, device, request, cause }: DeviceFailure): void {
    if (policy === 'detach')
      this.#listener.warning(`device ${device} is taken out, as it has failed (${request}): ${reasonOf(cause)}`)
  }

  /** See `Machine`. */
  async attachDevices(name: string, port: MessagePort): Promise<void> {
    const { AttachedDevices, plugInto, requirePc } = await import('./attached-devices.ts')
    this.#attached ??= new AttachedDevices()
    const { domain } = requirePc(this.#powered())
    const recording = this.#recording
    await this.#attached.attach((start) => recording?.plug(start) ?? plugInto(domain, start), name, port)
  }

  /** See `Machine`. */
  detachDevices(name: string): boolean {
    return this.#attached?.detach(name) ?? false
  }

  /** @throws WebError `ERR_MACHINE` for a machine without shared files */
  get files(): SharedFiles {
    if (this.#files !== null) return this.#files
    throw new WebError('ERR_MACHINE', 'the machine has no shared files: make it with the option files')
  }

  /** See `Machine.attachSound`. */
  hear(port: MessagePort): Promise<void> {
    return this.#sound.sendTo(port, this.#options.shared)
  }

  /** See `Machine`. */
  async connectNetwork(network: SentNetwork): Promise<void> {
    if (this.#network === null)
      throw new WebError('ERR_MACHINE', 'the machine has no network card: make it with the option network')
    await this.#network.connect(network)
  }

  /** See `Machine`. */
  async insert(id: string, source: SentSource | null): Promise<void> {
    await this.#drives.insert(this.#powered(), id, source)
    this.#recording?.exchanged()
  }

  /** Gives input to the machine. @param refuse - called instead while its past is shown; default: the user gets a warning */
  #give(input: () => void, refuse: () => void = () => undefined): void {
    this.#route.give(() => {
      // While the debugger returns to the present, input goes to the machine itself.
      if (this.#shown === null || this.#wanted) return input()
      refuse()
      if (!this.#isPastTold) this.#send({ event: 'warning', message: PAST })
      this.#isPastTold = true
    })
  }

  /** Carries out messages of the page that need no answer. */
  told(message: Extract<ToWorker, { tell: string }>): void {
    if (message.tell === 'serial') this.#give(() => this.#pc?.serial.receive(message.bytes))
    else if (message.tell === 'printed') this.#serial.printed(message.bytes)
    else if (message.tell === 'keys') this.#give(() => this.#input.pressKeys(message.keys))
    else if (message.tell === 'pointer') this.#give(() => this.#input.movePointer(message.events))
    else if (message.tell === 'watch') this.#frames.watch(message.on)
    else if (message.tell === 'diskDelay') this.#listener.requests.delayMs = message.ms
    else if (message.tell === 'diskFailure') this.#listener.requests.fails = message.on
    else this.#frames.drawn()
  }
}
