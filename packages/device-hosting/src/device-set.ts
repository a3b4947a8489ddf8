import { DeviceError, type DeviceModel } from '@retrap/device'
import { describeThrown, isPromise, PciTree } from '@retrap/device/host'
import { AttachedModel, type ModelSurroundings } from './attached-model.ts'
import {
  type ClaimedRegion,
  type DeviceImpairment,
  type InvalidationNotice,
  IoreqError,
  type IoRequest,
  type LocalModels,
  RegionTable,
  XEN_DMOP_IO_RANGE_MEMORY,
  XEN_DMOP_IO_RANGE_PCI,
  XEN_DMOP_IO_RANGE_PORT,
} from '@retrap/ioreq'
import { ModelMemory } from './device-memory.ts'
import type { FrameRange } from './frames.ts'
import { HotPlug, type UnplugOptions } from './hot-plug.ts'
import { ModelNotices } from './model-notices.ts'
import { ModelRequests } from './model-requests.ts'
import { checkTimeLimit, restoreModels, saveModels, withDeadline } from './model-state.ts'
import type { DeviceHostState, DevicePlatform } from './platform.ts'

/**
 * Holds device models and serves requests with them: in the domain's own process, in a Worker, in another process.
 * One set belongs to one ioreq server.
 */
export abstract class DeviceSet implements LocalModels {
  /** The ranges that the models claim. */
  readonly regions: RegionTable
  readonly functions: PciTree
  /** Serves requests with the models. */
  readonly requests: LocalModels['requests']
  readonly #requests: ModelRequests
  readonly #notices: ModelNotices
  readonly #surroundings: ModelSurroundings
  readonly #attached = new Map<string, AttachedModel>()
  readonly #hotPlug: HotPlug
  /** Called with a slot before its device leaves it, by a command or by the guest. */
  onLeaving: (busName: string) => void = () => {}

