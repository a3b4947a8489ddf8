import { VirtioVsock } from '@retrap/virtio/vsock'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'
import { virtioOf } from '../options/virtio-device.ts'
import { virtioFunction } from './virtio-function.ts'

/**
 * Makes the devices for sockets between guest and host.
 *
 * @throws MachineError `ERR_OPTION`
 */
export function place({ options, slots }: Pick<DeviceSite, 'options' | 'slots'>): PlacedDevices {
  const models = virtioOf(options.virtio, 'vsock').map((given) => {
    const { cid, host } = given
    const at = slots.place('vsock', given)
    return virtioFunction(new VirtioVsock({ name: `virtio-vsock-${at.label}`, cid, host }), at, given)
  })
  return { models, fromHost: models }
}
