import { PcieRootPort } from '@retrap/devices/pcie'
import { usbControllers } from '../options/pci-options.ts'
import { virtioOf } from '../options/virtio-device.ts'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'

/** Makes the root ports. @throws MachineError `ERR_OPTION` for an id or a number that is invalid or taken */
export function place({ options, slots }: Pick<DeviceSite, 'options' | 'slots'>): PlacedDevices {
  const { rootPorts = [] } = options
  const models = rootPorts.map(({ id, slot, hotPlug = true }) => {
    const device = slots.addPort(id, slot)
    return new PcieRootPort({ name: `pcie-root-port-${id}`, device, busName: id, hotPlug })
  })
  const ofUsb = usbControllers(options).filter(({ devices = [] }) => devices.some(({ kind }) => kind === 'device'))
  const ofHost = [...virtioOf(options.virtio, 'share', 'vsock', 'device'), ...ofUsb]
  // A device and the port above it are in one set of models.
  return { models, fromHost: models.filter((_, i) => ofHost.some(({ port }) => port === rootPorts[i]!.id)) }
}
