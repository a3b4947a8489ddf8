import { DisplayError, Keyboard, type KeyName, Mouse, Screen } from '@retrap/display'
import { createPc, type MachineExit, type Pc, type PcDrive, type PcOptions, type PcStatistics } from '@retrap/machine'
import { WebError } from '../errors.ts'
import type { MachineView } from '../inspection.ts'
import {
  type FromWorker,
  IMAGE_OPTIONS,
  type ImageOption,
  type KeyChange,
  type MachineState,
  type PointerChange,
  type SentOptions,
  type SentSource,
  type ToWorker,
} from '../protocol.ts'
import { DiskRequests } from './disk-requests.ts'
import { FrameSender } from './frames.ts'
import { SerialSender } from './serial-sender.ts'
import type { OpenMedium } from './media.ts'
import { readWhole, type SourceListener } from './sources.ts'

/** Sends a message to the page. */
type Send = (message: FromWorker, transfer?: Transferable[]) => void

const DEFAULT_MEMORY_BYTES = 128 << 20
/** 60 frames a second. */
const FRAME_MS = 16
/** Segment register CS. */
const CS = 1
/** Code that the inspector shows of a vCPU. */
const CODE_BYTES = 64
/** Absolute pointers go from 0 to this. */
const LARGEST_PLACE = 0x7fff

/** Opens a medium. Machines without drives load nothing of that. */
const openMedium: OpenMedium = async (...given) => (await import('./media.ts')).openMedium(...given)

/** The machine of a Worker: what the page's calls do. */
export class WorkerMachine {
  readonly #send: Send
  readonly #options: SentOptions
  readonly #images: Partial<Record<ImageOption, Uint8Array>>
  readonly #drives: PcDrive[] | null
  readonly #listener: SourceListener
  // They go on when the machine starts anew.
  readonly #screen = new Screen({ intervalMs: FRAME_MS })
  readonly #keyboard: Keyboard
  readonly #mouse = new Mouse()
  readonly #frames: FrameSender
  readonly #serial: SerialSender
  #pc: Pc | null = null
  #life: Promise<void> | null = null
  #stop = new AbortController()
  /** The user wants it to run. */
  #wanted = false
  /** It is to start anew. */
  #anew = false
  #pointer: Mouse['pointer'] = 'none'

  private constructor(
    options: SentOptions,
    images: Partial<Record<ImageOption, Uint8Array>>,
    drives: PcDrive[] | null,
    listener: SourceListener,
    send: Send,
  ) {
    this.#options = options
    this.#images = images
    this.#drives = drives
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
    const given = IMAGE_OPTIONS.filter((name) => options.images[name] !== undefined)
    const [images, media] = await Promise.all([
      Promise.all(given.map(async (name) => [name, await readWhole(name, options.images[name]!, listener)] as const)),
      Promise.all(
        (options.drives ?? []).map(async ({ source, ...drive }) =>
          source === null ? null : openMedium(drive, source, listener),
        ),
      ),
    ])
    const drives = options.drives?.map((drive, i): PcDrive => ({
      id: drive.id,
      media: drive.media,
      interface: drive.interface,
      medium: media[i] ?? null,
    }))
    const machine = new WorkerMachine(options, Object.fromEntries(images), drives ?? null, listener, send)
    await machine.#make()
    return machine
  }

  async #make(): Promise<void> {
    this.#pc?.close()
    this.#pc = null
    this.#pc = await createPc(this.#pcOptions())
    this.#pc.serial.onTransmit((bytes) => this.#serial.transmit(bytes))
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
      machine: board,
      cpus,
      cpu,
      commandLine,
      vga,
      hypervisor,
      jit: jit ?? true,
      ...(this.#drives !== null && { drives: this.#drives }),
      ...(tablet === true && { usb: { devices: [{ kind: 'tablet' }] } }),
      screen: this.#screen,
      keyboard: this.#keyboard,
      mouse: this.#mouse,
      onSleep: (asleep) => this.#tellState(asleep ? 'asleep' : 'running'),
    }
  }

  #tellState(state: MachineState): void {
    this.#send({ event: 'state', state })
  }

  /** Starts the machine, or lets it go on. */
  run(): void {
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
      while (this.#wanted) {
        if (this.#anew || this.#pc === null) {
          this.#anew = false
          // oxlint-disable-next-line no-await-in-loop -- a machine lives in order
          await this.#make()
          // It may have been paused, or reset, meanwhile.
          continue
        }
        this.#stop = new AbortController()
        this.#tellState('running')
        // oxlint-disable-next-line no-await-in-loop
        const exit = await this.#pc!.run({ signal: this.#stop.signal })
        // oxlint-disable-next-line no-await-in-loop
        await this.#serial.ready()
        if (exit.reason === 'reset') this.#anew = true
        else if (exit.reason !== 'stopped' && !this.#anew) return this.#end(exit)
      }
      this.#tellState('paused')
    } catch (error) {
      this.#end({ reason: 'internal-error', detail: { message: String(error) } })
    } finally {
      this.#life = null
    }
  }

  #end(exit: MachineExit): void {
    this.#wanted = false
    this.#pc?.close()
    this.#pc = null
    this.#serial.flush()
    this.#tellState('off')
    this.#send({ event: 'exit', exit })
  }

  /** @throws WebError `ERR_MACHINE` for a machine that is off */
  #powered(): Pc {
    if (this.#pc === null) throw new WebError('ERR_MACHINE', 'the machine is off; run() starts it again')
    return this.#pc
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
  statistics(): PcStatistics {
    return this.#powered().statistics()
  }

  /** See `Machine`. */
  inspect(): MachineView {
    const vcpus = this.#powered().domain.vcpus.map((vcpu) => {
      const { registers } = vcpu.cpu
      const mode = ([16, 32, 64] as const)[registers.mode] ?? 16
      const address = BigInt.asUintN(mode === 64 ? 64 : 32, registers.segmentBase(CS) + registers.rip)
      return { mode, address, bytes: vcpu.peekCode(address, CODE_BYTES).slice(), idle: vcpu.dormant }
    })
    return { vcpus, requests: this.#listener.requests.list() }
  }

  /** See `Machine`. */
  async insert(id: string, source: SentSource | null): Promise<void> {
    const drive = this.#powered().drive(id)
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
