import { describeThrown, LONGEST_HOST_TIMER_MS } from '@retrap/device/host'
import { IoreqError } from '@retrap/ioreq'
import { type DeclaredDevice, Declarations } from './declared.ts'
import type { FrameWord, ProtocolFrame, ServerFrame } from './frame-table.ts'
import { ProtocolModel, type TransferBounds } from './protocol-model.ts'
import { type ProtocolStream, randomSession } from './link.ts'
import { ProtocolSession } from './session.ts'

/** The options of a {@link ProtocolEnd}. */
export interface ProtocolEndOptions {
  /** Names this run of a machine for a server that a connection may be made again to; not 0. Default: random. */
  readonly session?: FrameWord
  /** Whether the machine's clock runs on by itself between two requests. Default true. */
  readonly realTime?: boolean
  /**
   * How long the server may take to answer `hello`, and to be ready, in milliseconds; `Infinity`: for ever. Default 5 and 30
   * seconds.
   */
  readonly readyMs?: number
  /** The part of guest memory that the devices may reach. Default: all. */
  readonly bounds?: TransferBounds
  /** Chooses a PCI device number for a device that leaves it to the machine. Default: counts up from 16. */
  place?(device: string): number
  /** Takes a line of the server's for the machine's user: 1 MB in a second at most. Lines beyond are dropped, and a line says how many. */
  onLog?(text: string): void
}

/** The place of a server's devices in a machine. */
export interface ProtocolHome {
  /** Whether devices whose server is gone read as ones until they are out; else they have failed. Default false. */
  readonly isPulled?: boolean
  /** The guest's clock in nanoseconds. */
  now(): FrameWord
  /** Called when a device has failed, while the others of its server go on. */
  faulted(device: string, message: string): void
  /** The server has failed, with all of its devices. */
  failed(error: IoreqError): void
}

const FIRST_PLACE = 16
const MOST_EARLY = 1024
/** Defaults of `readyMs`. */
const HELLO_MS = 5000
const READY_MS = 30_000
const READ_MS = 50
/** Characters of log lines that are passed on within a second; a short line counts as its line's end and the program's name, too. */
const MOST_LOGGED = 1e6
const LINE_CHARACTERS = 64
const SECOND_MS = 1000
const ALL: TransferBounds = { first: 0, last: Number.MAX_SAFE_INTEGER }

/**
 * The machine's end of a session of the device protocol: the devices that the server declares, and models that
 * send it their accesses. Where the models are in the machine is a {@link ProtocolHome}'s business.
 */
export class ProtocolEnd {
  /** Settles with the devices when the server is ready. */
  readonly ready: Promise<readonly DeclaredDevice[]>
  readonly #home: ProtocolHome
  readonly #options: ProtocolEndOptions
  readonly #session: ProtocolSession
  readonly #declarations: Declarations
  readonly #ready = Promise.withResolvers<readonly DeclaredDevice[]>()
  readonly #models = new Map<number, ProtocolModel>()
  /** Devices that have reported a failure. */
  readonly #faulty = new Set<DeclaredDevice>()
  #isReady = false
  /** Frames behind `ready` that came before the devices were attached; null: they are. */
  #early: ServerFrame[] | null = []
  #moving = 0
  /** End of the second that log lines are counted in, their characters, and the lines that were dropped. */
  #logUntil = 0
  #logged = 0
  #dropped = 0
  #readyTimer: unknown
  #helloTimer: unknown

