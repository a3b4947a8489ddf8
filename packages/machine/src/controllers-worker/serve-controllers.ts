import {
  type DeviceServer,
  serveSharedDevices,
  type SharedDeviceMemory,
  type SharedDevicesOptions,
} from '@retrap/device-hosting'
import { loadDeviceKinds, placeDevices } from '../devices/device-kinds.ts'
import type { DeviceSite } from '../devices/placed-devices.ts'
import { type PciPlace, PciSlots } from '../devices/pci-slots.ts'
import { OF_NETWORK, decodeMessage, encodeMessage, type Post } from '../back-ends/messages.ts'
import { RemoteMedium } from './media.ts'
import { FarNetwork, type NetworkFacts } from '../back-ends/packets.ts'
import { type MovedControllers, withBackEnds } from './split.ts'
import type { ControllerDescription } from '../board/start.ts'

/**
 * The program of a thread in which a machine's controllers of disks and networks run, until the machine ends them.
 *
 * @param memory - handles with which the machine's thread has made the server
 * @param options - `openMemory` and `ownedView` of `openGuestMemory` and `openOwnedMemory` (`@retrap/hvm`)
 */
export async function serveControllers(
  memory: SharedDeviceMemory,
  { controllers, media, networks, places, sata }: ControllerDescription,
  options: Pick<SharedDevicesOptions, 'openMemory' | 'ownedView' | 'blockMs'> = {},
): Promise<void> {
  let server: DeviceServer | undefined
  const post =
    (which: number): Post =>
    (kind, message) =>
      server?.post(encodeMessage(kind, { ...message, which }))
  const farMedia = media.map((one, i) => (one === null ? null : new RemoteMedium(one.properties, one.hasTray, post(i))))
  const farNetworks = networks.map((facts, i) => new FarNetwork(facts as NetworkFacts, post(i)))
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
      // These kinds need no other part of the machine.
      const site = { options: made, slots: new GivenSlots(places), sata, random: () => 0 } as unknown as DeviceSite
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