  /** @param platform - what models reach through their contexts */
  constructor(platform: DevicePlatform) {
    this.regions = new RegionTable((kind) => this.#claimRegions(kind))
    this.functions = new PciTree({
      mapBar: (device, bar) => (this.#attached.get(device) as AttachedModel).mapBar(bar),
      wire: (device, pin) => platform.pciInterrupt?.(device, pin) ?? null,
      signalMsi: (address, data, requester) => platform.signalMsi(address, data, requester),
      hasPortZero: () => platform.hasPortZero?.() ?? false,
      changed: () => {
        const ranges = this.functions.requesters().map((requester): FrameRange => [requester, requester])
        this.claim(XEN_DMOP_IO_RANGE_PCI, ranges, [])
      },
      rest: (owners) => this.#hotPlug.rest(owners),
      release: (busName) => this.#hotPlug.release(busName),
    })
    const dma = new ModelMemory(platform, 'requests')
    const failed = this.failed.bind(this)
    this.#notices = new ModelNotices(() => this.#attached.values(), dma, failed)
    this.#surroundings = {
      platform,
      table: this.regions,
      tree: this.functions,
      begun: (promise, device, what) => this.#notices.begun(promise, device, what),
      failed,
    }
    this.#requests = new ModelRequests({
      table: this.regions,
      tree: this.functions,
      notices: this.#notices,
      dma,
      failed,
      timeOffset: (seconds) => this.#notify('time offset', (model) => model.timeOffset?.(seconds)),
    })
    this.requests = this.#requests
    this.#hotPlug = new HotPlug({
      tree: this.functions,
      notices: this.#notices,
      requests: this.#requests,
      attached: this.#attached,
      failed,
      leaves: (busName) => this.onLeaving(busName),
    })
  }

  // ---- for the way to the hypervisor ----

  /**
   * Reports the models' claims of a type (`XEN_DMOP_IO_RANGE_*`) after each change: all ranges, lowest priority first, and the
   * ranges whose writes are buffered. The range of a PCI function is bus·256 + device·8 + function.
   */
  protected abstract claim(type: number, ranges: readonly FrameRange[], buffered: readonly FrameRange[]): void
  /** A model has failed outside of a request, in a timer for instance. */
  protected abstract failed(device: string, what: string, error: unknown): void

  #claimRegions(kind: 'port' | 'mmio'): void {
    const regions = this.regions.byPriority(kind)
    const rangesOf = (some: readonly ClaimedRegion[]): FrameRange[] =>
      some.map(({ base, length }) => [base, base + length - 1])
    const type = kind === 'port' ? XEN_DMOP_IO_RANGE_PORT : XEN_DMOP_IO_RANGE_MEMORY
    this.claim(type, rangesOf(regions), rangesOf(regions.filter(({ buffered }) => buffered)))
  }

  // ---- models ----

  /**
   * Makes a model part of the machine.
   *
   * @throws DeviceError `ERR_INVALID` for a value that is not a model, `ERR_EXISTS` if the name is taken or a range
   * overlaps another's, `ERR_DEVICE` if its `attach` throws anything else or returns a promise; the model then claims
   * nothing
   */
  attach(model: DeviceModel): void {
    this.#attach(model, false)
  }

  /**
   * Puts a model into a slot below a port, which notifies its guest.
   *
   * @throws DeviceError as `attach`, and `ERR_INVALID` for one without a PCI function in a slot
   */
  plug(model: DeviceModel): void {
    this.#attach(model, true)
  }

  /**
   * Takes the device out of a slot, when the guest has released it.
   *
   * @param busName - the slot's
   * @returns whether it is out: false when the deadline has passed. The request stays with the guest then
   * @throws DeviceError `ERR_NOT_FOUND` for an unknown or empty slot; `ERR_INVALID` for a bad deadline
   */
  unplug(busName: string, options?: UnplugOptions): Promise<boolean> {
    return this.#hotPlug.unplug(busName, options)
  }

  /** Ends the waits of `unplug`, as if their deadlines had passed: the guest will not answer any more. */
  giveUpUnplugs(): void {
    this.#hotPlug.giveUp()
  }

  /** The machine has ended permanently: models take their listeners back from back ends. */
  close(): void {
    for (const attached of this.#attached.values()) attached.leave()
  }

  /** Whether there is a device in the slot of this name. */
  isOccupied(busName: string): boolean {
    return this.functions.slot(busName)?.occupied ?? false
  }

  #attach(model: DeviceModel, hot: boolean): void {
    checkModel(model)
    if (this.#attached.has(model.name)) {
      throw new DeviceError('ERR_EXISTS', `a device model named ${model.name} is attached already`)
    }
    const attached = new AttachedModel(model, this.#surroundings)
    this.#attached.set(model.name, attached)
    try {
      const begun: unknown = model.attach(attached.context())
      if (isPromise(begun)) {
        Promise.resolve(begun).catch(() => {})
        throw new DeviceError('ERR_DEVICE', `${model.name}: attach returned a promise: expected it to be done`)
      }
      if (!this.functions.arrived(model.name, hot) && hot)
        throw new DeviceError('ERR_INVALID', `${model.name}: expected a PCI function in a slot below a port`)
    } catch (error) {
      this.#attached.delete(model.name)
      attached.undo()
      if (error instanceof DeviceError || error instanceof IoreqError) throw error
      throw new DeviceError('ERR_DEVICE', `${model.name}: attach failed: ${describeThrown(error)}`, { cause: error })
    }
  }

  /** The models, in the order in which they were attached. */
  models(): DeviceModel[] {
    return [...this.#attached.values()].map((a) => a.model)
  }

  /** The model of this name, or undefined. */
  model(name: string): DeviceModel | undefined {
    return this.#attached.get(name)?.model
  }

  /**
   * Takes a model out: its ranges stay claimed and read as ones, as do its functions; its timers stop, and its memory
   * goes. False without it.
   */
  detach(device: string): boolean {
    const attached = this.#attached.get(device)
    if (attached === undefined) return false
    attached.detach()
    return true
  }

  /**
   * Delays the guest's accesses to a model, or drops them, from the next one on, as a slow or a broken device would. The
   * interrupt lines of a broken model are low. Configuration space, memory that the guest reaches as RAM, and the model's own
   * actions are not changed.
   *
   * @param impairment - null: no more
   * @returns false for an unknown model
   */
  impair(device: string, impairment: DeviceImpairment | null): boolean {
    const attached = this.#attached.get(device)
    if (attached === undefined || attached.detached) return false
    attached.impair(impairment)
    return true
  }

  // ---- requests ----

  /** @internal Serves a posted write, out of the buffered ring. */
  serveBuffered(request: IoRequest): void {
    this.#requests.serveBuffered(request)
  }

  /** @internal The vCPU no longer wants its answer: aborts the handler's signal. */
  cancel(vcpu: number): void {
    this.#requests.services[vcpu]?.access?.cancel()
  }

  /**
   * Lets models finish work that no vCPU waits for: buffered writes, and promises that their timers' callbacks
   * returned.
   *
   * @returns a promise that settles with them; null: there are none
   */
  settle(): Promise<void> | null {
    return this.#notices.unsettled ? new Promise((resolve) => this.#notices.settle(resolve)) : null
  }

  /**
   * Reports the models that `settle` waits for as failed; the policy decides the consequence.
   *
   * @param error - the cause of the failure
   */
  failUnsettled(error: unknown): void {
    this.#notices.failUnsettled(error)
  }

  // ---- mappings of the models ----

  /** @internal The next INVALIDATE request of a vCPU is about these frames only; null: about all. */
  announce(vcpu: number, { frames }: Pick<InvalidationNotice, 'frames'>): void {
    this.#notices.announced.set(vcpu, frames)
  }

  /**
   * @internal Has all models drop their mappings; `done` when no mapping is held, and all work in flight has
   * ended.
   */
  dropMappings(done: () => void): void {
    this.#notices.dropMappings(null, done)
  }

  /** @internal A model that still holds a mapping which was asked for back, or has not ended its `invalidate`. */
  holder(): string | undefined {
    return this.#notices.holder
  }

  /** @internal Ends all mappings of all models, permanently. */
  endMappings(): void {
    this.#notices.endMappings()
  }

  #notify(what: string, tell: (model: DeviceModel) => unknown): void {
    for (const { model, detached } of this.#attached.values()) {
      if (detached) continue
      try {
        // A model whose promise rejects has failed.
        const begun = tell(model)
        if (isPromise(begun)) this.#notices.begun(begun, model.name, what)
      } catch (error) {
        this.failed(model.name, what, error)
      }
    }
  }

  // ---- reset and state ----

  /** Resets every model and function, in the order in which the models were attached. */
  reset(): void {
    this.functions.reset()
    this.#notify('reset', (model) => model.reset?.())
  }

  #present(): DeviceModel[] {
    return [...this.#attached.values()].filter((each) => !each.detached).map((each) => each.model)
  }

  /**
   * Has every model bring its work in flight to an end or to a state that can be saved.
   *
   * @throws DeviceError `ERR_INVALID` for a deadline that is negative or no number; `ERR_DEVICE`, with the model's name,
   * for one that fails or is not done in time
   */
  async quiesce(deadlineMs: number): Promise<void> {
    checkTimeLimit(deadlineMs)
    await Promise.all(
      this.#present().map((model) =>
        withDeadline(model.name, 'quiesce', deadlineMs, () => {
          // The model resumes at the end of the rest.
          const quiesce = (): void | Promise<void> => model.quiesce?.(deadlineMs)
          return this.#hotPlug.resting(model.name)?.then(quiesce) ?? quiesce()
        }),
      ),
    )
    // A port may just have let its device go.
    await withDeadline('hot plug', 'the end of a device', deadlineMs, () => this.#hotPlug.settled())
  }

  /** Whether the guest would notice of no model that it is saved; see `DeviceModel.isAtRest`. */
  isAtRest(): boolean {
    return this.#present().every((model) => model.isAtRest?.() ?? true)
  }

  /** Tells every model that the machine goes on. */
  resume(): void {
    this.#notify('resume', (model) => model.resume?.())
  }

  /**
   * Saves every model and function.
   *
   * @param deadlineMs - host time that each model may take; default any
   * @throws DeviceError `ERR_STATE`, with the model's name, for one that has neither `save` nor `stateless: true`;
   *   `ERR_DEVICE` for one that fails or is not done in time
   */
  async save(deadlineMs: number = Infinity): Promise<DeviceHostState> {
    return {
      version: 2,
      devices: await saveModels(this.#present(), deadlineMs),
      functions: this.functions.save(),
      detached: [...this.#attached.values()].filter((each) => each.detached).map((each) => each.model.name),
    }
  }

  /**
   * Divides a saved state.
   *
   * @returns the parts of these models, and of other models; null: none
   * @throws DeviceError `ERR_STATE` for another version
   */
  divide(state: DeviceHostState): { readonly own: DeviceHostState; readonly others: DeviceHostState | null } {
    checkVersion(state)
    const part = (isOwn: boolean): DeviceHostState => ({
      version: 2,
      devices: pick(state.devices, (name) => this.#attached.has(name) === isOwn),
      functions: pick(state.functions, (key) => this.functions.has(key) === isOwn),
      detached: state.detached.filter((name) => this.#attached.has(name) === isOwn),
    })
    const others = part(false)
    const isEmpty = [others.devices, others.functions, others.detached].every((all) => Object.keys(all).length === 0)
    return { own: part(true), others: isEmpty ? null : others }
  }

  /**
   * Checks whether a saved state is of these models, and changes nothing.
   *
   * @throws DeviceError `ERR_STATE` for another version, `ERR_NOT_FOUND` where the state names a model that does not exist,
   * or lacks one that does
   */
  check(state: DeviceHostState): void {
    checkVersion(state)
    restoreModels(
      this.#present().filter(({ name }) => !state.detached.includes(name)),
      state.devices,
      Infinity,
    )
  }

  /**
   * Restores every model and function.
   *
   * @param deadlineMs - host time that each model may take; default any
   * @throws DeviceError `ERR_STATE` for another version or a state that a model refuses, `ERR_NOT_FOUND` where the state
   * names a model or function that does not exist, or lacks one that does; `ERR_DEVICE` for a model that fails or is
   * late
   */
  async restore(state: DeviceHostState, deadlineMs: number = Infinity): Promise<void> {
    checkVersion(state)
    for (const name of state.detached) this.detach(name)
    const restoring = restoreModels(this.#present(), state.devices, deadlineMs)
    this.functions.restore(state.functions)
    await restoring()
  }
}

const pick = <T>(all: Readonly<Record<string, T>>, wanted: (name: string) => boolean): Record<string, T> =>
  Object.fromEntries(Object.entries(all).filter(([name]) => wanted(name)))

function checkVersion(state: DeviceHostState): void {
  if (typeof state === 'object' && state !== null && state.version === 2) return
  throw new DeviceError('ERR_STATE', `device state of version ${String(state?.version)}: expected 2`)
}

function checkModel(model: unknown): asserts model is DeviceModel {
  const { name, attach } = (typeof model === 'object' && model !== null ? model : {}) as Partial<DeviceModel>
  if (typeof name === 'string' && name !== '' && typeof attach === 'function') return
  throw new DeviceError('ERR_INVALID', 'what was attached is no device model: expected a name and attach()')
}
