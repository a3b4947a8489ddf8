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
import { DATA_REGISTER, IdeChannel } from './ide-channel.ts'
import { checkDeviceNumber } from '../pci-device-number.ts'

/** Options of {@link PiixIde}. */
export interface PiixIdeOptions {
  /** Device number, of which the model is function 1; default 1. */
  readonly device?: number
  /** Primary device 0 and 1, secondary device 0 and 1; absent ones are null or left out. */
  readonly drives?: readonly (IdeDriveOptions | null)[]
}

const CHANNELS = [
  { command: 0x1f0, control: 0x3f6, irq: 14 },
  { command: 0x170, control: 0x376, irq: 15 },
] as const
const DRIVES = 2 * CHANNELS.length
const BUS_MASTER_BAR = 4
const BUS_MASTER_BYTES = 8
const COMMAND_REGISTER = 4
/** IDETIM of both channels with its decode bit set. */
const IDETIM = 0x40
const DECODED = 0x8000_8000

/**
 * The IDE function of an 82371SB (PIIX3): two channels at their legacy ports, with bus masters. The ports answer whatever
 * IDETIM says, which begins with both channels switched on.
 *
 * Sources: Intel 82371SB data sheet (290550), "IDE Controller"; ATA8-ACS (T13/1699-D); MMC-5 (T10/1675-D).
 */
export class PiixIde extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'ide'
  /** Handlers answer at once: only the medium takes time, and the guest sees a busy drive. */
  readonly synchronous: boolean = true
  readonly #device: number
  readonly #drives: readonly (AtaDrive | null)[]
  #channels: readonly IdeChannel[] = []
  #pci: PciFunction | null = null

  /** @throws DeviceError `ERR_OPTION` */
  constructor(options: PiixIdeOptions = {}) {
    super()
    this.keeps({ version: 1, channels: () => this.#channels })
    const { device = 1, drives = [] } = options
    checkDeviceNumber('ide', device)
    if (drives.length > DRIVES)
      throw new DeviceError('ERR_OPTION', `ide: ${drives.length} drives: expected at most ${DRIVES}`)
    this.#device = device
    this.#drives = Array.from({ length: DRIVES }, (_, i) => createDrive('ide', drives[i] ?? null, i))
  }

  /** Claims the ports of both channels and adds the PCI function. */
  attach(context: DeviceContext): void {
    const mayMaster = (): boolean => this.#pci?.mayMaster ?? false
    this.#channels = CHANNELS.map(({ command, control, irq }, i) => {
      const drives = [this.#drives[2 * i] ?? null, this.#drives[2 * i + 1] ?? null] as const
      const channel = new IdeChannel(context, drives, context.interruptLine(irq), mayMaster)
      context.mapPorts(command, 8, commandBlock(channel))
      context.mapPorts(control, 1, controlBlock(channel), { maximumAccess: 1 })
      return channel
    })
    this.#pci = context.pci.add({
      device: this.#device,
      function: 1,
      vendorId: 0x8086,
      deviceId: 0x7010,
      // Mass storage, IDE, with bus masters; both channels at legacy ports only.
      classCode: 0x01_0180,
      writable: [
        [IDETIM, 0xffff_ffff, DECODED],
        [0x44, 0xff],
      ],
      bars: [
        {
          index: BUS_MASTER_BAR,
          kind: 'io',
          bytes: BUS_MASTER_BYTES * CHANNELS.length,
          maximumAccess: 1,
          handler: {
            read: (offset: number): number => this.#busMaster(offset)?.read(offset % BUS_MASTER_BYTES) ?? 0,
            write: (offset: number, _size: AccessSize, value: number): void =>
              this.#busMaster(offset)?.write(offset % BUS_MASTER_BYTES, value),
          },
        },
      ],
      onWrite: (register: number): void => {
        // A transfer may have waited for the right to write memory.
        if (register <= COMMAND_REGISTER) for (const channel of this.#channels) channel.moveByDma()
      },
    })
  }

  #busMaster(offset: number): IdeChannel['busMaster'] | undefined {
    return this.#channels[Math.floor(offset / BUS_MASTER_BYTES)]?.busMaster
  }

  /** Drives unsubscribe from their media. */
  removed(): void {
    for (const drive of this.#drives) drive?.removed?.()
  }

  /** Cancels pending work, and resets drives and registers to power-on state. */
  override reset(): void {
    for (const channel of this.#channels) channel.powerOn()
  }

  /** Waits for requests that the media are executing. Nothing is answered to the guest until `resume`. */
  async quiesce(): Promise<void> {
    await Promise.all(this.#channels.map((channel) => channel.requests.late.pause()))
  }

  /** Answers again. */
  resume(): void {
    for (const channel of this.#channels) channel.requests.late.resume()
  }
}

/** Ports of a command block. Any access to the first one is to the data register; others are bytes. */
function commandBlock(channel: IdeChannel): SynchronousRangeHandler {
  return {
    read(offset: number, size: AccessSize): number {
      if (offset === DATA_REGISTER) return channel.readData(size)
      let value = 0
      for (let i = size - 1; i >= 0; i--) value = (value << 8) | channel.read(offset + i)
      return value >>> 0
    },
    write(offset: number, size: AccessSize, value: number): void {
      if (offset === DATA_REGISTER) channel.writeData(size, value)
      else for (let i = 0; i < size; i++) channel.write(offset + i, (value >>> (8 * i)) & 0xff)
    },
  }
}

/** The port of alternate status and device control. */
function controlBlock(channel: IdeChannel): SynchronousRangeHandler {
  return {
    read: (): number => channel.status,
    write: (_offset: number, _size: AccessSize, value: number): void => channel.writeControl(value),
  }
}
