import type { PciBridgeOptions } from '../pci-function.ts'
import { longOf, putLong, putWord, wordOf } from './config-bytes.ts'

const PRIMARY_BUS = 0x18
const SECONDARY_BUS = 0x19
const SUBORDINATE_BUS = 0x1a
const IO_BASE = 0x1c
const IO_LIMIT = 0x1d
const MEMORY_BASE = 0x20
const MEMORY_LIMIT = 0x22
const PREFETCHABLE_BASE = 0x24
const PREFETCHABLE_LIMIT = 0x26
const PREFETCHABLE_BASE_UPPER = 0x28
const PREFETCHABLE_LIMIT_UPPER = 0x2c
const IO_BASE_UPPER = 0x30
const IO_LIMIT_UPPER = 0x32
const BRIDGE_CONTROL = 0x3e
/** First and last register of bus numbers and windows. */
const FIRST_WINDOW = PRIMARY_BUS
const END_WINDOW = 0x34
const COMMAND = 0x04
const COMMAND_IO = 1 << 0
const COMMAND_MEMORY = 1 << 1
/** Parity, SERR, ISA, VGA, and secondary bus reset: kept for software, without an effect but the last one's. */
const CONTROL_WRITABLE = 0x005f
const CONTROL_RESET = 1 << 6

/** Kind of a window's addresses. */
export type WindowKind = 'io' | 'memory' | 'prefetchable'

/**
 * Reads a bridge's bus numbers and windows out of its configuration space.
 *
 * ISA and VGA modes of the windows are not decoded.
 *
 * Source: PCI-to-PCI Bridge Architecture Specification 1.2, §3.2.5, "Bridge Specific Registers".
 */
export class PciBridge {
  readonly #config: Uint8Array
  readonly #options: PciBridgeOptions

  constructor(config: Uint8Array, options: PciBridgeOptions) {
    this.#config = config
    this.#options = options
  }

  /** Sets the bits that the guest may write. */
  writableTo(mask: Uint8Array): void {
    const { ioWindow = 16, prefetchableWindow = 64 } = this.#options
    mask.fill(0xff, PRIMARY_BUS, 0x1c)
    if (ioWindow !== 'none') mask[IO_BASE] = mask[IO_LIMIT] = 0xf0
    if (ioWindow === 32) putLong(mask, IO_BASE_UPPER, 0xffff_ffff)
    putLong(mask, MEMORY_BASE, 0xfff0_fff0)
    if (prefetchableWindow !== 'none') putLong(mask, PREFETCHABLE_BASE, 0xfff0_fff0)
    if (prefetchableWindow === 64) mask.fill(0xff, PREFETCHABLE_BASE_UPPER, IO_BASE_UPPER)
    putWord(mask, BRIDGE_CONTROL, CONTROL_WRITABLE)
  }

  /** Writes the windows' capabilities, as at power-on. */
  writeTo(config: Uint8Array): void {
    const { ioWindow = 16, prefetchableWindow = 64 } = this.#options
    if (ioWindow === 32) config[IO_BASE] = config[IO_LIMIT] = 1
    if (prefetchableWindow === 64) putLong(config, PREFETCHABLE_BASE, 0x0001_0001)
  }

  /** Number of the bus below; 0 before the guest has set it: the bridge passes nothing on. */
  get secondary(): number {
    return this.#config[SECONDARY_BUS]!
  }

  /** The highest bus number behind the bridge. */
  get subordinate(): number {
    return this.#config[SUBORDINATE_BUS]!
  }

  /** Whether the guest holds the bus below in reset. */
  get resets(): boolean {
    return (wordOf(this.#config, BRIDGE_CONTROL) & CONTROL_RESET) !== 0
  }

  /** Whether configuration bytes have a say in bus numbers, windows or the reset of the bus below. */
  static concerns(register: number, size: number): boolean {
    const end = register + size
    return (register < END_WINDOW && end > FIRST_WINDOW) || (register < BRIDGE_CONTROL + 2 && end > BRIDGE_CONTROL)
  }

  /** Whether an access to these addresses is passed on to the bus below. */
  forwards(kind: WindowKind, base: number, bytes: number): boolean {
    const config = this.#config
    const command = wordOf(config, COMMAND)
    if ((command & (kind === 'io' ? COMMAND_IO : COMMAND_MEMORY)) === 0) return false
    if (kind === 'io') return this.#holds(this.#ioWindow(), base, bytes)
    return this.#holds(this.#memoryWindow(), base, bytes) || this.#holds(this.#prefetchableWindow(), base, bytes)
  }

  #holds([first, last]: readonly [number, number], base: number, bytes: number): boolean {
    return base >= first && base + bytes - 1 <= last
  }

  #ioWindow(): readonly [number, number] {
    const config = this.#config
    const { ioWindow = 16 } = this.#options
    if (ioWindow === 'none') return NOTHING
    const upper = ioWindow === 32
    const base = (config[IO_BASE]! & 0xf0) << 8
    const limit = ((config[IO_LIMIT]! & 0xf0) << 8) | 0xfff
    return upper
      ? [base + wordOf(config, IO_BASE_UPPER) * 0x1_0000, limit + wordOf(config, IO_LIMIT_UPPER) * 0x1_0000]
      : [base, limit]
  }

  #memoryWindow(): readonly [number, number] {
    const config = this.#config
    return [
      (wordOf(config, MEMORY_BASE) & 0xfff0) * 0x1_0000,
      (wordOf(config, MEMORY_LIMIT) & 0xfff0) * 0x1_0000 + 0xf_ffff,
    ]
  }

  #prefetchableWindow(): readonly [number, number] {
    const config = this.#config
    const { prefetchableWindow = 64 } = this.#options
    if (prefetchableWindow === 'none') return NOTHING
    const upper = prefetchableWindow === 64
    const base = (wordOf(config, PREFETCHABLE_BASE) & 0xfff0) * 0x1_0000
    const limit = (wordOf(config, PREFETCHABLE_LIMIT) & 0xfff0) * 0x1_0000 + 0xf_ffff
    return upper
      ? [
          base + longOf(config, PREFETCHABLE_BASE_UPPER) * 2 ** 32,
          limit + longOf(config, PREFETCHABLE_LIMIT_UPPER) * 2 ** 32,
        ]
      : [base, limit]
  }
}

const NOTHING = [1, 0] as const
