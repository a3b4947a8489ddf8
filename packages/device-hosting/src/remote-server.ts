import type { DeviceHostState, DevicePlatform, ServerGate } from './platform.ts'
import { HeldPlatform } from './held-platform.ts'
import { HeldMemories } from './remote-memory.ts'
import { checkTimeLimit, inTime, stateFromText, stateToText, withDeadline } from './model-state.ts'
import type { DeviceMemory, Word64 } from '@retrap/device'
import {
  type FailurePolicy,
  type InvalidationNotice,
  type IoDispatch,
  IoreqError,
  type IoreqServer,
  type IoreqTransport,
  type PageLocation,
  XEN_DMOP_IO_RANGE_PCI,
} from '@retrap/ioreq'
import { type Frame, FRAME_VERSION, type FrameRange, NO_VCPU, timeOf } from './frames.ts'
import type { UnplugOptions } from './hot-plug.ts'
import { OpenCalls } from './open-calls.ts'

/** A connection to a device server: the parts that differ between a Worker, a socket and any other. */
export interface ServerLink {
  /** Memory with the server's request page and ring; default the domain's memory. */
  readonly page?: PageLocation
  /** Memory with the buffered ring; default the domain's memory. */
  readonly ringPage?: PageLocation
  /** Sends a frame after all frames before. */
  send(frame: Frame): void
  /** A request has been published in the server's slot. */
  notify(vcpu: number): void
  /** Hands over the frames that have arrived, where an answer can overtake them. */
  receive?(): void
  /** A request has been put into the server's ring. */
  notifyBuffered(): void
  /** Ends the connection; nothing more is sent or received. */
  close(): void
}

/** The options of a {@link RemoteServer}. */
export interface RemoteServerOptions {
  /** Names the server in errors and traces. */
  readonly name: string
  /** Whether the platform's clock runs on by itself between two requests. Default true. */
  readonly realTime?: boolean
  /**
   * How long the models may take to be attached before the server has failed, in milliseconds; `Infinity`: for ever. Default
   * 30 seconds.
   */
  readonly readyMs?: number
  /** The policy for a failure of its models; default the domain's. */
  readonly policy?: FailurePolicy
  /** Whether fixed ranges of the models may lie over RAM and ranges of others, as a board's do. Default true. */
  readonly mayOverlap?: boolean
  /** Takes messages of the models to the machine's maker. */
  onMessage?(bytes: Uint8Array): void
  /** The server has ended, for any reason: the Worker or process of its models can be stopped. */
  onClosed?(): void
}

/**
 * The hypervisor's end of a server whose models live elsewhere: it makes claims, drives lines, arms timers and moves
 * memory for them. All frames from the link are checked; an invalid one fails the server, never the process.
 */
export class RemoteServer implements IoreqTransport {
  /** The server in the domain. */
  readonly server: IoreqServer
  /** Names the server in errors and traces. */
  readonly name: string
  /** Settles when the models are attached, or the server has failed before that. */
  readonly ready: Promise<void>
  readonly #dispatch: IoDispatch
  readonly #platform: DevicePlatform
  readonly #link: ServerLink
  readonly #options: RemoteServerOptions
  readonly #ready = Promise.withResolvers<void>()
  readonly #readyTimer: unknown
  readonly #calls: OpenCalls
  readonly #closeListeners: (() => void)[] = []
  /** The models' way to guest memory, on this side. */
  readonly #memory: DeviceMemory | null
  /** Decides when the models' own actions take effect; null: when their frames arrive. */
  readonly #gate: ServerGate | null
  /** Interrupt lines, timers and DMA. */
  readonly #held: HeldPlatform
  /** Memory that the models own. */
  readonly #owned: HeldMemories
  /** The other end wants to know which frames an INVALIDATE request is about. */
  #wantsFrames = false
  #hasModels = false
  #unsettled = false
  /** Called when `unsettled` becomes true: a machine on deterministic time executes nothing more before `settle`. */
  onUnsettled: (() => void) | null = null
  #closed = false

