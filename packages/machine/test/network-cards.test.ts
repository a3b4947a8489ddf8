import type { PacketBackend } from '@retrap/device'
import { expect, test } from 'vitest'
import { bootOrder } from '../src/options/drives.ts'
import { place as placeE1000 } from '../src/devices/e1000.ts'
import { place as placeVirtio } from '../src/devices/virtio.ts'
import { networkRomBytes } from '../src/options/network-card.ts'
import type { PcOptions } from '../src/options/pc-options.ts'
import { PciSlots } from '../src/devices/pci-slots.ts'

const network = { linkUp: true, maximumBytes: 1514, connect: () => {} } as unknown as PacketBackend
const rom = new Uint8Array(70_000)

function paths(
  networkOptions: Pick<PcOptions, 'virtio' | 'networkCards'>,
): ReturnType<typeof placeVirtio>['bootPaths'] {
  const options: PcOptions = { memoryBytes: 0, ...networkOptions }
  const slots = new PciSlots(3)
  const virtio = placeVirtio({ options, slots, random: () => 0 })
  const e1000 = placeE1000({ options, slots })
  expect(e1000.models.map(({ name }) => name)).toEqual((options.networkCards ?? []).map((_, i) => `e1000-${4 + i}`))
  return [...(virtio.bootPaths ?? []), ...(e1000.bootPaths ?? [])]
}

test('firmware tries network cards with a number, and all of them with the letter n', () => {
  const found = paths({
    virtio: [{ kind: 'net', network, rom }],
    networkCards: [
      { model: 'e1000', network, bootIndex: 0 },
      { model: 'e1000', network },
    ],
  })!
  const path = (slot: number): string => `/pci@i0cf8/ethernet@${slot}/ethernet-phy@0`
  expect(bootOrder(found)).toEqual([path(4)])
  expect(bootOrder(found, 'n')).toEqual([path(4), path(3), path(5)])
})

test('ROMs count in the memory that a machine takes', () => {
  expect(networkRomBytes({})).toBe(0)
  const networkCards = [{ model: 'e1000' as const, network, rom }]
  expect(networkRomBytes({ networkCards, virtio: [{ kind: 'rng' }] })).toBeGreaterThanOrEqual(2 ** 17)
})
