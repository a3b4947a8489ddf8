import type { DeviceModel } from '@retrap/device'
import { describeThrown, LONGEST_HOST_TIMER_MS } from '@retrap/device/host'
import type { IoDispatch } from '../../dispatch.ts'
import { IoreqError } from '../../errors.ts'
import { type LocalServer, startLocalServer } from '../local-server.ts'
import { NO_VCPU, timeOf } from '../frames.ts'
import type { DevicePlatform } from '../platform.ts'
import type { RemoteServerOptions } from '../remote-server.ts'
import { type DeclaredDevice, Declarations } from './declared.ts'
import { type FrameWord, MAX_TRANSFER_BYTES, type ProtocolFrame, type ServerFrame } from './frame-table.ts'
import { ProtocolModel, type TransferBounds } from './protocol-model.ts'
import { ProtocolSession, type ProtocolStream } from './session.ts'

/** The options of {@link ProtocolDevices}. */
export interface ProtocolDevicesOptions extends RemoteServerOptions {
  /** Names this run of a machine for a server that a connection may be made again to; not 0. Default: random. */
  readonly session?: FrameWord
  /** Names the server in sentences about its failure. Default: its name. */
  readonly describedAs?: string
  /** The part of guest memory that the devices may reach. Default: all. */
  readonly bounds?: TransferBounds
  /** Chooses a PCI device number for a device that leaves it to the machine. Default: counts up from 16. */
  place?(device: string): number
  /**
   * Returns what stands in the machine in place of a device, such as a stage that makes it late.
   *
   * @param model - the device
   * @param remove - takes it out, as a surprise: its registers and functions read as ones
   */
  wrap?(model: DeviceModel, remove: () => void): DeviceModel
  /** Takes a line of the server's for the machine's user. */
  onLog?(text: string): void
}

const FIRST_PLACE = 16
const MOST_EARLY = 1024
/** Default of `readyMs`. */
const READY_MS = 30_000
const ALL: TransferBounds = { first: 0, last: Number.MAX_SAFE_INTEGER }

/**
 * The machine's end of a device server that speaks the device protocol (`PROTOCOL.md`): a program in any language. Its devices
 * are models of this process, which keep configuration space, split accesses and hold interrupt lines, and ask the program
 * for what only it knows.
 */
export class ProtocolDevices {
  /** The hypervisor's end of the server. */
  readonly remote: LocalServer['remote']
  readonly #options: ProtocolDevicesOptions
  readonly #session: ProtocolSession
  readonly #declarations: Declarations
  readonly #ready = Promise.withResolvers<void>()
  readonly #models = new Map<number, ProtocolModel>()
  /** Devices that have said that they cannot go on. */
  readonly #faulty = new Set<DeclaredDevice>()
  #isReady = false
  /** Frames behind `ready` that came before the devices were attached; null: they are. */
  #early: ServerFrame[] | null = []
  #moving = 0
  #readyTimer: unknown

