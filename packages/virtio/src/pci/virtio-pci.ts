import {
  type AccessSize,
  type DeviceContext,
  DeviceError,
  type PciBarOptions,
  type PciCapability,
  type PciFunction,
  type PlainState,
  viewed,
} from '@retrap/device'
import { NO_VECTOR } from '../queue.ts'
import type { VirtioCore } from '../virtio-core.ts'
import type { VirtioDevice, VirtioRingOptions } from '../virtio-device.ts'
import { VirtioTransport } from '../virtio-transport.ts'
import { COMMON_BYTES, CommonConfiguration } from './common-configuration.ts'
import { hasLegacy, identityOf, romFor } from './identity.ts'
import { LEGACY_BYTES, LegacyRegisters } from './legacy-registers.ts'

/** Options of {@link VirtioPci}. */
export interface VirtioPciOptions extends VirtioRingOptions {
  /** The bus: a bridge's `busName`; default bus 0. */
  readonly bus?: string | undefined
  /** PCI device number on the device's bus. */
  readonly device: number
  /** PCI function number; default 0. */
  readonly function?: number
  /** Whether the device has the interface of legacy drivers. Default: where the device type has one, or `modern` is false. */
  readonly legacy?: boolean | undefined
  /** Whether the device has the interface of drivers of version 1.0 and later. Default true. */
  readonly modern?: boolean | undefined
  /** Number of MSI-X vectors, 0 for none. Default one for each queue, and one for changes of configuration. */
  readonly vectors?: number | undefined
  /** A boot program in the expansion ROM, at most 1 MiB; default none. */
  readonly rom?: Uint8Array | undefined
}

const MOST_ROM_BYTES = 2 ** 20

/** Saved state of a {@link VirtioPci}. */
export type VirtioPciState = PlainState

const LEGACY_BAR = 0
const MSIX_BAR = 1
const MODERN_BAR = 4
const REGION_BYTES = 0x1000
const MODERN_BYTES = 4 * REGION_BYTES
/** Regions of the modern BAR, in this order. */
const COMMON = 0
const ISR = 1
const CONFIG = 2
const NOTIFY = 3
const NOTIFY_STEP = 4

const CAPABILITY_VENDOR = 0x09
const TYPE_COMMON = 1
const TYPE_NOTIFY = 2
const TYPE_ISR = 3
const TYPE_CONFIG = 4
const TYPE_PCI_ACCESS = 5
const PCI_ACCESS_AT = 0xa4
const PCI_ACCESS_DATA = PCI_ACCESS_AT + 16

const COMMAND_REGISTER = 4
const ISR_QUEUE = 1
const ISR_CONFIG = 2

/**
 * A virtio device on the PCI bus, with the modern interface, the legacy one, or both.
 *
 * Source: VIRTIO 1.2, §4.1, "Virtio Over PCI Bus".
 */
export class VirtioPci extends VirtioTransport {
  readonly #options: VirtioPciOptions
  readonly #legacy: boolean
  readonly #modern: boolean
  readonly #vectors: number
  #common: CommonConfiguration | null = null
  #legacyRegisters: LegacyRegisters | null = null
  #pci: PciFunction | null = null

  /** @throws DeviceError `ERR_OPTION` */
  constructor(device: VirtioDevice, options: VirtioPciOptions) {
    super(device)
    const { modern = true, legacy = !modern || hasLegacy(device.type), vectors = device.queues.length + 1 } = options
    const bad = (what: string): DeviceError => new DeviceError('ERR_OPTION', `${device.name}: ${what}`)
    if (!modern && !legacy) throw bad('neither modern nor legacy: expected at least one of them')
    if (legacy && !hasLegacy(device.type)) throw bad(`device type ${device.type} has no legacy interface`)
    if (!Number.isInteger(vectors) || vectors < 0 || vectors > 2048)
      throw bad(`${vectors} MSI-X vectors: expected 0 to 2048`)
    if ((options.rom?.length ?? 0) > MOST_ROM_BYTES)
      throw bad(`a ROM of ${options.rom?.length} bytes: expected at most ${MOST_ROM_BYTES}`)
    this.#options = options
    this.#legacy = legacy
    this.#modern = modern
    this.#vectors = vectors
    this.keeps({
      version: 1,
      isr: this.isrPart,
      core: () => this.core,
      common: () => this.#common,
      legacySelect: viewed(
        () => this.#legacyRegisters?.queueSelect ?? 0,
        (select) => this.#selectLegacy(select),
      ),
    })
  }

