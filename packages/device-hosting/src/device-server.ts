import { DeviceError, type DeviceModel, type InvalidatedFrames, type Word64 } from '@retrap/device'
import { describeThrown } from '@retrap/device/host'
import { type DeviceLink, type DeviceServerOptions, LinkedPlatform } from './linked-platform.ts'
import { IoreqError, type ReplyTarget } from '@retrap/ioreq'
import { DeviceSet } from './device-set.ts'
import type { DeviceHostState } from './platform.ts'
import { type Frame, FRAME_VERSION, type FrameRange, NO_VCPU, timeOf } from './frames.ts'
import { stateFromText, stateToText } from './model-state.ts'

/**
 * Serves requests with device models that live outside of the hypervisor's thread: the other end of a `RemoteServer`.
 * To a model it looks as its own process would. Time is the hypervisor's: that of the request or timer that is being
 * handled, and running on from there if the machine follows the host's clock.
 */
export class DeviceServer extends DeviceSet implements ReplyTarget {
  readonly #link: DeviceLink
  readonly #options: DeviceServerOptions
  readonly #platform: LinkedPlatform
  readonly #offered = new Map<string, () => DeviceModel>()
  readonly #hello = Promise.withResolvers<void>()
  /** Number of the domain's vCPUs; 0 before the hypervisor has sent it. */
  vcpus = 0

  constructor(link: DeviceLink, options: DeviceServerOptions = {}) {
    const platform = new LinkedPlatform(link, options)
    super(platform)
    this.#link = link
    this.#options = options
    this.#platform = platform
    this.#hello.promise.catch(() => {})
  }

  /** Settles when the hypervisor has introduced itself; models can be attached before. */
  get connected(): Promise<void> {
    return this.#hello.promise
  }

  /**
   * Offers a device that may be plugged in while the machine runs, as often as its slot is empty.
   *
   * @param device - the name that `RemoteServer.plug` is given
   */
  offer(device: string, make: () => DeviceModel): void {
    this.#offered.set(device, make)
  }

  /** Reports that all models are attached: the guest finds them from now on. */
  ready(): void {
    this.#link.send({ kind: 'wantFrames' })
    this.#link.send({ kind: 'ready', name: this.#options.name ?? 'devices' })
  }

  /** @internal Adds models, and reports that they are attached, or the error. */
  async attachAll(add: (server: DeviceServer) => void | Promise<void>): Promise<void> {
    try {
      await add(this)
      this.ready()
    } catch (error) {
      this.fail('attach', error)
    }
  }

  /** Sends bytes to the party that made the machine. */
  post(bytes: Uint8Array): void {
    this.#link.send({ kind: 'message', now: timeOf(this.#platform.clock), bytes })
  }

  /** Reports a failure outside of the models, such as a module that cannot be loaded. */
  fail(what: string, error: unknown): void {
    this.failed('', what, error)
  }

  // ---- messages of the hypervisor ----

  /** Learns the machine's time. It runs on from the first look at it, or from `yieldTime`. */
  setTime(now: Readonly<Word64>): void {
    this.#platform.setTime(now)
  }

  /** To be called before the event loop runs: the machine's time then runs on without requests that carry it. */
  yieldTime(): void {
    this.#platform.yieldTime()
  }

  /**
   * Takes any frame but a `request`, whose answer is the link's business.
   *
   * @throws IoreqError `ERR_PROTOCOL` for a frame that a hypervisor does not send
   */
  receive(frame: Frame): void {
    if (frame.kind === 'hello') this.#platform.realTime = frame.realTime
    if ('now' in frame) this.setTime(frame.now)
    switch (frame.kind) {
      case 'hello':
        if (frame.version !== FRAME_VERSION) {
          throw new IoreqError('ERR_PROTOCOL', `frames of version ${frame.version}: expected ${FRAME_VERSION}`)
        }
        this.vcpus = frame.vcpus
        this.#hello.resolve()
        return
      case 'buffered':
        return this.serveBuffered(frame.request)
      case 'cancel':
        return this.cancel(frame.vcpu)
      case 'timer':
        return this.#platform.expire(frame.timer, frame.deadline)
      case 'reset':
        return this.#guard('reset', () => this.reset())
      case 'settle':
        return this.#reply(frame.call, () => this.settle()?.then(() => '') ?? '')
      case 'save':
        return this.#reply(frame.call, async () => stateToText(await this.save()))
      case 'restore':
        return this.#reply(frame.call, async () => {
          await this.restore(stateFromText(frame.state) as DeviceHostState)
          return ''
        })
      case 'quiesce':
        return this.#reply(frame.call, async () => {
          await this.quiesce(frame.deadline)
          this.#platform.atRest()
          return ''
        })
      case 'announce':
        this.#platform.announces = frame.on
        return this.#platform.tellHeld('writing')
      case 'resume':
        return this.resume()
      case 'dmaDone':
        return this.#platform.reply(frame)
      case 'plug':
        return this.#reply(frame.call, () => this.#plug(frame.device))
      case 'unplug':
        return this.#reply(frame.call, async () => {
          const { bus, force, deadline: deadlineMs } = frame
          return (await this.unplug(bus, { force, deadlineMs })) ? 'out' : 'late'
        })
      case 'detach':
        this.detach(frame.device)
        return
      case 'invalidate':
        return this.announce(frame.vcpu, { frames: frame.all ? null : framesOf(frame.gone, frame.readOnly) })
      case 'drop':
        return this.dropMappings(() => this.#link.send({ kind: 'called', call: frame.call, error: '', result: '' }))
      case 'message':
        return this.#guard('message', () => this.#options.onMessage?.(frame.bytes))
      default:
        throw new IoreqError('ERR_PROTOCOL', `a hypervisor sent a ${frame.kind} frame`)
    }
  }

  #plug(device: string): string {
    const make = this.#offered.get(device)
    if (make === undefined) {
      const names = [...this.#offered.keys()].join(', ')
      throw new DeviceError('ERR_NOT_FOUND', `no device '${device}' is offered: expected one of: ${names || 'none'}`)
    }
    this.plug(make())
    return ''
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

  // ---- DeviceSet ----

  /** @internal See `DeviceSet`. */
  protected override claim(type: number, ranges: readonly FrameRange[], buffered: readonly FrameRange[]): void {
    this.#link.send({ kind: 'claim', type, ranges, buffered })
  }

  /** @internal See `ReplyTarget`. */
  answer(vcpu: number, lo: number, hi: number): void {
    this.#link.answer(vcpu, lo, hi)
  }

  /** @internal See `ReplyTarget`. */
  reject(vcpu: number, device: string, error: unknown): void {
    this.#link.send({ kind: 'fault', vcpu, device, what: '', message: describeThrown(error) })
  }

  /** @internal See `DeviceSet`. */
  protected override failed(device: string, what: string, error: unknown): void {
    this.#link.send({ kind: 'fault', vcpu: NO_VCPU, device, what, message: describeThrown(error) })
  }
}

function framesOf(gone: readonly FrameRange[], readOnly: readonly FrameRange[]): InvalidatedFrames[] {
  const framesIn =
    (writesOnly: boolean) =>
    ([first, last]: FrameRange): InvalidatedFrames => ({ gfn: first, count: last - first + 1, writesOnly })
  return [...gone.map(framesIn(false)), ...readOnly.map(framesIn(true))]
}