  /** @throws IoreqError `ERR_NO_SPACE` where the domain has no room for a server */
  constructor(dispatch: IoDispatch, platform: DevicePlatform, options: ProtocolDevicesOptions) {
    this.#options = options
    let next = FIRST_PLACE
    this.#declarations = new Declarations((device) => options.place?.(device) ?? next++)
    this.#ready.promise.catch(() => {})
    this.#session = new ProtocolSession({
      session: options.session ?? randomSession(),
      realTime: options.realTime ?? true,
      now: () => timeOf(platform.clock),
      onFrame: (frame) => this.#take(frame),
      onFailed: (error) => this.#failed(error),
    })
    const { remote } = startLocalServer(
      { dispatch, platform },
      {
        ...options,
        readyMs: Infinity,
        onClosed: () => {
          clearTimeout(this.#readyTimer)
          this.#session.close('the machine has ended, or has taken the devices out')
          options.onClosed?.()
        },
      },
      async (server) => {
        await this.#ready.promise
        for (const device of this.#declarations.devices) {
          const make = (): DeviceModel => {
            const model = new ProtocolModel(this.#session, device, options.bounds ?? ALL)
            this.#models.set(device.id, model)
            return options.wrap?.(model, () => void this.remote.detach(model.name)) ?? model
          }
          if (device.isOffered) server.offer(device.name, make)
          else server.attach(make())
        }
        const early = this.#early ?? []
        this.#early = null
        for (const frame of early) this.#act(frame)
      },
    )
    this.remote = remote
    const { readyMs = READY_MS } = options
    if (readyMs <= LONGEST_HOST_TIMER_MS) this.#readyTimer = setTimeout(() => this.#late(readyMs), readyMs)
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

  /** Whether the server is ready, and its devices are not attached yet: what it sends would have to be kept. */
  get isAttaching(): boolean {
    return this.#isReady && this.#early !== null
  }

  /** Bytes that devices are moving to and from memory. */
  get moving(): number {
    return this.#moving
  }

  /** Goes on over a connection, the first or another one. @returns takes its bytes, and says whether some wait: see `holds` */
  connect(stream: ProtocolStream): (chunk: Uint8Array) => boolean {
    this.#session.connect(stream)
    return (chunk) => this.#session.receive(chunk)
  }

  /** The connection is gone. @param error - there will not be another one */
  disconnected(error?: IoreqError): void {
    this.#session.disconnected()
    if (error !== undefined) this.#session.fail(error)
  }

  /** Ends the server. */
  close(): void {
    this.remote.close()
  }

  #failed(error: IoreqError): void {
    const { describedAs, name } = this.#options
    this.#ready.reject(error)
    this.remote.failed(new IoreqError(error.code, `device server ${describedAs ?? name}: ${error.message}`))
  }

  #take(frame: ServerFrame): void {
    if (frame.kind === 'log') return this.#options.onLog?.(frame.text)
    if (frame.kind === 'ready') {
      if (this.#isReady) throw new IoreqError('ERR_PROTOCOL', 'it is ready a second time')
      this.#isReady = true
      clearTimeout(this.#readyTimer)
      return this.#ready.resolve()
    }
    if (frame.kind === 'fault') return this.#fault(frame)
    if (!this.#isReady) {
      if (this.#declarations.take(frame)) return
      // Levels and deadlines of before would reach nobody.
      throw new IoreqError('ERR_PROTOCOL', `it sent a ${frame.kind} frame before it was ready`)
    }
    if (this.#early === null) this.#act(frame)
    // The bytes of a frame are a view of what came over the connection, which is nobody else's.
    else if (this.#early.push(frame) > MOST_EARLY)
      throw new IoreqError('ERR_PROTOCOL', `it sent more than ${MOST_EARLY} frames before it was asked anything`)
  }

  /** A device cannot go on: the others do. With the last one the server has failed. */
  #fault({ device: id, message }: ProtocolFrame<'fault'>): void {
    const { devices } = this.#declarations
    const device = devices.find((each) => each.id === id)
    if (device !== undefined) this.#faulty.add(device)
    if (device === undefined || this.#early !== null || this.#faulty.size === devices.length)
      throw new IoreqError('ERR_DEVICE', device === undefined ? message : `${device.name}: ${message}`)
    if (!this.#session.failCalls(id, new IoreqError('ERR_DEVICE', message)))
      this.remote.take({ kind: 'fault', vcpu: NO_VCPU, device: device.name, what: 'between calls', message })
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
        this.#moves(frame, model?.[frame.kind](frame as ProtocolFrame<'dmaRead'> & ProtocolFrame<'dmaWrite'>))
        return
      }
      case 'memoryRead':
      case 'memoryWrite': {
        const model = this.#of(declared.ownerOf('memory', frame.memory))
        this.#moves(frame, model?.[frame.kind](frame as ProtocolFrame<'memoryRead'> & ProtocolFrame<'memoryWrite'>))
        return
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
    moved: Promise<void> | undefined,
  ): void {
    const bytes = 'length' in frame ? frame.length : frame.bytes.length
    if (bytes > MAX_TRANSFER_BYTES)
      throw new IoreqError('ERR_PROTOCOL', `a ${frame.kind} of ${bytes} bytes: expected at most ${MAX_TRANSFER_BYTES}`)
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

function randomSession(): FrameWord {
  const word = (): number => Math.floor(Math.random() * 2 ** 32)
  return { lo: (word() | 1) >>> 0, hi: word() }
}
