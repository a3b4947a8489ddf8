import {
  DeviceError,
  type DeviceMemory,
  type DeviceModel,
  type InterruptLine,
  type InvalidatedFrames,
  type Timer,
} from '@retrap/device'
import { checkDeadline, describeThrown } from '@retrap/device/host'
import { DeviceSet, type DeviceHostState, type DeviceSetOwner } from './device-set.ts'
import type { DevicePlatform } from './platform.ts'
import { RemoteMemories } from './remote-memory.ts'
import { stateFromText, stateToText } from './state-text.ts'
import { IoreqError } from './errors.ts'
import { FRAME_VERSION, NO_VCPU, type Frame, type FrameRange } from './frames.ts'
import { XEN_DMOP_IO_RANGE_MEMORY, XEN_DMOP_IO_RANGE_PCI, XEN_DMOP_IO_RANGE_PORT } from './layout.ts'
import { MAX_DMA_BYTES } from './limits.ts'
import type { IoRequest } from './request.ts'

/** A device server's way to its hypervisor. */
export interface DeviceLink {
  /** Sends a frame after all frames before. */
  send(frame: Frame): void
  /** Answers the request of a vCPU, after all frames before. */
  answer(vcpu: number, lo: number, hi: number): void
  /**
   * Moves memory while the caller waits, where that can be done. Without it the synchronous forms of `dma` and of owned
   * memory throw.
   *
   * @param frame - one that a `dmaDone` answers, with a call number
   */
  callSync?(frame: Frame): Extract<Frame, { kind: 'dmaDone' }>
}

/** What a {@link DeviceServer} is made with. */
export interface DeviceServerOptions {
  /** Names the server where the hypervisor has not; default `devices`. */
  readonly name?: string
  /** What whoever made the machine sends to its models. */
  onMessage?(bytes: Uint8Array): void
  /** The wire of a PCI function's INTx pin, where the bridge that routes it is one of these models. */
  pciInterrupt?(device: number, pin: number): InterruptLine
  /**
   * Gives each model its own way to guest memory that lies within reach, such as a `MapCache` over a machine's shared
   * memory in a Worker. What it has mapped delays the answers to INVALIDATE requests. Default: the hypervisor copies for
   * the models, and they cannot map.
   *
   * @param modified - to be called for guest frames that the model has written, when its bytes are there
   */
  openMemory?(modified: (gfn: number, count: number) => void): DeviceMemory
  /**
   * Shows memory that a model owns, where the machine's memory is shared with this thread: see `openOwnedMemory` of
   * `@retrap/hvm`. Default: models copy by message, and `OwnedMemory.view` is null.
   */
  ownedView?(location: number, bytes: number): Uint8Array
}

class RemoteTimer implements Timer {
  readonly #send: (deadline: number) => void
  readonly callback: (deadlineNs: number) => void
  deadlineNs = Infinity

  constructor(send: (deadline: number) => void, callback: (deadlineNs: number) => void) {
    this.#send = send
    this.callback = callback
  }

  arm(deadlineNs: number): void {
    checkDeadline(deadlineNs)
    this.deadlineNs = deadlineNs
    this.#send(deadlineNs)
  }

  cancel(): void {
    if (this.deadlineNs !== Infinity) this.arm(Infinity)
  }
}

/**
 * Serves requests with device models that live outside of the hypervisor's thread: the other end of a `RemoteServer`.
 * To a model it looks as its own process would. Time is the hypervisor's: that of the request or timer that is being
 * handled, and running on from there if the machine follows the host's clock.
 */
export class DeviceServer implements DeviceSetOwner {
  readonly #link: DeviceLink
  readonly #options: DeviceServerOptions
  readonly #set: DeviceSet
  readonly #timers: RemoteTimer[] = []
  readonly #calls = new Map<number, (done: Extract<Frame, { kind: 'dmaDone' }>) => void>()
  readonly #hello = Promise.withResolvers<void>()
  #lines = 0
  #nextCall = 1
  #realTime = false
  #now = 0
  /** The host's clock when `#now` was learnt; NaN: a moment ago. */
  #learnt = NaN
  /** vCPUs of the domain; 0 before the hypervisor has said so. */
  vcpus = 0

