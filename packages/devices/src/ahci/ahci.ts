import {
  type AccessSize,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type PciFunction,
  Stateful,
  type SynchronousRangeHandler,
} from '@retrap/device'
import { createDrive, type IdeDriveOptions } from '../ata/create-drive.ts'
import type { AtaDrive } from '../ata/drive.ts'
import { AhciPort } from './ahci-port.ts'
import { checkDeviceNumber } from '../pci-device-number.ts'

/** Options of {@link Ahci}. */
export interface AhciOptions {
  /** PCI device number; default 31. */
  readonly device?: number
  /** Number of the function, 0 to 7; default 2, which needs another function 0 of the device. */
  readonly function?: number
  /** Drives of ports 0 to 5; absent ones are null or left out. */
  readonly drives?: readonly (IdeDriveOptions | null)[]
}

const PORTS = 6
const BAR = 5
const BAR_BYTES = 0x1000
const PORT_AT = 0x100
const PORT_BYTES = 0x80
const COMMAND_REGISTER = 4

// Generic host control (AHCI 1.3.1, 3.1).
const CAP = 0x00
const GHC = 0x04
const IS = 0x08
const PI = 0x0c
const VS = 0x10
const GHC_RESET = 1 << 0
const GHC_INTERRUPTS = 1 << 1
const GHC_AHCI = (1 << 31) >>> 0
/** 64-bit addresses, queued commands, command list override, AHCI only, 3 Gbit/s, PIO of several blocks, 32 slots. */
const CAPABILITIES = (0xc000_0000 + (1 << 24) + (2 << 20) + (1 << 18) + (1 << 15) + (31 << 8) + (PORTS - 1)) >>> 0
const VERSION = 0x0001_0301

/**
 * The SATA function of an ICH9 (82801IR) at 00:1f.2 in AHCI mode: six ports, each with a disk, a CD drive or nothing.
 *
 * Sources: Serial ATA Advanced Host Controller Interface 1.3.1; Intel I/O Controller Hub 9 Family data sheet (316972),
 * "SATA Controller Registers (D31:F2)".
 */
export class Ahci extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'ahci'
  /** Handlers answer at once: only the medium takes time, and the guest sees an unfinished command. */
  readonly synchronous: boolean = true
  readonly #device: number
  readonly #function: number
  readonly #drives: readonly (AtaDrive | null)[]
  #ports: readonly AhciPort[] = []
  #pci: PciFunction | null = null
  readonly #r = this.keeps({
    version: 1,
    /** Global HBA control. */
    control: GHC_AHCI,
    /** Interrupt status: a bit for each port. */
    interrupts: 0,
    ports: () => this.#ports,
  })

  /** @throws DeviceError `ERR_OPTION` */
  constructor(options: AhciOptions = {}) {
    super()
    const { device = 31, function: number = 2, drives = [] } = options
    checkDeviceNumber('ahci', device)
    if (drives.length > PORTS)
      throw new DeviceError('ERR_OPTION', `ahci: ${drives.length} drives: expected at most ${PORTS}`)
    this.#device = device
    this.#function = number
    this.#drives = Array.from({ length: PORTS }, (_, i) => createDrive('ahci', drives[i] ?? null, i, true))
  }

  /** Adds the PCI function. */
  attach(context: DeviceContext): void {
    const mayMaster = (): boolean => this.#pci?.mayMaster ?? false
    const handler: SynchronousRangeHandler = {
      read: (offset: number): number => this.#read(offset),
      write: (offset: number, _size: AccessSize, value: number): void => this.#write(offset, value),
    }
    this.#pci = context.pci.add({
      device: this.#device,
      function: this.#function,
      vendorId: 0x8086,
      deviceId: 0x2922,
      revisionId: 2,
      // Mass storage, SATA, AHCI 1.0.
      classCode: 0x01_0601,
      interruptPin: 1,
      msi: { vectors: 1, at: 0x80 },
      // MAP: AHCI mode.
      writable: [[0x90, 0, 0x40]],
      bars: [{ index: BAR, kind: 'memory', bytes: BAR_BYTES, minimumAccess: 4, handler }],
      onWrite: (register: number): void => {
        // A transfer may have waited for the right to write memory.
        if (register <= COMMAND_REGISTER) for (const port of this.#ports) port.commands.resume()
      },
    })
    this.#ports = this.#drives.map((drive) => new AhciPort(context, drive, mayMaster, () => this.#update()))
    this.reset()
  }

  #read(offset: number): number {
    if (offset >= PORT_AT) {
      const port = this.#ports[Math.floor((offset - PORT_AT) / PORT_BYTES)]
      return port?.read((offset - PORT_AT) % PORT_BYTES) ?? 0
    }
    switch (offset) {
      case CAP:
        return CAPABILITIES
      case GHC:
        return this.#r.control
      case IS:
        return this.#r.interrupts
      case PI:
        return 2 ** PORTS - 1
      case VS:
        return VERSION
      default:
        return 0
    }
  }

  #write(offset: number, value: number): void {
    if (offset >= PORT_AT) {
      this.#ports[Math.floor((offset - PORT_AT) / PORT_BYTES)]?.write((offset - PORT_AT) % PORT_BYTES, value)
    } else if (offset === GHC) {
      if ((value & GHC_RESET) !== 0) return this.#resetPorts()
      this.#r.control = (GHC_AHCI | (value & GHC_INTERRUPTS)) >>> 0
      this.#update()
    } else if (offset === IS) {
      this.#r.interrupts &= ~value
      this.#update()
    }
  }

  /** Collects the ports' interrupts. A rising bit sends a message, or the wire stays asserted while any bit is set. */
  #update(): void {
    const before = this.#r.interrupts
    for (let port = 0; port < this.#ports.length; port++) {
      if (this.#ports[port]!.interrupts) this.#r.interrupts |= 1 << port
    }
    const enabled = (this.#r.control & GHC_INTERRUPTS) !== 0
    const messages = this.#pci?.messages
    if (messages !== null && messages !== undefined && messages.mode !== 'none') {
      this.#pci?.interrupt?.set(false)
      if (enabled && (this.#r.interrupts & ~before) !== 0) messages.signal(0)
    } else this.#pci?.interrupt?.set(enabled && this.#r.interrupts !== 0)
  }

  /** A reset by the guest. Configuration space stays. */
  #resetPorts(): void {
    this.#r.control = GHC_AHCI
    this.#r.interrupts = 0
    for (const port of this.#ports) port.reset()
    this.#r.interrupts = 0
    this.#update()
  }

  /** Drives unsubscribe from their media. */
  removed(): void {
    for (const drive of this.#drives) drive?.removed?.()
  }

  /** Cancels pending work, and resets drives and registers to power-on state. */
  override reset(): void {
    for (const port of this.#ports) port.powerOn()
    this.#r.control = GHC_AHCI
    this.#r.interrupts = 0
    this.#update()
  }

  /** Waits for requests that the media are executing. Nothing is answered to the guest until `resume`. */
  async quiesce(): Promise<void> {
    await Promise.all(this.#ports.map((port) => port.commands.pause()))
  }

  /** Answers again. */
  resume(): void {
    for (const port of this.#ports) port.commands.unpause()
  }

  /** Takes over a saved state. Throws `DeviceError` `ERR_STATE` for a state of another version, or of other drives. */
  override restore(state: unknown): void {
    super.restore(state)
    // Ports that have stopped their commands may have raised bits.
    this.#r.interrupts = (state as { readonly interrupts: number }).interrupts
    this.#update()
  }
}
