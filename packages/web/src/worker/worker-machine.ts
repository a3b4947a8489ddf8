import type { DeviceFailure } from '@retrap/ioreq'
import { DisplayError, Keyboard, type KeyName, Mouse, Screen } from '@retrap/display'
import {
  createPc,
  preparePc,
  type MachineExit,
  Pc,
  type MachineDebugger,
  type PcDrive,
  type PcOptions,
} from '@retrap/machine'
import type { ArmMachine } from '@retrap/machine/arm'
import { WebError } from '../errors.ts'
import type { CompiledView, Impairment, MachineView } from '../inspection.ts'
import {
  type FromWorker,
  IMAGE_OPTIONS,
  type ImageOption,
  type KeyChange,
  type MachineState,
  type MachineStatistics,
  type PointerChange,
  type SentNetwork,
  type SentOptions,
  type SentSource,
  type ToWorker,
} from '../protocol.ts'
import type * as ArmBoards from './arm-board.ts'
import type { AttachedDevices } from './attached-devices.ts'
import { CompiledCodes } from './compiled-code.ts'
import { DiskRequests } from './disk-requests.ts'
import { FrameSender } from './frames.ts'
import type { MachineNetwork } from './networks.ts'
import { Impairments } from './impairments.ts'
import { SerialSender } from './serial-sender.ts'
import type { OpenMedium } from './media.ts'
import type * as Snapshotting from './snapshots.ts'
import { readWhole, reasonOf, type SourceListener } from './sources.ts'

/** Sends a message to the page. */
type Send = (message: FromWorker, transfer?: Transferable[]) => void

const DEFAULT_MEMORY_BYTES = 128 << 20
/** 60 frames a second. */
const FRAME_MS = 16
/** Within this time a vCPU executes an instruction, unless it waits for a device or an interrupt. */
const STEP_MS = 250
/** Absolute pointers go from 0 to this. */
const LARGEST_PLACE = 0x7fff

/** Opens a medium. Machines without drives load nothing of that. */
const openMedium: OpenMedium = async (...given) => (await import('./media.ts')).openMedium(...given)

/** Machines without a network load nothing of that. */
const openNetwork = async (...given: Parameters<typeof MachineNetwork.open>): Promise<MachineNetwork> =>
  (await import('./networks.ts')).MachineNetwork.open(...given)

/** Loaded when a machine is saved, or goes on from a snapshot. */
const loadSnapshots = async (): Promise<typeof Snapshotting> => import('./snapshots.ts')

/** Loaded for an Arm board. */
const loadArm = async (): Promise<typeof ArmBoards> => import('./arm-board.ts')

/** Images that are read as a whole. */
type WholeImage = Exclude<ImageOption, 'snapshot'>
type LoadedImages = Partial<Record<WholeImage, Uint8Array>>
const WHOLE_IMAGES = IMAGE_OPTIONS.filter((name) => name !== 'snapshot')

/** Images that a machine which goes on from a snapshot needs for a reset only. */
const LATER: readonly WholeImage[] = ['kernel', 'initrd']

/** The machine of a Worker: what the page's calls do. */
export class WorkerMachine {
  readonly #send: Send
  readonly #options: SentOptions
  #images: LoadedImages
  readonly #drives: PcDrive[] | null
  readonly #listener: SourceListener
  readonly #network: MachineNetwork | null
  // They go on when the machine starts anew.
  readonly #screen = new Screen({ intervalMs: FRAME_MS })
  readonly #keyboard: Keyboard
  readonly #mouse = new Mouse()
  readonly #frames: FrameSender
  readonly #serial: SerialSender
  readonly #impairments = new Impairments()
  readonly #codes = new CompiledCodes()
  /** Devices of the page's; null before the first ones. */
  #attached: AttachedDevices | null = null
  #pc: Pc | ArmMachine | null = null
  /** Steps through the machine, once somebody has; it keeps the machine still until it runs on. */
  #debugger: MachineDebugger | null = null
  #life: Promise<void> | null = null
  #stop = new AbortController()
  /** The user wants it to run. */
  #wanted = false
  /** It is to start anew. */
  #anew = false
  #pointer: Mouse['pointer'] = 'none'
  #told: MachineState = 'off'
  /** What is done between two turns of the machine. */
  readonly #errands: (() => Promise<void>)[] = []