  constructor(link: DeviceLink, options: DeviceServerOptions = {}) {
    this.#link = link
    this.#options = options
    this.#set = new DeviceSet(this.#platform(), this)
    this.#hello.promise.catch(() => {})
  }

  /** Settles when the hypervisor has introduced itself; models can be attached before. */
  get connected(): Promise<void> {
    return this.#hello.promise
  }

  /**
   * Adds a model.
   *
   * @throws IoreqError as `DeviceHost.attach`
   */
  attach(model: DeviceModel): void {
    this.#set.attach(model)
  }

  /** Says that all models are there: the guest finds them from now on. */
  ready(): void {
    this.#link.send({ kind: 'wantFrames' })
    this.#link.send({ kind: 'ready', name: this.#options.name ?? 'devices' })
  }

  /** Sends bytes to whoever made the machine. */
  post(bytes: Uint8Array): void {
    this.#link.send({ kind: 'message', now: this.#clock(), bytes })
  }

  /** The model of this name, or undefined. */
  model(name: string): DeviceModel | undefined {
    return this.#set.model(name)
  }

  /** Ends all that the models have mapped: nobody serves any more. */
  endMappings(): void {
    this.#set.endMappings()
  }

  /** Whether a model has not answered yet. */
  get busy(): boolean {
    return this.#set.busy
  }

  /** Reports that something outside of the models has gone wrong, such as a module that cannot be loaded. */
  fail(what: string, error: unknown): void {
    this.failed('', what, error)
  }

  // ---- what the hypervisor sends ----

  /** Learns the machine's time. It runs on from the first look at it, or from `yieldTime`. */
  setTime(now: number): void {
    this.#now = now
    this.#learnt = NaN
  }

