import type { OptionRow } from '../../options/option-table.ts'
import { didYouMean, type DeviceArgument, splitPairs, usage } from '../../options/values.ts'
import { NETDEV_KEYS, type NetdevArgument, parseNetdev, readNetdev, REPEATABLE_NETDEV_KEYS } from './netdevs.ts'
import type { E1000Argument } from '../devices/network-cards.ts'
import { e1000Cards, virtioDevices, type VirtioArgument } from '../devices/pci-devices.ts'

export interface NetworkFlags {
  readonly netdev?: readonly NetdevArgument[]
  readonly nic?: readonly string[]
  readonly device?: readonly DeviceArgument[]
}

const OF_NETWORK = ['id', 'pcap']
const OF_CARD = ['mac', 'model', 'addr', 'bootindex', 'romfile']

const networkKeys = (kind: string): readonly string[] | undefined =>
  Object.hasOwn(NETDEV_KEYS, kind) ? [...NETDEV_KEYS[kind]!, ...OF_NETWORK] : undefined

/** Options that name networks, with QEMU's names. */
export const NETWORK_OPTIONS: readonly OptionRow[] = [
  {
    flags: '--netdev <kind,id=name,key=value>',
    help: 'network for a card: user (hostfwd=tcp::2222-:22, restrict=on, hostloopback=off, net=10.0.2.0/24, tftp=DIR), stream, socket, hubport or websocket; pcap=FILE writes what passes, over an earlier capture but no other file (repeatable)',
    each: parseNetdev,
    shape: {
      head: 'kind',
      short: 'kind',
      keys: networkKeys,
      heads: Object.keys(NETDEV_KEYS),
      repeatable: REPEATABLE_NETDEV_KEYS,
      paths: ['tftp'],
    },
  },
  {
    flags: '--nic <kind,key=value>',
    help: 'a network card and its network in one: user,hostfwd=tcp::2222-:22; also model=virtio-net-pci|e1000, mac=ADDRESS (repeatable)',
    each: (text) => text,
    shape: {
      head: 'kind',
      short: 'kind',
      keys: (kind) => (kind === 'none' ? [] : networkKeys(kind)?.concat(OF_CARD)),
      heads: [...Object.keys(NETDEV_KEYS), 'none'],
      repeatable: REPEATABLE_NETDEV_KEYS,
      paths: ['tftp', 'romfile'],
    },
  },
]

/** The networks and virtio devices that the options ask for. @throws CliError `ERR_USAGE` */
export function listNetworks({ netdev = [], nic = [], device = [] }: NetworkFlags): {
  readonly networks: readonly NetdevArgument[]
  readonly virtio: readonly VirtioArgument[]
  readonly cards: readonly E1000Argument[]
} {
  const pairs = nic.filter((text) => text !== 'none').map((text, index) => readNic(text, `nic${index}`))
  const all = [...device, ...pairs.map(({ card }) => card)]
  const virtio = virtioDevices(all)
  const cards = e1000Cards(all)
  const networks = [...netdev, ...pairs.map(({ network }) => network)]
  const places = [...virtio, ...cards].flatMap((one) => ('netdev' in one ? [one.netdev] : []))
  for (const one of networks) {
    if (one.kind === 'hubport' && one.netdev !== undefined) places.push(one.netdev, one.id)
  }
  for (const { id } of networks) {
    const count = places.filter((place) => place === id).length
    if (count > 1) throw usage(`--netdev ${id} is used twice; give each card a hubport of its own`)
    if (count === 0) throw usage(`--netdev ${id}: no card uses it; write --device virtio-net-pci,netdev=${id}`)
  }
  const lost = places.find((place) => !networks.some(({ id }) => id === place))
  if (lost !== undefined) throw usage(`there is no --netdev with id=${lost}; write --netdev user,id=${lost || 'n'}`)
  return { networks, virtio, cards }
}

/** Splits `--nic` into a network and a card. */
function readNic(text: string, id: string): { readonly network: NetdevArgument; readonly card: DeviceArgument } {
  const parts = splitPairs(text)
  const isCards = (part: string): boolean => /^(mac|model|addr|bootindex|romfile)=/.test(part)
  const properties = new Map<string, string>()
  for (const part of parts.filter(isCards)) {
    const at = part.indexOf('=')
    properties.set(part.slice(0, at), part.slice(at + 1))
  }
  const model = properties.get('model') ?? 'virtio'
  properties.delete('model')
  const isVirtio = /^virtio(-net-pci)?$/.test(model)
  if (!isVirtio && model !== 'e1000') {
    const instead =
      model === 'e1000e'
        ? 'write model=e1000'
        : `there are virtio-net-pci and e1000${didYouMean(model, ['virtio-net-pci', 'e1000'])}`
    throw usage(`--nic: model=${model} is unknown; ${instead}`)
  }
  // The text is split again: commas in a value are doubled again.
  const rest = parts.filter((part) => !isCards(part)).map((part) => part.replaceAll(',', ',,'))
  const network = readNetdev('--nic', rest.join(','), id)
  return {
    network,
    card: { name: isVirtio ? 'virtio-net-pci' : 'e1000', properties: properties.set('netdev', network.id) },
  }
}
