import { PcieRootPort } from '@retrap/devices/pcie'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'

/** Makes the root ports. @throws MachineError `ERR_OPTION` for an id or a number that is invalid or taken */
export function place({ options, slots }: Pick<DeviceSite, 'options' | 'slots'>): PlacedDevices {
  const { rootPorts = [] } = options
  return {
    models: rootPorts.map(({ id, slot, hotPlug = true }) => {
      const device = slots.addPort(id, slot)
      return new PcieRootPort({ name: `pcie-root-port-${id}`, device, busName: id, hotPlug })
    }),
  }
}
