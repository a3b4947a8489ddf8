import { hex } from '@retrap/device/host'
import { IoreqError } from './errors.ts'
import { IOREQ_TYPE_PIO } from './layout.ts'

export const CONFIG_ADDRESS_PORT = 0xcf8
/** First of the four ports of CONFIG_DATA. */
export const CONFIG_DATA_PORT = 0xcfc

const ENABLE = 0x8000_0000

/**
 * The domain's latch of port 0xCF8 and what it says about 0xCFC–0xCFF.
 *
 * Source: PCI Local Bus Specification 3.0, §3.2.2.3.2, "Software Generation of Configuration Transactions".
 */
export class ConfigAddress {
  /** The latched dword. */
  value = 0
  /** AMD families 0x10–0x16 with NB_CFG bit 46: bits 27:24 are register bits 11:8. */
  extended = false

  /** Whether an access to `port` is a configuration access. Its size does not matter. */
  decodes(port: number): boolean {
    return port >= CONFIG_DATA_PORT && port <= CONFIG_DATA_PORT + 3 && this.value >= ENABLE
  }

  /** Bus, device and function, as bus·256 + device·8 + function. */
  get bdf(): number {
    return (this.value >>> 8) & 0xffff
  }

  /** The register that an access to `port` begins at. */
  register(port: number): number {
    const low = (this.value & 0xfc) | (port & 3)
    return this.extended ? low | (((this.value >>> 24) & 0xf) << 8) : low
  }
}

const ECAM_FUNCTION_BYTES = 0x1000
/** Bytes of a bus in a window. */
export const ECAM_BUS_BYTES: number = 256 * ECAM_FUNCTION_BYTES

/** Guest-physical addresses that are the configuration space of a range of buses, 1 MiB a bus. */
export interface EcamWindow {
  /** Address of bus 0, device 0, function 0 of the segment. */
  readonly base: number
  /** PCI segment; default 0. */
  readonly segment?: number
  /** First bus of the window. */
  readonly firstBus: number
  /** Last bus of the window. */
  readonly lastBus: number
}

/** Which accesses are to PCI configuration space: by the latch of port 0xCF8, or in an ECAM window. */
export class ConfigSpace {
  /** The latched CF8. */
  readonly address: ConfigAddress = new ConfigAddress()
  /** Whether ports 0xCF8 and 0xCFC have a meaning of their own. */
  hasPorts = true
  windows: readonly EcamWindow[] = []
  /** After {@link ConfigSpace.decodes}: segment·2^16 + BDF of the function, and the register that the access begins at. */
  bdf = 0
  register = 0

  /** @throws IoreqError `ERR_INVALID` for an invalid window */
  constructor(windows: readonly EcamWindow[]) {
    this.setWindows(windows)
  }

  /** @throws IoreqError `ERR_INVALID` for an invalid window */
  setWindows(windows: readonly EcamWindow[]): void {
    for (const window of windows) checkEcam(window)
    this.windows = windows
  }

  /** Whether an access is one to configuration space; `bdf` and `register` then say where, until the next look. */
  decodes(type: number, address: number, size: number): boolean {
    if (type === IOREQ_TYPE_PIO) {
      if (!this.hasPorts || !this.address.decodes(address)) return false
      this.bdf = this.address.bdf
      this.register = this.address.register(address)
      return true
    }
    for (const { base, segment = 0, firstBus, lastBus } of this.windows) {
      const offset = address - base
      if (offset < firstBus * ECAM_BUS_BYTES || offset + size > (lastBus + 1) * ECAM_BUS_BYTES) continue
      this.bdf = ((segment << 16) | Math.floor(offset / ECAM_FUNCTION_BYTES)) >>> 0
      this.register = offset % ECAM_FUNCTION_BYTES
      return true
    }
    return false
  }

  /** Port 0xCF8 as a dword. Bytes and words go to devices only: another one may live there (0xCF9). */
  isLatch(type: number, address: number, size: number): boolean {
    return type === IOREQ_TYPE_PIO && address === CONFIG_ADDRESS_PORT && size === 4 && this.hasPorts
  }
}

function checkEcam({ base, segment = 0, firstBus, lastBus }: EcamWindow): void {
  const good =
    base % ECAM_BUS_BYTES === 0 && base >= 0 && segment >= 0 && segment <= 0xffff && firstBus >= 0 && lastBus <= 255
  if (good && firstBus <= lastBus) return
  throw new IoreqError(
    'ERR_INVALID',
    `ECAM at ${hex(base)}, segment ${segment}, buses ${firstBus}–${lastBus}: expected whole MiB and buses 0–255 in order`,
  )
}
