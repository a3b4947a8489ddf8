import { Stateful } from '@retrap/device'
import { NO_VECTOR, type RingQueue } from '../queue.ts'
import type { VirtioCore } from '../virtio-core.ts'

const DEVICE_FEATURE_SELECT = 0
const DEVICE_FEATURE = 4
const DRIVER_FEATURE_SELECT = 8
const DRIVER_FEATURE = 12
const CONFIG_VECTOR = 16
const NUM_QUEUES = 18
const DEVICE_STATUS = 20
const CONFIG_GENERATION = 21
const QUEUE_SELECT = 22
const QUEUE_SIZE = 24
const QUEUE_VECTOR = 26
const QUEUE_ENABLE = 28
const QUEUE_NOTIFY_OFFSET = 30
const QUEUE_DESCRIPTORS = 32
const QUEUE_DRIVER = 40
const QUEUE_DEVICE = 48
/** Bytes of the structure. */
export const COMMON_BYTES = 56

/**
 * The common configuration structure of the PCI transport.
 *
 * A driver accesses each field in its width, the 64-bit ones in halves. A write of another width is ignored.
 *
 * Source: VIRTIO 1.2, §4.1.4.3, "Common configuration structure layout".
 */
export class CommonConfiguration extends Stateful {
  readonly #core: VirtioCore
  readonly #vectors: number
  readonly #r = this.keeps({ deviceSelect: 0, driverSelect: 0, queueSelect: 0 })
  readonly #fields = new DataView(new ArrayBuffer(COMMON_BYTES))

  /** @param vectors - MSI-X vectors of the function */
  constructor(core: VirtioCore, vectors: number) {
    super()
    this.#core = core
    this.#vectors = vectors
  }

  read(offset: number, size: number): number {
    if (offset + size > COMMON_BYTES) return 0
    this.#fill()
    let value = 0
    for (let i = size - 1; i >= 0; i--) value = (value << 8) | this.#fields.getUint8(offset + i)
    return value >>> 0
  }

  #fill(): void {
    const fields = this.#fields
    const core = this.#core
    fields.setUint32(DEVICE_FEATURE_SELECT, this.#r.deviceSelect, true)
    fields.setUint32(DEVICE_FEATURE, core.offered.word(this.#r.deviceSelect), true)
    fields.setUint32(DRIVER_FEATURE_SELECT, this.#r.driverSelect, true)
    fields.setUint32(DRIVER_FEATURE, core.features.word(this.#r.driverSelect), true)
    fields.setUint16(CONFIG_VECTOR, core.configVector, true)
    fields.setUint16(NUM_QUEUES, core.queues.length, true)
    fields.setUint8(DEVICE_STATUS, core.status)
    fields.setUint8(CONFIG_GENERATION, core.generation)
    fields.setUint16(QUEUE_SELECT, this.#r.queueSelect, true)
    const queue = core.queues[this.#r.queueSelect]
    // A queue that does not exist has size 0.
    fields.setUint16(QUEUE_SIZE, queue?.size ?? 0, true)
    fields.setUint16(QUEUE_VECTOR, queue?.vector ?? NO_VECTOR, true)
    fields.setUint16(QUEUE_ENABLE, queue?.enabled === true ? 1 : 0, true)
    fields.setUint16(QUEUE_NOTIFY_OFFSET, this.#r.queueSelect, true)
    this.#putAddress(QUEUE_DESCRIPTORS, queue?.addresses.descriptors ?? 0)
    this.#putAddress(QUEUE_DRIVER, queue?.addresses.driver ?? 0)
    this.#putAddress(QUEUE_DEVICE, queue?.addresses.device ?? 0)
  }

  #putAddress(at: number, address: number): void {
    this.#fields.setUint32(at, address % 2 ** 32, true)
    this.#fields.setUint32(at + 4, Math.floor(address / 2 ** 32), true)
  }

  write(offset: number, size: number, value: number): void {
    const core = this.#core
    if (size === 1) {
      if (offset === DEVICE_STATUS) core.setStatus(value)
    } else if (size === 2) {
      if (offset === QUEUE_SELECT) this.#r.queueSelect = value
      else if (offset === CONFIG_VECTOR) core.configVector = this.#vector(value)
      else this.#writeQueue(core.queues[this.#r.queueSelect], offset, value)
    } else if (offset === DEVICE_FEATURE_SELECT) this.#r.deviceSelect = value
    else if (offset === DRIVER_FEATURE_SELECT) this.#r.driverSelect = value
    else if (offset === DRIVER_FEATURE) core.setFeatures(this.#r.driverSelect, value)
    else this.#writeAddress(core.queues[this.#r.queueSelect], offset, value)
  }

  /** A vector that the function does not have reads back as none. */
  #vector(value: number): number {
    return value < this.#vectors ? value : NO_VECTOR
  }

  #writeQueue(queue: RingQueue | undefined, offset: number, value: number): void {
    if (queue === undefined) return
    if (offset === QUEUE_VECTOR) queue.vector = this.#vector(value)
    // Only a reset of the device ends a queue.
    else if (offset === QUEUE_ENABLE && value === 1) {
      queue.enabled = true
      this.#core.notify(queue.index)
    } else if (offset === QUEUE_SIZE && !queue.enabled) queue.size = value
  }

  #writeAddress(queue: RingQueue | undefined, offset: number, value: number): void {
    if (queue === undefined || queue.enabled || offset % 4 !== 0) return
    const high = offset % 8 === 4
    const field = offset - (high ? 4 : 0)
    if (field === QUEUE_DESCRIPTORS) queue.setAddress('descriptors', high, value)
    else if (field === QUEUE_DRIVER) queue.setAddress('driver', high, value)
    else if (field === QUEUE_DEVICE) queue.setAddress('device', high, value)
  }
}
