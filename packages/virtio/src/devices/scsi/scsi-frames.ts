import { type ScsiSense, senseData } from '@retrap/scsi'
import type { VirtioAnswer, VirtioChain } from '../../ring/chain.ts'

export const REQUEST_HEADER = 19
export const RESPONSE_HEADER = 12
const GOOD_STATUS = 0
const CHECK_CONDITION = 2

export const le32 = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0

/** The driver's name of a request, as text. */
export const idOf = (bytes: Uint8Array, at: number): string => bytes.subarray(at, at + 8).join()

/** Which unit a request is for. */
export interface Address {
  readonly target: number
  /** The unit's number; −1: the address has no known form. */
  readonly unit: number
}

/** Reads an address: byte 0 is 1, byte 1 the target, then a unit of one level: 14 bits, with 1 in the upper two or 0. */
export function addressOf(bytes: Uint8Array): Address {
  const unit = (bytes[2]! << 8) | bytes[3]!
  const known = bytes[0] === 1 && unit < 0x8000 && le32(bytes, 4) === 0
  return { target: bytes[0] === 1 ? bytes[1]! : -1, unit: known ? unit & 0x3fff : -1 }
}

/** The answer to a command: header, sense data, data. */
export function answerOf(
  { writable }: VirtioChain,
  {
    response,
    sense,
    senseBytes,
    data = new Uint8Array(0),
  }: {
    readonly response: number
    readonly sense: ScsiSense | null
    readonly senseBytes: number
    readonly data?: Uint8Array | undefined
  },
): VirtioAnswer {
  const head = new Uint8Array(RESPONSE_HEADER + senseBytes)
  const view = new DataView(head.buffer)
  const reason = sense === null ? new Uint8Array(0) : senseData(sense).subarray(0, senseBytes)
  view.setUint32(0, reason.length, true)
  // The bytes that were not moved of the driver's room.
  view.setUint32(4, writable.length - head.length - data.length, true)
  head[10] = sense === null ? GOOD_STATUS : CHECK_CONDITION
  head[11] = response
  head.set(reason, RESPONSE_HEADER)
  return () => {
    if (!writable.write(head.length, data) || !writable.write(0, head)) return 0
    return head.length + data.length
  }
}
