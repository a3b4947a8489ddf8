import { DeviceError, type PacketBackend } from '@retrap/device'
import { checkDeviceNumber } from '../pci-device-number.ts'

/** Options of {@link E1000}. */
export interface E1000Options {
  /** The network. */
  readonly network: PacketBackend
  /** The bus: a bridge's `busName`; default bus 0. */
  readonly bus?: string | undefined
  /** PCI device number on its bus, 1 to 31 on bus 0, and 0 to 31 on others. */
  readonly device: number
  /** Names the model; default `e1000`. */
  readonly name?: string
  /** Six bytes; default the network's choice, or 52:54:00:12:34:56. */
  readonly macAddress?: Uint8Array
  /** Boot program in the expansion ROM, at most 1 MiB; default none. */
  readonly rom?: Uint8Array | undefined
}

const MOST_ROM_BYTES = 2 ** 20
const USUAL_ADDRESS = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56]

/** The card's address, after a look at all options. @throws DeviceError `ERR_OPTION` */
export function checkedAddress({ network, bus, device, name = 'e1000', macAddress, rom }: E1000Options): Uint8Array {
  const bad = (what: string): DeviceError => new DeviceError('ERR_OPTION', `${name}: ${what}`)
  const address = macAddress ?? network.macAddress ?? Uint8Array.from(USUAL_ADDRESS)
  if (address.length !== 6 || (address[0]! & 1) !== 0)
    throw bad(`address ${[...address].join(':')}: expected six bytes, and not that of a group`)
  checkDeviceNumber(name, device, bus)
  if (rom !== undefined && rom.length > MOST_ROM_BYTES)
    throw bad(`a ROM of ${rom.length} bytes: expected at most ${MOST_ROM_BYTES}`)
  return address
}
