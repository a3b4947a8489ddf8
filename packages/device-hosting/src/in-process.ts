import { DeviceError } from '@retrap/device'
import {
  createIoRequest,
  type IoDispatch,
  IoreqError,
  type IoreqServer,
  type IoreqTransport,
  type IoRequest,
  type ReplyTarget,
} from '@retrap/ioreq'
import { DeviceSet } from './device-set.ts'
import type { FrameRange } from './frames.ts'
import type { DeviceHostState, DevicePlatform } from './platform.ts'

/** How a {@link DeviceHost} serves. */
export interface DeviceHostOptions {
  /** Names the server; default `devices`. */
  readonly name?: string
  /**
   * Calls back in a later turn of the event loop, for instance `setImmediate`. With it *every* model is asynchronous:
   * each access, configuration space included, goes through the request page and is served in a later turn.
   */
  readonly defer?: ((callback: () => void) => void) | undefined
}

/**
 * The ioreq server of the models that live in this process.
 *
 * Accesses bypass the request page: `IoDispatch` calls the handlers of synchronous models, and of any other model as well,
 * whose answer comes when the model's promise settles. Notices go through the page, as does everything where models are
 * deferred.
 */
export class DeviceHost extends DeviceSet implements IoreqTransport, ReplyTarget {
  /** The server that answers for the models. */
  readonly server: IoreqServer
  readonly #dispatch: IoDispatch
  readonly #defer: ((callback: () => void) => void) | undefined
  #restores = 0
  readonly #request = createIoRequest()

  /**
   * @param dispatch - the domain's dispatcher; the host takes one of its servers, enabled
   * @param platform - what models reach through their contexts
   */
  constructor(dispatch: IoDispatch, platform: DevicePlatform, { name = 'devices', defer }: DeviceHostOptions = {}) {
    super(platform)
    this.#dispatch = dispatch
    this.#defer = defer
    this.server = dispatch.createServer({ name, transport: this, ...(defer === undefined && { local: this }) })
    this.server.setState(true)
  }

  // ---- IoreqTransport ----

  /** @internal See `IoreqTransport`. */
  timeOffset(request: IoRequest): boolean {
    this.serveBuffered(request)
    return true
  }

  /** @internal The dispatcher has published a request. */
  notify(vcpu: number): void {
    if (this.#defer === undefined) return this.#take(vcpu)
    const restores = this.#restores
    this.#defer(() => this.#take(vcpu, restores))
  }

  #take(vcpu: number, restores = this.#restores): void {
    if (!this.server.slot(vcpu).accept(this.#request)) return
    if (restores === this.#restores) this.requests.serve(vcpu, this.#request, this)
    // The request is of a time that the models know nothing of any more.
    else this.answer(vcpu, 0xffff_ffff, 0xffff_ffff, true)
  }

  /** See `DeviceSet`. */
  override restore(state: DeviceHostState, deadlineMs?: number): Promise<void> {
    this.#restores++
    return super.restore(state, deadlineMs)
  }

  /** @internal See `IoreqTransport`. */
  deviceAt(kind: 'port' | 'mmio', address: number): string | undefined {
    return this.regions.regionAt(kind, address)?.device
  }

  /** @internal See `IoreqTransport`. */
  deviceIn(kind: 'port' | 'mmio', first: number, last: number): string | undefined {
    return this.regions.overlapping(kind, first, last)?.device
  }

  // ---- ReplyTarget, of requests that came through the page ----

  /** @internal See `ReplyTarget`. */
  answer(vcpu: number, lo: number, hi: number, last: boolean): void {
    this.server.slot(vcpu).answer(lo, hi)
    this.server.answered(vcpu, last)
  }

  /** @internal See `ReplyTarget`. */
  reject(vcpu: number, device: string, error: unknown): void {
    this.#dispatch.requests.serverFailed(this.server, vcpu, device === '' ? this.server.name : device, error)
  }

  // ---- DeviceSet ----

  /** @internal See `DeviceSet`. A claim that fails is a model's mistake, or a guest's placing of a BAR. */
  protected override claim(type: number, ranges: readonly FrameRange[]): void {
    try {
      this.server.setRanges(type, ranges)
    } catch (error) {
      if (!(error instanceof IoreqError) || error.code === 'ERR_PROTOCOL' || error.code === 'ERR_BUSY') throw error
      throw new DeviceError(error.code, error.message, { cause: error })
    }
  }

  /** @internal See `DeviceSet`. */
  protected override failed(device: string, what: string, error: unknown): void {
    this.#dispatch.modelFailed(this.server, device, what, error)
  }
}
