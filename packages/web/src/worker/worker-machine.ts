import { type KeyboardLayoutName } from '@retrap/display'
import type { PcSnapshot } from '@retrap/machine'
import type { ArmSnapshot } from '@retrap/machine/arm'
import type { DebuggerCall, MachineChange, MemoryPlace, TravelStop } from '../debugger.ts'
import { WebError } from '../errors.ts'
import type { AddressView, CompiledView, Impairment, MachineView } from '../inspection.ts'
import type { MachineStatistics, SavedSnapshot, SentNetwork, SentOptions, SentSource, ToWorker } from '../protocol.ts'
import { areVcpusAway, type BoardMachine, boardOptions, inspectBoard } from './boards.ts'
import { addTime } from './host-sleep.ts'
import { loadSnapshots } from './opening.ts'
import type { SharedFiles } from './shared-files.ts'
import type { Recording } from './recording.ts'
import type { Stepper } from './stepper.ts'
import { MachineLife, type Send } from './machine-life.ts'

/** Instants at which a branch is tried before a machine counts as one whose devices are never at rest. */
const MOST_TRIES = 40

/** The machine of a Worker, which carries out the page's calls. The comments of `Machine` and `PageDebugger` describe each call. */
export class WorkerMachine {
  readonly #life: MachineLife
  /** Resolves to the stepper: later steps wait for earlier ones. */
  #stepping: Promise<Stepper> | null = null
  #instants = 0

  private constructor(life: MachineLife) {
    this.#life = life
  }

  /** Loads the machine's images, and makes the machine. @throws WebError */
  static async open(options: SentOptions, send: Send): Promise<WorkerMachine> {
    return new WorkerMachine(await MachineLife.open(options, send))
  }

  get turns(): string | null {
    return this.#life.turns
  }

