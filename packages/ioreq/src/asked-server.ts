import { isOneCall } from '@retrap/device/host'
import { IOREQ_TYPE_PIO, XEN_DMOP_IO_RANGE_PORT } from './layout.ts'
import type { MmioLookup, ServedRegion } from './lookup.ts'
import type { ClaimedRegion } from './region.ts'
import type { IoreqServer } from './server.ts'

/**
 * Finds the server that alone answers an access and may take its time. Remembers the last one: a direct access that finds
 * a server sends nothing, and the request that follows it is for the same access.
 */
export class AskedServer {
  /** The server of the last access. */
  server: IoreqServer | null = null
  /** The region of that access, where the server is of this process and one call of its handler answers; else null. */
  region: ClaimedRegion | null = null
  /** Offset of that access in its region. */
  offset = 0
  #type = 0
  #address = 0
  #size = 0
  readonly #mmio: MmioLookup

  constructor(mmio: MmioLookup) {
    this.#mmio = mmio
  }

  /**
   * Looks for the server, and remembers it.
   *
   * @param region - what the look-up has just found at `address`
   * @returns null where another party answers, and where it takes more to find out
   */
  find(region: ServedRegion, type: number, address: number, size: number): IoreqServer | null {
    const { server } = region
    if (server === null || region.direct) return null
    const holds = type === IOREQ_TYPE_PIO ? claimsPorts(server, address, size) : address + size <= this.#mmio.hitEnd
    if (!holds) return null
    this.server = server
    this.offset = address - region.base
    this.region = server.local !== null && isOneCall(region, this.offset, size) ? region : null
    this.#type = type
    this.#address = address
    this.#size = size
    return server
  }

  /** The server of an access, if it is the access that was looked for last; else null. */
  of(type: number, address: number, size: number): IoreqServer | null {
    return address === this.#address && size === this.#size && type === this.#type ? this.server : null
  }

  /** Forgets the server: the look-ups have been made anew. */
  forget(): void {
    this.server = null
  }
}

function claimsPorts(server: IoreqServer, address: number, size: number): boolean {
  // No server of higher precedence claims even the first port, so this server answers if it claims all of them.
  return server.ranges[XEN_DMOP_IO_RANGE_PORT].contains(address, address + size - 1)
}
