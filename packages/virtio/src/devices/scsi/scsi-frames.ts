import type { VirtioChain } from '../../chain.ts'
import type { VirtioAnswer } from '../../virtio-device.ts'
import { be16, be32, SENSE, type ScsiSense, senseData } from './scsi-unit.ts'

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
  /** −1: it is in no form that is known. */
  readonly unit: number
}

/** Reads an address: byte 0 is 1, byte 1 the target, then a unit of one level: 14 bits, with 1 in the upper two or 0. */
export function addressOf(bytes: Uint8Array): Address {
  const unit = be16(bytes, 2)
  const known = bytes[0] === 1 && unit < 0x8000 && be32(bytes, 4) === 0
  return { target: bytes[0] === 1 ? bytes[1]! : -1, unit: known ? unit & 0x3fff : -1 }
}

/** REPORT LUNS: unit 0 (SPC-4, "REPORT LUNS"). */
export function reportUnits(command: Uint8Array, room: number): [ScsiSense | null, Uint8Array?] {
  const most = be32(command, 6)
  // Well known units alone: there are none.
  if (command[2]! > 2) return [SENSE.badField]
  const list = new Uint8Array(command[2] === 1 ? 8 : 16)
  list[3] = list.length - 8
  return [null, list.subarray(0, Math.min(most, room))]
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
  // What was not moved of the driver's room.
  view.setUint32(4, writable.length - head.length - data.length, true)
  head[10] = sense === null ? GOOD_STATUS : CHECK_CONDITION
  head[11] = response
  head.set(reason, RESPONSE_HEADER)
  return () => {
    if (!writable.write(head.length, data) || !writable.write(0, head)) return 0
    return head.length + data.length
  }
}
