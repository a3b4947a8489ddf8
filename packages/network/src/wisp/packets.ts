/**
 * Packets of Wisp, a protocol that carries streams of TCP and UDP over one WebSocket. Numbers are little-endian.
 *
 * Source: Wisp protocol, version 2.0.0 draft 2, "Packet format" and "Packet Types".
 */
import type { SocketAddress } from '../sockets.ts'

export const CONNECT = 1
export const DATA = 2
export const CONTINUE = 3
export const CLOSE = 4
export const INFO = 5

export const STREAM_TCP = 1
export const STREAM_UDP = 2

/** Reasons of a CLOSE packet. Source: "Client/Server Close Reasons", "Server Only Close Reasons". */
export const CLOSE_UNKNOWN = 0x01
export const CLOSE_VOLUNTARY = 0x02
export const CLOSE_INCOMPATIBLE = 0x04

/** Extensions in an INFO packet. Source: "Protocol Extensions". */
export const EXTENSION_UDP = 1
export const EXTENSION_PASSWORD = 2

const HEADER_BYTES = 5
/** An INFO packet names a handful of extensions; one that is longer is not read. */
const MOST_INFO_BYTES = 4096

/** A received packet. */
export interface WispPacket {
  readonly type: number
  /** 0: the connection itself. */
  readonly stream: number
  readonly payload: Uint8Array
}

/** @returns null for a message that is too short to be a packet */
export function readPacket(message: Uint8Array): WispPacket | null {
  if (message.length < HEADER_BYTES) return null
  const stream = new DataView(message.buffer, message.byteOffset).getUint32(1, true)
  return { type: message[0]!, stream, payload: message.subarray(HEADER_BYTES) }
}

/** The count of packets in a CONTINUE packet. @returns null for one of another size */
export function readContinue(payload: Uint8Array): number | null {
  return payload.length === 4 ? new DataView(payload.buffer, payload.byteOffset).getUint32(0, true) : null
}

/** The numbers of the extensions in an INFO packet. @returns null for one that is malformed, or is not of version 2 */
export function readInfo(payload: Uint8Array): ReadonlySet<number> | null {
  if (payload.length < 2 || payload.length > MOST_INFO_BYTES || payload[0] !== 2) return null
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  const extensions = new Set<number>()
  let at = 2
  while (at < payload.length) {
    if (at + 5 > payload.length) return null
    extensions.add(payload[at]!)
    at += 5 + view.getUint32(at + 1, true)
  }
  return at === payload.length ? extensions : null
}

function packet(type: number, stream: number, payloadBytes: number): [Uint8Array<ArrayBuffer>, DataView] {
  const bytes = new Uint8Array(HEADER_BYTES + payloadBytes)
  const view = new DataView(bytes.buffer)
  bytes[0] = type
  view.setUint32(1, stream, true)
  return [bytes, view]
}

/** Opens a stream. @param kind - `STREAM_TCP` or `STREAM_UDP` */
export function connectPacket(stream: number, kind: number, { address, port }: SocketAddress): Uint8Array<ArrayBuffer> {
  const name = new TextEncoder().encode(address)
  const [bytes, view] = packet(CONNECT, stream, 3 + name.length)
  bytes[HEADER_BYTES] = kind
  view.setUint16(HEADER_BYTES + 1, port, true)
  bytes.set(name, HEADER_BYTES + 3)
  return bytes
}

export function dataPacket(stream: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const [bytes] = packet(DATA, stream, payload.length)
  bytes.set(payload, HEADER_BYTES)
  return bytes
}

export function closePacket(stream: number, reason: number): Uint8Array<ArrayBuffer> {
  const [bytes] = packet(CLOSE, stream, 1)
  bytes[HEADER_BYTES] = reason
  return bytes
}

/** Tells a relay of version 2 that we speak 2.0, with UDP where the relay has it. */
export function infoPacket(udp: boolean): Uint8Array<ArrayBuffer> {
  const [bytes] = packet(INFO, 0, udp ? 7 : 2)
  bytes[HEADER_BYTES] = 2
  if (udp) bytes[HEADER_BYTES + 2] = EXTENSION_UDP
  return bytes
}
