import type { PacketBackend } from '@retrap/device'
import { TYPE_ARP } from './frames/ethernet.ts'

const ADDRESS_BYTES = 6
const SOURCE = 6
const TYPE = 12
/** Hardware addresses of an ARP message, behind the Ethernet header. Source: RFC 826, "Packet format". */
const ARP_SENDER = 22
const ARP_TARGET = 32
const ARP_END = 42

/**
 * Translates the address of a card that shares it with another card, as two machines restored from one snapshot do: the network
 * knows the card by another address. Ethernet headers and ARP are translated; IPv6's neighbour discovery is not.
 *
 * @param network - no card is connected to it yet
 * @param card - the card's address, six bytes
 * @param outside - the address that the network sees
 */
export function translateAddress(network: PacketBackend, card: Uint8Array, outside: Uint8Array): PacketBackend {
  return {
    get linkUp() {
      return network.linkUp
    },
    maximumBytes: network.maximumBytes,
    connect: (client) =>
      network.connect({
        receive: (frame) => client.receive(translated(frame, outside, card, 0, ARP_TARGET)),
        drained: () => client.drained(),
        linkChanged: (up) => client.linkChanged(up),
      }),
    send: (frame) => network.send(translated(frame, card, outside, SOURCE, ARP_SENDER)),
    ready: () => network.ready(),
  }
}

function translated(frame: Uint8Array, from: Uint8Array, to: Uint8Array, at: number, arpAt: number): Uint8Array {
  const isArp = frame.length >= ARP_END && frame[TYPE] === TYPE_ARP >>> 8 && frame[TYPE + 1] === (TYPE_ARP & 0xff)
  const places = (isArp ? [at, arpAt] : [at]).filter((place) => has(frame, place, from))
  if (places.length === 0) return frame
  const copy = new Uint8Array(frame)
  for (const place of places) copy.set(to, place)
  return copy
}

function has(frame: Uint8Array, at: number, address: Uint8Array): boolean {
  for (let i = 0; i < ADDRESS_BYTES; i++) if (frame[at + i] !== address[i]) return false
  return true
}
