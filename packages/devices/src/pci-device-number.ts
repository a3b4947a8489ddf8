import { DeviceError } from '@retrap/device'

const LAST_DEVICE = 31

/**
 * Checks the number of a PCI device: device 0 of bus 0 is the host bridge.
 *
 * @param name - the model, for the error
 * @param bus - undefined: bus 0
 * @throws DeviceError `ERR_OPTION`
 */
export function checkDeviceNumber(name: string, device: number, bus?: string): void {
  const first = bus === undefined ? 1 : 0
  if (Number.isInteger(device) && device >= first && device <= LAST_DEVICE) return
  const expected = `expected an integer from ${first} to ${LAST_DEVICE}`
  throw new DeviceError('ERR_OPTION', `${name}: PCI device ${device}: ${expected}`)
}

/** Words of configuration space that only store their value. @param first - offset of the first */
export const storage = (first: number, words: number): [register: number, mask: number][] =>
  Array.from({ length: words }, (_, i) => [first + 4 * i, 0xffff_ffff])
