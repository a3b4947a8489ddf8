import { hex } from '@retrap/device/host'
import { IoreqError } from './errors.ts'
import { IOREQ_TYPE_COPY } from './layout.ts'

const PORTS = 0x1_0000
const ALIGNMENT = 0x1000

/** The guest-physical addresses where a processor without I/O instructions finds the ports of PCI devices. */
export class PortWindow {
  readonly #base: number

  /**
   * @param base - guest-physical address of port 0, a multiple of 4096
   * @throws IoreqError `ERR_INVALID`
   */
  constructor(base: number) {
    if (!Number.isSafeInteger(base) || base < 0 || base % ALIGNMENT !== 0)
      throw new IoreqError('ERR_INVALID', `port window at ${hex(base)}: expected a multiple of ${hex(ALIGNMENT)}`)
    this.#base = base
  }

  /** @internal The port of an access to memory; −1 where it is none. Ports are at most 4 bytes wide. */
  portOf(type: number, gpa: number, size: number): number {
    const port = gpa - this.#base
    return type === IOREQ_TYPE_COPY && port >= 0 && port + size <= PORTS && size <= 4 ? port : -1
  }
}
