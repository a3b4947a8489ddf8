import type { PacketBackend } from '@retrap/device'
import type { DomainServer } from '@retrap/hvm'
import type { DevicePlatform } from '@retrap/device-hosting'
import type { IoDispatch } from '@retrap/ioreq'
import { placeDevices } from '../devices/device-kinds.ts'
import type { PciPlace } from '../devices/pci-slots.ts'
import type { DeviceSite, PlaceDevices } from '../devices/placed-devices.ts'
import type { BootPath } from '../options/drives.ts'
import { OF_NETWORK, decodeMessage, encodeMessage, type Post } from '../back-ends/messages.ts'
import { NearMedium } from './media.ts'
import { factsOf, NearNetwork } from '../back-ends/packets.ts'
import { type MovedControllers, withBackEnds } from './split.ts'
import type { ControllerDescription, StartControllerServer } from '../board/start.ts'
import { unusedMedium, unusedNetwork } from './unused.ts'

/**
 * Starts the controllers of a machine in a thread of their own. Media and networks stay in this one.
 *
 * @param kinds - of those controllers
 * @param site - the place of the controllers in this thread
 */
export function startControllers(
  start: StartControllerServer,
  target: { readonly dispatch: IoDispatch; readonly platform: DevicePlatform },
  {
    moved,
    kinds,
    site,
  }: { readonly moved: MovedControllers; readonly kinds: readonly PlaceDevices[]; readonly site: DeviceSite },
): { readonly server: DomainServer; readonly bootPaths: readonly BootPath[] } {
  const before = site.slots.placed.length
  const networks = [...moved.virtio.flatMap((one) => (one.kind === 'net' ? [one] : [])), ...moved.networkCards]
  const facts = networks.map(({ network }) => factsOf(network))
  const given = moved.drives ?? []
  const media = given.map(({ medium }) =>
    medium === null ? null : { properties: medium.properties, hasTray: medium.tray !== undefined },
  )
  // This rehearsal refuses impossible options, and tells firmware the controllers' places.
  const rehearsed = withBackEnds(
    moved,
    (i) => (media[i] ? unusedMedium(media[i].properties) : null),
    (i) => unusedNetwork(facts[i]!),
  )
  const { bootPaths } = placeDevices(kinds, { ...site, options: rehearsed })
  const drives = moved.drives?.map(({ medium: _medium, ...drive }) => drive)
  const description: ControllerDescription = {
    controllers: {
      ...moved,
      ...(drives !== undefined && { drives }),
      virtio: moved.virtio.map(withoutNetwork),
      networkCards: moved.networkCards.map(withoutNetwork),
    },
    media,
    networks: facts,
    places: site.slots.placed.slice(before).map(placeElsewhere),
    sata: site.sata,
  }
  const nearMedia: (NearMedium | null)[] = []
  const nearNetworks: NearNetwork[] = []
  const server = start(target.dispatch, target.platform, {
    name: 'controllers',
    realTime: moved.clock !== 'deterministic',
    controllers: description,
    onMessage: (bytes) => {
      const message = decodeMessage(bytes)
      if (OF_NETWORK.has(message.kind)) nearNetworks[message.which]?.receive(message)
      else nearMedia[message.which]?.receive(message)
    },
  })
  const post =
    (which: number): Post =>
    (kind, message) =>
      server.remote.post(encodeMessage(kind, { ...message, which }))
  for (const [i, { medium }] of given.entries())
    nearMedia.push(medium === null ? null : new NearMedium(medium, post(i)))
  for (const [i, { network }] of networks.entries()) nearNetworks.push(new NearNetwork(network, post(i)))
  server.remote.onClosed(() => {
    for (const medium of nearMedia) medium?.leave()
  })
  return { server, bootPaths: bootPaths.map(([device, path]) => [device, path] as const) }
}

const placeElsewhere = ({ device, root, label, mmio }: PciPlace): ControllerDescription['places'][number] => ({
  ...{ device, root, label },
  ...(mmio && { mmio }),
})

function withoutNetwork(card: object): object {
  const { network: _network, ...rest } = card as { readonly network?: PacketBackend }
  return rest
}