  constructor(home: ProtocolHome, options: ProtocolEndOptions) {
    this.#home = home
    this.#options = options
    let next = FIRST_PLACE
    this.#declarations = new Declarations((device) => options.place?.(device) ?? next++)
    this.ready = this.#ready.promise
    this.ready.catch(() => {})
    this.#session = new ProtocolSession({
      session: options.session ?? randomSession(),
      realTime: options.realTime ?? true,
      now: () => home.now(),
      onFrame: (frame) => this.#take(frame),
      onFailed: (error) => this.#failed(error),
    })
    this.#readyTimer = this.#lateAfter(options.readyMs ?? READY_MS, () => this.#isReady)
  }

  /** Makes the model of a device, in its state at power-on. */
  modelOf(device: DeclaredDevice): ProtocolModel {
    const model = new ProtocolModel(this.#session, device, this.#options.bounds ?? ALL, this.#home.isPulled ?? false)
    this.#models.set(device.id, model)
    return model
  }

  /** The models are attached: they get the frames that the server has sent since it was ready. */
  attached(): void {
    const early = this.#early ?? []
    this.#early = null
    try {
      for (const frame of early) this.#act(frame)
    } catch (error) {
      this.#session.fail(error instanceof IoreqError ? error : new IoreqError('ERR_DEVICE', describeThrown(error)))
    }
  }

  #lateAfter(ms: number, isInTime: () => boolean): unknown {
    if (ms > LONGEST_HOST_TIMER_MS) return undefined
    // Frames that arrived while this thread was busy are read before the second timer.
    return setTimeout(() => setTimeout(() => isInTime() || this.#late(ms), READ_MS), ms)
  }

  #late(readyMs: number): void {
    const { length } = this.#declarations.devices
    const devices = length === 1 ? 'one device' : `${length} devices`
    const so = this.#session.isOpen
      ? `it has declared ${devices}, and ready is missing`
      : 'it has not answered hello with welcome'
    this.#session.fail(new IoreqError('ERR_DEVICE', `it was not ready within ${readyMs / 1000} s: ${so}`))
  }

  /** Whether a connection that is lost may be made again. */
  get resumable(): boolean {
    return this.#session.resumable
  }

  /** Whether the server is ready, and its devices are not attached yet: frames that it sends would have to be kept. */
  get isAttaching(): boolean {
    return this.#isReady && this.#early !== null
  }

  /** Bytes that devices are moving to and from memory. */
  get moving(): number {
    return this.#moving
  }

  /** Continues over a connection, the first or a later one. @returns a function for received bytes; it returns whether frames wait */
  connect(stream: ProtocolStream): (chunk: Uint8Array) => boolean {
    this.#session.connect(stream)
    clearTimeout(this.#helloTimer)
    this.#helloTimer = this.#lateAfter(this.#options.readyMs ?? HELLO_MS, () => this.#session.isOpen)
    return (chunk) => this.#session.receive(chunk)
  }

  /** The connection is gone. @param error - there will not be another one */
  disconnected(error?: IoreqError): void {
    this.#session.disconnected()
    if (error !== undefined) this.#session.fail(error)
  }

  /** Ends the session. @param why - the reason, for the server's users */
  close(why: string): void {
    this.#stopTimers()
    this.#session.close(why)
  }

  #stopTimers(): void {
    this.#tellDropped()
    clearTimeout(this.#readyTimer)
    clearTimeout(this.#helloTimer)
  }

  #failed(error: IoreqError): void {
    this.#stopTimers()
    this.#ready.reject(error)
    this.#home.failed(error)
  }

  #take(frame: ServerFrame): void {
    if (frame.kind === 'log') return this.#log(frame.text)
    if (frame.kind === 'ready') {
      if (this.#isReady) throw new IoreqError('ERR_PROTOCOL', 'it is ready a second time')
      this.#isReady = true
      clearTimeout(this.#readyTimer)
      return this.#ready.resolve(this.#declarations.devices)
    }
    if (frame.kind === 'fault') return this.#fault(frame)
    if (!this.#isReady) {
      if (this.#declarations.take(frame)) return
      // Levels and deadlines sent before would have no receiver.
      throw new IoreqError('ERR_PROTOCOL', `it sent a ${frame.kind} frame before it was ready`)
    }
    if (this.#early === null) this.#act(frame)
    // The bytes of a frame are a view of the received bytes, which no other frame shares.
    else if (this.#early.push(frame) > MOST_EARLY)
      throw new IoreqError('ERR_PROTOCOL', `it sent more than ${MOST_EARLY} frames before it was asked anything`)
  }

  #log(text: string): void {
    const now = performance.now()
    if (now >= this.#logUntil) {
      this.#tellDropped()
      this.#logUntil = now + SECOND_MS
      this.#logged = 0
    }
    this.#logged += text.length + LINE_CHARACTERS
    if (this.#logged > MOST_LOGGED) this.#dropped++
    else this.#options.onLog?.(text)
  }

  #tellDropped(): void {
    if (this.#dropped > 0)
      this.#options.onLog?.(`${this.#dropped} lines more were dropped: it logs more than 1 MB in a second`)
    this.#dropped = 0
  }

  /** A device cannot go on: the others do. With the last one the server has failed. */
  #fault({ device: id, message }: ProtocolFrame<'fault'>): void {
    const { devices } = this.#declarations
    const device = devices.find((each) => each.id === id)
    if (device !== undefined) this.#faulty.add(device)
    if (device === undefined || this.#early !== null || this.#faulty.size === devices.length)
      throw new IoreqError('ERR_DEVICE', device === undefined ? message : `${device.name}: ${message}`)
    if (!this.#session.failCalls(id, new IoreqError('ERR_DEVICE', message))) this.#home.faulted(device.name, message)
  }

  /** Takes an act of a device. */
  #act(frame: ServerFrame): void {
    const declared = this.#declarations
    switch (frame.kind) {
      case 'interrupt':
        return this.#of(declared.ownerOf('function', frame.function))?.interrupt(frame)
      case 'setLine':
        return this.#of(declared.ownerOf('line', frame.line))?.setLine(frame)
      case 'armTimer':
        return this.#of(declared.ownerOf('device', frame.device))?.armTimer(frame)
      case 'dmaRead':
      case 'dmaWrite': {
        const model = this.#of(declared.ownerOf('device', frame.device))
        return this.#moves(frame, () =>
          model?.[frame.kind](frame as ProtocolFrame<'dmaRead'> & ProtocolFrame<'dmaWrite'>),
        )
      }
      case 'memoryRead':
      case 'memoryWrite': {
        const model = this.#of(declared.ownerOf('memory', frame.memory))
        return this.#moves(frame, () =>
          model?.[frame.kind](frame as ProtocolFrame<'memoryRead'> & ProtocolFrame<'memoryWrite'>),
        )
      }
      case 'powerOff':
      case 'resetMachine':
      case 'exit':
        return this.#models.values().next().value?.request(frame)
      default:
        throw new IoreqError('ERR_PROTOCOL', `it sent a ${frame.kind} frame after it was ready`)
    }
  }

  /** The model of a device; undefined: it is offered, and has not been plugged in yet. */
  #of(device: number): ProtocolModel | undefined {
    return this.#models.get(device)
  }

  #moves(
    frame: ProtocolFrame<'dmaRead' | 'dmaWrite' | 'memoryRead' | 'memoryWrite'>,
    move: () => Promise<void> | undefined,
  ): void {
    const bytes = 'length' in frame ? frame.length : frame.bytes.length
    // `move` allocates the room for the bytes.
    const moved = move()
    if (moved !== undefined) {
      this.#moving += bytes
      moved
        .catch((error: unknown) => this.#session.fail(new IoreqError('ERR_DEVICE', describeThrown(error))))
        .finally(() => (this.#moving -= bytes))
    } else if (frame.call !== 0)
      // A device that is offered reaches nothing before it is plugged in.
      this.#session.send({ kind: 'dmaDone', call: frame.call, ok: 0, bytes: new Uint8Array(0) })
  }
}
