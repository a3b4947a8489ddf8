import { IOREQ_TYPE_COPY, IOREQ_WRITE } from './layout.ts'

/**
 * One request, field by field as in `ioreq_t`. Mutable and owned by whoever made it, so that a vCPU needs only one.
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

/** Copies every field. */
export function copyIoRequest(from: IoRequest, to: IoRequest): void {
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
}
