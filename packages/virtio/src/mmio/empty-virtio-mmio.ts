import { type AccessSize, type DeviceContext, DeviceError, type DeviceModel } from '@retrap/device'
import { MAGIC, MAGIC_VALUE, MODERN_VERSION, RANGE_BYTES, VENDOR, VENDOR_ID, VERSION } from './registers.ts'

/** Options of {@link EmptyVirtioMmio}. */
export interface EmptyVirtioMmioOptions {
  /** Guest-physical address of the first transport's registers. */
  readonly base: number
  /** Number of transports, 512 bytes each. */
  readonly count: number
}

/**
 * The transports of a board that have no device: their device ID is 0, and a driver passes over them in silence. Those of a
 * `VirtioMmio` at one of their addresses are its own.
 *
 * Source: VIRTIO 1.2, §4.2.2, "MMIO Device Register Layout".
 */
export class EmptyVirtioMmio implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'virtio-mmio-empty'
  /** Nothing can be written. */
  readonly stateless: boolean = true
  readonly #options: EmptyVirtioMmioOptions

  /** @throws DeviceError `ERR_OPTION` */
  constructor(options: EmptyVirtioMmioOptions) {
    if (!Number.isInteger(options.count) || options.count < 1)
      throw new DeviceError('ERR_OPTION', `virtio-mmio-empty: count ${options.count}: expected at least 1`)
    this.#options = options
  }

  /** Claims the registers of all transports, behind those that have a device. */
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