  /** To be called before the event loop runs: from here on the machine's time passes without a request to tell. */
  yieldTime(): void {
    if (this.#realTime && Number.isNaN(this.#learnt)) this.#learnt = performance.now()
  }

  /** Serves a request that was taken out of its slot or frame. */
  serve(vcpu: number, request: IoRequest): void {
    this.#set.serve(vcpu, request)
  }

  /** Serves a write out of the ring. */
  serveBuffered(request: IoRequest): void {
    this.#set.serveBuffered(request)
  }

  /**
   * Takes any frame but a `request`, whose answer is the link's business.
   *
   * @throws IoreqError `ERR_PROTOCOL` for one that a hypervisor does not send
   */
  receive(frame: Frame): void {
    switch (frame.kind) {
      case 'hello':
        if (frame.version !== FRAME_VERSION) {
          throw new IoreqError('ERR_PROTOCOL', `frames of version ${frame.version}: expected ${FRAME_VERSION}`)
        }
        this.vcpus = frame.vcpus
        this.#realTime = frame.realTime
        this.setTime(frame.now)
        this.#hello.resolve()
        return
      case 'buffered':
        this.setTime(frame.now)
        return this.serveBuffered(frame.request)
      case 'cancel':
        return this.#set.cancel(frame.vcpu)
      case 'timer':
        return this.#timer(frame.timer, frame.deadline, frame.now)
      case 'reset':
        this.setTime(frame.now)
        return this.#guard('reset', () => this.#set.reset())
      case 'settle':
        return this.#set.settle(() => this.#reply(frame.call, () => ''))
      case 'save':
        return this.#reply(frame.call, async () => stateToText(await this.#set.save()))
      case 'restore':
        return this.#reply(frame.call, async () => {
          await this.#set.restore(stateFromText(frame.state) as DeviceHostState)
          return ''
        })
      case 'quiesce':
        return this.#reply(frame.call, async () => {
          await this.#set.quiesce(frame.deadline)
          return ''
        })
      case 'resume':
        this.setTime(frame.now)
        return this.#set.resume()
      case 'dmaDone':
        this.#calls.get(frame.call)?.(frame)
        this.#calls.delete(frame.call)
        return
      case 'detach':
        this.#set.detach(frame.device)
        return
      case 'invalidate':
        return this.#set.announce(frame.vcpu, frame.all ? null : framesOf(frame.gone, frame.readOnly))
      case 'drop':
        return this.#set.dropMappings(null, () =>
          this.#link.send({ kind: 'called', call: frame.call, error: '', result: '' }),
        )
      case 'message':
        this.setTime(frame.now)
        return this.#guard('message', () => this.#options.onMessage?.(frame.bytes))
      default:
        throw new IoreqError('ERR_PROTOCOL', `a hypervisor sent a ${frame.kind} frame`)
    }
  }

  #guard(what: string, action: () => void): void {
    try {
      action()
    } catch (error) {
      this.failed('', what, error)
    }
  }

  #reply(call: number, result: () => string | Promise<string>): void {
    const failed = (error: unknown): void =>
      this.#link.send({ kind: 'called', call, error: describeThrown(error), result: '' })
    try {
      const value = result()
      if (typeof value === 'string') this.#link.send({ kind: 'called', call, error: '', result: value })
      else value.then((text) => this.#link.send({ kind: 'called', call, error: '', result: text })).catch(failed)
    } catch (error) {
      failed(error)
    }
  }

  #timer(number: number, deadline: number, now: number): void {
    this.setTime(now)
    const timer = this.#timers[number]
    // It may have been armed anew, or stopped, while the notice was under way.
    if (timer === undefined || timer.deadlineNs !== deadline) return
    timer.deadlineNs = Infinity
    timer.callback(deadline)
  }

  // ---- what the models reach ----

  #clock(): number {
    if (!this.#realTime) return this.#now
    // The host's clock is not asked for each request, only where a model wants to know.
    const host = performance.now()
    if (Number.isNaN(this.#learnt)) this.#learnt = host
    return this.#now + (host - this.#learnt) * 1e6
  }

  #platform(): DevicePlatform {
    const link = this.#link
    const openMemory = this.#options.openMemory?.bind(this.#options)
    const view = this.#options.ownedView?.bind(this.#options)
    const memories = new RemoteMemories({
      send: (frame) => link.send(frame),
      ...(link.callSync && { callSync: (frame) => (link.callSync as NonNullable<DeviceLink['callSync']>)(frame) }),
      call: (frame) => this.#callAsync(frame),
      nextCall: () => this.#nextCall++,
      ...(view && { view }),
    })
    return {
      clock: { now: () => this.#clock() },
      timer: (callback) => {
        const number = this.#timers.length
        const timer = new RemoteTimer((deadline) => link.send({ kind: 'armTimer', timer: number, deadline }), callback)
        this.#timers.push(timer)
        return timer
      },
      dma: this.#dma(),
      ownMemory: (device, options) => memories.open(device, options),
      ...(openMemory && {
        openMemory: () => openMemory((gfn, count) => link.send({ kind: 'modified', gfn, count })),
      }),
      interruptLine: (irq) => this.#openLine((line) => ({ kind: 'openLine', line, irq })),
      pciInterrupt: (device, pin) =>
        this.#options.pciInterrupt?.(device, pin) ?? this.#openLine((line) => ({ kind: 'openPin', line, device, pin })),
      signalMsi: (address, data, requester) => link.send({ kind: 'msi', address, data, requester }),
      powerOff: () => link.send({ kind: 'powerOff' }),
      reset: () => link.send({ kind: 'resetMachine' }),
      exit: (code) => link.send({ kind: 'exit', code }),
    }
  }

  #openLine(frame: (line: number) => Frame): InterruptLine {
    const line = this.#lines++
    const link = this.#link
    let driven = false
    link.send(frame(line))
    return {
      set: (level) => {
        if (level === driven) return
        driven = level
        link.send({ kind: 'setLine', line, level })
      },
      pulse: () => {
        driven = false
        link.send({ kind: 'pulseLine', line })
      },
    }
  }

  #callAsync(frame: Frame & { readonly call: number }): Promise<Extract<Frame, { kind: 'dmaDone' }>> {
    const done = new Promise<Extract<Frame, { kind: 'dmaDone' }>>((resolve) => this.#calls.set(frame.call, resolve))
    this.#link.send(frame)
    return done
  }

  #dma(): DevicePlatform['dma'] {
    const link = this.#link
    const callSync = (frame: Frame): Extract<Frame, { kind: 'dmaDone' }> => {
      if (link.callSync !== undefined) return link.callSync(frame)
      throw new DeviceError('ERR_PERMISSION', 'guest memory is in another process: use readAsync and writeAsync')
    }
    const callAsync = (frame: Frame & { readonly call: number }): Promise<Extract<Frame, { kind: 'dmaDone' }>> =>
      this.#callAsync(frame)
    return {
      read: (gpa, into) =>
        eachPiece(gpa, into, (at, piece) => {
          const done = callSync({ kind: 'dmaRead', call: this.#nextCall++, gpa: at, length: piece.length })
          piece.set(done.bytes)
          return done.ok
        }),
      write: (gpa, from) =>
        eachPiece(gpa, from, (at, bytes) => callSync({ kind: 'dmaWrite', call: this.#nextCall++, gpa: at, bytes }).ok),
      readAsync: async (gpa, into) => {
        for (let at = 0; at < into.length; at += MAX_DMA_BYTES) {
          const piece = into.subarray(at, at + MAX_DMA_BYTES)
          const call = this.#nextCall++
          const done = await callAsync({ kind: 'dmaRead', call, gpa: gpa + at, length: piece.length })
          piece.set(done.bytes)
          if (!done.ok) return false
        }
        return true
      },
      writeAsync: async (gpa, from) => {
        for (let at = 0; at < from.length; at += MAX_DMA_BYTES) {
          const bytes = from.subarray(at, at + MAX_DMA_BYTES)
          const done = await callAsync({ kind: 'dmaWrite', call: this.#nextCall++, gpa: gpa + at, bytes })
          if (!done.ok) return false
        }
        return true
      },
    }
  }

  // ---- DeviceSetOwner ----

  /** @internal See `DeviceSetOwner`. */
  claimsChanged(kind: 'port' | 'mmio'): void {
    const regions = this.#set.byPriority(kind)
    const range = ({ base, length }: { readonly base: number; readonly length: number }): FrameRange => [
      base,
      base + length - 1,
    ]
    this.#link.send({
      kind: 'claim',
      type: kind === 'port' ? XEN_DMOP_IO_RANGE_PORT : XEN_DMOP_IO_RANGE_MEMORY,
      ranges: regions.map(range),
      buffered: regions.filter((region) => region.buffered).map(range),
    })
  }

  /** @internal See `DeviceSetOwner`. */
  functionsChanged(requesters: readonly number[]): void {
    const ranges = requesters.map((requester): FrameRange => [requester, requester])
    this.#link.send({ kind: 'claim', type: XEN_DMOP_IO_RANGE_PCI, ranges, buffered: [] })
  }

  /** @internal See `DeviceSetOwner`. */
  answer(vcpu: number, lo: number, hi: number): void {
    this.#link.answer(vcpu, lo, hi)
  }

  /** @internal See `DeviceSetOwner`. */
  reject(vcpu: number, device: string, error: unknown): void {
    this.#link.send({ kind: 'fault', vcpu, device, what: '', message: describeThrown(error) })
  }

  /** @internal See `DeviceSetOwner`. */
  failed(device: string, what: string, error: unknown): void {
    this.#link.send({ kind: 'fault', vcpu: NO_VCPU, device, what, message: describeThrown(error) })
  }
}

function framesOf(gone: readonly FrameRange[], readOnly: readonly FrameRange[]): InvalidatedFrames[] {
  const framesIn =
    (writesOnly: boolean) =>
    ([first, last]: FrameRange): InvalidatedFrames => ({ gfn: first, count: last - first + 1, writesOnly })
  return [...gone.map(framesIn(false)), ...readOnly.map(framesIn(true))]
}

/** Memory in pieces of at most `MAX_DMA_BYTES`, until one cannot be moved. */
function eachPiece(gpa: number, bytes: Uint8Array, move: (gpa: number, piece: Uint8Array) => boolean): boolean {
  for (let at = 0; at < bytes.length; at += MAX_DMA_BYTES) {
    if (!move(gpa + at, bytes.subarray(at, at + MAX_DMA_BYTES))) return false
  }
  return true
}
