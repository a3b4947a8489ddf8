import {
  type AccessSize,
  type DeviceContext,
  type DeviceModel,
  type InterruptLine,
  listed,
  DeviceError,
} from '@retrap/device'
import type { VirtioDevice, VirtioRingOptions } from '../virtio-device.ts'
import { VirtioTransport } from '../virtio-transport.ts'

// Registers that every transport has. Source: VIRTIO 1.2, §4.2.2, "MMIO Device Register Layout".

// Offsets.
const MAGIC = 0x000
const VERSION = 0x004
const VENDOR_ID = 0x00c

/** "virt". */
const MAGIC_VALUE = 0x7472_6976
/** Devices of virtio 1.0 and later. */
const MODERN_VERSION = 2
const VENDOR = 0x7274_7072
/** Bytes of a transport's registers. */
const RANGE_BYTES = 0x200

const DEVICE_ID = 0x008
const DEVICE_FEATURES = 0x010
const DEVICE_FEATURES_SELECT = 0x014
const DRIVER_FEATURES = 0x020
const DRIVER_FEATURES_SELECT = 0x024
const QUEUE_SELECT = 0x030
const QUEUE_SIZE_MAX = 0x034
const QUEUE_SIZE = 0x038
const QUEUE_READY = 0x044
const QUEUE_NOTIFY = 0x050
const INTERRUPT_STATUS = 0x060
const INTERRUPT_ACK = 0x064
const STATUS = 0x070
const QUEUE_DESCRIPTORS = 0x080
const QUEUE_DRIVER = 0x090
const QUEUE_DEVICE = 0x0a0
const SHARED_MEMORY = 0x0b0
const SHARED_MEMORY_END = 0x0c0
const CONFIG_GENERATION = 0x0fc
const CONFIG = 0x100

const USED_BUFFER = 1
const CONFIG_CHANGE = 2

/** Options of {@link VirtioMmio}. */
export interface VirtioMmioOptions extends VirtioRingOptions {
  /** Guest-physical address of its 512 bytes of registers. */
  readonly base: number
  /** Interrupt line, as `DeviceContext.interruptLine` counts them. */
  readonly irq: number
}

/**
 * A virtio device behind memory-mapped registers, for boards without PCI. There is no legacy interface.
 *
 * Source: VIRTIO 1.2, §4.2, "Virtio Over MMIO".
 */
export class VirtioMmio extends VirtioTransport {
  readonly #options: VirtioMmioOptions
  #line: InterruptLine | null = null
  /** Selectors of device features, driver features and queue. */
  readonly #select = { device: 0, driver: 0, queue: 0 }

