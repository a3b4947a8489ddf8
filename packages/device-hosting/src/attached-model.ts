import {
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  MEMORY_PAGE_BYTES,
  type OwnedMemory,
  type RangeHandler,
  type Region,
  type RegionOptions,
  type Timer,
} from '@retrap/device'
import { checkRegion, isPromise, ModelLines, type BarRegion, type PciTree } from '@retrap/device/host'
import { ModelMemory } from './device-memory.ts'
import { ModelOwnedMemory, windowHandler } from './owned-memory.ts'
import type { DevicePlatform } from './platform.ts'
import { type ClaimedRegion, DEAD_HANDLER, type DeviceImpairment, type RegionTable } from '@retrap/ioreq'

/** The surroundings of an attached model. */
export interface ModelSurroundings {
  readonly platform: DevicePlatform
  readonly table: RegionTable
  readonly tree: PciTree
  /** A timer's callback has returned a promise. */
  begun(promise: PromiseLike<unknown>, device: string, what: string): void
  /** A timer's callback has thrown. */
  failed(device: string, what: string, error: unknown): void
}

/** A region that is about to be claimed. */
interface Claim {
  readonly kind: 'port' | 'mmio'
  readonly base: number
  readonly length: number
  readonly handler: RangeHandler
  readonly options: RegionOptions
}

/** A part of a model's memory that is about to be shown at an address. */
interface MemoryClaim {
  readonly gpa: number
  readonly memory: OwnedMemory
  readonly offset: number
  readonly bytes: number
  readonly options: RegionOptions
}

/** A device model that is part of a machine, with its ranges, timers and memory. */
export class AttachedModel {
  readonly model: DeviceModel
  /** The model has been taken out. */
  detached = false
  /** Way to guest memory. */
  readonly memory: ModelMemory
  /** Called when the model has dropped mappings as asked; one callback for each request. */
  readonly forgetting: Set<() => void> = new Set()
  readonly #surroundings: ModelSurroundings
  readonly #timers: Timer[] = []
  #hasLeft = false
  #impairment: DeviceImpairment | null = null
  readonly #lines = new ModelLines()
  /** The model's own memory, by name. */
  readonly #owned = new Map<string, ModelOwnedMemory>()

  constructor(model: DeviceModel, surroundings: ModelSurroundings) {
    this.model = model
    this.memory = new ModelMemory(surroundings.platform, model.name)
    this.#surroundings = surroundings
  }

  /** Returns the model's access to the machine. */
  context(): DeviceContext {
    const { platform, tree } = this.#surroundings
    const { name } = this.model
    return {
      mapPorts: (base, length, handler, options = {}) => this.#map({ kind: 'port', base, length, handler, options }),
      mapMmio: (base, length, handler, options = {}) => this.#map({ kind: 'mmio', base, length, handler, options }),
      ownMemory: (options) => {
        const memory = new ModelOwnedMemory(platform, name, options)
        this.#owned.set(memory.name, memory)
        return memory
      },
      mapMemory: (gpa, memory, { offset = 0, bytes, ...options } = {}) =>
        this.#mapMemory({ gpa, memory, offset, bytes: bytes ?? memory.bytes - offset, options }),
      interruptLine: (irq) => {
        checkInteger(name, 'interrupt line', irq, 0xffff_ffff)
        return this.#lines.line(platform.interruptLine(irq))
      },
      signalMsi: (address, data, requester) => {
        checkInteger(name, 'message address', address, Number.MAX_SAFE_INTEGER)
        checkInteger(name, 'message data', data, 0xffff_ffff)
        checkInteger(name, 'requester', requester ?? 0, 0xffff)
        platform.signalMsi(address, data, requester ?? Math.max(tree.firstOf(name), 0))
      },
      dma: this.memory,
      clock: platform.clock,
      timer: (callback) => this.#timer(callback),
      pci: { add: (options) => tree.add(name, options), addSlot: (...slot) => tree.addSlot(name, ...slot) },
      requestPowerOff: () => platform.powerOff(),
      requestReset: () => platform.reset(),
      requestExit: (code) => {
        checkInteger(name, 'exit code', code, 0xffff_ffff)
        platform.exit(code)
      },
    }
  }

