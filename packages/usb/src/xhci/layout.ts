import { Stateful } from '@retrap/device'
import { MOST_SEGMENTS } from './interrupter.ts'

/** Where registers are in the controller's BAR. Source: xHCI 1.2, ch. 5, "Register Interface". */
export const LAYOUT = {
  OPERATIONAL: 0x40,
  PORTS: 0x440,
  EXTENDED: 0x800,
  RUNTIME: 0x1000,
  INTERRUPTERS: 0x1020,
  DOORBELLS: 0x2000,
  MSIX_TABLE: 0x3000,
  BAR_BYTES: 0x4000,
} as const

export const MOST_SLOTS = 64
export const INTERRUPTERS = 8
const PORT_BYTES = 16
const INTERRUPTER_BYTES = 32
const VERSION = 0x0120
/** 64-bit addresses; no secondary stream IDs; extended capabilities. Contexts are the small ones. */
const CAPABILITIES = 0x01 | 0x80 | ((LAYOUT.EXTENDED / 4) << 16)
const PROTOCOL_NAME = 0x2042_5355
const LEGACY_SUPPORT = 1
const SUPPORTED_PROTOCOL = 2
const LEGACY_BYTES = 0x10
const PROTOCOL_BYTES = 0x10

/** A register's part of the BAR. */
export type RegisterPlace =
  | { readonly part: 'operational' | 'extended' | 'capability' | 'none'; readonly offset: number }
  | { readonly part: 'port' | 'interrupter'; readonly index: number; readonly offset: number }
  | { readonly part: 'frame' }
  | { readonly part: 'doorbell'; readonly index: number }

/** Says which register an offset is. @param ports - root hub ports */
export function registerAt(offset: number, ports: number): RegisterPlace {
  if (offset < LAYOUT.OPERATIONAL) return { part: 'capability', offset }
  if (offset < LAYOUT.PORTS) return { part: 'operational', offset: offset - LAYOUT.OPERATIONAL }
  if (offset < LAYOUT.PORTS + PORT_BYTES * ports) {
    const at = offset - LAYOUT.PORTS
    return { part: 'port', index: Math.floor(at / PORT_BYTES), offset: at % PORT_BYTES }
  }
  if (offset >= LAYOUT.EXTENDED && offset < LAYOUT.RUNTIME)
    return { part: 'extended', offset: offset - LAYOUT.EXTENDED }
  if (offset === LAYOUT.RUNTIME) return { part: 'frame' }
  if (offset >= LAYOUT.INTERRUPTERS && offset < LAYOUT.INTERRUPTERS + INTERRUPTERS * INTERRUPTER_BYTES) {
    const at = offset - LAYOUT.INTERRUPTERS
    return { part: 'interrupter', index: Math.floor(at / INTERRUPTER_BYTES), offset: at % INTERRUPTER_BYTES }
  }
  const doorbell = (offset - LAYOUT.DOORBELLS) / 4
  if (doorbell >= 0 && doorbell <= MOST_SLOTS) return { part: 'doorbell', index: doorbell }
  return { part: 'none', offset }
}

/** The capability registers. @param connectors - sockets, each a USB 2 and a USB 3 port */
export function capabilityRegister(offset: number, connectors: number): number {
  switch (offset) {
    case 0x00:
      return LAYOUT.OPERATIONAL | (VERSION << 16)
    case 0x04:
      return (MOST_SLOTS | (INTERRUPTERS << 8) | ((2 * connectors) << 24)) >>> 0
    case 0x08:
      // The isochronous scheduling threshold is one frame.
      return 0x8 | (Math.log2(MOST_SEGMENTS) << 4) | 0x1
    case 0x10:
      return CAPABILITIES
    case 0x14:
      return LAYOUT.DOORBELLS
    case 0x18:
      return LAYOUT.RUNTIME
    default:
      return 0
  }
}

/** Supported protocols and legacy support. Source: xHCI 1.2, §7.1, "USB Legacy Support Capability", and §7.2. */
export class ExtendedCapabilities extends Stateful {
  readonly #connectors: number
  readonly #r = this.keeps({
    /** Bits 16 and 24 of USBLEGSUP: firmware owns the controller, the system does. A change raises no SMI. */
    owners: 0,
  })

  constructor(connectors: number) {
    super()
    this.#connectors = connectors
  }

  read(offset: number): number {
    if (offset === 0) return (LEGACY_SUPPORT | ((LEGACY_BYTES / 4) << 8) | this.#r.owners) >>> 0
    const at = offset - LEGACY_BYTES
    if (at < 0 || at >= 2 * PROTOCOL_BYTES) return 0
    return this.#protocol(at >= PROTOCOL_BYTES, at % PROTOCOL_BYTES)
  }

  #protocol(isSuper: boolean, offset: number): number {
    const next = isSuper ? 0 : PROTOCOL_BYTES / 4
    if (offset === 0) return ((isSuper ? 3 : 2) << 24) | (next << 8) | SUPPORTED_PROTOCOL
    if (offset === 4) return PROTOCOL_NAME
    if (offset === 8) return (this.#connectors << 8) | (isSuper ? 1 : this.#connectors + 1)
    return 0
  }

  write(offset: number, value: number): void {
    if (offset === 0) this.#r.owners = value & 0x0101_0000
  }
}
