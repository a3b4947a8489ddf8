import { checksumOf, foldSum, sumWords } from '@retrap/device'
import { get16, put16 } from './frame-bytes.ts'

/*
 * Source: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, §3.5, "TCP Segmentation", §3.6,
 * "IP/TCP/UDP Transmit Checksum Offloading".
 */

/** The fields of a context descriptor. Offsets count from the packet's first byte. */
export interface OffloadContext {
  readonly ipStart: number
  readonly ipOffset: number
  /** The last byte that the checksum covers; 0: the packet's end. */
  readonly ipEnd: number
  readonly payloadStart: number
  readonly payloadOffset: number
  readonly payloadEnd: number
  readonly isTcp: boolean
  readonly isIpv4: boolean
  readonly headerBytes: number
  /** Bytes of data of each segment. */
  readonly segmentBytes: number
}

/** The offload requests for one packet. */
export interface PacketRequest {
  /** Insert the IP checksum. */
  readonly ipChecksum: boolean
  /** Insert the TCP or UDP checksum. */
  readonly payloadChecksum: boolean
  readonly context: OffloadContext
  /** Cut the packet into segments. */
  readonly segments: boolean
  /** A VLAN tag to insert: type and value; null: none. */
  readonly tag: readonly [type: number, value: number] | null
  /** Pad frames to the least length. */
  readonly pads: boolean
}

/** Destination and source. */
const ADDRESSES = 12
const LEAST = 60
const IPV6_BYTES = 40
const FIN_AND_PSH = 0x09

/** Saved form of an {@link OutgoingPacket}. */
export interface OutgoingPacketState {
  readonly bytes: Uint8Array
  readonly request: PacketRequest
  readonly sent: number
  readonly index: number
}

/** A packet with all of its bytes, to be sent as one or more frames. */
export class OutgoingPacket {
  readonly #bytes: Uint8Array
  readonly #request: PacketRequest
  /** Bytes of data in the frames that were made. */
  #sent: number
  #index: number
  #frame: Uint8Array | null = null

  constructor({ bytes, request, sent, index }: OutgoingPacketState) {
    this.#bytes = bytes
    this.#request = request
    this.#sent = sent
    this.#index = index
  }

  /** The present frame; null after the last frame. `next` advances. */
  get frame(): Uint8Array | null {
    this.#frame ??= this.#make()
    return this.#frame
  }

  /** Advances to the next frame. */
  next(): void {
    const { segments, context } = this.#request
    this.#sent = segments ? this.#sent + context.segmentBytes : this.#bytes.length
    this.#index++
    this.#frame = null
  }

  #make(): Uint8Array | null {
    const { segments, context, tag, pads } = this.#request
    const bytes = this.#bytes
    const headerBytes = segments ? context.headerBytes : 0
    const data = bytes.length - headerBytes
    if (this.#sent >= data && (this.#index > 0 || data < 0 || bytes.length === 0)) return null
    const end = segments ? Math.min(this.#sent + context.segmentBytes, data) : data
    const plain = new Uint8Array(headerBytes + end - this.#sent)
    plain.set(bytes.subarray(0, headerBytes))
    plain.set(bytes.subarray(headerBytes + this.#sent, headerBytes + end), headerBytes)
    if (segments) this.#finishHeaders(plain, end === data)
    this.#insertChecksums(plain)
    const tagged = tag === null || plain.length < ADDRESSES ? plain : withTag(plain, tag)
    if (!pads || tagged.length >= LEAST) return tagged
    const padded = new Uint8Array(LEAST)
    padded.set(tagged)
    return padded
  }

  /** Lengths, identification, sequence number and flags of one segment. */
  #finishHeaders(frame: Uint8Array, isLast: boolean): void {
    const { ipStart, payloadStart, payloadOffset, isIpv4, isTcp, headerBytes } = this.#request.context
    const within = (at: number, bytes: number): boolean => at + bytes <= headerBytes
    if (isIpv4 && within(ipStart, 20)) {
      put16(frame, ipStart + 2, frame.length - ipStart)
      put16(frame, ipStart + 4, (get16(frame, ipStart + 4) + this.#index) & 0xffff)
    } else if (!isIpv4 && within(ipStart, IPV6_BYTES)) put16(frame, ipStart + 4, frame.length - ipStart - IPV6_BYTES)
    const payloadBytes = frame.length - payloadStart
    if (isTcp && within(payloadStart, 20)) {
      const view = new DataView(frame.buffer)
      view.setUint32(payloadStart + 4, view.getUint32(payloadStart + 4) + this.#sent)
      if (!isLast) frame[payloadStart + 13]! &= ~FIN_AND_PSH
    } else if (!isTcp && within(payloadStart, 8)) put16(frame, payloadStart + 4, payloadBytes)
    // The driver's sum of the pseudo-header is without a length: each segment has its own.
    if (this.#request.payloadChecksum && within(payloadOffset, 2))
      put16(frame, payloadOffset, foldSum(get16(frame, payloadOffset) + Math.max(payloadBytes, 0)))
  }

  #insertChecksums(frame: Uint8Array): void {
    const { ipChecksum, payloadChecksum, context } = this.#request
    const { ipStart, ipOffset, ipEnd, payloadStart, payloadOffset, payloadEnd, isTcp } = context
    if (ipChecksum) insertChecksum(frame, ipStart, ipOffset, ipEnd, false)
    // A UDP checksum of 0 would mean that the packet has no checksum.
    if (payloadChecksum) insertChecksum(frame, payloadStart, payloadOffset, payloadEnd, !isTcp)
  }

  save(): OutgoingPacketState {
    return { bytes: this.#bytes.slice(), request: this.#request, sent: this.#sent, index: this.#index }
  }
}

/** @param end - the last byte that the checksum covers, or 0 for the frame's end */
function insertChecksum(frame: Uint8Array, start: number, at: number, end: number, neverZero: boolean): void {
  const behind = end === 0 ? frame.length : Math.min(end + 1, frame.length)
  if (at + 2 > frame.length || start >= behind) return
  const checksum = checksumOf(sumWords(frame, start, behind))
  put16(frame, at, checksum === 0 && neverZero ? 0xffff : checksum)
}

function withTag(frame: Uint8Array, [type, value]: readonly [number, number]): Uint8Array {
  const tagged = new Uint8Array(frame.length + 4)
  tagged.set(frame.subarray(0, ADDRESSES))
  put16(tagged, ADDRESSES, type)
  put16(tagged, ADDRESSES + 2, value)
  tagged.set(frame.subarray(ADDRESSES), ADDRESSES + 4)
  return tagged
}
