import {
  hex,
  isOneCall,
  isPromise,
  PciConfigSpace,
  readRegion,
  readRegionAsync,
  writeRegion,
  writeRegionAsync,
} from '@retrap/device/host'
import type {
  Clock,
  DeviceContext,
  DeviceDma,
  DeviceModel,
  Dma,
  InterruptLine,
  RangeHandler,
  Region,
  RegionOptions,
  Timer,
  Word64,
} from '@retrap/device'
import type { DeviceMemory } from '@retrap/device'
import { Countdown, ModelMemory } from './device-memory.ts'
import { DeviceError } from '@retrap/device'
import type { InvalidatedFrames } from '@retrap/device'
import {
  IOREQ_READ,
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_INVALIDATE,
  IOREQ_TYPE_PCI_CONFIG,
  IOREQ_TYPE_PIO,
  IOREQ_TYPE_TIMEOFFSET,
} from './layout.ts'
import type { PciFunction, PciFunctionOptions, PciFunctionState } from '@retrap/device'
import { DEAD_HANDLER, type ClaimedRegion } from './region.ts'
import { RegionTable } from './region-table.ts'
import type { IoRequest } from './request.ts'
import { PendingAccess, Service } from './service.ts'
import { putBytes, wordAt } from './words.ts'

/** What device models reach the rest of the machine through. The machine supplies it. */
export interface DevicePlatform {
  readonly clock: Clock
  /** Makes a timer on that clock, for instance `TimerQueue.create`. */
  timer(callback: (deadlineNs: number) => void): Timer
  /** Guest RAM. Without the asynchronous forms, they are the others at once. */
  readonly dma: Dma & Partial<DeviceDma>
  /**
   * Gives a device model its own way to guest RAM, which knows what the model has mapped. Without it, models copy by `dma`
   * and cannot map.
   *
   * @param device - whose it is: a model's name, or a server's
   */
  openMemory?(device: string): DeviceMemory
  /** A timer has been set by models elsewhere, while the machine may be asleep until the next deadline that it knows of. */
  timerArmed?(): void
  /** What a Worker needs to reach guest RAM by itself, to be posted to it; absent where the machine's memory is not shared. */
  readonly sharedMemory?: unknown
  /** A model that reaches guest memory by itself has written frames of it. */
  modifiedMemory?(gfn: number, count: number): void
  interruptLine(irq: number): InterruptLine
  /** The wire of one function's INTx pin (1–4). Without it, functions have no wire. */
  pciInterrupt?(device: number, pin: number): InterruptLine
  signalMsi(address: number, data: number): void
  powerOff(): void
  reset(): void
  exit(code: number): void
}

/** Saved form of a set of models: each model's own, by name, and its PCI functions. */
export interface DeviceHostState {
  readonly version: 1
  readonly devices: Readonly<Record<string, unknown>>
  /** By bus·256 + device·8 + function. */
  readonly functions: Readonly<Record<string, PciFunctionState>>
}

/** Where the answers of a {@link DeviceSet} go, and who hears of its claims. */
export interface DeviceSetOwner {
  /** What the models claim of a kind has changed. */
  claimsChanged(kind: 'port' | 'mmio'): void
  /** A PCI function has been added; called before the models are told. */
  functionAdded(bdf: number): void
  /** The answer to the request that `serve` was given for this vCPU. */
  answer(vcpu: number, lo: number, hi: number, last: boolean): void
  /** A model cannot answer it. */
  reject(vcpu: number, device: string, error: unknown): void
  /** A model has failed outside of a request, in a timer for instance. */
  failed(device: string, what: string, error: unknown): void
}

interface Attached {
  readonly model: DeviceModel
  detached: boolean
  readonly timers: Timer[]
  readonly memory: ModelMemory
  /** What is to be called when it has forgotten what it was told to, by each time that it was told. */
  readonly forgetting: Set<() => void>
}

/**
 * Device models and what serves requests with them: in the domain's own process, in a Worker, in another process.
 * One set belongs to one ioreq server.
 */