  constructor(dispatch: IoDispatch, platform: DevicePlatform, link: ServerLink, options: RemoteServerOptions) {
    this.name = options.name
    this.#dispatch = dispatch
    this.#platform = platform
    this.#link = link
    this.#options = options
    this.#calls = new OpenCalls(options.name, (frame) => this.#send(frame))
    // Created before all parts that must end with the server: a domain that has no room for it throws here.
    this.server = dispatch.createServer({
      name: options.name,
      transport: this,
      bufferedMode: 2,
      ...(options.policy && { policy: options.policy }),
      ...(options.mayOverlap !== undefined && { mayOverlap: options.mayOverlap }),
      ...(link.page && { page: link.page }),
      ...(link.ringPage && { ringPage: link.ringPage }),
    })
    this.#gate = platform.gate?.(this) ?? null
    this.#memory = platform.openMemory?.(options.name) ?? null
    this.#held = new HeldPlatform({
      platform,
      memory: this.#memory,
      send: (frame) => this.#send(frame),
      busy: () => this.#busy(),
      overlay: (gpa, bytes) => this.#gate?.overlay(gpa, bytes),
    })
    this.#owned = new HeldMemories(
      (device, memory) => {
        if (platform.ownMemory !== undefined) return platform.ownMemory(device, memory)
        throw new IoreqError('ERR_PERMISSION', 'this machine has no memory for device models')
      },
      (call, ok, bytes) => this.#send({ kind: 'dmaDone', call, ok, bytes }),
    )
    this.ready = this.#ready.promise
    // A caller that does not ask must not get an unhandled rejection either.
    this.ready.catch(() => {})
    const { readyMs = READY_MS } = options
    const late = (): void =>
      this.failed(new IoreqError('ERR_DEVICE', `the models of server ${this.name} were not there within ${readyMs} ms`))
    this.#readyTimer = readyMs === Infinity ? undefined : setTimeout(late, readyMs)
    this.#send({
      kind: 'hello',
      version: FRAME_VERSION,
      vcpus: dispatch.vcpus,
      realTime: options.realTime ?? true,
      now: this.now(),
    })
    this.#tellWhetherToAnnounce()
  }

  /** Tells models that map guest memory whether they are to announce their writes, as of a clone. */
  #tellWhetherToAnnounce(): void {
    const platform = this.#platform
    if (platform.sharedMemory === undefined) return
    this.#send({ kind: 'announce', on: platform.announcesWrites?.() === true })
  }

  /** Whether the server has a gate: its models' actions are recorded, or come from a recording, and they are not saved. */
  get isRecorded(): boolean {
    return this.#gate !== null
  }

  /** @internal See `ServerGate`. */
  waitsForNothing(vcpu: number): boolean {
    return this.#gate?.waitsForNothing(vcpu) === true
  }

  /** The machine's clock: nanoseconds, 64 bits. */
  now(): Word64 {
    return timeOf(this.#platform.clock)
  }

  #send(frame: Frame): void {
    if (this.#closed) return
    this.#gate?.sends(frame)
    this.#link.send(frame)
  }

  // ---- calls of the hypervisor ----

  /** Sends bytes to the models' end, to `DeviceServerOptions.onMessage`. */
  post(bytes: Uint8Array): void {
    if (this.#gate?.postsFreely !== true) this.#busy()
    this.#send({ kind: 'message', now: this.now(), bytes })
  }

  /** Power-on state of all models. */
  reset(): void {
    this.#busy()
    this.#send({ kind: 'reset', now: this.now() })
  }

  /** Notes a sent frame whose effects no vCPU waits for. */
  #busy(): void {
    if (this.#unsettled) return
    this.#unsettled = true
    this.onUnsettled?.()
  }

  /** Whether the models may still be busy with a sent frame. */
  get unsettled(): boolean {
    return this.#unsettled && !this.#closed
  }

  /** Sends the present time, on which the models' state may depend, as the expiry of a timer that does not exist. */
  #tellTime(): void {
    const now = this.now()
    this.#send({ kind: 'timer', timer: NO_TIMER, deadline: now, now })
  }

  /** Waits until the models have handled all that was sent to them, and its effects have arrived. */
  async settle(): Promise<void> {
    this.#unsettled = false
    await this.#calls.make((call) => ({ kind: 'settle', call }))
  }

  /**
   * The models' state.
   *
   * @param deadlineMs - host time that the server may take; default any
   * @throws IoreqError `ERR_DEVICE` where a model fails; DeviceError `ERR_DEVICE` for a server that is late
   */
  async save(deadlineMs: number = Infinity): Promise<DeviceHostState> {
    this.#tellTime()
    const saving = this.#calls.make((call) => ({ kind: 'save', call }))
    return stateFromText(await inTime(this.name, 'save', deadlineMs, saving)) as DeviceHostState
  }

  /**
   * Has the models bring their work in flight to an end, or to a state that can be saved.
   *
   * @throws DeviceError `ERR_INVALID` for a deadline that is negative or no number
   * @throws IoreqError `ERR_DEVICE`, naming the model that failed or was late
   */
  async quiesce(deadlineMs: number): Promise<void> {
    checkTimeLimit(deadlineMs)
    this.#tellTime()
    await withDeadline(this.name, 'quiesce', deadlineMs + QUIESCE_GRACE_MS, async () => {
      await this.#calls.make((call) => ({ kind: 'quiesce', call, deadline: deadlineMs }))
    })
  }

  /** Tells the models that the machine goes on. */
  resume(): void {
    this.#unsettled = true
    this.#tellWhetherToAnnounce()
    this.#send({ kind: 'resume', now: this.now() })
  }

  /**
   * Restores the models.
   *
   * @param deadlineMs - host time that the server may take; default any
   * @throws IoreqError `ERR_DEVICE` where the models refuse the state; DeviceError `ERR_DEVICE` for a server that is late
   */
  async restore(state: DeviceHostState, deadlineMs: number = Infinity): Promise<void> {
    const frame = { kind: 'restore', now: this.now(), state: stateToText(state) } as const
    const restoring = this.#calls.make((call) => ({ ...frame, call }))
    await inTime(this.name, 'restore', deadlineMs, restoring)
  }

  /**
   * Plugs in a device that the server offers: see `DeviceServer.offer`.
   *
   * @throws IoreqError `ERR_DEVICE` for an unknown device, or one that cannot be plugged in
   */
  async plug(device: string): Promise<void> {
    this.#busy()
    await this.#calls.make((call) => ({ kind: 'plug', call, now: this.now(), device }))
  }

  /**
   * Takes the device out of a slot of the server's, when the guest has released it.
   *
   * @param busName - the slot's
   * @returns whether the device is out; false: the deadline has passed, and the guest may still release the device
   * @throws IoreqError `ERR_DEVICE` for an unknown or empty slot
   * @throws DeviceError `ERR_INVALID` for a deadline that is negative or no number
   */
  async unplug(busName: string, { force = false, deadlineMs = Infinity }: UnplugOptions = {}): Promise<boolean> {
    checkTimeLimit(deadlineMs)
    this.#busy()
    const frame = { kind: 'unplug', now: this.now(), bus: busName, force, deadline: deadlineMs } as const
    return (await this.#calls.make((call) => ({ ...frame, call }))) === 'out'
  }

  // ---- IoreqTransport ----

  /** @internal See `IoreqTransport`. */
  notify(vcpu: number): void {
    this.#gate?.asked(vcpu)
    this.#link.notify(vcpu)
  }

  /** @internal See `IoreqTransport`. */
  notifyBuffered(): void {
    this.#busy()
    this.#link.notifyBuffered()
  }

  /** @internal See `IoreqTransport`. */
  cancel(vcpu: number): void {
    this.#send({ kind: 'cancel', vcpu })
  }

  /** @internal This side holds nothing; the other end answers when its work in flight has ended. */
  announce(vcpu: number, { frames }: InvalidationNotice): void {
    if (frames === null) this.#memory?.invalidate()
    else for (const { gfn, count } of frames) this.#memory?.invalidate(gfn, count)
    if (!this.#wantsFrames) return
    const rangesOf = (writesOnly: boolean): FrameRange[] =>
      (frames ?? [])
        .filter((each) => each.writesOnly === writesOnly)
        .map(({ gfn, count }): FrameRange => [gfn, gfn + count - 1])
    this.#send({
      kind: 'invalidate',
      vcpu,
      all: frames === null,
      gone: rangesOf(false),
      readOnly: rangesOf(true),
    })
  }

  /** @internal The models' work under way, and requests to them in the ring, must have arrived as well. */
  dropMappings(done: () => void): void {
    this.#memory?.invalidate()
    if (this.#hasModels && !this.#closed) this.#calls.make((call) => ({ kind: 'drop', call })).then(done, done)
    else done()
  }

  /** @internal See `IoreqTransport`. */
  endMappings(): void {
    this.#memory?.close()
  }

  /** @internal One model can be taken out while the server itself works. */
  detach(device: string): boolean {
    if (device === this.name || device === '' || this.#closed) return false
    this.#send({ kind: 'detach', device })
    return true
  }

  /** Ends the server, with all that its models hold. */
  close(): void {
    this.server.destroy()
  }

  /** @internal See `IoreqTransport`. */
  closed(): void {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#readyTimer)
    this.#gate?.closed?.()
    this.#held.close()
    this.#owned.close()
    this.#ready.reject(this.#calls.end())
    this.#link.close()
    this.#options.onClosed?.()
    for (const listener of this.#closeListeners) listener()
  }

  /** Calls back when the server has ended, for whatever reason; at once if it has. */
  onClosed(listener: () => void): void {
    if (this.#closed) listener()
    else this.#closeListeners.push(listener)
  }

  /** The link's other end is gone, or does not keep to the protocol. */
  failed(error: unknown): void {
    if (this.#closed) return
    this.#ready.reject(error)
    if (this.#gate?.failed?.(error) !== true) this.#dispatch.requests.serverGone(this.server, error)
  }

  /** @internal See `GatedServer`. */
  end(error: unknown): void {
    if (error === undefined) this.close()
    else this.#dispatch.requests.serverGone(this.server, error)
  }

  // ---- calls of the models ----

  /** @internal An answer has been found in a slot. */
  receive(vcpu: number): void {
    this.#link.receive?.()
    this.#gate?.answered(vcpu)
  }

  /** Takes a frame from the device server. */
  take(frame: Frame): void {
    this.#guard(() => {
      // A gate has it take effect when the machine runs on.
      if (frame.kind === 'ready') clearTimeout(this.#readyTimer)
      if (this.#gate?.arrived(frame) !== false) this.#handle(frame)
    })
  }

  /** @internal See `GatedServer`. */
  reply(call: number, ok: boolean): void {
    this.#send({ kind: 'dmaDone', call, ok, bytes: new Uint8Array(0) })
  }

  /** @internal See `GatedServer`. */
  putBack(): void {
    this.#unsettled = false
  }

  /** @internal Has a frame take effect, whatever its gate says. */
  apply(frame: Frame): void {
    this.#guard(() => this.#handle(frame))
  }

  #guard(action: () => void): void {
    if (this.#closed) return
    try {
      action()
    } catch (error) {
      this.failed(error)
    }
  }

  #handle(frame: Frame): void {
    switch (frame.kind) {
      case 'ready':
        // Some frames come from no link: a replay applies them.
        clearTimeout(this.#readyTimer)
        // No BAR is mapped yet. A board in another thread may be ready after a device program.
        this.#dispatch.refuseOverlaps()
        this.#hasModels = true
        this.server.setState(true)
        this.#ready.resolve()
        return
      case 'claim':
        this.server.setRanges(frame.type, frame.ranges)
        if (frame.type !== XEN_DMOP_IO_RANGE_PCI) this.server.setBufferedRanges(frame.type, frame.buffered)
        return
      case 'wantFrames':
        this.#wantsFrames = true
        return
      case 'fault':
        return this.#fault(frame.vcpu, frame.device, frame.what, frame.message)
      case 'called':
        return this.#calls.take(frame)
      case 'message':
        this.#options.onMessage?.(frame.bytes)
        return
      default:
        if (this.#held.take(frame) || this.#owned.take(frame)) return
        throw new IoreqError('ERR_PROTOCOL', `a device server sent a ${frame.kind} frame`)
    }
  }

  #fault(vcpu: number, device: string, what: string, message: string): void {
    const error = new IoreqError('ERR_DEVICE', message)
    // Models that cannot even be attached: there is no server without them.
    if (!this.#hasModels) this.failed(error)
    else if (vcpu === NO_VCPU) this.#dispatch.modelFailed(this.server, device, what, error)
    else this.#dispatch.requests.serverFailed(this.server, vcpu, device === '' ? this.name : device, error)
  }
}

/** Default of `RemoteServerOptions.readyMs`. */
const READY_MS = 30_000

/** The number of no timer. */
const NO_TIMER = 0xffff_ffff

/** The time that a reply may take beyond the models' own deadline. */
const QUIESCE_GRACE_MS = 1000
