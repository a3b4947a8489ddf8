import {
  type AccessSize,
  type DeviceContext,
  type DeviceModel,
  Stateful,
  type SynchronousRangeHandler,
} from '@retrap/device'
import { checkDeviceNumber } from './pci-device-number.ts'

const MEMORY_BYTES = 4096
const PORT_BYTES = 256
const METHODS = ['no-eventfd', 'wildcard-eventfd', 'datamatch-eventfd'] as const
/** Values that count, and of the test whose writes all belong to the host's kernel. */
const DATA = 0xfa
const ANY_DATA = 0xce
const HEADER_BYTES = 16
const COUNT = 12

/** A test of a BAR: a write of a byte to a place. */
interface Test {
  readonly header: Uint8Array
  readonly offset: number
  /** Writes that an event takes in the host do not reach the model. */
  readonly counts: boolean
}

/** The three tests of memory (0 to 2), followed by the tests of ports. */
const TESTS: readonly Test[] = ['mmio', 'portio'].flatMap((kind, bar) =>
  METHODS.map((method, i) => {
    const number = bar * METHODS.length + i
    const offset = (bar === 0 ? MEMORY_BYTES : PORT_BYTES) / 2 + number
    const name = new TextEncoder().encode(`${kind}-${method}`)
    const header = new Uint8Array(HEADER_BYTES + name.length + 1)
    header.set([number, 1, 0, 0, offset & 0xff, offset >> 8, 0, 0, method === 'wildcard-eventfd' ? ANY_DATA : DATA])
    header.set(name, HEADER_BYTES)
    return { header, offset, counts: method === 'no-eventfd' }
  }),
)

/** Options of {@link PciTestDevice}. */
export interface PciTestDeviceOptions {
  /** PCI device number on bus 0; default 30. */
  readonly device?: number
}

/**
 * QEMU's `pci-testdev` (1B36:0005): memory (BAR 0) and ports (BAR 1) whose writes it counts, for programs that measure or
 * test accesses. A byte written to offset 0 chooses one of three tests of that BAR; the bytes from there then hold the
 * offset and value to write, the count of writes so far, and the test's name. Tests 1 and 2 are about QEMU's ioeventfd,
 * whose writes it does not count.
 *
 * Source: QEMU, docs/specs/pci-testdev.rst; identity, sizes, offsets and data as QEMU 7.2 shows them to a guest.
 */
export class PciTestDevice extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string
  /** The device depends on the guest's accesses alone. */
  readonly deterministic = true
  readonly #device: number
  /** The test that the guest has chosen, 0 to 5, or −1; and the writes that it has counted since. */
  readonly #r = this.keeps({ version: 1, test: -1, count: 0 })

  constructor(options: PciTestDeviceOptions = {}) {
    super()
    const { device = 30 } = options
    checkDeviceNumber('pci-testdev', device)
    this.#device = device
    this.name = `pci-testdev-${device.toString(16)}`
  }

  /** Adds the PCI function. */
  attach(context: DeviceContext): void {
    context.pci.add({
      device: this.#device,
      vendorId: 0x1b36,
      deviceId: 0x0005,
      classCode: 0x00_ff00,
      subsystemVendorId: 0x1af4,
      subsystemId: 0x1100,
      bars: [
        { index: 0, kind: 'memory', bytes: MEMORY_BYTES, handler: this.#bar(0) },
        { index: 1, kind: 'io', bytes: PORT_BYTES, handler: this.#bar(1) },
      ],
    })
  }

  #bar(bar: number): SynchronousRangeHandler {
    return {
      read: (offset: number, size: AccessSize): number => {
        let value = 0
        for (let i = 0; i < size; i++) value |= this.#byte(offset + i) << (8 * i)
        return value
      },
      write: (offset: number, size: AccessSize, value: number): void => {
        for (let i = 0; i < size; i++) this.#writeByte(bar, offset + i, (value >>> (8 * i)) & 0xff)
      },
    }
  }

  /** Both BARs show the header of the test that was chosen last. */
  #byte(offset: number): number {
    if (offset >= COUNT && offset < HEADER_BYTES) return (this.#r.count >>> (8 * (offset - COUNT))) & 0xff
    return TESTS[this.#r.test]?.header[offset] ?? 0
  }

  #writeByte(bar: number, offset: number, value: number): void {
    if (offset === 0) {
      this.#r.test = value < METHODS.length ? bar * METHODS.length + value : -1
      this.#r.count = 0
      return
    }
    const test = TESTS[this.#r.test]
    const isCounted = test?.counts === true && offset === test.offset && value === DATA
    if (isCounted && this.#r.test === bar * METHODS.length) this.#r.count = (this.#r.count + 1) >>> 0
  }
}
