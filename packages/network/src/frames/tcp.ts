import { checksumOf, sumWords } from '@retrap/device'
import type { Ipv4Address } from '../addresses.ts'
import { get16, get32, put16, put32 } from './bytes.ts'
import { pseudoHeaderSum, IPV4_HEADER, IPV4_PAYLOAD, type Ipv4Packet, MTU, PROTOCOL_TCP, putIpv4 } from './ipv4.ts'

const TCP_HEADER = 20
export const TCP_FIN = 1
export const TCP_SYN = 2
export const TCP_RST = 4
export const TCP_PSH = 8
export const TCP_ACK = 16
/** The longest payload of a segment of ours without options. */
export const OUR_MSS: number = MTU - IPV4_HEADER - TCP_HEADER

const OPTION_END = 0
const OPTION_NOP = 1
const OPTION_MSS = 2
const OPTION_SCALE = 3
const OPTION_SACK_PERMITTED = 4
const OPTION_SACK = 5
/** RFC 7323 §2.3: larger shifts count as 14. */
const MOST_SHIFT = 14

/** A segment that came. Source: RFC 9293 §3.1; RFC 7323 §2.2; RFC 2018 §2. */
export interface TcpSegment {
  readonly sourcePort: number
  readonly destinationPort: number
  readonly sequence: number
  readonly acknowledgment: number
  readonly flags: number
  readonly window: number
  readonly payload: Uint8Array
  /** Options, which count in a SYN. */
  readonly mss: number | null
  readonly windowShift: number | null
  readonly sackPermitted: boolean
}

/** Reads a packet's segment. @returns null for one that is cut or has a wrong checksum */
export function readTcp({ payload: bytes, source, destination }: Ipv4Packet): TcpSegment | null {
  if (bytes.length < TCP_HEADER) return null
  const header = (bytes[12]! >>> 4) * 4
  if (header < TCP_HEADER || header > bytes.length) return null
  const sum = pseudoHeaderSum(source, destination, PROTOCOL_TCP, bytes.length)
  if (checksumOf(sumWords(bytes, 0, bytes.length, sum)) !== 0) return null
  return {
    sourcePort: get16(bytes, 0),
    destinationPort: get16(bytes, 2),
    sequence: get32(bytes, 4),
    acknowledgment: get32(bytes, 8),
    flags: bytes[13]! & 0x3f,
    window: get16(bytes, 14),
    payload: bytes.subarray(header),
    ...readOptions(bytes, header),
  }
}

type Options = Pick<TcpSegment, 'mss' | 'windowShift' | 'sackPermitted'>

const NO_OPTIONS: Options = { mss: null, windowShift: null, sackPermitted: false }

function readOptions(bytes: Uint8Array, end: number): Options {
  if (end === TCP_HEADER || (bytes[13]! & TCP_SYN) === 0) return NO_OPTIONS
  let { mss, windowShift, sackPermitted } = NO_OPTIONS
  for (let at = TCP_HEADER; at < end;) {
    const kind = bytes[at]!
    if (kind === OPTION_END) break
    if (kind === OPTION_NOP) {
      at++
      continue
    }
    const length = at + 1 < end ? bytes[at + 1]! : 0
    if (length < 2 || at + length > end) break
    if (kind === OPTION_MSS && length === 4) mss = get16(bytes, at + 2)
    else if (kind === OPTION_SCALE && length === 3) windowShift = Math.min(bytes[at + 2]!, MOST_SHIFT)
    else if (kind === OPTION_SACK_PERMITTED && length === 2) sackPermitted = true
    at += length
  }
  return { mss, windowShift, sackPermitted }
}

/** Both ends of a connection: ours, and the peer's. */
export interface TcpEndpoints {
  readonly localAddress: Ipv4Address
  readonly localPort: number
  readonly remoteAddress: Ipv4Address
  readonly remotePort: number
}

/** The header of a segment of ours. */
export interface TcpHeader {
  readonly sequence: number
  readonly acknowledgment: number
  readonly flags: number
  readonly window: number
  /** Options, padded to words. */
  readonly options?: Uint8Array
}

/** An outgoing segment: its frame without Ethernet header, and the offset of its payload. */
export interface TcpFrame {
  readonly frame: Uint8Array
  readonly payloadAt: number
}

/** Makes the frame of a segment; its payload is put in before {@link finishTcp}. */
export function makeTcp(
  { localPort, remotePort }: TcpEndpoints,
  { sequence, acknowledgment, flags, window, options }: TcpHeader,
  payloadBytes: number,
): TcpFrame {
  const optionBytes = options?.length ?? 0
  const payloadAt = IPV4_PAYLOAD + TCP_HEADER + optionBytes
  const frame = new Uint8Array(payloadAt + payloadBytes)
  const at = IPV4_PAYLOAD
  put16(frame, at, localPort)
  put16(frame, at + 2, remotePort)
  put32(frame, at + 4, sequence)
  put32(frame, at + 8, acknowledgment)
  frame[at + 12] = ((TCP_HEADER + optionBytes) >>> 2) << 4
  frame[at + 13] = flags
  put16(frame, at + 14, window)
  if (options !== undefined) frame.set(options, at + TCP_HEADER)
  return { frame, payloadAt }
}

/** Writes the IPv4 header and the checksums. */
export function finishTcp({ frame }: TcpFrame, { localAddress, remoteAddress }: TcpEndpoints): Uint8Array {
  const at = IPV4_PAYLOAD
  const sum = pseudoHeaderSum(localAddress, remoteAddress, PROTOCOL_TCP, frame.length - at)
  put16(frame, at + 16, checksumOf(sumWords(frame, at, frame.length, sum)))
  putIpv4(frame, { source: localAddress, destination: remoteAddress, protocol: PROTOCOL_TCP })
  return frame
}

export function synOptions(windowShift: number | null, sackPermitted: boolean): Uint8Array {
  return Uint8Array.of(
    ...[OPTION_MSS, 4, OUR_MSS >>> 8, OUR_MSS & 255],
    ...(windowShift === null ? [] : [OPTION_NOP, OPTION_SCALE, 3, windowShift]),
    ...(sackPermitted ? [OPTION_NOP, OPTION_NOP, OPTION_SACK_PERMITTED, 2] : []),
  )
}

/** The option that acknowledges later data; at most four blocks fit. */
export function sackOption(blocks: readonly (readonly [number, number])[]): Uint8Array {
  const bytes = new Uint8Array(4 + 8 * blocks.length)
  bytes.set([OPTION_NOP, OPTION_NOP, OPTION_SACK, 2 + 8 * blocks.length])
  for (const [index, [from, to]] of blocks.entries()) {
    put32(bytes, 4 + 8 * index, from)
    put32(bytes, 8 + 8 * index, to)
  }
  return bytes
}

/** The reset that answers a segment of no connection. Source: RFC 9293 §3.10.7.1. */
export function resetFor(segment: TcpSegment, endpoints: TcpEndpoints): Uint8Array | null {
  if ((segment.flags & TCP_RST) !== 0) return null
  const length = segment.payload.length + (segment.flags & TCP_SYN ? 1 : 0) + (segment.flags & TCP_FIN ? 1 : 0)
  const header =
    (segment.flags & TCP_ACK) !== 0
      ? { sequence: segment.acknowledgment, acknowledgment: 0, flags: TCP_RST, window: 0 }
      : { sequence: 0, acknowledgment: segment.sequence + length, flags: TCP_RST | TCP_ACK, window: 0 }
  return finishTcp(makeTcp(endpoints, header, 0), endpoints)
}
