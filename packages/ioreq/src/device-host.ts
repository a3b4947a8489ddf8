import { readRegionAsync, writeRegionAsync } from './async-access.ts'
import type {
  AccessRequest,
  CancelSignal,
  Clock,
  DeviceContext,
  DeviceModel,
  Dma,
  InterruptLine,
  RangeHandler,
  Region,
  RegionOptions,
  Timer,
  Word64,
} from './device.ts'
import type { IoDispatch } from './dispatch.ts'
import { hex, IoreqError } from './errors.ts'
import {
  IOREQ_READ,
  IOREQ_TYPE_PIO,
  XEN_DMOP_IO_RANGE_MEMORY,
  XEN_DMOP_IO_RANGE_PCI,
  XEN_DMOP_IO_RANGE_PORT,
} from './layout.ts'
import { PciConfigSpace } from './pci-config-space.ts'
import type { PciFunction, PciFunctionOptions, PciFunctionState } from './pci-function.ts'
import { cut, DEAD_HANDLER, isPromise, type ClaimedRegion } from './region.ts'
import { RegionTable } from './region-table.ts'
import { createIoRequest } from './request.ts'
import type { IoreqServer, IoreqTransport, LocalRegions } from './server.ts'

/** What in-process models reach the rest of the machine through. The machine supplies it. */
export interface DevicePlatform {
  readonly clock: Clock
  /** Makes a timer on that clock, for instance `TimerQueue.create`. */
  timer(callback: (deadlineNs: number) => void): Timer
  readonly dma: Dma
  interruptLine(irq: number): InterruptLine
  /** The wire of one function's INTx pin (1–4). Without it, functions have no wire. */
  pciInterrupt?(device: number, pin: number): InterruptLine
  signalMsi(address: number, data: number): void
  powerOff(): void
  reset(): void
  exit(code: number): void
}

/** Saved form of a {@link DeviceHost}: each model's own, by name, and its PCI functions. */
export interface DeviceHostState {
  readonly version: 1
  readonly devices: Readonly<Record<string, unknown>>
  /** By bus·256 + device·8 + function. */
  readonly functions: Readonly<Record<string, PciFunctionState>>
}

interface Attached {
  readonly model: DeviceModel
  detached: boolean
  readonly timers: Timer[]
}

/** An access in progress, as its handler sees it. */
class PendingAccess implements AccessRequest {
  readonly vcpu: number
  #controller: AbortController | null = null
  #cancelled = false

  constructor(vcpu: number) {
    this.vcpu = vcpu
  }

  get signal(): CancelSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController()
      if (this.#cancelled) this.#controller.abort()
    }
    return this.#controller.signal as CancelSignal
  }

  cancel(): void {
    this.#cancelled = true
    this.#controller?.abort()
  }
}

/**
 * The ioreq server of the models that live in this process.
 *
 * Accesses to synchronous models bypass the request page (`IoDispatch` calls their handlers); those to any other go
 * through it like a foreign server's, and are answered when the model's promise is.
 */
export class DeviceHost implements LocalRegions, IoreqTransport {
  readonly server: IoreqServer
  readonly #platform: DevicePlatform
  readonly #dispatch: IoDispatch
  readonly #table: RegionTable
  readonly #attached = new Map<string, Attached>()
  readonly #functions = new Map<number, PciConfigSpace>()
  readonly #accesses: (PendingAccess | null)[]
  readonly #request = createIoRequest()
  #ready = false

  /**
   * @param dispatch - the domain's dispatcher; the host takes one of its servers, enabled
   * @param platform - what models reach through their contexts
   */
  constructor(dispatch: IoDispatch, platform: DevicePlatform, name = 'devices') {
    this.#dispatch = dispatch
    this.#platform = platform
    this.#table = new RegionTable((kind) => this.#claim(kind))
    this.#accesses = new Array<PendingAccess | null>(dispatch.vcpus).fill(null)
    this.server = dispatch.createServer({ name, transport: this, local: this })
    this.#ready = true
    this.server.setState(true)
  }

  // ---- models ----

