import type { InterruptLine, Region } from '../device.ts'
import { DeviceError } from '../errors.ts'
import type { PciBarOptions, PciFunction, PciFunctionOptions, PciFunctionState } from '../pci-function.ts'

const VENDOR_ID = 0x00
const DEVICE_ID = 0x02
const COMMAND = 0x04
const STATUS = 0x06
const REVISION_ID = 0x08
const HEADER_TYPE = 0x0e
const BAR0 = 0x10
const SUBSYSTEM_VENDOR_ID = 0x2c
const SUBSYSTEM_ID = 0x2e
const INTERRUPT_LINE = 0x3c
const INTERRUPT_PIN = 0x3d

const COMMAND_IO = 1 << 0
const COMMAND_MEMORY = 1 << 1
const COMMAND_INTERRUPT_DISABLE = 1 << 10
/** Bits of the command register that software may change. Bus master, parity, SERR and the three above. */
const COMMAND_WRITABLE = 0x0547
const STATUS_INTERRUPT = 1 << 3

/** Makes the region behind a BAR; it starts disabled and is moved to where the guest puts it. */
export type BarMapper = (bar: PciBarOptions) => Region

/**
 * Configuration space of a type-0 function.
 *
 * Source: PCI Local Bus Specification 3.0, ch. 6, "Configuration Space".
 */
export class PciConfigSpace implements PciFunction {
  readonly bus: number
  readonly device: number
  readonly function: number
  readonly config: Uint8Array
  readonly interrupt: InterruptLine | null
  readonly #options: PciFunctionOptions
  readonly #writable: Uint8Array
  readonly #regions: (Region | null)[] = [null, null, null, null, null, null]
  readonly #wire: InterruptLine | null
  #level = false

  constructor(options: PciFunctionOptions, mapBar: BarMapper, wire: InterruptLine | null) {
    this.#options = options
    const bytes = options.extendedConfig === true ? 4096 : 256
    this.config = new Uint8Array(bytes)
    this.#writable = new Uint8Array(bytes)
    this.bus = options.bus ?? 0
    this.device = options.device
    this.function = options.function ?? 0
    this.#wire = wire
    checkIdentity(this)
    this.interrupt = wire && {
      set: (level) => this.#drive(level),
      pulse: () => {
        this.#drive(true)
        this.#drive(false)
      },
    }
    for (const bar of options.bars ?? []) this.#addBar(bar, mapBar)
    this.#word(this.#writable, COMMAND, COMMAND_WRITABLE)
    this.#writable[INTERRUPT_LINE] = 0xff
    // Cache line size and latency timer: software writes them and reads them back.
    this.#writable[0x0c] = 0xff
    this.#writable[0x0d] = 0xff
    for (const [register, mask] of options.writable ?? []) {
      if (register % 4 !== 0 || register < 0 || register >= bytes) {
        throw new DeviceError(
          'ERR_INVALID',
          `writable configuration register ${register}: expected a multiple of 4 below ${bytes}`,
        )
      }
      this.#long(this.#writable, register, mask)
    }
    this.#powerOn()
  }