export class DeviceSet {
  readonly #platform: DevicePlatform
  /** For requests whose data is a pointer. */
  readonly #dma: ModelMemory
  readonly #owner: DeviceSetOwner
  readonly #table: RegionTable
  readonly #attached = new Map<string, Attached>()
  readonly #functions = new Map<number, PciConfigSpace>()
  readonly #functionOwners = new Map<number, string>()
  /** By vCPU. */
  readonly #services: Service[] = []
  readonly #word: Word64 = { lo: 0, hi: 0 }
  readonly #bytes = new Uint8Array(8)
  /** By vCPU, what its next INVALIDATE request is about, where that has been said. */
  readonly #announced = new Map<number, readonly InvalidatedFrames[] | null>()
  /** Buffered writes that have been begun and not ended. */
  readonly #buffered = new Set<Promise<void>>()

  constructor(platform: DevicePlatform, owner: DeviceSetOwner) {
    this.#platform = platform
    this.#dma = new ModelMemory(platform, 'requests')
    this.#owner = owner
    this.#table = new RegionTable((kind) => owner.claimsChanged(kind))
  }

  // ---- models ----

  /**
   * Makes a model part of the machine.
   *
   * @throws DeviceError `ERR_EXISTS` if the name is taken or a range overlaps another's; the model then claims nothing
   */
  attach(model: DeviceModel): void {
    if (this.#attached.has(model.name)) {
      throw new DeviceError('ERR_EXISTS', `a device model named ${model.name} is attached already`)
    }
    const attached: Attached = {
      model,
      detached: false,
      timers: [],
      memory: new ModelMemory(this.#platform, model.name),
      forgetting: new Set(),
    }
    this.#attached.set(model.name, attached)
    try {
      model.attach(this.#context(attached))
    } catch (error) {
      this.#attached.delete(model.name)
      for (const region of this.#table.regions.filter((r) => r.device === model.name)) region.unmap()
      for (const timer of attached.timers) timer.cancel()
      attached.memory.close()
      throw error
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

  #context(attached: Attached): DeviceContext {
    const { model } = attached
    const platform = this.#platform
    const map = (
      kind: 'port' | 'mmio',
      base: number,
      length: number,
      handler: RangeHandler,
      options?: RegionOptions,
    ): Region => this.#table.map(model.name, kind, base, length, handler, model.synchronous ?? true, options)
    return {
      mapPorts: (base, count, handler, options) => map('port', base, count, handler, options),
      mapMmio: (gpa, bytes, handler, options) => map('mmio', gpa, bytes, handler, options),
      interruptLine: (irq) => platform.interruptLine(irq),
      signalMsi: (address, data) => platform.signalMsi(address, data),
      dma: attached.memory,
      clock: platform.clock,
      timer: (callback) => {
        const timer = platform.timer((deadlineNs) => {
          if (attached.detached) return
          try {
            callback(deadlineNs)
          } catch (error) {
            this.#owner.failed(model.name, `timer at ${deadlineNs} ns`, error)
          }
        })
        attached.timers.push(timer)
        return timer
      },
      pci: { add: (options) => this.#addFunction(model.name, options, map) },
      requestPowerOff: () => platform.powerOff(),
      requestReset: () => platform.reset(),
      requestExit: (code) => platform.exit(code),
    }
  }

  #addFunction(
    device: string,
    options: PciFunctionOptions,
    map: (
      kind: 'port' | 'mmio',
      base: number,
      length: number,
      handler: RangeHandler,
      options?: RegionOptions,
    ) => Region,
  ): PciFunction {
    const bdf = ((options.bus ?? 0) << 8) | (options.device << 3) | (options.function ?? 0)
    if (this.#functions.has(bdf)) {
      throw new DeviceError('ERR_EXISTS', `${device}: PCI function ${hex(bdf)} (bus, device, function) is taken`)
    }
    const pin = options.interruptPin ?? 0
    const wire = pin === 0 ? null : (this.#platform.pciInterrupt?.(options.device, pin) ?? null)
    const fn = new PciConfigSpace(
      options,
      (bar) => map(bar.kind === 'io' ? 'port' : 'mmio', 0, bar.bytes, bar.handler, { ...bar, disabled: true }),
      wire,
    )
    this.#owner.functionAdded(bdf)
    this.#functions.set(bdf, fn)
    this.#functionOwners.set(bdf, device)
    return fn
  }

  /** The enabled region of highest priority at an address, or null. */
  regionAt(kind: 'port' | 'mmio', address: number): ClaimedRegion | null {
    return this.#table.regionAt(kind, address)
  }

  /** Enabled regions of a kind, lowest priority first. */
  byPriority(kind: 'port' | 'mmio'): readonly ClaimedRegion[] {
    return this.#table.byPriority(kind)
  }

  /** The model that has added a function. */
  functionOwner(bdf: number): string | undefined {
    return this.#functionOwners.get(bdf)
  }

  /** Configuration read of up to 4 bytes; ones where there is no such function. */
  configRead(bdf: number, register: number, size: number): number {
    return this.#functions.get(bdf)?.configRead(register, size) ?? 0xffff_ffff
  }

  /** Configuration write of up to 4 bytes. */
  configWrite(bdf: number, register: number, size: number, value: number): void {
    this.#functions.get(bdf)?.configWrite(register, size, value)
  }

  /** Takes a model out: its ranges stay claimed and read as ones, as do its functions; its timers stop. False without it. */
  detach(device: string): boolean {
    const attached = this.#attached.get(device)
    if (attached === undefined) return false
    attached.detached = true
    for (const timer of attached.timers) timer.cancel()
    for (const region of this.#table.regions) if (region.device === device) region.handler = DEAD_HANDLER
    for (const [bdf, owner] of this.#functionOwners) {
      if (owner !== device) continue
      this.#functionOwners.delete(bdf)
      this.#functions.delete(bdf)
    }
    // Last: an INVALIDATE request that waited for it is answered now.
    attached.memory.close()
    for (const ended of attached.forgetting) ended()
    return true
  }

  // ---- requests ----

  /** What serves a vCPU's next request. */
  #serviceOf(vcpu: number): Service {
    const service = this.#services[vcpu]
    if (service !== undefined && service.access === null) return service
    // The last request has been given up without an answer: that of its model, should it still come, is nobody's.
    service?.giveUp()
    const fresh = new Service(vcpu, this.#owner)
    this.#services[vcpu] = fresh
    return fresh
  }

  /** Serves an access that one call of one handler makes. */
  callHandler(
    vcpu: number,
    region: ClaimedRegion,
    offset: number,
    size: 1 | 2 | 4,
    direction: number,
    value: number,
  ): void {
    const service = this.#serviceOf(vcpu)
    service.begin()
    service.call(region, offset, size, direction, value)
  }

  /** Serves one request; the owner gets its answer at once or later. A vCPU has at most one at a time. */
  serve(vcpu: number, request: IoRequest): void {
    const { type, direction, count, size } = request
    const service = this.#serviceOf(vcpu)
    const access = service.begin()
    if (type === IOREQ_TYPE_PCI_CONFIG) return this.#serveConfig(vcpu, access, request)
    if (type !== IOREQ_TYPE_PIO && type !== IOREQ_TYPE_COPY) return this.#serveNotice(vcpu, access, request)
    const address = request.addressHi * 2 ** 32 + request.addressLo
    const kind = type === IOREQ_TYPE_PIO ? 'port' : 'mmio'
    const { dataLo, dataHi } = request
    if (count === 1 && !request.dataIsPointer) {
      const region = this.#table.regionAt(kind, address)
      const offset = region === null ? 0 : address - region.base
      if (region !== null && isOneCall(region, offset, size)) {
        return service.call(region, offset, size as 1 | 2 | 4, direction, dataLo)
      }
      if (this.#allDirect(kind, address, size)) return this.#serveAtOnce(vcpu, access, kind, request, address)
    }
    const { df, dataIsPointer } = request
    const into = { lo: dataLo, hi: dataHi }
    this.#serveLater(access, type, direction, address, count, size, df, dataIsPointer, into).then(
      () => this.#answer(vcpu, access, into.lo, into.hi),
      (error: unknown) => this.#reject(vcpu, access, this.#deviceAt(kind, address), error),
    )
  }

  /** A write that nobody waits for, out of the buffered ring. */
  serveBuffered(request: IoRequest): void {
    const { type, addressLo: address, size, dataLo, dataHi } = request
    if (type === IOREQ_TYPE_TIMEOFFSET) return this.#timeOffset(dataLo, dataHi)
    const kind = type === IOREQ_TYPE_PIO ? 'port' : 'mmio'
    const region = this.#table.regionAt(kind, address)
    if (region === null || address - region.base + size > region.length) return
    try {
      if (region.direct) writeRegion(region, address - region.base, size, dataLo, dataHi)
      else {
        const access = new PendingAccess(-1)
        const write = writeRegionAsync(region, address - region.base, size, dataLo, dataHi, access)
          .catch((error: unknown) =>
            this.#owner.failed(region.device, `buffered write of ${size} bytes at ${hex(address)}`, error),
          )
          .finally(() => void this.#buffered.delete(write))
        this.#buffered.add(write)
      }
    } catch (error) {
      this.#owner.failed(region.device, `buffered write of ${size} bytes at ${hex(address)}`, error)
    }
  }

  #allDirect(kind: 'port' | 'mmio', address: number, size: number): boolean {
    for (let at = address; at < address + size; at++) {
      const region = this.#table.regionAt(kind, at)
      if (region !== null && !region.direct) return false
    }
    return true
  }

  /** An access that synchronous models answer, piece by piece. */
  #serveAtOnce(vcpu: number, access: PendingAccess, kind: 'port' | 'mmio', request: IoRequest, address: number): void {
    const { direction, size } = request
    const bytes = this.#bytes
    const word = this.#word
    putBytes(bytes, 0, 8, request.dataLo, request.dataHi)
    for (let done = 0; done < size;) {
      const region = this.#table.regionAt(kind, address + done)
      // Ranges may have changed since the request was sent: what is no longer claimed reads as ones.
      if (region === null) {
        bytes[done++] = 0xff
        continue
      }
      const offset = address + done - region.base
      const piece = Math.min(size - done, region.length - offset)
      try {
        if (direction === IOREQ_READ) {
          readRegion(region, offset, piece, word)
          putBytes(bytes, done, piece, word.lo, word.hi)
        } else writeRegion(region, offset, piece, wordAt(bytes, done), wordAt(bytes, done + 4))
      } catch (error) {
        return this.#reject(vcpu, access, region.device, error)
      }
      done += piece
    }
    bytes.fill(0, size)
    this.#answer(vcpu, access, wordAt(bytes, 0), wordAt(bytes, 4))
  }

  #serveConfig(vcpu: number, access: PendingAccess, request: IoRequest): void {
    const { addressHi: bdf, addressLo: register, direction, dataLo, dataHi, size } = request
    let lo = 0xffff_ffff
    let hi = 0
    try {
      lo = this.#configPiece(bdf, register, Math.min(size, 4), direction, dataLo)
      if (size > 4) hi = this.#configPiece(bdf, register + 4, size - 4, direction, dataHi)
    } catch (error) {
      return this.#reject(vcpu, access, this.functionOwner(bdf) ?? '', error)
    }
    this.#answer(vcpu, access, lo, hi)
  }

  #configPiece(bdf: number, register: number, size: number, direction: number, value: number): number {
    if (direction === IOREQ_READ) return this.configRead(bdf, register, size) >>> 0
    this.configWrite(bdf, register, size, value)
    return 0
  }

  /** TIMEOFFSET and INVALIDATE: their answer is only that they have been taken. */
  #serveNotice(vcpu: number, access: PendingAccess, request: IoRequest): void {
    const answer = (): void => this.#answer(vcpu, access, 0xffff_ffff, 0xffff_ffff)
    if (request.type === IOREQ_TYPE_TIMEOFFSET) {
      this.#timeOffset(request.dataLo, request.dataHi)
      answer()
    } else if (request.type === IOREQ_TYPE_INVALIDATE) {
      const frames = this.#announced.get(vcpu) ?? null
      this.#announced.delete(vcpu)
      this.dropMappings(frames, answer)
    } else {
      const what = `a request of type ${request.type}, which there is not`
      this.#reject(vcpu, access, '', new DeviceError('ERR_INVALID', what))
    }
  }

  // ---- what the models have mapped ----

  /** The next INVALIDATE request of a vCPU is about these frames only; null: about all. */
  announce(vcpu: number, frames: readonly InvalidatedFrames[] | null): void {
    this.#announced.set(vcpu, frames)
  }

  /**
   * Has all models drop what they have mapped of guest frames.
   *
   * @param frames - null: all
   * @param done - called when no mapping of them is held, and what was in flight, buffered writes included, has ended
   */
  dropMappings(frames: readonly InvalidatedFrames[] | null, done: () => void): void {
    const open = new Countdown(done)
    for (const write of this.#buffered) open.promise(write)
    this.#drop(this.#dma, frames, open)
    for (const attached of this.#attached.values()) {
      // Forgotten before the model is told: what it maps from then on is what is there now.
      this.#drop(attached.memory, frames, open)
      if (!attached.detached) this.#tell(attached, frames, open)
    }
    open.start()
  }

  /** Tells a model what to forget. It has until its promise is settled, or until it is taken out. */
  #tell({ model, forgetting }: Attached, frames: readonly InvalidatedFrames[] | null, open: Countdown): void {
    const failed = (error: unknown): void => this.#owner.failed(model.name, 'invalidate', error)
    try {
      const promise: unknown = model.invalidate?.(frames)
      if (!isPromise(promise)) return
      const end = open.begin()
      const ended = (): void => {
        forgetting.delete(ended)
        end()
      }
      forgetting.add(ended)
      Promise.resolve(promise).catch(failed).then(ended, ended)
    } catch (error) {
      failed(error)
    }
  }

  #drop(memory: ModelMemory, frames: readonly InvalidatedFrames[] | null, open: Countdown): void {
    memory.drop(frames)
    for (const each of memory.toEnd) open.mappings(each)
    for (const each of memory.inFlight) open.promise(each)
  }

  /** A model that still holds a mapping which has been asked for back, or has not forgotten what it was told to. */
  get holder(): string | undefined {
    for (const { model, memory, forgetting } of this.#attached.values()) {
      if (memory.holds || forgetting.size > 0) return model.name
    }
    return undefined
  }

  /** Ends all mappings of all models, for good. */
  endMappings(): void {
    this.#dma.close()
    for (const { memory } of this.#attached.values()) memory.close()
  }

  #timeOffset(lo: number, hi: number): void {
    const seconds = (hi | 0) * 2 ** 32 + lo
    this.#notify('time offset', (model) => model.timeOffset?.(seconds))
  }

  #notify(what: string, tell: (model: DeviceModel) => void): void {
    for (const { model, detached } of this.#attached.values()) {
      if (detached) continue
      try {
        tell(model)
      } catch (error) {
        this.#owner.failed(model.name, what, error)
      }
    }
  }

