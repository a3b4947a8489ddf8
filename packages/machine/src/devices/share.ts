import { Virtio9p } from '@retrap/virtio/p9'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'
import { virtioOf } from '../options/virtio-device.ts'
import { virtioFunction } from './virtio-function.ts'

/**
 * Makes a device for each share.
 *
 * @throws MachineError `ERR_OPTION`
 */
export function place({ options, slots }: Pick<DeviceSite, 'options' | 'slots'>): PlacedDevices {
  const models = virtioOf(options.virtio, 'share').map((given) => {
    const { share, tag, readOnly = false } = given
    const at = slots.place('share', given)
    return virtioFunction(new Virtio9p({ name: `virtio-9p-${at.label}`, share, tag, readOnly }), at, given)
  })
  return { models, fromHost: models }
}
