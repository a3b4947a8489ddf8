import { VirtioInput } from '@retrap/virtio/input'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'
import { VIRTIO_INPUT, virtioOf } from '../options/virtio-device.ts'
import { virtioFunction } from './virtio-function.ts'

type InputSite = Pick<DeviceSite, 'options' | 'slots' | 'keyboard' | 'mouse'>

/**
 * Makes virtio keyboards, mice and tablets.
 *
 * @throws MachineError `ERR_OPTION`
 */
export function place({ options, slots, keyboard, mouse }: InputSite): PlacedDevices {
  return {
    models: virtioOf(options.virtio, ...VIRTIO_INPUT).map((given) => {
      const { kind, serialNumber } = given
      const at = slots.place('virtio', given)
      const input = (kind === 'keyboard' ? keyboard : mouse).join()
      const name = `virtio-${kind}-${at.label}`
      const device = new VirtioInput({ kind, input, name, serialNumber })
      return virtioFunction(device, at, given)
    }),
  }
}
