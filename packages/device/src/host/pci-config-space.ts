import type { Region } from '../access.ts'
import { DeviceError, hex } from '../errors.ts'
import type { PciFunction, PciFunctionOptions, PciFunctionState, PciMessages, PciSlot } from '../pci-function.ts'
import type { InterruptLine } from '../wires.ts'
import { putLong, putWord, wordOf } from './config-bytes.ts'
import { PciBridge, type WindowKind } from './pci-bridge.ts'
import { PciCapabilities } from './pci-capabilities.ts'
import { PciDecoders, type BarRegion } from './pci-decoders.ts'
import { FunctionMessages } from './pci-messages.ts'

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

const COMMAND_BUS_MASTER = 1 << 2
const COMMAND_INTERRUPT_DISABLE = 1 << 10
/** Bits of the command register that software may change. I/O, memory, bus master, parity, SERR and interrupt disable. */
const COMMAND_WRITABLE = 0x0547
const STATUS_INTERRUPT = 1 << 3

/** A PCI function's interface to its machine. */
export interface PciFunctionHost {
  /** Makes the disabled region of a BAR, which moves to the guest's address later. */
  mapBar(bar: BarRegion): Region
  /** The INTx wire, or null. */
  readonly wire: InterruptLine | null
  /** Sends a message interrupt. */
  signalMsi(address: number, data: number, requester: number): void
  /** The bridge above, or null on a root bus. */
  readonly parent: PciConfigSpace | null
  /** See `PciTreeHost.hasPortZero`. */
  hasPortZero?(): boolean
  /** Bus numbers, windows or the bus master bit of a bridge have changed. */
  bridgeChanged?(bridge: PciConfigSpace): void
  /** The slot below the bridge. */
  readonly slot?: FunctionSlot | undefined
  /** The slot of bus 0 that the function is in. */
  readonly within?: PciSlot | undefined
}

/** A slot whose connection is part of its port's saved state. */
export interface FunctionSlot extends PciSlot {
  /** See `PciSlot.connected`; set directly by a saved state. */
  connected: boolean
}

/**
 * The configuration space of one function, with its decoders (BARs, ROM, bridge windows).
 *
 * Source: PCI Local Bus Specification 3.0, ch. 6, "Configuration Space"; PCI-to-PCI Bridge Architecture Specification
 * 1.2, ch. 3, for type 1 headers.
 */
export class PciConfigSpace implements PciFunction {
  /** Device number, 0–31. */
  readonly device: number
  /** Function number, 0–7. */
  readonly function: number
  /** See `PciFunction.config`. */
  readonly config: Uint8Array
  /** See `PciFunction.interrupt`. */
  readonly interrupt: InterruptLine | null
  /** See `PciFunction.messages`. */
  readonly messages: PciMessages | null
  /** The windows of a bridge, or null. */
  readonly bridge: PciBridge | null
  readonly #options: PciFunctionOptions
  readonly #host: PciFunctionHost
  readonly #rootBus: number
  readonly #writable: Uint8Array
  /** Bits that a write of 1 clears. */
  readonly #clearable: Uint8Array
  readonly #capabilities: PciCapabilities
  readonly #messages: FunctionMessages
  readonly #decoders: PciDecoders
  #level = false
  /** The value of `mayMaster` in the last notice to the model. */
  #mastered = false

