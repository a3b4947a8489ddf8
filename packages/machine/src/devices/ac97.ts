import { Ac97 } from '@retrap/devices/ac97'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'

/** Makes the sound devices. @throws DeviceError or MachineError `ERR_OPTION` */
export function place({ options, slots }: Pick<DeviceSite, 'options' | 'slots'>): PlacedDevices {
  return {
    models: (options.sound ?? []).map(({ audio, ...wanted }) => {
      const { device, bus, label } = slots.place('ac97', wanted)
      return new Ac97({ name: `ac97-${label}`, device, bus, audio })
    }),
  }
}
