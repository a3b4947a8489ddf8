import { PcieRootPort } from '@retrap/devices/pcie'
import type { PcSite, PlacedDevices } from './placed-devices.ts'
import { MachineError } from '../errors.ts'

/** Makes the root ports. @throws MachineError `ERR_OPTION` */
export function place({ options, slots }: Pick<PcSite, 'options' | 'slots'>): PlacedDevices {
  const { machine, rootPorts = [] } = options
  if (machine !== 'q35')
    throw new MachineError('ERR_OPTION', `rootPorts: a '${machine ?? 'pc'}' has none: expected machine 'q35'`)
  return {
    models: rootPorts.map(({ id, slot, hotPlug = true }) => {
      const device = slots.addPort(id, slot)
      return new PcieRootPort({ name: `pcie-root-port-${id}`, device, busName: id, hotPlug })
    }),
  }
}