  /** Adds the PCI function. */
  attach(context: DeviceContext): void {
    const core: VirtioCore = this.connect(context, this.#options, {
      mayReachMemory: () => this.#pci?.mayMaster ?? false,
      interruptQueue: (queue) => this.#interrupt(queue.vector, ISR_QUEUE),
      interruptConfig: () => this.#interrupt(core.configVector, ISR_CONFIG),
    })
    this.#common = new CommonConfiguration(core, this.#vectors)
    this.#legacyRegisters = new LegacyRegisters(core, {
      vectors: this.#vectors,
      usesMsix: () => this.#pci?.messages?.mode === 'msix',
      takeIsr: () => this.#takeIsr(),
    })
    const identity = identityOf(this.device.type, this.#legacy)
    this.#pci = context.pci.add({
      ...identity,
      bus: this.#options.bus ?? 0,
      device: this.#options.device,
      function: this.#options.function ?? 0,
      interruptPin: 1,
      bars: this.#bars(),
      capabilities: this.#modern ? this.#capabilities() : [],
      ...(this.#options.rom !== undefined && { expansionRom: romFor(context, this.#options.rom, identity) }),
      ...(this.#vectors > 0 && { msix: { vectors: this.#vectors, table: { bar: MSIX_BAR } } }),
      onRead: (register: number, size: number): void => this.#beforeConfigRead(register, size),
      onWrite: (register: number, size: number): void => this.#configWritten(register, size),
    })
  }

  // ---- Layout ----

  #bars(): PciBarOptions[] {
    const bars: PciBarOptions[] = []
    const config = this.device.config?.length ?? 0
    if (this.#legacy) {
      const bytes = 2 ** Math.ceil(Math.log2(LEGACY_BYTES + config))
      const registers = this.#legacyRegisters!
      const handler = {
        read: (offset: number, size: AccessSize): number => registers.read(offset, size),
        write: (offset: number, size: AccessSize, value: number): void => registers.write(offset, size, value),
      }
      bars.push({ index: LEGACY_BAR, kind: 'io', bytes, handler })
    }
    if (this.#modern) {
      const handler = {
        read: (offset: number, size: AccessSize): number => this.#readModern(offset, size),
        write: (offset: number, size: AccessSize, value: number): void => this.#writeModern(offset, size, value),
      }
      bars.push({ index: MODERN_BAR, kind: 'memory64', prefetchable: true, bytes: MODERN_BYTES, handler })
    }
    return bars
  }

  #capabilities(): PciCapability[] {
    const { queues, config } = this.device
    return [
      structure(TYPE_COMMON, COMMON, COMMON_BYTES),
      structure(TYPE_ISR, ISR, 1),
      structure(TYPE_CONFIG, CONFIG, Math.max(config?.length ?? 0, 4)),
      structure(TYPE_NOTIFY, NOTIFY, NOTIFY_STEP * Math.max(queues.length, 1), NOTIFY_STEP),
      pciAccess(),
    ]
  }

  // ---- Registers ----

  #readModern(offset: number, size: number): number {
    const at = offset % REGION_BYTES
    switch (Math.floor(offset / REGION_BYTES)) {
      case COMMON:
        return this.#common!.read(at, size)
      case ISR:
        return at === 0 ? this.#takeIsr() : 0
      case CONFIG:
        return this.core!.readConfig(at, size)
      default:
        return 0
    }
  }

  #writeModern(offset: number, size: number, value: number): void {
    const at = offset % REGION_BYTES
    switch (Math.floor(offset / REGION_BYTES)) {
      case COMMON:
        this.#common!.write(at, size, value)
        break
      case CONFIG:
        this.core!.writeConfig(at, size, value)
        break
      case NOTIFY:
        // The address of a notification selects the queue; the written value repeats its number.
        if (at % NOTIFY_STEP === 0) this.core!.notify(at / NOTIFY_STEP)
        break
    }
  }

  /** Whether configuration bytes touch the data field of the capability that reaches BARs. */
  #touchesData(register: number, size: number): boolean {
    return this.#modern && register < PCI_ACCESS_DATA + 4 && register + size > PCI_ACCESS_DATA
  }

  /** The access that the PCI configuration access capability describes; null if invalid. */
  #pciAccess(): { readonly offset: number; readonly length: AccessSize; readonly data: DataView } | null {
    const { config } = this.#pci!
    const view = new DataView(config.buffer, config.byteOffset + PCI_ACCESS_AT, 20)
    const [offset, length] = [view.getUint32(8, true), view.getUint32(12, true)]
    const fits = (length === 1 || length === 2 || length === 4) && offset % length === 0
    if (view.getUint8(4) !== MODERN_BAR || !fits || offset + length > MODERN_BYTES) return null
    return { offset, length, data: view }
  }

  #beforeConfigRead(register: number, size: number): void {
    if (this.#pci === null || !this.#touchesData(register, size)) return
    const access = this.#pciAccess()
    if (access !== null) access.data.setUint32(16, this.#readModern(access.offset, access.length), true)
  }

  #configWritten(register: number, size: number): void {
    // Requests may have waited for the right to reach memory.
    if (register <= COMMAND_REGISTER) this.core?.poll()
    if (this.#pci === null || !this.#touchesData(register, size)) return
    const access = this.#pciAccess()
    if (access === null) return
    const value = access.data.getUint32(16, true)
    this.#writeModern(access.offset, access.length, (value & (2 ** (8 * access.length) - 1)) >>> 0)
  }

  // ---- Interrupts ----

  #interrupt(vector: number, bit: number): void {
    const messages = this.#pci?.messages ?? null
    if (messages === null || messages.mode === 'none') this.setIsr(this.isr | bit)
    else if (vector !== NO_VECTOR) messages.signal(vector)
  }

  /** Sets the level of the interrupt line. */
  protected drive(level: boolean): void {
    this.#pci?.interrupt?.set(level)
  }

  #takeIsr(): number {
    const isr = this.isr
    this.setIsr(0)
    return isr
  }

  // ---- Machine ----

  #selectLegacy(queue: number): void {
    if (this.#legacyRegisters !== null) this.#legacyRegisters.queueSelect = queue
  }

  /** Cancels what is under way, and returns to the state at power-on. */
  override reset(): void {
    super.reset()
    this.#selectLegacy(0)
  }
}

/** Returns a capability that describes a structure's place. */
function structure(type: number, region: number, bytes: number, step?: number): PciCapability {
  const body = new Uint8Array(step === undefined ? 14 : 18)
  const view = new DataView(body.buffer)
  body[0] = body.length + 2
  body[1] = type
  body[2] = MODERN_BAR
  view.setUint32(6, region * REGION_BYTES, true)
  view.setUint32(10, bytes, true)
  if (step !== undefined) view.setUint32(14, step, true)
  return { id: CAPABILITY_VENDOR, body }
}

/** The capability by which firmware reaches the structures through configuration space. */
function pciAccess(): PciCapability {
  const body = new Uint8Array(18)
  body[0] = body.length + 2
  body[1] = TYPE_PCI_ACCESS
  const writable = new Uint8Array(18)
  // BAR, offset, length and data.
  writable[2] = 0xff
  writable.fill(0xff, 6)
  return { id: CAPABILITY_VENDOR, body, writable, at: PCI_ACCESS_AT }
}
