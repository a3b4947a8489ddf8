import { macNumber, putMac } from '../addresses.ts'
import { get16, put16 } from './bytes.ts'

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