  /** @throws DeviceError `ERR_INVALID`, `ERR_EXISTS`, `ERR_NO_SPACE` */
  constructor(options: PciFunctionOptions, host: PciFunctionHost) {
    this.#options = options
    this.#host = host
    const bytes = options.extendedConfig === true ? 4096 : 256
    this.config = new Uint8Array(bytes)
    this.#writable = new Uint8Array(bytes)
    this.#clearable = new Uint8Array(bytes)
    this.#rootBus = typeof options.bus === 'number' ? options.bus : 0
    this.device = options.device
    this.function = options.function ?? 0
    checkIdentity(this.#rootBus, this.device, this.function)
    const { wire } = host
    this.interrupt = wire && {
      set: (level) => this.#drive(level),
      pulse: () => {
        this.#drive(true)
        this.#drive(false)
      },
    }
    this.#capabilities = new PciCapabilities(this.#name(), bytes, options)
    this.#messages = new FunctionMessages(this.config, this.#capabilities, options, (address, data) =>
      this.#send(address, data),
    )
    this.messages = options.msi === undefined && options.msix === undefined ? null : this.#messages
    for (const { id, body, writable, clearable, extendedVersion: version, at } of options.capabilities ?? []) {
      this.#capabilities.add(id, body, writable, { at, version, clearable })
    }
    this.bridge = options.bridge === undefined ? null : new PciBridge(this.config, options.bridge)
    this.#decoders = new PciDecoders({
      name: this.#name(),
      config: this.config,
      bridge: this.bridge !== null,
      options,
      messages: this.#messages,
      mapBar: (bar) => host.mapBar(bar),
      forwarded: (window, base, length) => this.#forwarded(window, base, length),
      hasPortZero: () => host.hasPortZero?.() ?? false,
    })
    this.#setWritable()
    this.#powerOn()
  }

  #name(): string {
    return `PCI function ${String(this.#options.bus ?? 0)}:${this.device}.${this.function}`
  }

  /** See `PciFunction.bus`. */
  get bus(): number {
    return this.#host.parent === null ? this.#rootBus : (this.#host.parent.bridge as PciBridge).secondary
  }

  /** See `PciFunction.requester`. */
  get requester(): number {
    return (this.bus << 8) | (this.device << 3) | this.function
  }

  /** See `PciFunction.slot`. */
  get slot(): PciSlot | null {
    return this.#host.slot ?? null
  }

  /** Whether the slot below the bridge is connected; true without one. */
  get #connects(): boolean {
    return this.#host.slot?.connected ?? true
  }

  /** Whether the slot of the function is connected; true without one. */
  get #isIn(): boolean {
    return this.#host.within?.connected ?? true
  }

  /** Whether configuration cycles reach its bus through every bridge above. */
  get reachable(): boolean {
    const { parent } = this.#host
    return parent === null ? this.#isIn : this.bus !== 0 && parent.#passes(this.bus)
  }

  #passes(bus: number): boolean {
    if (!this.#connects) return false
    const { secondary, subordinate } = this.bridge as PciBridge
    if (secondary === 0 || bus < secondary || bus > subordinate) return false
    const { parent } = this.#host
    return parent === null ? this.#isIn : parent.#passes(bus)
  }

  #setWritable(): void {
    const mask = this.#writable
    putWord(mask, COMMAND, COMMAND_WRITABLE)
    mask[INTERRUPT_LINE] = 0xff
    // Cache line size and latency timer: software writes them and reads them back.
    mask[0x0c] = 0xff
    mask[0x0d] = 0xff
    this.bridge?.writableTo(mask)
    this.#decoders.writableTo(mask)
    this.#capabilities.writableTo(mask, this.#clearable)
    for (const [register, bits] of this.#options.writable ?? []) {
      if (register % 4 !== 0 || register < 0 || register >= mask.length) {
        throw new DeviceError(
          'ERR_INVALID',
          `writable configuration register ${register}: expected a multiple of 4 below ${mask.length}`,
        )
      }
      putLong(mask, register, bits)
    }
  }

  #powerOn(): void {
    const { config } = this
    const o = this.#options
    config.fill(0)
    putWord(config, VENDOR_ID, o.vendorId)
    putWord(config, DEVICE_ID, o.deviceId)
    putLong(config, REVISION_ID, ((o.classCode << 8) | (o.revisionId ?? 0)) >>> 0)
    config[HEADER_TYPE] = o.headerType ?? (this.bridge === null ? 0 : 1)
    if (this.bridge === null) {
      putWord(config, SUBSYSTEM_VENDOR_ID, o.subsystemVendorId ?? 0)
      putWord(config, SUBSYSTEM_ID, o.subsystemId ?? 0)
    } else this.bridge.writeTo(config)
    config[INTERRUPT_PIN] = o.interruptPin ?? 0
    this.#decoders.writeTo(config)
    this.#capabilities.writeTo(config)
    for (const [register, , initial] of o.writable ?? []) {
      if (initial !== undefined) putLong(config, register, initial)
    }
  }

  /** See `PciFunction.bar`. */
  bar(index: number): Region | null {
    return this.#decoders.bar(index)
  }

  /** See `PciFunction.capability`. */
  capability(id: number): number {
    return this.#capabilities.find(id)
  }

  #command(): number {
    return wordOf(this.config, COMMAND)
  }

  /** See `PciFunction.mayMaster`. */
  get mayMaster(): boolean {
    const { parent } = this.#host
    if ((this.#command() & COMMAND_BUS_MASTER) === 0) return false
    return parent === null ? this.#isIn : parent.#connects && parent.mayMaster
  }

  /** Re-reads command register, BARs and windows. */
  update(): void {
    this.#decoders.update(this.#command())
    this.#driveWire()
    this.#mastered = this.mayMaster
  }

  /** A bridge above has changed. */
  aboveChanged(): void {
    const before = this.#mastered
    this.update()
    if (this.#mastered !== before) this.#options.onWrite?.(COMMAND, 2)
  }

  #forwarded(window: WindowKind, base: number, bytes: number): boolean {
    const { parent } = this.#host
    if (parent === null) return this.#isIn
    if (!parent.#connects || !(parent.bridge as PciBridge).forwards(window, base, bytes)) return false
    return parent.#forwarded(window, base, bytes)
  }

  /** A message is a memory write: a function that may not be a bus master makes none. */
  #send(address: number, data: number): void {
    if (this.mayMaster) this.#host.signalMsi(address, data, this.requester)
  }

  #drive(level: boolean): void {
    this.#level = level
    this.#driveWire()
  }

  #driveWire(): void {
    this.config[STATUS] = (this.config[STATUS]! & ~STATUS_INTERRUPT) | (this.#level ? STATUS_INTERRUPT : 0)
    this.#host.wire?.set(this.#level && (this.#command() & COMMAND_INTERRUPT_DISABLE) === 0)
  }

  /** Reads configuration space; registers beyond its end read as ones. */
  configRead(register: number, size: number): number {
    this.#options.onRead?.(register, size)
    let value = 0
    for (let i = 0; i < size; i++) value |= (this.config[register + i] ?? 0xff) << (8 * i)
    return value >>> 0
  }

  /** Writes configuration space; read-only bits keep their value. */
  configWrite(register: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) {
      const at = register + i
      if (at >= this.config.length) break
      const mask = this.#writable[at]!
      const written = value >>> (8 * i)
      this.config[at] = ((this.config[at]! & ~mask) | (written & mask)) & ~(written & this.#clearable[at]!)
    }
    if (register < 0x40) this.update()
    this.#messages.update()
    if (this.bridge !== null && (register < BAR0 || PciBridge.concerns(register, size)))
      this.#host.bridgeChanged?.(this)
    this.#options.onWrite?.(register, size)
  }

  /** Returns to the state after power-on. */
  reset(): void {
    this.#level = false
    this.#messages.reset()
    this.#powerOn()
    this.update()
    if (this.bridge !== null) this.#host.bridgeChanged?.(this)
  }

  /** Returns configuration space, wire and message state. */
  save(): PciFunctionState {
    return {
      version: 2,
      config: Array.from(this.config),
      interruptLevel: this.#level,
      ...(this.#host.slot && { slot: { connected: this.#host.slot.connected } }),
      ...this.#messages.save(),
    }
  }

  /** Restores the state that `save` returned. @throws DeviceError */
  restore(state: PciFunctionState): void {
    if (state.version !== 2 || state.config.length !== this.config.length) {
      throw new DeviceError(
        'ERR_INVALID',
        `PCI function state of version ${state.version} with ${state.config.length} bytes: expected 2, with ${this.config.length}`,
      )
    }
    this.#messages.restore(state)
    this.config.set(state.config)
    this.#level = state.interruptLevel
    if (this.#host.slot !== undefined) this.#host.slot.connected = state.slot?.connected ?? false
    this.update()
    if (this.bridge !== null) this.#host.bridgeChanged?.(this)
  }
}

function checkIdentity(bus: number, device: number, fn: number): void {
  const inRange = (value: number, last: number): boolean => Number.isInteger(value) && value >= 0 && value <= last
  if (inRange(bus, 255) && inRange(device, 31) && inRange(fn, 7)) return
  throw new DeviceError(
    'ERR_INVALID',
    `PCI function ${hex(bus)}:${device}.${fn}: expected bus 0–255, device 0–31, function 0–7`,
  )
}