  /** See `Machine.save`, and `Calls`. RAM is copied while the guest runs on. */
  async save(since: number | null): Promise<SavedSnapshot> {
    // Otherwise the guest would stop until all of its RAM is loaded.
    await this.#life.arrived
    return this.#life
      .between(async () => {
        const pc = this.#life.powered()
        this.#life.attached?.checkNone()
        const { checkKept, savedWrites, wholeSnapshot } = await loadSnapshots()
        checkKept(this.#life.parts.options)
        const resumed = Promise.withResolvers<void>()
        const before = this.#life.saved?.instant === since ? this.#life.saved?.pages : undefined
        const isPaused = this.#life.told !== 'off' && !this.#life.isMeantToRun
        const saving = pc.save({ onResumed: () => resumed.resolve(), forRestore: true, since: before })
        await Promise.race([resumed.promise, saving])
        // Devices have nothing under way: disks are as they were at that instant.
        const writes = await savedWrites(this.#life.parts.drives.media)
        const { tail } = this.#life.serial
        const named = (snapshot: PcSnapshot | ArmSnapshot): SavedSnapshot => {
          const instant = ++this.#instants
          this.#life.saved = { instant, pages: snapshot.pages }
          return { ...wholeSnapshot(this.#life.currentOptions(), snapshot, writes, tail, isPaused), instant }
        }
        // The guest does not wait for its end.
        return { whole: saving.then(named) }
      })
      .then(({ whole }) => whole)
  }

  restore(source: SentSource): Promise<void> {
    // Input from now on is for the instant of the snapshot, though the machine runs on until that is read.
    return this.#life.route.during(() => this.#restore(source))
  }

  async #restore(source: SentSource): Promise<void> {
    const { openAgain } = await loadSnapshots()
    const snapshot = await openAgain(this.#life.parts.options, source, this.#life.listener)
    await this.#life.restore(snapshot)
  }

  /** Starts the machine, or lets it go on. */
  async run(): Promise<void> {
    this.#life.isMeantToRun = true
    this.#life.recording?.interrupt()
    // The run of a file has an end: the machine goes on by itself.
    if (this.#life.recording?.isReplayed === true) await this.branch()
    await (await this.#stepping)?.idle()
    this.#life.stepper?.debugger?.resume()
    void this.#life.go()
  }

  /** Stops between two instructions. Resolves when the machine has stopped. */
  async pause(): Promise<void> {
    this.#life.isMeantToRun = false
    this.#life.recording?.interrupt()
    await (await this.#stepping)?.idle()
    await this.#life.rest()
  }

  /** Starts the machine anew, as its reset button would. */
  async reset(): Promise<void> {
    // Input from now on is for the machine that starts, though this one runs on until it has stopped.
    this.#life.startAnew()
    await this.run()
  }

  powerButton(): Promise<boolean> {
    return this.#life.powered().powerButton()
  }

  type(text: string, layout: KeyboardLayoutName | undefined): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    this.#life.give(
      () => resolve(this.#life.input.keyboard.type(text, layout === undefined ? {} : { layout })),
      () => resolve(false),
    )
    return promise
  }

  screenText(): string | null {
    this.#life.screen.refresh()
    return this.#life.screen.text
  }

  statistics(): MachineStatistics {
    return this.#life.powered().statistics()
  }

  inspect(): Promise<MachineView> {
    return this.#look(async (machine) => ({
      ...(await inspectBoard(machine)),
      requests: this.#life.listener.requests.list(),
      devices: this.#life.impairments.list(machine.domain.devices),
    }))
  }

  /** Looks at the machine that is shown. vCPUs in threads stand still for that. */
  async #look<T>(look: (machine: BoardMachine) => Promise<T>): Promise<T> {
    const machine = (await this.#life.recording?.seen()) ?? this.#life.powered()
    return areVcpusAway(machine) ? this.#life.between(() => look(this.#life.powered())) : look(machine)
  }

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
    if (this.#life.pc === null || this.#life.recording !== null) return
    // Between two turns: waits are worked out anew.
    await this.#life.between(async () => {
      if (this.#life.pc !== null) addTime(this.#life.pc.domain.clock, ms)
    })
  }

  compiledCode(): CompiledView[] {
    return this.#life.codes.list()
  }

  impairDevice(name: string, impairment: Impairment): void {
    this.#life.impairments.set(this.#life.impairable(this.#life.powered()), name, impairment)
  }

  #loadStepper(): Promise<Stepper> {
    return (this.#stepping ??= import('./stepper.ts').then(
      ({ Stepper: Loaded }) =>
        (this.#life.stepper = new Loaded({
          rest: () => this.#life.rest(),
          go: () => this.#life.go(),
          powered: () => this.#life.powered(),
        })),
    ))
  }

  /** See `Machine`. Of a recorded machine, whichever vCPU is next executes one. */
  async step(vcpu: number): Promise<boolean> {
    if (this.#life.recording === null) return (await this.#loadStepper()).step(vcpu)
    const { reason } = (await this.debug('travel', [{ by: 'step' }])) as TravelStop
    return reason === 'step'
  }

  async debug(call: DebuggerCall, given: readonly unknown[]): Promise<unknown> {
    // Nothing of that needs a recording.
    if (this.#life.recording === null && call === 'readMemory')
      return this.#look(async () => (await this.#loadStepper()).readMemory(given[0] as MemoryPlace))
    return this.#recorder().debug(call, given)
  }

  /** @throws WebError `ERR_MACHINE` for a machine that is not recorded */
  #recorder(): Recording {
    if (this.#life.recording !== null) return this.#life.recording
    throw new WebError('ERR_MACHINE', 'the machine is not recorded; machine.debugger.record() begins to')
  }

  /** See `PageDebugger`: the machine goes on from where the debugger is. */
  async branch(change?: MachineChange): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.#recorder().branch(change)
        break
      } catch (error) {
        // A timer that is due fires when the machine goes on for a moment.
        const isAtWork = (error as { readonly code?: unknown }).code === 'ERR_SNAPSHOT'
        if (!isAtWork || !this.#life.isMeantToRun || tries === MOST_TRIES) throw error
        void this.#life.go()
        await new Promise((resolve) => setTimeout(resolve, tries))
      }
    }
    if (this.#life.isMeantToRun && change === undefined) void this.#life.go()
    else this.#life.tellState('paused')
  }

  /** See `PageDebugger`. @returns whether the machine has branched */
  async change(change: MachineChange): Promise<boolean> {
    if (this.#life.recording === null) await (await this.#loadStepper()).change(change)
    else await this.branch(change)
    return this.#life.recording !== null
  }

  /** See `PageDebugger`: the machine goes on from this instant, recorded. */
  async record(): Promise<void> {
    if (this.#life.recording !== null) return
    const recording = await this.#life.newRecording()
    if (this.#life.pc === null) return void (this.#life.recording = recording)
    // Otherwise the guest would stop until all of its RAM is loaded.
    await this.#life.arrived
    await this.#life.replacing(async () => {
      // The page may have called twice.
      if (this.#life.recording !== null) return
      const pc = this.#life.powered()
      this.#life.attached?.checkNone()
      await recording.begin(
        pc,
        boardOptions(this.#life.parts.options, this.#life.boardParts()),
        () => (this.#life.recording = recording),
      )
    })
  }

  async attachDevices(name: string, port: MessagePort): Promise<void> {
    const { AttachedDevices, plugInto, requirePc } = await import('./attached-devices.ts')
    this.#life.attached ??= new AttachedDevices()
    const { domain } = requirePc(this.#life.powered())
    const recording = this.#life.recording
    await this.#life.attached.attach((start) => recording?.plug(start) ?? plugInto(domain, start), name, port)
  }

  detachDevices(name: string): boolean {
    return this.#life.attached?.detach(name) ?? false
  }

  /** @throws WebError `ERR_MACHINE` for a machine without shared files */
  get files(): SharedFiles {
    if (this.#life.parts.files !== null) return this.#life.parts.files
    throw new WebError('ERR_MACHINE', 'the machine has no shared files: make it with the option files')
  }

  hear(port: MessagePort): Promise<void> {
    return this.#life.sound.sendTo(port, this.#life.parts.options.shared)
  }

  async connectNetwork(network: SentNetwork): Promise<void> {
    if (this.#life.parts.network === null)
      throw new WebError('ERR_MACHINE', 'the machine has no network card: make it with the option network')
    await this.#life.parts.network.connect(network)
  }

  async insert(id: string, source: SentSource | null): Promise<void> {
    await this.#life.parts.drives.insert(this.#life.powered(), id, source)
    this.#life.recording?.exchanged()
  }

  /** Carries out messages of the page that need no answer. */
  told(message: Extract<ToWorker, { tell: string }>): void {
    if (message.tell === 'serial') this.#life.give(() => this.#life.pc?.serial.receive(message.bytes))
    else if (message.tell === 'printed') this.#life.serial.printed(message.bytes)
    else if (message.tell === 'keys') this.#life.give(() => this.#life.input.pressKeys(message.keys))
    else if (message.tell === 'pointer') this.#life.give(() => this.#life.input.movePointer(message.events))
    else if (message.tell === 'watch') this.#life.frames.watch(message.on)
    else if (message.tell === 'diskDelay') this.#life.listener.requests.delayMs = message.ms
    else if (message.tell === 'diskFailure') this.#life.listener.requests.fails = message.on
    else this.#life.frames.drawn()
  }
}
