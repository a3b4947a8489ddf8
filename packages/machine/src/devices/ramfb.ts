import { Ramfb } from '@retrap/devices/ramfb'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'

/** Makes the picture in guest RAM. */
export function place({ screen }: Pick<DeviceSite, 'screen'>): PlacedDevices {
  const ramfb = new Ramfb({ display: screen })
  return { models: [ramfb], onRamfb: (configuration) => ramfb.configure(configuration) }
}