  /**
   * Makes a model part of the machine.
   *
   * @throws IoreqError `ERR_EXISTS` if the name is taken or a range overlaps another's; the model then claims nothing
   */
  attach(model: DeviceModel): void {
    if (this.#attached.has(model.name)) {
      throw new IoreqError('ERR_EXISTS', `a device model named ${model.name} is attached already`)
    }
    const attached: Attached = { model, detached: false, timers: [] }
    this.#attached.set(model.name, attached)
    try {
      model.attach(this.#context(attached))
    } catch (error) {
      this.#attached.delete(model.name)
      for (const region of this.#table.regions.filter((r) => r.device === model.name)) region.unmap()
      for (const timer of attached.timers) timer.cancel()
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
      dma: platform.dma,
      clock: platform.clock,
      timer: (callback) => {
        const timer = platform.timer((deadlineNs) => {
          if (attached.detached) return
          try {
            callback(deadlineNs)
          } catch (error) {
            this.#dispatch.modelFailed(this.server, model.name, `timer at ${deadlineNs} ns`, error)
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
      throw new IoreqError('ERR_EXISTS', `${device}: PCI function ${hex(bdf)} (bus, device, function) is taken`)
    }
    const pin = options.interruptPin ?? 0
    const wire = pin === 0 ? null : (this.#platform.pciInterrupt?.(options.device, pin) ?? null)
    const fn = new PciConfigSpace(
      options,
      (bar) => map(bar.kind === 'io' ? 'port' : 'mmio', 0, bar.bytes, bar.handler, { ...bar, disabled: true }),
      wire,
    )
    this.server.mapRange(XEN_DMOP_IO_RANGE_PCI, bdf, bdf)
    this.#functions.set(bdf, fn)
    return fn
  }

  /** Registers what the models claim as the server's ranges. */
  #claim(kind: 'port' | 'mmio'): void {
    if (!this.#ready) return
    const type = kind === 'port' ? XEN_DMOP_IO_RANGE_PORT : XEN_DMOP_IO_RANGE_MEMORY
    const set = this.server.ranges[type]
    set.clear()
    for (const region of this.#table.byPriority(kind)) set.addUnion(region.base, region.base + region.length - 1)
    this.#dispatch.rangesChanged(this.server, type)
  }

  /** @internal */
  regionAt(kind: 'port' | 'mmio', address: number): ClaimedRegion | null {
    return this.#table.regionAt(kind, address)
  }

  /** @internal */
  byPriority(kind: 'port' | 'mmio'): readonly ClaimedRegion[] {
    return this.#table.byPriority(kind)
  }

  /** @internal */
  configRead(bdf: number, register: number, size: number): number {
    return this.#functions.get(bdf)?.configRead(register, size) ?? 0xffff_ffff
  }

  /** @internal */
  configWrite(bdf: number, register: number, size: number, value: number): void {
    this.#functions.get(bdf)?.configWrite(register, size, value)
  }

  /** Takes a model out: its ranges stay claimed and read as ones, its timers stop. */
  detach(device: string): void {
    const attached = this.#attached.get(device)
    if (attached === undefined) return
    attached.detached = true
    for (const timer of attached.timers) timer.cancel()
    for (const region of this.#table.regions) if (region.device === device) region.handler = DEAD_HANDLER
  }

  // ---- requests ----

  /** @internal The dispatcher has published a request. */
  notify(vcpu: number): void {
    const request = this.#request
    if (!this.server.slot(vcpu).accept(request)) return
    const access = new PendingAccess(vcpu)
    this.#accesses[vcpu] = access
    if (request.count === 1 && !request.dataIsPointer && request.type <= 1) {
      const address = request.addressHi * 2 ** 32 + request.addressLo
      const region = this.#table.regionAt(request.type === IOREQ_TYPE_PIO ? 'port' : 'mmio', address)
      const offset = region === null ? 0 : address - region.base
      if (
        region !== null &&
        request.size <= 4 &&
        request.size <= region.maximumAccess &&
        request.size >= region.minimumAccess &&
        offset + request.size <= region.length
      ) {
        this.#serveOne(vcpu, access, region, offset, request.size as 1 | 2 | 4, request.direction, request.dataLo)
        return
      }
    }
    const { type, direction, addressLo, addressHi, dataLo, dataHi, count, size, df, dataIsPointer } = request
    const into = { lo: dataLo, hi: dataHi }
    this.#serve(access, type, direction, addressHi * 2 ** 32 + addressLo, count, size, df, dataIsPointer, into).then(
      () => this.#answer(vcpu, access, into.lo, into.hi),
      (error: unknown) => this.#reject(vcpu, access, this.#deviceAt(type, addressHi * 2 ** 32 + addressLo), error),
    )
  }

  /** The common case, without a promise of our own: a model that answers at once ends the request at once. */
  #serveOne(
    vcpu: number,
    access: PendingAccess,
    region: ClaimedRegion,
    offset: number,
    size: 1 | 2 | 4,
    direction: number,
    value: number,
  ): void {
    try {
      const answer: unknown =
        direction === IOREQ_READ
          ? region.handler.read(offset, size, access)
          : region.handler.write(offset, size, cut(value, size), access)
      if (!isPromise(answer)) {
        this.#answerValue(vcpu, access, region, direction, answer)
        return
      }
      answer.then(
        (late) => this.#answerValue(vcpu, access, region, direction, late),
        (error: unknown) => this.#reject(vcpu, access, region.device, error),
      )
    } catch (error) {
      this.#reject(vcpu, access, region.device, error)
    }
  }

  #answerValue(vcpu: number, access: PendingAccess, region: ClaimedRegion, direction: number, answer: unknown): void {
    if (direction !== IOREQ_READ) this.#answer(vcpu, access, 0, 0)
    else if (typeof answer === 'number') this.#answer(vcpu, access, answer >>> 0, 0)
    else {
      const what = `a read was answered with ${typeof answer} ${String(answer)}, not with a number`
      this.#reject(vcpu, access, region.device, new IoreqError('ERR_DEVICE', what))
    }
  }

  async #serve(
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
    const view = new DataView(bytes.buffer)
    for (let i = 0; i < count; i++) {
      const at = kind === 'port' ? address : address + i * step
      if (dataIsPointer) {
        bytes.fill(0xff)
        if (direction !== IOREQ_READ) this.#platform.dma.read(pointer + i * step, bytes.subarray(0, size))
      } else {
        view.setUint32(0, into.lo, true)
        view.setUint32(4, into.hi, true)
      }
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
          for (let b = 0; b < piece; b++) bytes[done + b] = b < 4 ? part.lo >>> (8 * b) : part.hi >>> (8 * (b - 4))
        } else {
          const rest = new DataView(new ArrayBuffer(8))
          for (let b = 0; b < piece; b++) rest.setUint8(b, bytes[done + b]!)
          await writeRegionAsync(region, offset, piece, rest.getUint32(0, true), rest.getUint32(4, true), access)
        }
        done += piece
      }
      if (direction === IOREQ_READ) {
        if (dataIsPointer) this.#platform.dma.write(pointer + i * step, bytes.subarray(0, size))
        else {
          bytes.fill(0, size)
          into.lo = view.getUint32(0, true)
          into.hi = view.getUint32(4, true)
        }
      }
    }
  }

  #deviceAt(type: number, address: number): string {
    return this.#table.regionAt(type === IOREQ_TYPE_PIO ? 'port' : 'mmio', address)?.device ?? this.server.name
  }

  #answer(vcpu: number, access: PendingAccess, lo: number, hi: number): void {
    if (this.#accesses[vcpu] !== access) return
    this.#accesses[vcpu] = null
    this.server.slot(vcpu).answer(lo, hi)
    this.server.answered(vcpu)
  }

  #reject(vcpu: number, access: PendingAccess, device: string, error: unknown): void {
    if (this.#accesses[vcpu] !== access) return
    this.#accesses[vcpu] = null
    this.#dispatch.serverFailed(this.server, vcpu, device, error)
  }

  /** @internal */
  cancel(vcpu: number): void {
    this.#accesses[vcpu]?.cancel()
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
   * @throws IoreqError `ERR_INVALID` for another version, `ERR_NOT_FOUND` where the state names a model or function
   * that is not there
   */
  restore(state: DeviceHostState): void {
    if (state.version !== 1)
      throw new IoreqError('ERR_INVALID', `device state of version ${String(state.version)}: expected 1`)
    for (const name of Object.keys(state.devices)) {
      if (this.#attached.get(name)?.model.restore === undefined) {
        throw new IoreqError(
          'ERR_NOT_FOUND',
          `saved state names device ${name}, which is not attached or cannot restore`,
        )
      }
    }
    for (const [bdf, saved] of Object.entries(state.functions)) {
      const fn = this.#functions.get(Number(bdf))
      if (fn === undefined)
        throw new IoreqError('ERR_NOT_FOUND', `saved state names PCI function ${hex(Number(bdf))}, which is not there`)
      fn.restore(saved)
    }
    for (const [name, saved] of Object.entries(state.devices)) this.#attached.get(name)!.model.restore!(saved)
  }
}
