import { MEMORY_PAGE_BYTES, type PacketBackend } from '@retrap/device'
import type { MachinePciPlace } from './pci-options.ts'

/** The options that all network cards have. */
export interface MachineNetworkPlace {
  /** The network: one of `@retrap/network`, or a back end of yours. */
  readonly network: PacketBackend
  /** Address, six bytes; default the network's choice, or 52:54:00:12:34:56 for the first card, 57 and so on. */
  readonly macAddress?: Uint8Array | undefined
  /** A boot program for the card's expansion ROM, such as iPXE's, at most 1 MiB; default none. */
  readonly rom?: Uint8Array | undefined
  /** Firmware tries devices with a boot index first, in ascending order. */
  readonly bootIndex?: number | undefined
}

/** A network card that is not a virtio device. */
export interface MachineNetworkCard extends MachineNetworkPlace, MachinePciPlace {
  /** The model: Intel's 82540EM. */
  readonly model: 'e1000'
}

interface CardsWithRoms {
  readonly virtio?: readonly object[] | undefined
  readonly networkCards?: readonly MachineNetworkCard[] | undefined
}

/** Addresses as QEMU gives them to cards. @param card - the number of cards before it */
export function usualMacAddress(card: number): Uint8Array {
  return Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, (0x56 + card) & 0xff)
}

/** Machine memory that the ROMs of network cards take. */
export function networkRomBytes({ virtio = [], networkCards = [] }: CardsWithRoms): number {
  return [...networkCards, ...virtio].reduce(
    (sum, card) =>
      sum + ('rom' in card && card.rom instanceof Uint8Array ? Math.max(2 * card.rom.length, MEMORY_PAGE_BYTES) : 0),
    0,
  )
}
