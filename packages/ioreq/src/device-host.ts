import { DeviceSet, type DeviceHostState, type DeviceSetOwner } from './device-set.ts'
import type { DevicePlatform } from './platform.ts'
import { DeviceError, type DeviceModel } from '@retrap/device'
import { IoreqError } from './errors.ts'
import type { IoDispatch } from './dispatch.ts'
import type { UnplugOptions } from './hot-plug.ts'
import type { DeviceImpairment } from './impairment.ts'
import type { InvalidationNotice } from './invalidation.ts'
import { XEN_DMOP_IO_RANGE_MEMORY, XEN_DMOP_IO_RANGE_PCI, XEN_DMOP_IO_RANGE_PORT } from './layout.ts'
import type { ClaimedRegion } from './region.ts'
import { createIoRequest, type IoRequest } from './request.ts'
import type { IoreqServer, IoreqTransport, LocalRegions } from './server.ts'

/** How a {@link DeviceHost} serves. */
export interface DeviceHostOptions {
  /** Names the server; default `devices`. */
  readonly name?: string
  /**
   * Calls back in a later turn of the event loop, for instance `setImmediate`. With it *every* model is asynchronous:
   * each access, configuration space included, goes through the request page and is served in a later turn.
   */
  readonly defer?: (callback: () => void) => void
}

/**
 * The ioreq server of the models that live in this process.
 *
 * Accesses bypass the request page: `IoDispatch` calls the handlers of synchronous models, and those of any other model as
 * well, whose answer comes when the model's promise does. Notices go through the page, as does everything where models are
 * deferred.
 */
export class DeviceHost implements LocalRegions, IoreqTransport, DeviceSetOwner {
  /** The server that answers for the models. */
  readonly server: IoreqServer
  readonly #dispatch: IoDispatch
  readonly #set: DeviceSet
  readonly #defer: ((callback: () => void) => void) | undefined
  readonly #request = createIoRequest()
  /** By vCPU: its request came through the page, and so does the answer. */
  readonly #paged: Uint8Array
  #ready = false

  /**
   * @param dispatch - the domain's dispatcher; the host takes one of its servers, enabled
   * @param platform - what models reach through their contexts
   */
  constructor(dispatch: IoDispatch, platform: DevicePlatform, options: DeviceHostOptions = {}) {
    this.#dispatch = dispatch
    this.#set = new DeviceSet(platform, this)
    this.#defer = options.defer
    this.#paged = new Uint8Array(dispatch.vcpus)
    this.server = dispatch.createServer({
      name: options.name ?? 'devices',
      transport: this,
      ...(options.defer === undefined && { local: this }),
    })
    this.#ready = true
    this.server.setState(true)
  }

  /**
   * Makes a model part of the machine.
   *
   * @throws IoreqError `ERR_EXISTS` if the name is taken or a range overlaps another's; the model then claims nothing
   */
  attach(model: DeviceModel): void {
    this.#set.attach(model)
  }

  /** See `DeviceSet.plug`. */
  plug(model: DeviceModel): void {
    this.#set.plug(model)
  }

  /** See `DeviceSet.unplug`. */
  unplug(busName: string, options?: UnplugOptions): Promise<boolean> {
    return this.#set.unplug(busName, options)
  }

  /** Ends the waits of `unplug`, as if their deadlines had passed: the guest will not answer any more. */
  giveUpUnplugs(): void {
    this.#set.giveUpUnplugs()
  }

  /** The machine has ended for good: models take their listeners back from back ends. */
  close(): void {
    this.#set.close()
  }

  /** See `DeviceSet.isOccupied`. */
  isOccupied(busName: string): boolean {
    return this.#set.isOccupied(busName)
  }

  /** The models, in the order in which they were attached. */
  models(): DeviceModel[] {
    return this.#set.models()
  }

  /** The model of this name, or undefined. */
  model(name: string): DeviceModel | undefined {
    return this.#set.model(name)
  }

  /** Takes a model out: its ranges stay claimed and read as ones, its timers stop. False without it. */
  detach(device: string): boolean {
    return this.#set.detach(device)
  }

  /**
   * Has the guest's accesses to a model wait, or go nowhere, from the next one on: what a slow or a dead device does to its
   * guest. Configuration space, memory that the guest reaches as RAM, and what the model does by itself are as ever.
   *
   * @param impairment - null: no more
   * @returns false where there is no such model
   */
  impair(device: string, impairment: DeviceImpairment | null): boolean {
    return this.#set.impair(device, impairment)
  }

  /**
   * Lets models finish what no vCPU waits for: promises that their timers' callbacks returned.
   *
   * @returns settles with them; null: there are none
   */
  settle(): Promise<void> | null {
    return this.#set.unsettled ? new Promise((resolve) => this.#set.settle(resolve)) : null
  }

  /**
   * Reports the models that `settle` waits for as failed; the policy decides what follows.
   *
   * @param error - the cause of the failure
   */
  failUnsettled(error: unknown): void {
    this.#set.failUnsettled(error)
  }

  /** Resets every model and function, in the order in which the models were attached. */
  reset(): void {
    this.#set.reset()
  }

  /** See `DeviceSet.quiesce`. */
  quiesce(deadlineMs: number): Promise<void> {
    return this.#set.quiesce(deadlineMs)
  }

  /** See `DeviceSet.isAtRest`. */
  isAtRest(): boolean {
    return this.#set.isAtRest()
  }

  /** Tells every model that the machine goes on. */
  resume(): void {
    this.#set.resume()
  }

