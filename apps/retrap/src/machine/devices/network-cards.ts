import type { PacketBackend } from '@retrap/device'
import type { MachineNetworkCard, MachinePciPlace } from '@retrap/machine'
import { type Properties, type DeviceArgument, usage } from '../../options/values.ts'
import { readDebianFile } from '../../host/files/fetch-progress.ts'
import { readInput } from '@retrap/linux-guest/host/files'

/** Properties that all network cards have, for `--help`. */
export const CARD_PROPERTIES = {
  netdev: 'id of the network',
  mac: 'its address (what the network prescribes, or 52:54:00:12:34:56)',
  bootindex: 'firmware tries devices with such a number first',
  romfile: "its boot program; empty: none (iPXE's, with bootindex or --boot n)",
}

/** A network card that the user asked for; its network is named by its id. */
export interface CardArgument {
  readonly netdev: string
  readonly macAddress?: Uint8Array
  readonly bootIndex?: number
  /** The file of the card's boot program; empty: none; absent: iPXE's, if the machine may boot from the card. */
  readonly romFile?: string
}

/** A card that is not a virtio device. */
export type E1000Argument = CardArgument & MachinePciPlace

/** Returns the card that a network card's properties describe. @throws CliError `ERR_USAGE` */
export function cardOf(argument: DeviceArgument, properties: Properties): CardArgument {
  const { name, properties: given } = argument
  const netdev = given.get('netdev')
  if (netdev === undefined) throw usage(`--device ${name} names no network; write netdev=ID`)
  const mac = given.get('mac')
  const romFile = given.get('romfile')
  return {
    netdev,
    ...(mac !== undefined && { macAddress: parseMac(name, mac) }),
    ...(given.has('bootindex') && { bootIndex: properties.whole('bootindex', 0, 0x7fff_ffff) }),
    ...(romFile !== undefined && { romFile }),
  }
}

function parseMac(name: string, text: string): Uint8Array {
  const bytes = text.split(/[:-]/).map((part) => (/^[0-9a-f]{1,2}$/i.test(part) ? Number(`0x${part}`) : NaN))
  if (bytes.length !== 6 || bytes.includes(NaN))
    throw usage(`--device ${name}: mac=${text} is not an address; write it as 52:54:00:12:34:56`)
  return Uint8Array.from(bytes)
}

/** How a session's machines boot from their network cards. */
export interface NetworkBoot {
  /** Whether firmware runs, and which kind: cards have a boot program for each kind. */
  readonly firmware: 'none' | 'bios' | 'own'
  /** Whether the card is to boot from the network. */
  readonly wanted: boolean
}

type ModelledCards = readonly (readonly [model: 'e1000' | 'virtio', card: CardArgument])[]

/** Boot programs of network cards, each read once. */
export class CardRoms {
  readonly byCard: Map<CardArgument, Uint8Array> = new Map()

  /** @throws CliError `ERR_INPUT`, `ERR_FETCH` */
  static async open(cards: ModelledCards, boot: NetworkBoot): Promise<CardRoms> {
    const roms = new CardRoms()
    await roms.add(cards, boot)
    return roms
  }

  /** @throws CliError `ERR_INPUT`, `ERR_FETCH` */
  async add(cards: ModelledCards, boot: NetworkBoot): Promise<void> {
    for (const [model, card] of cards) {
      const { romFile, bootIndex } = card
      const isWanted = boot.firmware !== 'none' && (boot.wanted || bootIndex !== undefined)
      if (romFile === '' || (romFile === undefined && !isWanted)) continue
      const bytes =
        romFile === undefined ? await fetchIpxe(model, boot) : await readInput(`romfile=${romFile}`, romFile)
      this.byCard.set(card, bytes)
    }
  }
}

/** Debian's iPXE for a card, from the cache or fetched. */
async function fetchIpxe(model: string, { firmware }: NetworkBoot): Promise<Uint8Array> {
  // ROMs for UEFI have a program for either kind of firmware, and are four times as large.
  const name = `${firmware === 'bios' ? 'pxe' : 'efi'}-${model}.rom`
  return readDebianFile('ipxe-qemu', 'usr/lib/ipxe/qemu', name, 'give a boot program of your own: romfile=FILE')
}

/** Connects each card to its network, and loads its boot program. */
export function connectCards(
  cards: readonly E1000Argument[],
  plug: (id: string) => PacketBackend,
  roms: CardRoms,
): readonly MachineNetworkCard[] {
  return cards.map((card) => {
    const { netdev, romFile: _, ...rest } = card
    const rom = roms.byCard.get(card)
    return { model: 'e1000', ...rest, network: plug(netdev), ...(rom !== undefined && { rom }) }
  })
}
