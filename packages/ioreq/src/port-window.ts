import { hex } from '@retrap/device/host'
import { IoreqError } from './errors.ts'
import { IOREQ_TYPE_COPY } from './layout.ts'
import { type IoRequest, requestAddress } from './request.ts'

const PORTS = 0x1_0000
const ALIGNMENT = 0x1000

/** The guest-physical addresses where a processor without I/O instructions finds the ports of PCI devices. */
export class PortWindow {
  #base = Infinity

  /** @throws IoreqError `ERR_INVALID` for an address that is not a multiple of 4096 */
  place(base: number | null): void {
    if (base !== null && (!Number.isSafeInteger(base) || base < 0 || base % ALIGNMENT !== 0))
      throw new IoreqError('ERR_INVALID', `port window at ${hex(base)}: expected a multiple of ${hex(ALIGNMENT)}`)
    this.#base = base ?? Infinity
  }

  /** The port of an access to memory; −1 where it is none. Ports are at most 4 bytes wide. */
  portOf(type: number, gpa: number, size: number): number {
    const port = gpa - this.#base
    return type === IOREQ_TYPE_COPY && port >= 0 && port + size <= PORTS && size <= 4 ? port : -1
  }

  /** The port of a request of one element; −1 where it is none. */
  portOfRequest(request: IoRequest): number {
    if (request.count !== 1 || request.dataIsPointer) return -1
    return this.portOf(request.type, requestAddress(request), request.size)
  }
}
