import { E1000 } from '@retrap/devices/e1000'
import type { PcSite, PlacedDevices } from '../device-kinds.ts'
import { networkBootPath, usualMacAddress } from '../network-card.ts'

/**
 * Makes the network cards of `networkCards`.
 *
 * @throws DeviceError or MachineError `ERR_OPTION`
 */
export function place({ options, slots }: Pick<PcSite, 'options' | 'slots'>): PlacedDevices {
  const before = (options.virtio ?? []).filter(({ kind }) => kind === 'net').length
  const placed = (options.networkCards ?? []).map((card) => ({ card, slot: slots.take('e1000', card.slot) }))
  return {
    models: placed.map(({ card: { network, macAddress, rom }, slot }, i) => {
      const address = macAddress ?? network.macAddress ?? usualMacAddress(before + i)
      const name = `e1000-${slot}`
      return new E1000({ name, device: slot, network, macAddress: address, ...(rom !== undefined && { rom }) })
    }),
    bootPaths: placed.map(({ card, slot }) => [{ ...card, media: 'network' }, networkBootPath(slot)]),
  }
}
