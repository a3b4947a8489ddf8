import { type BlockBackend, DeviceError } from '@retrap/device'
import { checkDeviceNumber } from '../pci-device-number.ts'
import type { NvmeNames } from './identify.ts'

/** Options of {@link Nvme}. */
export interface NvmeOptions {
  /** The medium, in blocks of 512 or 4096 bytes. */
  readonly medium: BlockBackend
  /** Name of the model, unique within a machine. Default `nvme`. */
  readonly name?: string
  /** The bus: a bridge's `busName`; default bus 0. */
  readonly bus?: string | undefined
  /** Device number, of which the model is function 0. */
  readonly device: number
  /** At most 40 ASCII characters; default `RETRAP NVME`. */
  readonly model?: string | undefined
  /** At most 20 ASCII characters; the medium's own goes before it. Default `RT0001`. */
  readonly serialNumber?: string
  /** Pairs of I/O queues, 1 to 64. Default 8. */
  readonly queues?: number | undefined
}

const MOST_QUEUES = 64

/** The checked options of a controller. */
export interface CheckedNvmeOptions {
  readonly name: string
  readonly bus: string | undefined
  readonly device: number
  readonly medium: BlockBackend
  readonly queues: number
  readonly names: NvmeNames
}

/** Checks options, and adds defaults. @throws DeviceError `ERR_OPTION` */
export function checkOptions(options: NvmeOptions): CheckedNvmeOptions {
  const { name = 'nvme', bus, device, medium, model = 'RETRAP NVME', queues = 8 } = options
  const wrong = (what: string): DeviceError => new DeviceError('ERR_OPTION', `${name}: ${what}`)
  checkDeviceNumber(name, device, bus)
  if (!Number.isInteger(queues) || queues < 1 || queues > MOST_QUEUES)
    throw wrong(`${queues} queues: expected an integer from 1 to ${MOST_QUEUES}`)
  const { blockBytes, serialNumber = options.serialNumber ?? 'RT0001' } = medium.properties
  if (blockBytes !== 512 && blockBytes !== 4096)
    throw wrong(`the medium has blocks of ${blockBytes} bytes: expected 512 or 4096`)
  const checkText = (what: string, text: string, most: number): void => {
    if (text.length > most || !/^[\x20-\x7e]*$/.test(text))
      throw wrong(`${what} '${text}': expected at most ${most} printable ASCII characters`)
  }
  checkText('model', model, 40)
  checkText('serial number', serialNumber, 20)
  return { name, bus, device, medium, queues, names: { model, serialNumber } }
}