  #word(bytes: Uint8Array, at: number, value: number): void {
    bytes[at] = value
    bytes[at + 1] = value >>> 8
  }
  #long(bytes: Uint8Array, at: number, value: number): void {
    this.#word(bytes, at, value)
    this.#word(bytes, at + 2, value >>> 16)
  }
  #getWord(at: number): number {
    return this.config[at]! | (this.config[at + 1]! << 8)
  }
  #getLong(at: number): number {
    return (this.#getWord(at) | (this.#getWord(at + 2) << 16)) >>> 0
  }

  #addBar(bar: PciBarOptions, mapBar: BarMapper): void {
    const least = bar.kind === 'io' ? 4 : 16
    const wide = bar.kind === 'memory64'
    if (bar.index < 0 || bar.index > (wide ? 4 : 5) || this.#regions[bar.index] !== null) {
      throw new DeviceError('ERR_INVALID', `BAR ${bar.index}: expected a free register, 0–5`)
    }
    if (bar.bytes < least || 2 ** Math.round(Math.log2(bar.bytes)) !== bar.bytes) {
      throw new DeviceError(
        'ERR_INVALID',
        `BAR ${bar.index}: size ${bar.bytes}, expected a power of two from ${least} up`,
      )
    }
    const at = BAR0 + 4 * bar.index
    // Address bits below the size are hard-wired to 0: writing ones and reading back is how software sizes a BAR.
    if (wide) {
      const size = BigInt(bar.bytes)
      const mask = BigInt.asUintN(64, -size)
      this.#long(this.#writable, at, Number(mask & 0xffff_fff0n))
      this.#long(this.#writable, at + 4, Number(mask >> 32n))
    } else {
      const mask = bar.bytes >= 2 ** 32 ? 0 : -bar.bytes
      this.#long(this.#writable, at, bar.kind === 'io' ? mask & ~3 : mask & ~0xf)
    }
    this.#regions[bar.index] = mapBar(bar)
  }

  #powerOn(): void {
    const { config } = this
    const o = this.#options
    config.fill(0)
    this.#word(config, VENDOR_ID, o.vendorId)
    this.#word(config, DEVICE_ID, o.deviceId)
    this.#long(config, REVISION_ID, ((o.classCode << 8) | (o.revisionId ?? 0)) >>> 0)
    config[HEADER_TYPE] = o.headerType ?? 0
    this.#word(config, SUBSYSTEM_VENDOR_ID, o.subsystemVendorId ?? 0)
    this.#word(config, SUBSYSTEM_ID, o.subsystemId ?? 0)
    config[INTERRUPT_PIN] = o.interruptPin ?? 0
    for (const bar of o.bars ?? []) {
      const kind = bar.kind === 'io' ? 1 : (bar.kind === 'memory64' ? 4 : 0) | (bar.prefetchable === true ? 8 : 0)
      config[BAR0 + 4 * bar.index] = kind
    }
    for (const [register, , initial] of o.writable ?? []) {
      if (initial !== undefined) this.#long(config, register, initial)
    }
  }

  bar(index: number): Region | null {
    return this.#regions[index] ?? null
  }

  update(): void {
    const command = this.#getWord(COMMAND)
    // All off first: two BARs of one function may be swapped, and must not meet half-way.
    const places: { region: Region; base: number; on: boolean }[] = []
    for (const bar of this.#options.bars ?? []) {
      const region = this.#regions[bar.index]!
      const at = BAR0 + 4 * bar.index
      let base: number
      let limit: number
      if (bar.kind === 'io') {
        base = (this.#getLong(at) & ~3) >>> 0
        limit = 0x1_0000
      } else {
        base = (this.#getLong(at) & ~0xf) >>> 0
        if (bar.kind === 'memory64') base += this.#getLong(at + 4) * 2 ** 32
        limit = bar.kind === 'memory64' ? 2 ** 52 : 2 ** 32
      }
      // Base 0 is what an unconfigured BAR holds and all ones is a BAR being sized; neither is decoded.
      const on =
        (command & (bar.kind === 'io' ? COMMAND_IO : COMMAND_MEMORY)) !== 0 && base !== 0 && base + bar.bytes < limit
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
    this.#driveWire()
  }

  #drive(level: boolean): void {
    this.#level = level
    this.#driveWire()
  }
  #driveWire(): void {
    this.config[STATUS] = (this.config[STATUS]! & ~STATUS_INTERRUPT) | (this.#level ? STATUS_INTERRUPT : 0)
    this.#wire?.set(this.#level && (this.#getWord(COMMAND) & COMMAND_INTERRUPT_DISABLE) === 0)
  }

  /** Configuration read; registers past its end read as ones. */
  configRead(register: number, size: number): number {
    let value = 0
    for (let i = 0; i < size; i++) value |= (this.config[register + i] ?? 0xff) << (8 * i)
    return value >>> 0
  }

  /** Configuration write; bits that are not writable keep their value. */
  configWrite(register: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) {
      const at = register + i
      if (at >= this.config.length) break
      const mask = this.#writable[at]!
      this.config[at] = (this.config[at]! & ~mask) | ((value >>> (8 * i)) & mask)
    }
    if (register < BAR0 + 24) this.update()
    this.#options.onWrite?.(register, size)
  }

  reset(): void {
    this.#level = false
    this.#powerOn()
    this.update()
  }

  save(): PciFunctionState {
    return { version: 1, config: Array.from(this.config), interruptLevel: this.#level }
  }

  restore(state: PciFunctionState): void {
    if (state.version !== 1 || state.config.length !== this.config.length) {
      throw new DeviceError(
        'ERR_INVALID',
        `PCI function state of version ${state.version} with ${state.config.length} bytes: expected 1, with ${this.config.length}`,
      )
    }
    this.config.set(state.config)
    this.#level = state.interruptLevel
    this.update()
  }
}

function checkIdentity(f: PciFunction): void {
  if (f.bus < 0 || f.bus > 255 || f.device < 0 || f.device > 31 || f.function < 0 || f.function > 7) {
    throw new DeviceError(
      'ERR_INVALID',
      `PCI function ${f.bus}:${f.device}.${f.function}: expected bus 0–255, device 0–31, function 0–7`,
    )
  }
}