  #timer(callback: Parameters<DeviceContext['timer']>[0]): Timer {
    const surroundings = this.#surroundings
    const { name } = this.model
    const timer = surroundings.platform.timer((deadlineNs, deadline) => {
      if (this.detached) return
      try {
        const promise: unknown = callback(deadlineNs, deadline)
        if (isPromise(promise)) surroundings.begun(promise, name, `timer at ${deadlineNs} ns`)
      } catch (error) {
        surroundings.failed(name, `timer at ${deadlineNs} ns`, error)
      }
    })
    this.#timers.push(timer)
    return timer
  }

  #map({ kind, base, length, handler, options }: Claim): ClaimedRegion {
    const { name, synchronous: direct = true } = this.model
    checkRegion(name, handler, options)
    const claim = { device: name, kind, base, length, handler, direct, window: null }
    const region = this.#surroundings.table.map(claim, options)
    if (this.#impairment !== null) region.impair(this.#impairment)
    return region
  }

  #mapMemory({ gpa, memory, offset, bytes, options }: MemoryClaim): ClaimedRegion {
    const { name: device, synchronous: direct = true } = this.model
    const found = this.#owned.get(memory.name)
    if (found === undefined || found !== memory) {
      throw new DeviceError('ERR_INVALID', `${device}: memory ${memory.name} is not this model's own`)
    }
    if (gpa % MEMORY_PAGE_BYTES !== 0) {
      throw new DeviceError(
        'ERR_INVALID',
        `${device}: memory ${memory.name} at ${String(gpa)}: expected a multiple of ${MEMORY_PAGE_BYTES}`,
      )
    }
    const window = found.window(offset, bytes)
    const handler = windowHandler(found.handler, offset)
    const claim = { device, kind: 'mmio', base: gpa, length: bytes, handler, direct, window } as const
    return this.#surroundings.table.map(claim, options)
  }

  /** Claims the range of a base address register, disabled until the guest decodes it. */
  mapBar({ kind, bytes, handler, memory, ...rest }: BarRegion): Region {
    const options = { ...rest, disabled: true }
    if (memory !== undefined) return this.#mapMemory({ gpa: 0, memory, offset: 0, bytes, options })
    return this.#map({ kind, base: 0, length: bytes, handler: handler ?? DEAD_HANDLER, options })
  }

  /** Delays or drops accesses to the model; null: ends that. */
  impair(impairment: DeviceImpairment | null): void {
    this.#impairment = impairment
    for (const region of this.#surroundings.table.regions)
      if (region.device === this.model.name) region.impair(impairment)
    this.#lines.cut(impairment?.dead === true)
  }

  /** Takes the model out with all that it claims: its ranges are unclaimed afterwards. */
  remove(): void {
    this.detached = true
    this.undo()
    for (const ended of this.forgetting) ended()
  }

  /** Undoes an attachment that has failed. */
  undo(): void {
    const { table, tree } = this.#surroundings
    const { name } = this.model
    for (const region of table.regions.filter((each) => each.device === name)) region.unmap()
    tree.remove(name, false)
    this.#release()
    this.memory.close()
  }

  /** Takes the model out: its ranges stay claimed and read as ones, as do its functions. */
  detach(): void {
    const { table, tree } = this.#surroundings
    const { name } = this.model
    this.detached = true
    for (const region of table.regions) {
      if (region.device === name) region.abandon()
    }
    this.#release()
    tree.remove(name, true)
    // Last: an INVALIDATE request that waited for it is answered now.
    this.memory.close()
    for (const ended of this.forgetting) ended()
  }

  /** Tells the model that it was removed, once. */
  leave(): void {
    if (this.#hasLeft) return
    this.#hasLeft = true
    try {
      this.model.removed?.()
    } catch (error) {
      this.#surroundings.failed(this.model.name, 'removed', error)
    }
  }

  /** Stops its timers, and gives its memory back. */
  #release(): void {
    this.leave()
    for (const timer of this.#timers) timer.cancel()
    for (const memory of this.#owned.values()) memory.free()
  }
}

/** Checks a number that a model hands over. */
function checkInteger(device: string, what: string, value: number, largest: number): void {
  if (Number.isSafeInteger(value) && value >= 0 && value <= largest) return
  throw new DeviceError('ERR_INVALID', `${device}: ${what} ${String(value)}: expected an integer from 0 to ${largest}`)
}