  /** @throws DeviceError `ERR_OPTION` */
  constructor(device: VirtioDevice, options: VirtioMmioOptions) {
    super(device)
    this.#options = options
    this.keeps({ version: 1, isr: this.isrPart, selects: listed(this.#select), core: () => this.core })
  }

  /** Claims the registers. */
  attach(context: DeviceContext): void {
    const { base, irq } = this.#options
    this.#line = context.interruptLine(irq)
    this.connect(context, this.#options, {
      mayReachMemory: () => true,
      interruptQueue: () => this.setIsr(this.isr | USED_BUFFER),
      interruptConfig: () => this.setIsr(this.isr | CONFIG_CHANGE),
    })
    context.mapMmio(base, RANGE_BYTES, {
      read: (offset: number, size: AccessSize): number => this.#read(offset, size),
      write: (offset: number, size: AccessSize, value: number): void => this.#write(offset, size, value),
    })
  }

  /** Sets the level of the interrupt line. */
  protected drive(level: boolean): void {
    this.#line?.set(level)
  }

  #read(offset: number, size: number): number {
    const core = this.core!
    if (offset >= CONFIG) return core.readConfig(offset - CONFIG, size)
    // Registers are words (§4.2.2.2, "Driver Requirements: MMIO Device Register Layout").
    if (size !== 4) return 0
    const queue = core.queues[this.#select.queue]
    switch (offset) {
      case MAGIC:
        return MAGIC_VALUE
      case VERSION:
        return MODERN_VERSION
      case DEVICE_ID:
        return this.device.type
      case VENDOR_ID:
        return VENDOR
      case DEVICE_FEATURES:
        return core.offered.word(this.#select.device)
      case QUEUE_SIZE_MAX:
        return queue?.mostEntries ?? 0
      case QUEUE_READY:
        return queue?.enabled === true ? 1 : 0
      case INTERRUPT_STATUS:
        return this.isr
      case STATUS:
        return core.status
      case CONFIG_GENERATION:
        return core.generation
      default:
        // A region of shared memory that does not exist has length −1.
        return offset >= SHARED_MEMORY && offset < SHARED_MEMORY_END ? 0xffff_ffff : 0
    }
  }

  #write(offset: number, size: number, value: number): void {
    const core = this.core!
    if (offset >= CONFIG) return core.writeConfig(offset - CONFIG, size, value)
    if (size !== 4) return
    switch (offset) {
      case DEVICE_FEATURES_SELECT:
        this.#select.device = value
        break
      case DRIVER_FEATURES:
        core.setFeatures(this.#select.driver, value)
        break
      case DRIVER_FEATURES_SELECT:
        this.#select.driver = value
        break
      case QUEUE_SELECT:
        this.#select.queue = value
        break
      case QUEUE_NOTIFY:
        core.notify(value)
        break
      case INTERRUPT_ACK:
        this.setIsr(this.isr & ~value)
        break
      case STATUS:
        core.setStatus(value & 0xff)
        break
      default:
        this.#writeQueue(offset, value)
    }
  }

  #writeQueue(offset: number, value: number): void {
    const queue = this.core!.queues[this.#select.queue]
    if (queue === undefined) return
    if (offset === QUEUE_READY) {
      if (value === 0) queue.reset()
      else {
        queue.enabled = true
        this.core!.notify(queue.index)
      }
    }
    if (queue.enabled) return
    const high = offset % 8 === 4
    const field = offset - (high ? 4 : 0)
    if (offset === QUEUE_SIZE) queue.size = value
    else if (field === QUEUE_DESCRIPTORS) queue.setAddress('descriptors', high, value)
    else if (field === QUEUE_DRIVER) queue.setAddress('driver', high, value)
    else if (field === QUEUE_DEVICE) queue.setAddress('device', high, value)
  }
}

/** Options of {@link EmptyVirtioMmio}. */
export interface EmptyVirtioMmioOptions {
  /** Guest-physical address of the first transport's registers. */
  readonly base: number
  /** Number of transports, 512 bytes each. */
  readonly count: number
}

/**
 * The transports of a board that have no device: their device ID is 0, and a driver skips them. A `VirtioMmio` replaces the
 * transport at its address.
 *
 * Source: VIRTIO 1.2, §4.2.2, "MMIO Device Register Layout".
 */
export class EmptyVirtioMmio implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'virtio-mmio-empty'
  /** The guest can change nothing in an empty transport. */
  readonly stateless: boolean = true
  readonly #options: EmptyVirtioMmioOptions

  /** @throws DeviceError `ERR_OPTION` */
  constructor(options: EmptyVirtioMmioOptions) {
    if (!Number.isInteger(options.count) || options.count < 1)
      throw new DeviceError('ERR_OPTION', `virtio-mmio-empty: count ${options.count}: expected at least 1`)
    this.#options = options
  }

  /** Claims the registers of all transports without a device. */
  attach(context: DeviceContext): void {
    const { base, count } = this.#options
    const handler = {
      read: (offset: number, size: AccessSize): number => (size === 4 ? readEmpty(offset % RANGE_BYTES) : 0),
      write: (): void => {},
    }
    context.mapMmio(base, count * RANGE_BYTES, handler, { priority: -1 })
  }
}

function readEmpty(offset: number): number {
  if (offset === MAGIC) return MAGIC_VALUE
  if (offset === VERSION) return MODERN_VERSION
  return offset === VENDOR_ID ? VENDOR : 0
}
