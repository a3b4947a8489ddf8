import { macNumber, putMac, BROADCAST_MAC, type Ipv4Address } from '../addresses.ts'
import { get16, put16, get32, put32 } from './bytes.ts'

/** Destination, source and type. */
export const ETHERNET_HEADER = 14
/** A header and 1500 bytes; the check sequence is the hardware's. */
export const MAXIMUM_FRAME = 1514
export const TYPE_IPV4 = 0x0800
export const TYPE_ARP = 0x0806

/** The header of a frame. Source: IEEE 802.3-2018 §3.1.1. */
export interface EthernetHeader {
  readonly destination: number
  readonly source: number
  readonly type: number
}

/** Reads a frame's header. @returns null for a frame that is too short, or whose source is a group */
export function readEthernet(frame: Uint8Array): EthernetHeader | null {
  if (frame.length < ETHERNET_HEADER || (frame[6]! & 1) !== 0) return null
  return { destination: macNumber(frame, 0), source: macNumber(frame, 6), type: get16(frame, 12) }
}

export function putEthernet(frame: Uint8Array, destination: number, source: number, type: number): void {
  putMac(frame, 0, destination)
  putMac(frame, 6, source)
  put16(frame, 12, type)
}

const ARP_BYTES = 28
const ETHERNET = 1

/** An ARP packet for IPv4 on Ethernet. Source: RFC 826, "Packet format". */
interface ArpPacket {
  readonly operation: 'request' | 'reply'
  readonly senderMac: number
  readonly sender: Ipv4Address
  readonly target: Ipv4Address
}

/** Reads the ARP packet of a frame. @returns null for other hardware, protocols and operations */
export function readArp(frame: Uint8Array): ArpPacket | null {
  const at = ETHERNET_HEADER
  if (frame.length < at + ARP_BYTES) return null
  if (get16(frame, at) !== ETHERNET || get16(frame, at + 2) !== TYPE_IPV4) return null
  if (frame[at + 4] !== 6 || frame[at + 5] !== 4 || (frame[at + 8]! & 1) !== 0) return null
  const operation = get16(frame, at + 6)
  if (operation !== 1 && operation !== 2) return null
  return {
    operation: operation === 1 ? 'request' : 'reply',
    senderMac: macNumber(frame, at + 8),
    sender: get32(frame, at + 14),
    target: get32(frame, at + 24),
  }
}

/** Makes a frame with an ARP packet. @param targetMac - absent: it is asked for, of all */
export function makeArp(packet: ArpPacket, targetMac?: number): Uint8Array {
  const frame = new Uint8Array(ETHERNET_HEADER + ARP_BYTES)
  const at = ETHERNET_HEADER
  putEthernet(frame, targetMac ?? BROADCAST_MAC, packet.senderMac, TYPE_ARP)
  put16(frame, at, ETHERNET)
  put16(frame, at + 2, TYPE_IPV4)
  frame[at + 4] = 6
  frame[at + 5] = 4
  put16(frame, at + 6, packet.operation === 'request' ? 1 : 2)
  putMac(frame, at + 8, packet.senderMac)
  put32(frame, at + 14, packet.sender)
  putMac(frame, at + 18, targetMac ?? 0)
  put32(frame, at + 24, packet.target)
  return frame
}
