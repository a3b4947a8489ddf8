/** Bytes of a packet's header (struct virtio_vsock_hdr). */
export const HEADER_BYTES = 44
export const HOST_CID = 2
/** Type of the packets of stream sockets. */
export const STREAM = 1

/** Operations (§5.10.6, "Device Operation"). */
export const Operation = {
  request: 1,
  response: 2,
  reset: 3,
  shutdown: 4,
  data: 5,
  creditUpdate: 6,
  creditRequest: 7,
} as const

/** Flags of {@link Operation.shutdown}: the sender receives no more. */
export const SHUT_RECEIVE = 1
/** The sender sends no more. */
export const SHUT_SEND = 2

/**
 * The header of a packet. CIDs are 64 bits wide, and those in use 32: a CID beyond is read as NaN.
 *
 * Source: VIRTIO 1.2, §5.10.6, struct virtio_vsock_hdr.
 */
export interface PacketHeader {
  readonly sourceCid: number
  readonly destinationCid: number
  readonly sourcePort: number
  readonly destinationPort: number
  /** Bytes of payload. */
  readonly length: number
  readonly type: number
  readonly operation: number
  readonly flags: number
  /** Bytes that the sender has room for in all (buf_alloc). */
  readonly allocated: number
  /** Bytes that the sender has taken out of that room, modulo 2^32 (fwd_cnt). */
  readonly forwarded: number
}

const cid = (view: DataView, at: number): number =>
  view.getUint32(at + 4, true) === 0 ? view.getUint32(at, true) : Number.NaN

/** @param bytes - {@link HEADER_BYTES} bytes */
export function decodeHeader(bytes: Uint8Array): PacketHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return {
    sourceCid: cid(view, 0),
    destinationCid: cid(view, 8),
    sourcePort: view.getUint32(16, true),
    destinationPort: view.getUint32(20, true),
    length: view.getUint32(24, true),
    type: view.getUint16(28, true),
    operation: view.getUint16(30, true),
    flags: view.getUint32(32, true),
    allocated: view.getUint32(36, true),
    forwarded: view.getUint32(40, true),
  }
}

/** Writes a header into the beginning of a buffer. */
export function encodeHeader(header: PacketHeader, into: Uint8Array): void {
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength)
  view.setUint32(0, header.sourceCid, true)
  view.setUint32(4, 0, true)
  view.setUint32(8, header.destinationCid, true)
  view.setUint32(12, 0, true)
  view.setUint32(16, header.sourcePort, true)
  view.setUint32(20, header.destinationPort, true)
  view.setUint32(24, header.length, true)
  view.setUint16(28, header.type, true)
  view.setUint16(30, header.operation, true)
  view.setUint32(32, header.flags, true)
  view.setUint32(36, header.allocated, true)
  view.setUint32(40, header.forwarded, true)
}
