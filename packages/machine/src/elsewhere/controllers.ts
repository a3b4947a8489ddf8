import type { BlockBackend, BlockProperties, PacketBackend } from '@retrap/device'
import { type DevicePlatform, type DeviceServer, type IoDispatch, serveSharedDevices } from '@retrap/ioreq'
import type { SharedDeviceMemory, SharedDevicesOptions } from '@retrap/ioreq'
import type { DomainServer } from '@retrap/hvm'
import { loadDeviceKinds, type PcSite, type PlaceDevices, placeDevices } from '../device-kinds.ts'
import type { BootPath } from '../drives.ts'
import { type PciPlace, PciSlots } from '../pci-slots.ts'
import { FarMedium } from './far-medium.ts'
import { FarNetwork, type NetworkProperties } from './far-network.ts'
import { decodeMessage, encodeMessage, MESSAGE, type Post } from './messages.ts'
import { NearMedium } from './near-medium.ts'
import { NearNetwork } from './near-network.ts'
import type { MovedControllers } from './split.ts'
import type { ControllerDescription, StartControllerServer } from './start.ts'

/** Kinds of message that are about networks. */
const OF_NETWORK: ReadonlySet<number> = new Set([
  ...[MESSAGE.send, MESSAGE.taken, MESSAGE.filter],
  ...[MESSAGE.receive, MESSAGE.sent, MESSAGE.link],
])

/**
 * Starts the controllers of a machine in a thread of their own. Media and networks stay in this one.
 *
 * @param kinds - of those controllers
 * @param site - where they would be made in this thread
 */
export function startControllers(
  start: StartControllerServer,
  target: { readonly dispatch: IoDispatch; readonly platform: DevicePlatform },
  {
    moved,
    kinds,
    site,
  }: { readonly moved: MovedControllers; readonly kinds: readonly PlaceDevices[]; readonly site: PcSite },
): { readonly server: DomainServer; readonly bootPaths: readonly BootPath[] } {
  const before = site.slots.placed.length
  const networks = [...moved.virtio.flatMap((one) => (one.kind === 'net' ? [one] : [])), ...moved.networkCards]
  const given = moved.drives ?? []
  const media = given.map(({ medium }) =>
    medium === null ? null : { properties: medium.properties, hasTray: medium.tray !== undefined },
  )
  // What cannot be is refused here, and firmware is told here where they are.
  const rehearsed = withBackEnds(
    moved,
    (i) => (media[i] ? unusedMedium(media[i].properties) : null),
    (i) => unusedNetwork(networks[i]!.network),
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
    networks: networks.map(({ network: { linkUp, maximumBytes, macAddress } }) => ({
      linkUp,
      maximumBytes,
      macAddress,
    })),
    places: site.slots.placed.slice(before).map(({ device, root, label }) => ({ device, root, label })),
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
  const post: Post = (kind, message) => server.remote.post(encodeMessage(kind, message))
  for (const [i, { medium }] of given.entries())
    nearMedia.push(medium === null ? null : new NearMedium(medium, i, post))
  for (const [i, { network }] of networks.entries()) nearNetworks.push(new NearNetwork(network, i, post))
  return { server, bootPaths: bootPaths.map(([device, path]) => [device, path] as const) }
}

/**
 * The program of a thread in which a machine's controllers of disks and networks run, until the machine ends them.
 *
 * @param memory - what the machine's thread has made the server with
 * @param options - `openMemory` and `ownedView` of `openGuestMemory` and `openOwnedMemory` (`@retrap/hvm`)
 */
export async function serveControllers(
  memory: SharedDeviceMemory,
  { controllers, media, networks, places }: ControllerDescription,
  options: Pick<SharedDevicesOptions, 'openMemory' | 'ownedView' | 'blockMs'> = {},
): Promise<void> {
  let server: DeviceServer | undefined
  const post: Post = (kind, message) => server?.post(encodeMessage(kind, message))
  const farMedia = media.map((one, i) => (one === null ? null : new FarMedium(i, one.properties, one.hasTray, post)))
  const farNetworks = networks.map((one, i) => new FarNetwork(i, one as NetworkProperties, post))
  const made = withBackEnds(
    controllers as MovedControllers,
    (i) => farMedia[i] ?? null,
    (i) => farNetworks[i]!,
  )
  await serveSharedDevices(
    memory,
    async (given) => {
      server = given
      const kinds = await loadDeviceKinds(made)
      // These kinds ask for nothing else of the machine.
      const site = { options: made, slots: new GivenSlots(places), random: () => 0 } as unknown as PcSite
      for (const model of placeDevices(kinds, site).models) given.attach(model)
    },
    {
      ...options,
      name: 'controllers',
      onMessage: (bytes) => {
        const message = decodeMessage(bytes)
        if (OF_NETWORK.has(message.kind)) farNetworks[message.which]?.receive(message)
        else farMedia[message.which]?.receive(message)
      },
    },
  )
}

/** Places that the machine's thread has given. */
class GivenSlots extends PciSlots {
  readonly #places: ControllerDescription['places']
  #next = 0

  constructor(places: ControllerDescription['places']) {
    super(0)
    this.#places = places
  }

  override place(): PciPlace {
    // Firmware's paths are the machine's matter.
    return { ...this.#places[this.#next++]!, bus: undefined, path: () => '' }
  }
}

/** The same controllers with other media and networks. */
function withBackEnds(
  moved: MovedControllers,
  medium: (drive: number) => BlockBackend | null,
  network: (card: number) => PacketBackend,
): MovedControllers {
  let card = 0
  return {
    ...moved,
    ...(moved.drives && { drives: moved.drives.map((drive, i) => ({ ...drive, medium: medium(i) })) }),
    virtio: moved.virtio.map((one) => (one.kind === 'net' ? { ...one, network: network(card++) } : one)),
    networkCards: moved.networkCards.map((one) => ({ ...one, network: network(card++) })),
  }
}

function withoutNetwork(card: object): object {
  const { network: _network, ...rest } = card as { readonly network?: PacketBackend }
  return rest
}

/** Stands for a medium where nothing is asked of it. */
function unusedMedium(properties: BlockProperties): BlockBackend {
  const none = (): Promise<void> => Promise.resolve()
  return {
    properties,
    read: none,
    write: none,
    flush: none,
    discard: none,
    writeZeroes: none,
    onChange: () => () => {},
  }
}

function unusedNetwork({ linkUp, maximumBytes, macAddress }: PacketBackend): PacketBackend {
  return {
    linkUp,
    maximumBytes,
    ...(macAddress !== undefined && { macAddress }),
    connect() {},
    send: () => true,
    ready() {},
  }
}
