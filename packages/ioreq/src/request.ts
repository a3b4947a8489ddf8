import { IOREQ_TYPE_COPY, IOREQ_TYPE_PIO, IOREQ_WRITE } from './layout.ts'
import type { InvalidatedFrames } from '@retrap/device'

/**
 * One request, field by field as in `ioreq_t`. Mutable and owned by the party that made it, so that a vCPU needs only one.
 * `address` is `hi`·2^32 + `lo` of the ABI's 64-bit field; data likewise.
 */
export interface IoRequest {
  /** `IOREQ_TYPE_*`. */
  type: number
  /** `IOREQ_READ` or `IOREQ_WRITE`. */
  direction: number
  /** Bits 31:0 of the address. */
  addressLo: number
  /** Bits 63:32 of the address. */
  addressHi: number
  /** Bits 31:0 of the data. */
  dataLo: number
  /** Bits 63:32 of the data. */
  dataHi: number
  /** Elements; more than one for a string instruction. */
  count: number
  /** Bytes of one element: 1, 2, 4 or 8. */
  size: number
  /** Elements go downwards in memory. */
  df: boolean
  /** `data` is the guest-physical address of the elements. */
  dataIsPointer: boolean
}

/** A request with every field at rest. */
export function createIoRequest(): IoRequest {
  return {
    type: IOREQ_TYPE_COPY,
    direction: IOREQ_WRITE,
    addressLo: 0,
    addressHi: 0,
    dataLo: 0,
    dataHi: 0,
    count: 1,
    size: 1,
    df: false,
    dataIsPointer: false,
  }
}

/** Copies every field. @returns the copy */
export function copyIoRequest(from: Readonly<IoRequest>, to: IoRequest = createIoRequest()): IoRequest {
  to.type = from.type
  to.direction = from.direction
  to.addressLo = from.addressLo
  to.addressHi = from.addressHi
  to.dataLo = from.dataLo
  to.dataHi = from.dataHi
  to.count = from.count
  to.size = from.size
  to.df = from.df
  to.dataIsPointer = from.dataIsPointer
  return to
}

/** Returns a request's address as one number. */
export function requestAddress(request: IoRequest): number {
  return request.addressHi * 2 ** 32 + request.addressLo
}

/** Returns the address of element `i`: the port of a string instruction stays, its memory side moves. */
export function elementAddress(request: IoRequest, i: number): number {
  return requestAddress(request) + (request.type === IOREQ_TYPE_PIO ? 0 : i * elementStep(request))
}

/** Returns where element `i` is in guest memory, for a request whose data is a pointer. */
export function elementPointer(request: IoRequest, i: number): number {
  return request.dataHi * 2 ** 32 + request.dataLo + i * elementStep(request)
}

const elementStep = ({ df, size }: IoRequest): number => (df ? -size : size)

/** The range that servers are asked to drop. */
export interface InvalidationNotice {
  /** Number of the last change to the guest's map that it covers; the caller's own count. */
  readonly epoch: number
  /** The frames concerned, for servers that ask for them; null: all. The request itself, by the ABI, says all. */
  readonly frames: readonly InvalidatedFrames[] | null
}

/** Everything, in no epoch. */
export const INVALIDATE_ALL: InvalidationNotice = { epoch: 0, frames: null }
