import type { RangeHandler, Region, RegionOptions } from '../access.ts'
import { DeviceError } from '../errors.ts'
import { MEMORY_PAGE_BYTES, type OwnedMemory } from '../memory.ts'
import type { PciBarOptions, PciFunctionOptions } from '../pci-function.ts'
import { longOf, putLong } from './config-bytes.ts'
import type { WindowKind } from './pci-bridge.ts'
import { msixBarHandler, type FunctionMessages, type MsixTable } from './pci-messages.ts'

const BAR0 = 0x10
const EXPANSION_ROM = 0x30
const EXPANSION_ROM_TYPE_1 = 0x38
const COMMAND_IO = 1 << 0
const COMMAND_MEMORY = 1 << 1
const ROM_ENABLE = 1 << 0
const LEAST_ROM_BYTES = 2048

/** A region that a function wants behind a BAR: of a handler, or of owned memory. */
export interface BarRegion extends RegionOptions {
  /** Ports or guest-physical addresses. */
  readonly kind: 'port' | 'mmio'
  /** Ports or bytes. */
  readonly bytes: number
  /** Answers accesses. */
  readonly handler?: RangeHandler
  /** Memory that the guest sees at the BAR. */
  readonly memory?: OwnedMemory
}

/** A region with the register that holds its address. */
interface Decoder {
  readonly region: Region
  readonly register: number
  readonly kind: 'io' | 'memory' | 'memory64' | 'rom'
  readonly bytes: number
  readonly window: WindowKind
}

/** The parts of a function's decoders. */
export interface PciDecodersParts {
  /** Names the function in errors. */
  readonly name: string
  readonly config: Uint8Array
  /** The header is of type 1. */
  readonly bridge: boolean
  readonly options: PciFunctionOptions
  readonly messages: FunctionMessages
  /** Makes the region behind a BAR. */
  mapBar(bar: BarRegion): Region
  /** Whether the bridges above forward a range. */
  forwarded(window: WindowKind, base: number, bytes: number): boolean
  /** Whether a function may have port 0. */
  hasPortZero(): boolean
}

/**
 * Base address registers and expansion ROM of a PCI function, and the ranges that they decode.
 *
 * Source: PCI Local Bus Specification 3.0, §6.2.5, "Base Addresses".
 */
export class PciDecoders {
  readonly #parts: PciDecodersParts
  readonly #name: string
  readonly #bars: (Decoder | undefined)[] = []
  readonly #decoders: Decoder[] = []
  /** For each decoder, the register and the address bits that software may change. */
  readonly #masks: [register: number, bits: number][] = []

  /** @throws DeviceError `ERR_INVALID` */
  constructor(parts: PciDecodersParts) {
    this.#parts = parts
    this.#name = parts.name
    for (const bar of this.#barOptions()) this.#addBar(bar)
    const { expansionRom } = parts.options
    if (expansionRom !== undefined) this.#addRom(expansionRom.memory)
  }

  /** Returns the region of a BAR, or null. */
  bar(index: number): Region | null {
    return this.#bars[index]?.region ?? null
  }

  /** The BARs with that of the MSI-X table, which the contract may have to make. */
  #barOptions(): readonly PciBarOptions[] {
    const bars = this.#parts.options.bars ?? []
    const { table } = this.#parts.messages
    if (table === null) return bars
    const made: PciBarOptions[] = []
    for (const index of new Set([table.tableBar, table.pbaBar])) {
      const found = bars.find((bar) => bar.index === index)
      const end = endInBar(table, index)
      if (found === undefined) {
        made.push({ index, kind: 'memory', bytes: Math.max(MEMORY_PAGE_BYTES, 2 ** Math.ceil(Math.log2(end))) })
      } else if (found.kind === 'io' || found.memory !== undefined || (found.bytes ?? 0) < end) {
        throw new DeviceError(
          'ERR_INVALID',
          `${this.#name}: BAR ${index}: MSI-X needs a memory BAR with a handler, of at least ${end} bytes`,
        )
      }
    }
    return [...bars, ...made]
  }

