import {
  type AccessSize,
  type DeviceContext,
  type DeviceModel,
  type InterruptLine,
  type PciFunction,
  type Region,
  Stateful,
} from '@retrap/device'
import { ICH_FIRST_OWN_DEVICE, ichInterruptLink, PciLinks } from '../pci-links.ts'
import { storage } from '../pci-device-number.ts'
import { placeRegion } from '../place-region.ts'

// Configuration registers.
const PMBASE = 0x40
const PMBASE_BITS = 0xff80
const ACPI_CNTL = 0x44
const ACPI_EN = 0x80
const ROUTES_A = 0x60
const ROUTES_E = 0x68
const RCBA = 0xf0
const RCBA_BITS = 0xffff_c000
const ENABLED = 1
const ROUTE_DISABLED = 0x80

const LINKS = 8

// The power-management block has PM1 and the timer first, which another model answers.
const PM_FIRST = 0x10
const PM_END = 0x80
const SMI_EN = 0x30
/** Writes to the SMI command port are seen. Firmware that finds it set leaves system-management mode alone. */
const APMC_EN = 1 << 5
const GBL_SMI_EN = 1 << 0
const GEN_PMCON_1 = 0xa0
/** SMI_LOCK in GEN_PMCON_1: GBL_SMI_EN, and this bit, stay as they are until a reset. */
const SMI_LOCK = 1 << 4

// Chipset configuration registers.
const CHIPSET_BYTES = 0x4000
/** Place of the interrupt routes of devices 31 down to 25. */
const INTERRUPT_ROUTES = [0x3140, 0x3142, 0x3144, 0x3146, 0x3148, 0x314c, 0x3150] as const
/** INTA to INTD lead to links A to D. */
const STRAIGHT = 0x3210

/** Options of {@link IchLpc}. */
export interface IchLpcOptions {
  /** Called with the first port of the power-management block; null: it is off. */
  readonly onPmBase?: (base: number | null) => void
  /** Whether the board has system-management mode; default false: firmware sees it as already in use. */
  readonly smm?: boolean
}

/**
 * LPC bridge of an ICH9 at 00:1f.0: identity, the routing of PCI interrupts, and the places of the power-management block
 * and of the chipset configuration registers, of which the interrupt routes are implemented. The wires of slots are QEMU's:
 * pin p of device d below 25 is link E + (d + p − 1) mod 4.
 *
 * A machine gives `interruptInput` to its device host as the wire of each function's pin, and `onPmBase` to its model of
 * the power-management block.
 *
 * Source: Intel I/O Controller Hub 9 Family data sheet (316972), "LPC Interface Bridge Registers (D31:F0)", "Chipset
 * Configuration Registers".
 */
