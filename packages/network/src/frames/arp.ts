import { BROADCAST_MAC, macNumber, putMac, type Ipv4Address } from '../addresses.ts'
import { get16, get32, put16, put32 } from './bytes.ts'
import { ETHERNET_HEADER, putEthernet, TYPE_ARP, TYPE_IPV4 } from './ethernet.ts'

const ARP_BYTES = 28
const ETHERNET = 1

/** An ARP packet for IPv4 on Ethernet. Source: RFC 826, "Packet format". */
export interface ArpPacket {
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