  async #serveLater(
    access: PendingAccess,
    type: number,
    direction: number,
    address: number,
    count: number,
    size: number,
    df: boolean,
    dataIsPointer: boolean,
    into: Word64,
  ): Promise<void> {
    const kind = type === IOREQ_TYPE_PIO ? 'port' : 'mmio'
    const step = df ? -size : size
    const pointer = into.hi * 2 ** 32 + into.lo
    const bytes = new Uint8Array(8)
    for (let i = 0; i < count; i++) {
      // Nobody wants the elements that are left, and their memory may be another's by now.
      if (access.cancelled) return
      // The port of a string instruction stays; its memory side moves.
      const at = kind === 'port' ? address : address + i * step
      if (dataIsPointer) {
        bytes.fill(0xff)
        if (direction !== IOREQ_READ) await this.#dma.readAsync(pointer + i * step, bytes.subarray(0, size))
      } else putBytes(bytes, 0, 8, into.lo, into.hi)
      const part: Word64 = { lo: 0, hi: 0 }
      for (let done = 0; done < size;) {
        // Ranges may have changed since the request was sent: what is no longer claimed reads as ones.
        const region = this.#table.regionAt(kind, at + done)
        if (region === null) {
          bytes[done++] = 0xff
          continue
        }
        const offset = at + done - region.base
        const piece = Math.min(size - done, region.length - offset)
        if (direction === IOREQ_READ) {
          await readRegionAsync(region, offset, piece, part, access)
          putBytes(bytes, done, piece, part.lo, part.hi)
        } else await writeRegionAsync(region, offset, piece, wordAt(bytes, done), wordAt(bytes, done + 4), access)
        done += piece
      }
      if (direction === IOREQ_READ && !access.cancelled) {
        if (dataIsPointer) await this.#dma.writeAsync(pointer + i * step, bytes.subarray(0, size))
        else {
          bytes.fill(0, size)
          into.lo = wordAt(bytes, 0)
          into.hi = wordAt(bytes, 4)
        }
      }
    }
  }

  #deviceAt(kind: 'port' | 'mmio', address: number): string {
    return this.#table.regionAt(kind, address)?.device ?? ''
  }

  #answer(vcpu: number, access: PendingAccess, lo: number, hi: number): void {
    const service = this.#services[vcpu]
    if (service?.access !== access) return
    service.finish()
    this.#owner.answer(vcpu, lo, hi, false)
  }

  #reject(vcpu: number, access: PendingAccess, device: string, error: unknown): void {
    const service = this.#services[vcpu]
    if (service?.access !== access) return
    service.finish()
    this.#owner.reject(vcpu, device, error)
  }

  /** The vCPU no longer wants its answer: aborts the handler's signal. */
  cancel(vcpu: number): void {
    this.#services[vcpu]?.access?.cancel()
  }

  /** Whether a handler has not answered yet. */
  get busy(): boolean {
    for (const service of this.#services) if (service !== undefined && service.access !== null) return true
    return false
  }

  /** Gives all requests up: their handlers are told, and what they answer goes nowhere. */
  abandon(): void {
    for (const service of this.#services.splice(0)) {
      if (service === undefined) continue
      const { access } = service
      // The next request gets a service of its own.
      service.giveUp()
      access?.cancel()
    }
  }

  // ---- reset and state ----

  /** Resets every model and function, in the order in which the models were attached. */
  reset(): void {
    for (const fn of this.#functions.values()) fn.reset()
    for (const { model, detached } of this.#attached.values()) if (!detached) model.reset?.()
  }

  save(): DeviceHostState {
    const devices: Record<string, unknown> = {}
    for (const [name, { model }] of this.#attached) if (model.save !== undefined) devices[name] = model.save()
    const functions: Record<string, PciFunctionState> = {}
    for (const [bdf, fn] of this.#functions) functions[String(bdf)] = fn.save()
    return { version: 1, devices, functions }
  }

  /**
   * @throws DeviceError `ERR_INVALID` for another version, `ERR_NOT_FOUND` where the state names a model or function
   * that is not there
   */
  restore(state: DeviceHostState): void {
    if (state.version !== 1)
      throw new DeviceError('ERR_INVALID', `device state of version ${String(state.version)}: expected 1`)
    for (const name of Object.keys(state.devices)) {
      if (this.#attached.get(name)?.model.restore === undefined) {
        throw new DeviceError(
          'ERR_NOT_FOUND',
          `saved state names device ${name}, which is not attached or cannot restore`,
        )
      }
    }
    for (const [bdf, saved] of Object.entries(state.functions)) {
      const fn = this.#functions.get(Number(bdf))
      if (fn === undefined)
        throw new DeviceError('ERR_NOT_FOUND', `saved state names PCI function ${hex(Number(bdf))}, which is not there`)
      fn.restore(saved)
    }
    for (const [name, saved] of Object.entries(state.devices)) this.#attached.get(name)!.model.restore!(saved)
  }
}
