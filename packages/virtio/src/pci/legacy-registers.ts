import { NO_VECTOR, type RingQueue } from '../queue.ts'
import type { VirtioCore } from '../virtio-core.ts'

const DEVICE_FEATURES = 0
const DRIVER_FEATURES = 4
const QUEUE_ADDRESS = 8
const QUEUE_SIZE = 12
const QUEUE_SELECT = 14
const QUEUE_NOTIFY = 16
const DEVICE_STATUS = 18
const ISR_STATUS = 19
const CONFIG_VECTOR = 20
const QUEUE_VECTOR = 22
const PLAIN_BYTES = 20
/** Bytes of the registers, including MSI-X's. */
export const LEGACY_BYTES = 24

const PAGE = 4096
const DESCRIPTOR_BYTES = 16
/** Flags, index and event index of a ring. */
const RING_OVERHEAD = 6

/** The part of their function that the registers need. */
export interface LegacyFunction {
  /** Whether the guest has switched MSI-X on: then two more registers come before the configuration. */
  usesMsix(): boolean
  /** MSI-X vectors. */
  readonly vectors: number
  /** Reads the interrupt status, and clears it. */
  takeIsr(): number
}

/**
 * The registers of the legacy PCI interface, in an I/O BAR. A queue lies in one run of pages: descriptors and available ring,
 * and the used ring at the next page.
 *
 * Source: VIRTIO 1.2, §4.1.4.10, "Legacy Interfaces: A Note on PCI Device Layout"; §2.7.2, "Legacy Interfaces: A Note on
 * Virtqueue Layout".
 */
export class LegacyRegisters {
  readonly #core: VirtioCore
  readonly #function: LegacyFunction
  queueSelect: number = 0

  constructor(core: VirtioCore, fn: LegacyFunction) {
    this.#core = core
    this.#function = fn
  }

  get #configAt(): number {
    return this.#function.usesMsix() ? LEGACY_BYTES : PLAIN_BYTES
  }

  read(offset: number, size: number): number {
    const at = this.#configAt
    const core = this.#core
    if (offset >= at) return core.readConfig(offset - at, size)
    const queue = core.queues[this.queueSelect]
    switch (offset) {
      case DEVICE_FEATURES:
        return core.legacyOffered
      case DRIVER_FEATURES:
        return core.features.lo
      case QUEUE_ADDRESS:
        // The modern interface may have put the queue at an address that this 32-bit register cannot hold.
        return queue?.enabled === true ? Math.floor(queue.addresses.descriptors / PAGE) >>> 0 : 0
      case QUEUE_SIZE:
        return queue?.mostEntries ?? 0
      case QUEUE_SELECT:
        return this.queueSelect
      case DEVICE_STATUS:
        return core.legacyStatus
      case ISR_STATUS:
        return this.#function.takeIsr()
      case CONFIG_VECTOR:
        return core.configVector
      case QUEUE_VECTOR:
        return queue?.vector ?? NO_VECTOR
      default:
        return 0
    }
  }

  write(offset: number, size: number, value: number): void {
    const at = this.#configAt
    const core = this.#core
    if (offset >= at) return core.writeConfig(offset - at, size, value)
    const queue = core.queues[this.queueSelect]
    switch (offset) {
      case DRIVER_FEATURES:
        core.useLegacy()
        core.setFeatures(0, (value & core.legacyOffered) >>> 0)
        break
      case QUEUE_ADDRESS:
        core.useLegacy()
        if (queue !== undefined) this.#place(queue, value)
        break
      case QUEUE_SELECT:
        this.queueSelect = value & 0xffff
        break
      case QUEUE_NOTIFY:
        core.notify(value & 0xffff)
        break
      case DEVICE_STATUS:
        core.useLegacy()
        core.setStatus(value & 0xff)
        break
      case CONFIG_VECTOR:
        core.configVector = this.#vector(value)
        break
      case QUEUE_VECTOR:
        if (queue !== undefined) queue.vector = this.#vector(value)
        break
    }
  }

  #vector(value: number): number {
    return value < this.#function.vectors ? value : NO_VECTOR
  }

  /** Page 0 takes the queue away. */
  #place(queue: RingQueue, page: number): void {
    const { vector, mostEntries: size } = queue
    queue.reset()
    queue.vector = vector
    if (page === 0) return
    const descriptors = page * PAGE
    const driver = descriptors + DESCRIPTOR_BYTES * size
    const device = Math.ceil((driver + RING_OVERHEAD + 2 * size) / PAGE) * PAGE
    queue.addresses = { descriptors, driver, device }
    queue.enabled = true
  }
}
