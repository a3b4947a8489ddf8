import { E1000 } from '@retrap/devices/e1000'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'
import { usualMacAddress } from '../options/network-card.ts'

/**
 * Makes the network cards of `networkCards`.
 *
 * @throws DeviceError or MachineError `ERR_OPTION`
 */
export function place({ options, slots }: Pick<DeviceSite, 'options' | 'slots'>): PlacedDevices {
  const before = (options.virtio ?? []).filter(({ kind }) => kind === 'net').length
  const placed = (options.networkCards ?? []).map((card) => ({ card, at: slots.place('e1000', card) }))
  return {
    models: placed.map(({ card: { network, macAddress, rom }, at: { device, bus, label } }, i) => {
      const address = macAddress ?? network.macAddress ?? usualMacAddress(before + i)
      const name = `e1000-${label}`
      return new E1000({ name, device, network, macAddress: address, bus, rom })
    }),
    bootPaths: placed.map(({ card, at }) => [{ ...card, media: 'network' }, `${at.path('ethernet')}/ethernet-phy@0`]),
  }
}
