import { AcpiHotPlug, type AcpiSlotOptions, PcieRootPort } from '@retrap/devices/pcie'
import { usbControllers } from '../options/pci-options.ts'
import { virtioOf } from '../options/virtio-device.ts'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'

/**
 * Makes the root ports, or the slots that a `pc` has in their place.
 *
 * @throws MachineError `ERR_OPTION` for an id or a number that is invalid or taken
 */
export function place({ options, slots }: Pick<DeviceSite, 'options' | 'slots'>): PlacedDevices {
  const { rootPorts = [], machine = 'pc' } = options
  const isBridge = machine !== 'pc'
  const ports = rootPorts.map(({ id: busName, slot, hotPlug }): AcpiSlotOptions => ({
    device: slots.addPort(busName, slot, isBridge),
    busName,
    ...(hotPlug !== undefined && { hotPlug }),
  }))
  const ofUsb = usbControllers(options).filter(({ devices = [] }) => devices.some(({ kind }) => kind === 'device'))
  const ofHost = [...virtioOf(options.virtio, 'share', 'vsock', 'device'), ...ofUsb]
  const isOfHost = (id: string): boolean => ofHost.some(({ port }) => port === id)
  // A device and the port above it are in one set of models.
  if (isBridge) {
    const models = ports.map((port) => new PcieRootPort({ name: `pcie-root-port-${port.busName}`, ...port }))
    return { models, fromHost: models.filter((_, i) => isOfHost(ports[i]!.busName)) }
  }
  const models = [new AcpiHotPlug(ports)]
  return { models, fromHost: rootPorts.some(({ id }) => isOfHost(id)) ? models : [] }
}
