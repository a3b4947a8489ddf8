import type { MachineNetworkCard, MachineVirtioDevice } from '@retrap/machine'
import { CardRoms, connectCards } from '../../machine/devices/network-cards.ts'
import { listNetworks } from '../../machine/network/networks.ts'
import { OpenNetworks } from '../../machine/network/open-networks.ts'
import { ToolError } from './tool-error.ts'

/** A machine's card, with its network. */
export interface ToolNetwork {
  readonly virtio: readonly MachineVirtioDevice[]
  readonly networkCards: readonly MachineNetworkCard[]
  close(): void
}

/**
 * Opens the network of a machine.
 *
 * @param nic - as for the `--nic` option; a user network, without options that open ports, files or programs of the host
 * @param isAllowed - whether guests may reach the host and beyond; otherwise `restrict=on` is required
 * @throws ToolError `ERR_ARGUMENT`; CliError `ERR_USAGE` for an invalid network
 */
export async function openNetwork(nic: string, isAllowed: boolean): Promise<ToolNetwork> {
  const { networks, virtio, cards } = listNetworks({ nic: [nic] })
  const [netdev] = networks
  if (netdev === undefined) throw refused(`${nic} is no card: leave nic out`)
  if (netdev.kind !== 'user') throw refused(`${netdev.kind} leads to another program: there is user`)
  if (netdev.capture !== undefined) throw refused('pcap= writes a file of the host: leave it out')
  if (netdev.hostForwards.length > 0) throw refused('hostfwd= opens ports of the host: call forward instead')
  if (netdev.services.length > 0) throw refused('guestfwd= connects to the host: leave it out')
  if (netdev.bootFolder !== undefined) throw refused('tftp= reads files of the host: leave it out')
  for (const { romFile, bootIndex } of [...virtio.filter((one) => one.kind === 'net'), ...cards])
    if ((romFile ?? bootIndex) !== undefined) throw refused('romfile= and bootindex= are not there: leave them out')
  if (!netdev.restrict && !isAllowed)
    throw refused(
      'guests reach no network: give user,restrict=on, or have the server started with --allow-network, which lets them reach the host and what is behind it',
    )
  const opened = await OpenNetworks.open(networks)
  const plug = (id: string): ReturnType<OpenNetworks['plug']> => opened.plug(id)
  return {
    virtio: virtio.flatMap((one): MachineVirtioDevice[] => {
      if (one.kind !== 'net') return []
      const { netdev: id, romFile: _, ...rest } = one
      return [{ ...rest, network: plug(id) }]
    }),
    networkCards: connectCards(cards, plug, await CardRoms.open([], { firmware: 'none', wanted: false })),
    close: () => void opened.close(),
  }
}

const refused = (why: string): ToolError => new ToolError('ERR_ARGUMENT', `nic: ${why}`)
