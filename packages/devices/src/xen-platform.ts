import {
  type AccessSize,
  type DeviceContext,
  type DeviceModel,
  type PciFunction,
  Stateful,
  type SynchronousRangeHandler,
} from '@retrap/device'
import { checkDeviceNumber } from './pci-device-number.ts'

/* Fixed ports (Xen's docs/misc/hvm-emulated-unplug.txt): offsets from 0x10. */
const FIXED_PORTS = 0x10
const FIXED_PORT_COUNT = 16
/** Read as 16 bits: the magic number. Written as 16 bits: the set of devices to unplug; as 32 bits: the drivers' build. */
const UNPLUG = 0
/** Read as 8 bits: version of the protocol. Written as 8 bits: a log's character; as 16 bits: the drivers' product. */
const VERSION = 2
const MAGIC = 0x49d2
const PROTOCOL_VERSION = 1

/* I/O BAR. */
const IO_BYTES = 0x100
const IO_FLAGS = 0
const IO_LOG = 8
/** Bit 0 of the flags: guests' writes to option ROMs are to be locked out; a bit to set and read back, nothing more. */
const FLAGS_WRITABLE = 0x01
/** Guests put the grant table and other frames of the hypervisor into this memory. */
const MEMORY_BYTES = 1 << 24

const LONGEST_LINE = 4096

/** The devices that a guest asks to have unplugged, bits of one word. */
export const XenUnplug: {
  /** Emulated IDE disks. */
  readonly ideDisks: 0x01
  /** Emulated network adapters. */
  readonly nics: 0x02
  /** Emulated IDE disks other than the primary master. */
  readonly auxiliaryIdeDisks: 0x04
  /** Emulated NVMe disks. */
  readonly nvmeDisks: 0x08
} = { ideDisks: 0x01, nics: 0x02, auxiliaryIdeDisks: 0x04, nvmeDisks: 0x08 }

/** Options of {@link XenPlatform}. */
export interface XenPlatformOptions {
  /** PCI device number on bus 0; default 2. */
  readonly device?: number
  /** Called when the guest's drivers replace emulated devices: bits of {@link XenUnplug}. Default: nothing to unplug. */
  readonly onUnplug?: (what: number) => void
  /** Called for each line that the guest writes to the log port. */
  readonly onLog?: (line: string) => void
}

/**
 * Xen's platform device (5853:0001), which drivers of a hardware guest look for. It gives them an interrupt pin for
 * event channels, addresses that nobody else uses, the ports of the unplug protocol, and a log.
 *
 * Source: Xen's docs/misc/hvm-emulated-unplug.txt; identity and BARs as in QEMU's `xen-platform`.
 */
export class XenPlatform extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'xen-platform'
  readonly #device: number
  readonly #onUnplug: (what: number) => void
  readonly #onLog: (line: string) => void
  /** The flags, and the guest's unfinished log line. */
  readonly #r = this.keeps({ version: 1, flags: 0, line: '' })
  #pci: PciFunction | null = null

  constructor(options: XenPlatformOptions = {}) {
    super()
    this.#device = options.device ?? 2
    checkDeviceNumber('xen-platform', this.#device)
    this.#onUnplug = options.onUnplug ?? ((): void => {})
    this.#onLog = options.onLog ?? ((): void => {})
  }

  /** Claims ports 0x10 to 0x1F and adds the PCI function. */
  attach(context: DeviceContext): void {
    const fixed: SynchronousRangeHandler = {
      read: (offset: number, size: AccessSize): number => this.#readFixed(offset, size),
      write: (offset: number, size: AccessSize, value: number): void => this.#writeFixed(offset, size, value),
    }
    const io: SynchronousRangeHandler = {
      read: (offset: number, size: AccessSize): number =>
        offset === IO_FLAGS && size === 1 ? this.#r.flags : 0xffff_ffff,
      write: (offset: number, size: AccessSize, value: number): void => {
        if (size !== 1) return
        if (offset === IO_FLAGS) this.#r.flags = value & FLAGS_WRITABLE
        else if (offset === IO_LOG) this.#log(value)
      },
    }
    // Handles accesses until the guest has mapped frames in the BAR.
    const memory: SynchronousRangeHandler = { read: (): number => 0, write: (): void => {} }
    context.mapPorts(FIXED_PORTS, FIXED_PORT_COUNT, fixed)
    this.#pci = context.pci.add({
      device: this.#device,
      vendorId: 0x5853,
      deviceId: 0x0001,
      revisionId: 1,
      classCode: 0xff_8000,
      subsystemVendorId: 0x5853,
      subsystemId: 0x0001,
      interruptPin: 1,
      bars: [
        { index: 0, kind: 'io', bytes: IO_BYTES, handler: io },
        { index: 1, kind: 'memory', bytes: MEMORY_BYTES, prefetchable: true, handler: memory },
      ],
    })
  }

  #readFixed(offset: number, size: AccessSize): number {
    if (offset === UNPLUG && size === 2) return MAGIC
    if (offset === UNPLUG && size === 1) return this.#r.flags
    if (offset === VERSION && size === 1) return PROTOCOL_VERSION
    return 0xffff_ffff
  }

  #writeFixed(offset: number, size: AccessSize, value: number): void {
    // Product and build number of the guest's drivers, of which none are refused, need no answer.
    if (offset === UNPLUG && size === 2) this.#onUnplug(value)
    else if (offset === UNPLUG && size === 1) this.#r.flags = value & FLAGS_WRITABLE
    else if (offset === VERSION && size === 1) this.#log(value)
  }

  #log(character: number): void {
    if (character !== 0x0a) this.#r.line += character >= 0x20 && character < 0x7f ? String.fromCharCode(character) : '?'
    if (character !== 0x0a && this.#r.line.length < LONGEST_LINE) return
    const line = this.#r.line
    this.#r.line = ''
    this.#onLog(line)
  }

  /** Returns to the state at power-on. */
  override reset(): void {
    super.reset()
    this.#pci?.interrupt?.set(false)
  }
}