export class IchLpc extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'lpc-bridge'
  readonly #options: IchLpcOptions
  readonly #interruptRoutes = new Uint16Array(INTERRUPT_ROUTES.length).fill(STRAIGHT)
  readonly #links: PciLinks = new PciLinks({
    links: LINKS,
    linkOf: (device, pin) => this.#linkOf(device, pin),
    route: (link) => this.#bridge?.config[link < 4 ? ROUTES_A + link : ROUTES_E + link - 4] ?? ROUTE_DISABLED,
  })
  readonly #r = this.keeps(
    { version: 1, wires: this.#links, smiEnable: 0, interruptRoutes: this.#interruptRoutes },
    {
      settled: (): void => {
        this.#smiLocked = false
        this.#place()
      },
    },
  )
  #smiLocked = false
  #bridge: PciFunction | null = null
  #pm: Region | null = null
  #chipset: Region | null = null

  constructor(options: IchLpcOptions = {}) {
    super()
    this.#options = options
    this.#r.smiEnable = this.#initialSmiEnable()
  }

  /** Whether writes to the SMI command port raise SMI#. */
  get seesCommands(): boolean {
    return (this.#r.smiEnable & APMC_EN) !== 0
  }

  #initialSmiEnable(): number {
    return this.#options.smm === true ? 0 : APMC_EN
  }

  /** Adds the PCI function and takes the lines that links drive. */
  attach(context: DeviceContext): void {
    this.#links.attach(context)
    this.#pm = context.mapPorts(
      PM_FIRST,
      PM_END - PM_FIRST,
      {
        read: (offset: number): number => (offset === SMI_EN - PM_FIRST ? this.#r.smiEnable : 0),
        write: (offset: number, _size: AccessSize, value: number): void => {
          if (offset !== SMI_EN - PM_FIRST) return
          this.#r.smiEnable = this.#smiLocked ? (value & ~GBL_SMI_EN) | (this.#r.smiEnable & GBL_SMI_EN) : value
        },
      },
      { minimumAccess: 4, disabled: true },
    )
    this.#chipset = context.mapMmio(
      0xfed1_c000,
      CHIPSET_BYTES,
      {
        read: (offset: number): number => this.#readChipset(offset),
        write: (offset: number, _size: AccessSize, value: number): void => this.#writeChipset(offset, value),
      },
      { maximumAccess: 1, disabled: true },
    )
    this.#bridge = context.pci.add({
      device: 31,
      vendorId: 0x8086,
      deviceId: 0x2918,
      revisionId: 2,
      classCode: 0x06_0100,
      headerType: 0x80,
      writable: [
        [PMBASE, PMBASE_BITS, ENABLED],
        [ACPI_CNTL, 0x87],
        // GPIOBASE and its control register, which have no effect.
        [0x48, 0xff80, ENABLED],
        [0x4c, 0x10],
        [ROUTES_A, 0x8f8f_8f8f, 0x8080_8080],
        // Serial interrupts.
        [0x64, 0xff, 0x10],
        [ROUTES_E, 0x8f8f_8f8f, 0x8080_8080],
        // Decoding of LPC ports.
        ...storage(0x80, 5),
        // GEN_PMCON_1 to GEN_PMCON_3.
        [0xa0, 0xffff_ffff],
        [0xa4, 0xff],
        // Firmware hub selection, decoding and control.
        [0xd0, 0xffff_ffff, 0x0011_2233],
        [0xd4, 0xffff, 0x4567],
        [0xd8, 0xff80, 0xffcf],
        [0xdc, 0x1f],
        [RCBA, RCBA_BITS | ENABLED],
      ],
      onWrite: (register: number, size: number): void => {
        if (register + size > ROUTES_A && register < ROUTES_E + 4) this.#links.update()
        this.#place()
      },
    })
  }

  /**
   * The wire of one function's interrupt pin.
   *
   * @param device - PCI device number on bus 0
   * @param pin - 1 to 4 for INTA to INTD
   */
  interruptInput(device: number, pin: number): InterruptLine {
    return this.#links.input(device, pin)
  }

  #linkOf(device: number, pin: number): number {
    if (device < ICH_FIRST_OWN_DEVICE) return ichInterruptLink(device, pin)
    return (this.#interruptRoutes[31 - device]! >> (4 * (pin - 1))) & 7
  }

  #readChipset(offset: number): number {
    const route = INTERRUPT_ROUTES.indexOf((offset & ~1) as (typeof INTERRUPT_ROUTES)[number])
    return route < 0 ? 0 : (this.#interruptRoutes[route]! >> (8 * (offset & 1))) & 0xff
  }

  #writeChipset(offset: number, value: number): void {
    const route = INTERRUPT_ROUTES.indexOf((offset & ~1) as (typeof INTERRUPT_ROUTES)[number])
    if (route < 0) return
    const shift = 8 * (offset & 1)
    this.#interruptRoutes[route] = (this.#interruptRoutes[route]! & ~(0xff << shift)) | ((value & 0x77) << shift)
    this.#links.update()
  }

  /** Follows PMBASE and RCBA with their enable bits. */
  #place(): void {
    const { config } = this.#bridge!
    if (this.#smiLocked) config[GEN_PMCON_1]! |= SMI_LOCK
    this.#smiLocked = (config[GEN_PMCON_1]! & SMI_LOCK) !== 0
    const view = new DataView(config.buffer, config.byteOffset)
    const pm = view.getUint16(PMBASE, true) & PMBASE_BITS
    const pmOn = (config[ACPI_CNTL]! & ACPI_EN) !== 0 && pm !== 0
    placeRegion(this.#pm, pm + PM_FIRST, pmOn)
    this.#options.onPmBase?.(pmOn ? pm : null)
    const chipset = view.getUint32(RCBA, true)
    placeRegion(this.#chipset, (chipset & RCBA_BITS) >>> 0, (chipset & ENABLED) !== 0)
  }

  /** Returns the registers to their state at power-on. */
  override reset(): void {
    super.reset()
    this.#r.smiEnable = this.#initialSmiEnable()
  }
}
