import { checksumOf, foldSum, sumWords } from '@retrap/device'
import { get16, PACKET_HEADER_BYTES, put16 } from './offload.ts'

/*
 * Joins TCP segments that follow each other into one packet, which the driver takes in one go.
 *
 * Sources: VIRTIO 1.2, §5.1.6.4, "Processing of Incoming Packets"; RFC 9293, §3.1; RFC 791, §3.1.
 */

const IP = 14
const TCP = IP + 20
const TCP_BYTES = 20
const TYPE_IPV4 = 0x0800
const VERSION_AND_LENGTH = 0x45
const DONT_FRAGMENT = 0x40
const TCP_PROTOCOL = 6
const ACK = 0x10
const PSH = 0x08
const TCP_SEQUENCE = 4
const TCP_FLAGS = 13
const TCP_CHECKSUM = 16
const MOST_IP_BYTES = 0xffff

/* Header of a packet. */
const NEEDS_CHECKSUM = 1
const DATA_VALID = 2
const TCP_V4 = 1
/** Room in front of the packet, for a header with a count of buffers. */
const ROOM = PACKET_HEADER_BYTES + 2

/** Fields that segments of one packet share: from, to. Lengths, identifications, sequence numbers and checksums differ. */
const SHARED: readonly (readonly [from: number, to: number])[] = [
  [0, IP + 2], // Ethernet's header, version, type of service
  [IP + 6, IP + 10], // flags, time to live, protocol
  [IP + 12, TCP + TCP_SEQUENCE], // addresses, ports
  [TCP + 8, TCP + TCP_FLAGS], // acknowledgment, length of the header
  [TCP + 14, TCP + 16], // window
]

/** Collects the segments of one packet at a time. */
export class SegmentJoiner {
  readonly #bytes = new Uint8Array(ROOM + IP + MOST_IP_BYTES)
  readonly #packet = this.#bytes.subarray(ROOM)
  /** Bytes of the packet; 0: none. */
  #length = 0
  /** Bytes of the headers, and of the data of every segment but the last. */
  #headers = 0
  #segment = 0
  #segments = 0
  #nextSequence = 0
  /** The last segment was shorter, or is to be handed on at once. */
  #closed = false

  /** Whether a packet has been begun. */
  get holds(): boolean {
    return this.#length > 0
  }

  /** Begins a packet, unless one has begun. @returns false for a damaged frame, or one that is not a TCP segment with data */
  begin(frame: Uint8Array): boolean {
    const headers = headersOf(frame)
    if (headers === 0) return false
    const end = IP + get16(frame, IP + 2)
    this.#packet.set(frame.subarray(0, end))
    this.#length = end
    this.#headers = headers
    this.#segment = end - headers
    this.#segments = 1
    this.#nextSequence = (sequenceOf(frame) + end - headers) >>> 0
    this.#closed = (frame[TCP + TCP_FLAGS]! & PSH) !== 0
    return true
  }

  /** Adds the segment that follows. @returns false for any other frame */
  join(frame: Uint8Array): boolean {
    if (this.#length === 0 || this.#closed || frame.length < TCP + TCP_BYTES) return false
    if (sequenceOf(frame) !== this.#nextSequence || !this.#isAlike(frame)) return false
    const headers = headersOf(frame)
    const end = IP + get16(frame, IP + 2)
    const data = end - headers
    if (headers !== this.#headers || data > this.#segment || this.#length + data > IP + MOST_IP_BYTES) return false
    this.#packet.set(frame.subarray(headers, end), this.#length)
    this.#length += data
    this.#segments++
    this.#nextSequence = (this.#nextSequence + data) >>> 0
    const pushes = (frame[TCP + TCP_FLAGS]! & PSH) !== 0
    this.#packet[TCP + TCP_FLAGS]! |= pushes ? PSH : 0
    this.#closed = pushes || data < this.#segment
    return true
  }

  /** Whether a frame has the headers of the packet, apart from what differs between its segments. */
  #isAlike(frame: Uint8Array): boolean {
    const packet = this.#packet
    const isSame = (from: number, to: number): boolean => {
      for (let i = from; i < to; i++) if (frame[i] !== packet[i]) return false
      return true
    }
    // Options, such as time stamps, must be equal, too.
    return SHARED.every(([from, to]) => isSame(from, to)) && isSame(TCP + TCP_BYTES, this.#headers)
  }

  /** Completes the packet. @returns the packet behind a header of that many bytes; valid until the next `begin` */
  finish(headerBytes: number): Uint8Array {
    const packet = this.#packet
    const header = this.#bytes.subarray(0, ROOM).fill(0)
    const at = ROOM - headerBytes
    if (this.#segments === 1) {
      header[at] = DATA_VALID
    } else {
      const view = new DataView(this.#bytes.buffer, at)
      view.setUint8(0, NEEDS_CHECKSUM)
      view.setUint8(1, TCP_V4)
      view.setUint16(2, this.#headers, true)
      view.setUint16(4, this.#segment, true)
      view.setUint16(6, TCP, true)
      view.setUint16(8, TCP_CHECKSUM, true)
      put16(packet, IP + 2, this.#length - IP)
      put16(packet, IP + 10, 0)
      put16(packet, IP + 10, checksumOf(sumWords(packet, IP, TCP)))
      // The driver's checksum field has the sum of the pseudo-header, as for a packet that it sends.
      const pseudo = sumWords(packet, IP + 12, TCP, TCP_PROTOCOL + this.#length - TCP)
      put16(packet, TCP + TCP_CHECKSUM, foldSum(pseudo))
    }
    return this.#bytes.subarray(at, ROOM + this.#length)
  }

  /** Forgets the packet. */
  clear(): void {
    this.#length = 0
  }
}

const sequenceOf = (frame: Uint8Array): number =>
  ((get16(frame, TCP + TCP_SEQUENCE) << 16) | get16(frame, TCP + TCP_SEQUENCE + 2)) >>> 0

/** Bytes of the headers of a TCP segment over IPv4 with data and right checksums, and no flags but ACK and PSH; else 0. */
function headersOf(frame: Uint8Array): number {
  if (frame.length < TCP + TCP_BYTES || get16(frame, 12) !== TYPE_IPV4 || frame[IP] !== VERSION_AND_LENGTH) return 0
  const end = IP + get16(frame, IP + 2)
  const headers = TCP + 4 * (frame[TCP + 12]! >>> 4)
  const isWhole = (frame[IP + 6]! & ~DONT_FRAGMENT) === 0 && frame[IP + 7] === 0
  if (!isWhole || frame[IP + 9] !== TCP_PROTOCOL || (frame[TCP + TCP_FLAGS]! & ~PSH) !== ACK) return 0
  if (headers < TCP + TCP_BYTES || headers >= end || end > frame.length) return 0
  if (checksumOf(sumWords(frame, IP, TCP)) !== 0) return 0
  const pseudo = sumWords(frame, IP + 12, TCP, TCP_PROTOCOL + end - TCP)
  return checksumOf(sumWords(frame, TCP, end, pseudo)) === 0 ? headers : 0
}