  #addBar(bar: PciBarOptions): void {
    const least = bar.kind === 'io' ? 4 : bar.memory === undefined ? 16 : MEMORY_PAGE_BYTES
    const wide = bar.kind === 'memory64'
    const { table } = this.#parts.messages
    const inTable = table !== null && (bar.index === table.tableBar || bar.index === table.pbaBar)
    const last = (this.#parts.bridge ? 1 : 5) - (wide ? 1 : 0)
    const taken = this.#bars[bar.index] !== undefined || (wide && this.#bars[bar.index + 1] !== undefined)
    if (!Number.isInteger(bar.index) || bar.index < 0 || bar.index > last || taken || this.#isUpperHalf(bar.index)) {
      throw new DeviceError('ERR_INVALID', `${this.#name}: BAR ${bar.index}: expected a free register, 0–${last}`)
    }
    if (!inTable && (bar.handler === undefined) === (bar.memory === undefined)) {
      throw new DeviceError('ERR_INVALID', `${this.#name}: BAR ${bar.index}: expected a handler or memory`)
    }
    const bytes = bar.bytes ?? bar.memory?.bytes ?? 0
    if (bytes < least || 2 ** Math.round(Math.log2(bytes)) !== bytes || bytes > (bar.memory?.bytes ?? Infinity)) {
      throw new DeviceError(
        'ERR_INVALID',
        `${this.#name}: BAR ${bar.index}: size ${bytes}, expected a power of two from ${least} up${bar.memory ? ` to the memory's ${bar.memory.bytes}` : ''}`,
      )
    }
    const register = BAR0 + 4 * bar.index
    // Address bits below the size are hard-wired to 0: writing ones and reading back is how software sizes a BAR.
    if (wide) {
      const mask = BigInt.asUintN(64, -BigInt(bytes))
      this.#masks.push([register, Number(mask & 0xffff_fff0n)])
      this.#masks.push([register + 4, Number(mask >> 32n)])
    } else {
      const mask = bytes >= 2 ** 32 ? 0 : -bytes
      this.#masks.push([register, bar.kind === 'io' ? mask & ~3 : mask & ~0xf])
    }
    const handler = inTable
      ? msixBarHandler(bar.index, table, bar.handler, () => this.#parts.messages.update())
      : bar.handler
    const region = this.#parts.mapBar({
      ...regionOptions(bar),
      kind: bar.kind === 'io' ? 'port' : 'mmio',
      bytes,
      ...(handler && { handler }),
      ...(bar.memory && { memory: bar.memory }),
    })
    const window = bar.kind === 'io' ? 'io' : bar.prefetchable === true ? 'prefetchable' : 'memory'
    const decoder: Decoder = { region, register, kind: bar.kind, bytes, window }
    this.#bars[bar.index] = decoder
    this.#decoders.push(decoder)
  }

  #isUpperHalf(index: number): boolean {
    return this.#bars[index - 1]?.kind === 'memory64'
  }

  #addRom(memory: OwnedMemory): void {
    const { bytes } = memory
    if (bytes < LEAST_ROM_BYTES || 2 ** Math.round(Math.log2(bytes)) !== bytes || bytes > 2 ** 24) {
      throw new DeviceError(
        'ERR_INVALID',
        `${this.#name}: expansion ROM of ${bytes} bytes: expected a power of two up to 16 MiB`,
      )
    }
    const register = this.#parts.bridge ? EXPANSION_ROM_TYPE_1 : EXPANSION_ROM
    this.#masks.push([register, (-bytes & 0xffff_f800) | ROM_ENABLE])
    const region = this.#parts.mapBar({ kind: 'mmio', bytes, memory })
    this.#decoders.push({ region, register, kind: 'rom', bytes, window: 'memory' })
  }

  /** Sets the bits of the registers that software may change. */
  writableTo(mask: Uint8Array): void {
    for (const [register, bits] of this.#masks) putLong(mask, register, bits)
  }

  /** Writes the registers' values at power-on. */
  writeTo(config: Uint8Array): void {
    for (const bar of this.#barOptions()) {
      const kind = bar.kind === 'io' ? 1 : (bar.kind === 'memory64' ? 4 : 0) | (bar.prefetchable === true ? 8 : 0)
      config[BAR0 + 4 * bar.index] = kind
    }
  }

  /** Puts the regions where the registers say, as far as the command register lets them be decoded. */
  update(command: number): void {
    // All BARs are disabled first: two BARs of one function may change places, and must not overlap meanwhile.
    const places: { region: Region; base: number; on: boolean }[] = []
    for (const decoder of this.#decoders) {
      const { region, bytes } = decoder
      const base = this.#baseOf(decoder)
      const on =
        this.#decodes(decoder, command) &&
        // An unconfigured BAR holds base 0, and a BAR being sized all ones; neither is decoded. Where nothing but PCI
        // has ports, firmware gives out port 0 too.
        (base !== 0 || (decoder.kind === 'io' && this.#parts.hasPortZero())) &&
        base + bytes < limitOf(decoder) &&
        this.#parts.forwarded(decoder.window, base, bytes)
      if (region.enabled && (!on || region.base !== base)) region.disable()
      places.push({ region, base, on })
    }
    for (const { region, base, on } of places) {
      if (!on || region.enabled) continue
      try {
        region.move(base)
        region.enable()
      } catch (error) {
        // The guest has put the BAR over another device. On a bus both would answer; here the newcomer stays off.
        if (!(error instanceof DeviceError)) throw error
      }
    }
  }

  #baseOf({ kind, register }: Decoder): number {
    const low = longOf(this.#parts.config, register)
    if (kind === 'io') return (low & ~3) >>> 0
    if (kind === 'rom') return (low & 0xffff_f800) >>> 0
    const base = (low & ~0xf) >>> 0
    return kind === 'memory64' ? base + longOf(this.#parts.config, register + 4) * 2 ** 32 : base
  }

  #decodes({ kind, register }: Decoder, command: number): boolean {
    if (kind === 'io') return (command & COMMAND_IO) !== 0
    if ((command & COMMAND_MEMORY) === 0) return false
    return kind !== 'rom' || (this.#parts.config[register]! & ROM_ENABLE) !== 0
  }
}

function regionOptions({ maximumAccess, minimumAccess, priority, buffered }: RegionOptions): RegionOptions {
  return {
    disabled: true,
    ...(maximumAccess !== undefined && { maximumAccess }),
    ...(minimumAccess !== undefined && { minimumAccess }),
    ...(priority !== undefined && { priority }),
    ...(buffered !== undefined && { buffered }),
  }
}

function endInBar(table: MsixTable, bar: number): number {
  return Math.max(bar === table.tableBar ? table.tableEnd : 0, bar === table.pbaBar ? table.pbaEnd : 0)
}

function limitOf({ kind }: Decoder): number {
  return kind === 'io' ? 0x1_0000 : kind === 'memory64' ? 2 ** 52 : 2 ** 32
}