  /**
   * Saves every model and function.
   *
   * @throws DeviceError `ERR_STATE`, naming a model that has neither `save` nor `stateless: true`
   */
  save(): Promise<DeviceHostState> {
    return this.#set.save()
  }

  /** See `DeviceSet.check`. */
  check(state: DeviceHostState): void {
    this.#set.check(state)
  }

  /**
   * Restores every model and function.
   *
   * @throws DeviceError `ERR_STATE` for another version or what a model refuses, `ERR_NOT_FOUND` where state and models do
   *   not fit
   */
  restore(state: DeviceHostState): Promise<void> {
    return this.#set.restore(state)
  }

  // ---- LocalRegions ----

  /** @internal See `LocalRegions`. */
  regionAt(kind: 'port' | 'mmio', address: number): ClaimedRegion | null {
    return this.#set.regionAt(kind, address)
  }

  /** @internal See `LocalRegions`. */
  allDirect(kind: 'port' | 'mmio', first: number, last: number): boolean {
    return this.#set.allDirect(kind, first, last)
  }

  /** @internal See `LocalRegions`. */
  byPriority(kind: 'port' | 'mmio'): readonly ClaimedRegion[] {
    return this.#set.byPriority(kind)
  }

  /** @internal See `LocalRegions`. */
  configRead(bdf: number, register: number, size: number): number {
    return this.#set.configRead(bdf, register, size)
  }

  /** @internal See `LocalRegions`. */
  configWrite(bdf: number, register: number, size: number, value: number): void {
    this.#set.configWrite(bdf, register, size, value)
  }

  /** @internal See `LocalRegions`. */
  functionOwner(bdf: number): string | undefined {
    return this.#set.functionOwner(bdf)
  }

  /** @internal See `LocalRegions`. */
  call(vcpu: number, request: IoRequest): void {
    this.#paged[vcpu] = 0
    this.#set.serve(vcpu, request)
  }

  /** @internal See `LocalRegions`. */
  callHandler(
    vcpu: number,
    region: ClaimedRegion,
    offset: number,
    size: 1 | 2 | 4,
    direction: number,
    value: number,
  ): void {
    this.#paged[vcpu] = 0
    this.#set.callHandler(vcpu, region, offset, size, direction, value)
  }

  // ---- IoreqTransport ----

  /** @internal See `IoreqTransport`. */
  timeOffset(request: IoRequest): boolean {
    this.#set.serveBuffered(request)
    return true
  }

  /** @internal The dispatcher has published a request. */
  notify(vcpu: number): void {
    if (this.#defer === undefined) this.#take(vcpu)
    else this.#defer(() => this.#take(vcpu))
  }

  #take(vcpu: number): void {
    if (!this.server.slot(vcpu).accept(this.#request)) return
    this.#paged[vcpu] = 1
    this.#set.serve(vcpu, this.#request)
  }

  /** @internal See `IoreqTransport`. */
  deviceAt(kind: 'port' | 'mmio', address: number): string | undefined {
    return this.#set.regionAt(kind, address)?.device
  }

  /** @internal See `IoreqTransport`. */
  cancel(vcpu: number): void {
    this.#set.cancel(vcpu)
  }

  /** @internal See `IoreqTransport`. */
  announce(vcpu: number, notice: InvalidationNotice): void {
    this.#set.announce(vcpu, notice.frames)
  }

  /** @internal See `IoreqTransport`. */
  dropMappings(done: () => void): void {
    this.#set.dropMappings(null, done)
  }

  /** @internal See `IoreqTransport`. */
  holder(): string | undefined {
    return this.#set.holder
  }

  /** @internal See `IoreqTransport`. */
  endMappings(): void {
    this.#set.endMappings()
  }

  // ---- DeviceSetOwner ----

  /** @internal Registers what the models claim as the server's ranges. */
  claimsChanged(kind: 'port' | 'mmio'): void {
    if (!this.#ready) return
    const type = kind === 'port' ? XEN_DMOP_IO_RANGE_PORT : XEN_DMOP_IO_RANGE_MEMORY
    const regions = this.#set.byPriority(kind)
    claim(() =>
      this.server.setRanges(
        type,
        regions.map(({ base, length }) => [base, base + length - 1]),
      ),
    )
  }

  /** @internal See `DeviceSetOwner`. */
  functionsChanged(requesters: readonly number[]): void {
    claim(() =>
      this.server.setRanges(
        XEN_DMOP_IO_RANGE_PCI,
        requesters.map((requester) => [requester, requester]),
      ),
    )
  }

  /** @internal See `DeviceSetOwner`. */
  answer(vcpu: number, lo: number, hi: number, last: boolean): void {
    if (this.#paged[vcpu] === 0) return this.server.returned(vcpu, lo, hi, last)
    this.server.slot(vcpu).answer(lo, hi)
    this.server.answered(vcpu, last)
  }

  /** @internal See `DeviceSetOwner`. */
  reject(vcpu: number, device: string, error: unknown): void {
    this.#dispatch.serverFailed(this.server, vcpu, device === '' ? this.server.name : device, error)
  }

  /** @internal See `DeviceSetOwner`. */
  failed(device: string, what: string, error: unknown): void {
    this.#dispatch.modelFailed(this.server, device, what, error)
  }
}

/** What the server cannot claim is a model's mistake, or a guest's placing of a BAR. */
function claim(make: () => void): void {
  try {
    make()
  } catch (error) {
    if (!(error instanceof IoreqError) || error.code === 'ERR_PROTOCOL' || error.code === 'ERR_BUSY') throw error
    throw new DeviceError(error.code, error.message, { cause: error })
  }
}