  private constructor(
    options: SentOptions,
    images: LoadedImages,
    drives: PcDrive[] | null,
    network: MachineNetwork | null,
    listener: SourceListener,
    send: Send,
  ) {
    this.#options = options
    this.#images = images
    this.#drives = drives
    this.#network = network
    this.#listener = listener
    this.#send = send
    this.#keyboard = new Keyboard({ layout: options.layout ?? 'us' })
    this.#frames = new FrameSender(this.#screen, options.shared, (frame, transfer) =>
      send({ event: 'frame', frame }, transfer),
    )
    this.#serial = new SerialSender(
      (bytes) => send({ event: 'serial', bytes }, [bytes.buffer]),
      () => this.#stop.abort(),
    )
  }

  /** Loads what the machine starts, and makes it. @throws WebError */
  static async open(options: SentOptions, send: Send): Promise<WorkerMachine> {
    const listener: SourceListener = {
      progress: (progress) => send({ event: 'progress', progress }),
      warning: (message) => send({ event: 'warning', message }),
      requests: new DiskRequests(),
    }
    const from = options.images.snapshot
    const later = from === undefined ? [] : LATER
    const loading = Promise.all([
      from === undefined ? null : loadSnapshots().then(({ openFrom }) => openFrom(options, from, listener)),
      readImages(options, (name) => !later.includes(name), listener),
      Promise.all(
        (options.drives ?? []).map(async ({ source, ...drive }) =>
          source === null ? null : openMedium(drive, source, listener),
        ),
      ),
    ])
    // Images are on their way meanwhile.
    const [[snapshot, images, media]] = await Promise.all([loading, prepare(options)])
    const drives = options.drives?.map((drive, i): PcDrive => ({
      id: drive.id,
      media: drive.media,
      interface: drive.interface,
      medium: media[i] ?? null,
    }))
    const saved = snapshot?.options
    const plug = options.network === undefined ? saved?.network : { ...saved?.network, ...options.network }
    const isCopy = snapshot !== null && options.network?.macAddress === undefined
    const network = plug === undefined ? null : await openNetwork(plug, isCopy, listener)
    const all = { memoryBytes: DEFAULT_MEMORY_BYTES, ...saved, ...options }
    const machine = new WorkerMachine(all, images, drives ?? null, network, listener, send)
    await machine.#make(snapshot)
    return machine
  }

  /** @param snapshot - to go on from; null: it is switched on */
  async #make(snapshot: Snapshotting.ReadSnapshot | null): Promise<void> {
    this.#pc?.close()
    this.#pc = null
    this.#attached?.close()
    this.#debugger = null
    this.#codes.clear()
    if (snapshot === null)
      this.#images = {
        ...this.#images,
        ...(await readImages(this.#options, (name) => this.#images[name] === undefined, this.#listener)),
      }
    if (snapshot !== null) {
      const { settleDisks } = await loadSnapshots()
      await settleDisks(this.#media())
      snapshot.checkDisks(this.#media())()
    }
    this.#pc =
      this.#options.board === 'virt'
        ? await (await loadArm()).createArmBoard(this.#pcOptions())
        : await createPc({ ...this.#pcOptions(), ...(snapshot !== null && { snapshot }) })
    this.#impairments.applyAll(this.#pc.domain.devices)
    this.#pc.serial.onTransmit((bytes) => this.#serial.transmit(bytes))
    if (snapshot !== null) this.#showConsole(snapshot)
  }

  /** Puts the machine back in its own memory; one that is off, or was stepped through, is made anew. */
  async #goBack(snapshot: Snapshotting.ReadSnapshot): Promise<void> {
    if (this.#pc === null || this.#debugger !== null || this.#anew) return this.#make(snapshot)
    const atRest = snapshot.checkDisks(this.#media())
    // Snapshots have none of the page's devices.
    this.#attached?.close()
    await this.#x86().restore(snapshot, { atRest })
    this.#showConsole(snapshot)
  }

  #showConsole({ console }: Snapshotting.ReadSnapshot): void {
    const printed = console ?? new Uint8Array()
    this.#serial.startWith(printed)
    this.#send({ event: 'console', bytes: printed.slice() })
  }

  /** The cable may be plugged in elsewhere by now. */
  #currentOptions(): SentOptions {
    return this.#network === null ? this.#options : { ...this.#options, network: this.#network.options }
  }

  #media(): Snapshotting.NamedMedium[] {
    return (this.#drives ?? []).map(({ id, medium }, i) => [id ?? `disk${i}`, medium as Snapshotting.NamedMedium[1]])
  }

  #pcOptions(): PcOptions {
    const {
      memoryBytes = DEFAULT_MEMORY_BYTES,
      board,
      tablet,
      cpus,
      cpu,
      commandLine,
      vga,
      hypervisor,
      jit,
    } = this.#options
    return {
      ...this.#images,
      memoryBytes,
      ...(board !== 'virt' && { machine: board }),
      cpus,
      cpu,
      commandLine,
      vga,
      hypervisor,
      jit: jit !== false && { onCode: this.#codes.onCode },
      ...(this.#drives !== null && { drives: this.#drives }),
      ...this.#network?.pcOptions(),
      ...(tablet === true && { usb: { devices: [{ kind: 'tablet' }] } }),
      screen: this.#screen,
      keyboard: this.#keyboard,
      mouse: this.#mouse,
      onDeviceFailure: (failure) => this.#deviceFailed(failure),
      onSleep: (asleep) => this.#tellState(asleep ? 'asleep' : 'running'),
    }
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

  /** See `Machine`. */
  save(): Promise<Blob> {
    return this.#between(async () => {
      const pc = this.#x86()
      this.#attached?.checkNone()
      const { checkKept, savedWrites, snapshotFile } = await loadSnapshots()
      checkKept(this.#options)
      const resumed = Promise.withResolvers<void>()
      const saving = pc.save({ onResumed: () => resumed.resolve() })
      await Promise.race([resumed.promise, saving])
      // Devices have nothing under way: disks are as they were at that instant.
      const writes = await savedWrites(this.#media())
      const { tail } = this.#serial
      const file = saving.then((snapshot) => snapshotFile(this.#currentOptions(), snapshot, writes, tail))
      // RAM is copied, and compressed, while the guest runs on.
      return { file }
    }).then(({ file }) => file)
  }

  /** See `Machine`. */
  async restore(source: SentSource): Promise<void> {
    const { openFrom, checkMachine } = await loadSnapshots()
    const snapshot = await openFrom(this.#options, source, this.#listener)
    checkMachine(snapshot, this.#options)
    await this.#between(async () => {
      try {
        await this.#goBack(snapshot)
        this.#anew = false
      } catch (error) {
        this.#end({ reason: 'internal-error', detail: { message: reasonOf(error) } })
        throw error
      }
    })
  }

  /** Starts the machine, or lets it go on. */
  run(): void {
    this.#debugger?.resume()
    this.#go()
  }

  #go(): void {
    this.#wanted = true
    this.#life ??= this.#live()
  }

  /** Stops between two instructions. Resolves when it stands still. */
  async pause(): Promise<void> {
    this.#wanted = false
    this.#stop.abort()
    await this.#life
  }

  /** Starts the machine anew, as its reset button would. */
  reset(): void {
    this.#anew = true
    this.#stop.abort()
    this.run()
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
        if (this.#anew || this.#pc === null) {
          this.#anew = false
          // oxlint-disable-next-line no-await-in-loop
          await this.#make(null)
          // It may have been paused, or reset, meanwhile.
          continue
        }
        this.#stop = new AbortController()
        if (this.#told !== 'running') this.#tellState('running')
        // oxlint-disable-next-line no-await-in-loop
        const exit = await this.#pc!.run({ signal: this.#stop.signal })
        // oxlint-disable-next-line no-await-in-loop
        await this.#serial.ready()
        if (exit.reason === 'reset') this.#anew = true
        else if (exit.reason !== 'stopped' && !this.#anew) return this.#end(exit)
      }
      if (this.#told !== 'off') this.#tellState('paused')
    } catch (error) {
      this.#end({ reason: 'internal-error', detail: { message: String(error) } })
    } finally {
      this.#life = null
      // What was asked for while it ended says that it is off.
      if (this.#errands.length > 0) this.#life = this.#live()
    }
  }

  #end(exit: MachineExit): void {
    this.#wanted = false
    this.#pc?.close()
    this.#pc = null
    this.#attached?.close()
    this.#debugger = null
    this.#serial.flush()
    this.#tellState('off')
    this.#send({ event: 'exit', exit })
  }

  /** @throws WebError `ERR_MACHINE` for a machine that is off */
  #powered(): Pc | ArmMachine {
    if (this.#pc === null) throw new WebError('ERR_MACHINE', 'the machine is off; run() starts it again')
    return this.#pc
  }

  /** @throws WebError `ERR_MACHINE` for a machine that is off, and for an Arm board */
  #x86(): Pc {
    const machine = this.#powered()
    if (machine instanceof Pc) return machine
    throw new WebError('ERR_MACHINE', "board 'virt': an Arm board has neither snapshots nor an inspector here")
  }

  /** See `Machine`. */
  powerButton(): Promise<boolean> {
    return this.#powered().powerButton()
  }

  /** See `Machine`. */
  type(text: string): Promise<boolean> {
    return this.#keyboard.type(text)
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
  async inspect(): Promise<MachineView> {
    const { inspectDomain } = await import('./inspect.ts')
    const { domain } = this.#x86()
    return {
      ...inspectDomain(domain),
      requests: this.#listener.requests.list(),
      devices: this.#impairments.list(domain.devices),
    }
  }

  /** See `Machine`. */
  compiledCode(): CompiledView[] {
    return this.#codes.list()
  }

  /** See `Machine`. */
  impairDevice(name: string, impairment: Impairment): void {
    this.#impairments.set(this.#powered().domain.devices, name, impairment)
  }

  /** See `Machine`. */
  async step(vcpu: number): Promise<boolean> {
    await this.pause()
    const tool = (this.#debugger ??= await this.#powered().debugger())
    const stopped = tool.stop()
    this.#go()
    await stopped
    const done = tool.step(vcpu).then(
      () => true,
      () => false,
    )
    const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), STEP_MS))
    const isDone = await Promise.race([done, late])
    // Otherwise it would stop after that instruction, whenever that is executed.
    if (!isDone) await tool.stop().catch(() => {})
    await this.pause()
    return isDone
  }

  /** The end of the machine is told with its reason. */
  #deviceFailed({ policy, device, request, cause }: DeviceFailure): void {
    if (policy === 'detach')
      this.#listener.warning(`device ${device} is taken out, as it has failed (${request}): ${reasonOf(cause)}`)
  }

  /** See `Machine`. */
  async attachDevices(name: string, port: MessagePort): Promise<void> {
    const { AttachedDevices } = await import('./attached-devices.ts')
    this.#attached ??= new AttachedDevices()
    await this.#attached.attach(this.#x86().domain, name, port)
  }

  /** See `Machine`. */
  detachDevices(name: string): boolean {
    return this.#attached?.detach(name) ?? false
  }

  /** See `Machine`. */
  async connectNetwork(network: SentNetwork): Promise<void> {
    if (this.#network === null)
      throw new WebError('ERR_MACHINE', 'the machine has no network card: make it with the option network')
    await this.#network.connect(network)
  }

  /** See `Machine`. */
  async insert(id: string, source: SentSource | null): Promise<void> {
    const drives = this.#powered().removableDrives
    const drive = drives.find((one) => one.id === id)
    if (drive === undefined) {
      const there = drives.map((one) => one.id).join(', ') || 'none'
      throw new WebError('ERR_OPTION', `drive '${id}': drives with a medium to exchange are: ${there}`)
    }
    const old =
      source === null
        ? await drive.eject()
        : await drive.insert(await openMedium({ id, media: 'cdrom' }, source, this.#listener))
    const at = this.#drives?.findIndex((one) => one.id === id) ?? -1
    if (at >= 0) this.#drives![at] = { ...this.#drives![at]!, medium: drive.medium }
    if (old !== null && 'close' in old) await (old as { close(): Promise<void> }).close()
  }

  /** Does what the page tells and wants no answer to. */
  told(message: Extract<ToWorker, { tell: string }>): void {
    if (message.tell === 'serial') this.#pc?.serial.receive(message.bytes)
    else if (message.tell === 'printed') this.#serial.printed(message.bytes)
    else if (message.tell === 'keys') this.#pressKeys(message.keys)
    else if (message.tell === 'pointer') this.#movePointer(message.events)
    else if (message.tell === 'watch') this.#frames.watch(message.on)
    else if (message.tell === 'diskDelay') this.#listener.requests.delayMs = message.ms
    else if (message.tell === 'diskFailure') this.#listener.requests.fails = message.on
    else this.#frames.drawn()
  }

  #pressKeys(keys: readonly KeyChange[]): void {
    for (const { code, down } of keys) {
      try {
        if (down) void this.#keyboard.down(code as KeyName)
        else void this.#keyboard.up(code as KeyName)
      } catch (error) {
        // A key of the page's keyboard that no PC has.
        if (!(error instanceof DisplayError)) throw error
      }
    }
  }

  #movePointer(events: readonly PointerChange[]): void {
    const isAbsolute = this.#mouse.pointer === 'absolute'
    for (const event of events) {
      if (event.kind === 'wheel') void this.#mouse.wheel(event.vertical)
      else if (event.kind === 'button') void this.#mouse[event.down ? 'down' : 'up'](event.button)
      else if (isAbsolute)
        void this.#mouse.moveTo(Math.round(event.x * LARGEST_PLACE), Math.round(event.y * LARGEST_PLACE))
      else if (event.dx !== 0 || event.dy !== 0) void this.#mouse.move(Math.round(event.dx), Math.round(event.dy))
    }
    if (this.#pointer === this.#mouse.pointer) return
    this.#pointer = this.#mouse.pointer
    this.#send({ event: 'pointer', pointer: this.#pointer })
  }
}

/** Generates what machines of a kind share. */
async function prepare({ board, jit }: SentOptions): Promise<void> {
  if (board === 'virt') (await loadArm()).prepare(jit !== false)
  else preparePc({ jit: jit !== false })
}

/** Reads images of a machine, whole. @throws WebError `ERR_SOURCE` */
async function readImages(
  { images }: SentOptions,
  isWanted: (name: WholeImage) => boolean,
  listener: SourceListener,
): Promise<LoadedImages> {
  const names = WHOLE_IMAGES.filter((name) => images[name] !== undefined && isWanted(name))
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readWhole(name, images[name]!, listener)] as const)),
  )
}
