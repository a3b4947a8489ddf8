import { MIB } from '@retrap/basics'
import {
  type AccessSize,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type DisplayBackend,
  type OwnedMemory,
  type Region,
  Stateful,
  type SynchronousRangeHandler,
} from '@retrap/device'
import { inputStatus, VgaRegisters } from './registers.ts'
import { Dac } from './dac.ts'
import { DISPI, Dispi } from './dispi.ts'
import { edidOf, type PreferredMode } from './edid.ts'
import { checkDeviceNumber } from '../pci-device-number.ts'
import { Planes, WINDOW_BYTES } from './planes.ts'
import { VgaDisplay } from './vga-display.ts'

/** Options of {@link StandardVga}. */
export interface StandardVgaOptions {
  /** The display that the picture is shown on; default none. */
  readonly display?: DisplayBackend
  /** PCI device number; default 2. */
  readonly device?: number
  /** The video BIOS for the card's expansion ROM, at most 64 KiB; default none. */
  readonly rom?: Uint8Array
  /** Bytes of the frame buffer: a power of two from 1 MiB to 256 MiB; default 16 MiB. */
  readonly memoryBytes?: number
  /**
   * The mode that its monitor says it prefers, up to 2560 by 1600; null: the monitor says nothing, and a card that is at VGA's
   * ports has no BAR 2. A video BIOS reads the monitor there by addresses above 64 KiB, which are #GP where its caller has left
   * the limits of real mode, as U-Boot does. Default 1280 by 800.
   */
  readonly preferredMode?: PreferredMode | null
  /**
   * Whether the card also responds at VGA's ports and in the window at 0xA0000; otherwise software finds it by its BARs
   * alone. Default true.
   */
  readonly legacy?: boolean
}

const WINDOW = 0xa_0000
const DIRECT_BYTES = 0x1_0000
/** Accesses after which mappable memory is mapped: software often changes registers after fewer. */
const ACCESSES_BEFORE_MAPPING = 64
const ROM_BYTES = 0x1_0000
const DEFAULT_MODE: PreferredMode = { width: 1280, height: 800 }
const REGISTERS_BYTES = 4096
const REGISTERS_VGA = 0x400
const REGISTERS_VGA_END = 0x420
const REGISTERS_DISPI = 0x500
const REGISTERS_DISPI_END = 0x516
const EXTENSION_BYTES = 0x600
const EXTENSION_ORDER = 0x604
const LITTLE_ENDIAN = 0x1e1e_1e1e
const DISPI_PORTS = 0x1ce

/**
 * The “standard VGA” of QEMU and Bochs, PCI 1234:1111: a VGA with modes up to 2560 by 1600 and 32 bits in a linear frame buffer.
 *
 * BAR 0 is the frame buffer, BAR 2 has the monitor's EDID and the registers; VGA's ports and the window at 0xA0000 are there
 * too, unless the board has no such places.
 *
 * Sources: IBM Personal System/2 Hardware Interface Technical Reference, "Video Subsystem"; Bochs, "VBE DISPI interface";
 * QEMU, docs/specs/standard-vga.rst.
 */
export class StandardVga extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'vga'
  /** Handlers answer at once. */
  readonly synchronous: boolean = true
  readonly #options: Required<Pick<StandardVgaOptions, 'device' | 'memoryBytes'>> & StandardVgaOptions
  readonly #registers = new VgaRegisters()
  readonly #dac = new Dac()
  readonly #dispi: Dispi
  readonly #edid: Uint8Array
  #planes!: Planes
  #memory!: OwnedMemory
  #display: VgaDisplay | null = null
  #context!: DeviceContext
  /** The window while it is mapped, and which part of the frame buffer it shows. */
  #window: Region | null = null
  #windowOffset = -1
  #accesses = 0

  /** @throws DeviceError `ERR_OPTION` */
  constructor(options: StandardVgaOptions = {}) {
    super()
    const { device = 2, memoryBytes = 16 * MIB, rom, preferredMode = DEFAULT_MODE } = options
    checkDeviceNumber('vga', device)
    if (!Number.isInteger(Math.log2(memoryBytes)) || memoryBytes < MIB || memoryBytes > 256 * MIB) {
      const expected = 'a power of two from 1 MiB to 256 MiB'
      throw new DeviceError('ERR_OPTION', `vga: ${memoryBytes} bytes of memory: expected ${expected}`)
    }
    if (rom !== undefined && rom.length > ROM_BYTES)
      throw new DeviceError('ERR_OPTION', `vga: a ROM of ${rom.length} bytes: expected at most ${ROM_BYTES}`)
    if (preferredMode !== null) checkMode(preferredMode)
    this.#edid = preferredMode === null ? new Uint8Array(0) : edidOf(preferredMode)
    this.#options = { ...options, device, memoryBytes }
    this.#dispi = new Dispi(memoryBytes, (bytes) => this.#planes.clear(bytes))
    this.keeps(
      {
        version: 1,
        registers: this.#registers,
        dac: this.#dac,
        dispi: (): Dispi => this.#dispi,
        latch: {
          save: (): number => this.#planes.latch,
          restore: (latch: number): void => void (this.#planes.latch = latch | 0),
          reset: (): void => void (this.#planes.latch = 0),
        },
      },
      {
        settled: (): void => {
          this.#dac.wide = this.#dispi.wideDac
          this.#configure()
        },
      },
    )
  }

  /**
   * Claims ports and window, and adds the PCI function.
   *
   * @throws DeviceError `ERR_PERMISSION` where the model's memory is out of reach, as in a process of its own
   */
  attach(context: DeviceContext): void {
    const { device, memoryBytes, rom, display, legacy = true } = this.#options
    this.#context = context
    this.#memory = context.ownMemory({ name: 'vram', bytes: memoryBytes })
    const bytes = this.#memory.view
    if (bytes === null)
      throw new DeviceError('ERR_PERMISSION', 'vga: its memory is out of reach: expected a thread of the machine')
    this.#planes = new Planes(bytes)
    this.#planes.configure(this.#registers, -1)
    if (legacy) this.#claimLegacy(context)
    context.pci.add({
      device,
      vendorId: 0x1234,
      deviceId: 0x1111,
      // The revision that has the registers from 0x600 on.
      revisionId: 2,
      classCode: 0x03_0000,
      subsystemVendorId: 0x1af4,
      subsystemId: 0x1100,
      bars: [
        { index: 0, kind: 'memory', prefetchable: true, memory: this.#memory },
        ...(legacy && this.#edid.length === 0
          ? []
          : [{ index: 2, kind: 'memory', bytes: REGISTERS_BYTES, handler: this.#registerBar() } as const]),
      ],
      ...(rom !== undefined && {
        expansionRom: {
          memory: context.ownMemory({
            name: 'rom',
            bytes: ROM_BYTES,
            kind: 'rom',
            executable: true,
            contents: rom,
            saved: false,
          }),
        },
      }),
    })
    if (display === undefined) return
    const parts = { display, clock: context.clock, registers: this.#registers, dac: this.#dac, dispi: this.#dispi }
    this.#display = new VgaDisplay({ ...parts, planes: this.#planes, memory: this.#memory, bytes })
    display.connect(this.#display)
  }

  #claimLegacy(context: DeviceContext): void {
    context.mapPorts(0x3b4, 2, this.#ports(0x3b4))
    context.mapPorts(0x3ba, 1, this.#ports(0x3ba))
    context.mapPorts(0x3c0, 16, this.#ports(0x3c0))
    context.mapPorts(0x3d4, 2, this.#ports(0x3d4))
    context.mapPorts(0x3da, 1, this.#ports(0x3da))
    context.mapPorts(DISPI_PORTS, 4, this.#dispiPorts(), { maximumAccess: 2 })
    context.mapMmio(WINDOW, WINDOW_BYTES, this.#windowHandler())
  }

  /** Ports from `first` on: larger accesses are bytes, the lowest first. */
  #ports(first: number): SynchronousRangeHandler {
    return {
      read: (offset, size) => {
        let value = 0
        for (let i = 0; i < size; i++) value |= this.#readPort(first + offset + i) << (8 * i)
        return value >>> 0
      },
      write: (offset, size, value) => {
        for (let i = 0; i < size; i++) this.#writePort(first + offset + i, (value >>> (8 * i)) & 0xff)
      },
    }
  }

  #readPort(port: number): number {
    const registers = this.#registers
    if (port >= 0x3c6 && port <= 0x3c9) return this.#dac.read(port - 0x3c6)
    if (port >= 0x3c0 && port <= 0x3cf) return registers.read(port)
    // The CRT controller answers at one of its two addresses, by the colour bit.
    if (port >= 0x3d0 !== registers.colour) return 0xff
    const register = port & 15
    if (register === 4 || register === 5) return registers.readCrtc(register - 4)
    if (register !== 10) return 0xff
    registers.expectAttributeIndex()
    return inputStatus(registers, this.#context.clock.now())
  }

  #writePort(port: number, value: number): void {
    const registers = this.#registers
    if (port >= 0x3c6 && port <= 0x3c9) this.#dac.write(port - 0x3c6, value)
    else if (port >= 0x3c0 && port <= 0x3cf) {
      registers.write(port, value)
      // Attributes and indices change nothing for memory.
      if (port === 0x3c2 || port === 0x3c5 || port === 0x3cf) this.#configure()
    } else if (port >= 0x3d0 === registers.colour) {
      const register = port & 15
      if (register === 4 || register === 5) registers.writeCrtc(register - 4, value)
      else if (register === 10) registers.writeFeatureControl(value)
    }
  }

  /** Index at 0x1CE, data at 0x1D0 and, off its alignment, at 0x1CF; words only. */
  #dispiPorts(): SynchronousRangeHandler {
    return {
      read: (offset, size) => {
        if (size !== 2) return 0xffff_ffff
        return offset === 0 ? this.#dispi.index : this.#dispi.read(this.#dispi.index)
      },
      write: (offset, size, value) => {
        if (size !== 2) return
        if (offset === 0) this.#dispi.index = value
        else this.#writeDispi(this.#dispi.index, value)
      },
    }
  }

  #writeDispi(index: number, value: number): void {
    this.#dispi.write(index, value)
    this.#dac.wide = this.#dispi.wideDac
    if (index === DISPI.enable || index === DISPI.bank || index === DISPI.bitsPerPixel) this.#configure()
  }

  #registerBar(): SynchronousRangeHandler {
    const ports = this.#ports(0x3c0)
    return {
      read: (offset, size) => {
        if (offset < this.#edid.length) return readBytes(this.#edid, offset, size)
        if (offset >= REGISTERS_VGA && offset < REGISTERS_VGA_END) return ports.read(offset - REGISTERS_VGA, size)
        if (offset >= REGISTERS_DISPI && offset < REGISTERS_DISPI_END)
          return size === 2 && offset % 2 === 0 ? this.#dispi.read((offset - REGISTERS_DISPI) >> 1) : 0
        if (offset === EXTENSION_BYTES) return 8
        return offset === EXTENSION_ORDER ? LITTLE_ENDIAN : 0
      },
      write: (offset, size, value) => {
        if (offset >= REGISTERS_VGA && offset < REGISTERS_VGA_END) ports.write(offset - REGISTERS_VGA, size, value)
        else if (offset >= REGISTERS_DISPI && offset < REGISTERS_DISPI_END && size === 2 && offset % 2 === 0)
          this.#writeDispi((offset - REGISTERS_DISPI) >> 1, value)
      },
    }
  }

  #windowHandler(): SynchronousRangeHandler {
    return {
      read: (offset: number, size: AccessSize): number => {
        const planes = this.#planes
        this.#considerMapping()
        let value = planes.read(offset)
        for (let i = 1; i < size; i++) value |= planes.read(offset + i) << (8 * i)
        return value >>> 0
      },
      write: (offset: number, size: AccessSize, value: number): void => {
        const planes = this.#planes
        this.#considerMapping()
        for (let i = 0; i < size; i++) planes.write(offset + i, (value >>> (8 * i)) & 0xff)
      },
    }
  }

  /** Maps the window after a while in which the registers have let it be memory. */
  #considerMapping(): void {
    if (this.#windowOffset < 0 || ++this.#accesses !== ACCESSES_BEFORE_MAPPING) return
    this.#window = this.#context.mapMemory(WINDOW, this.#memory, {
      offset: this.#windowOffset,
      bytes: DIRECT_BYTES,
      priority: 1,
    })
  }

  #configure(): void {
    const dispi = this.#dispi
    const linear = dispi.enabled && dispi.bitsPerPixel !== 4
    this.#planes.configure(this.#registers, linear ? dispi.bankOffset : -1)
    const direct = this.#planes.direct
    if (direct === this.#windowOffset) return
    this.#windowOffset = direct
    this.#accesses = 0
    this.#window?.unmap()
    this.#window = null
  }

  /** Reports to the machine the ranges of video memory that were written since the last report. */
  quiesce(): void {
    this.#planes.takeTouched((offset, bytes) => this.#memory.modified(offset, bytes))
  }
}

/** @throws DeviceError `ERR_OPTION` for a mode that the card does not have */
function checkMode({ width, height }: PreferredMode): void {
  const isWithin = (side: number, least: number, most: number): boolean =>
    Number.isInteger(side) && side >= least && side <= most
  if (isWithin(width, 320, 2560) && isWithin(height, 200, 1600)) return
  const expected = 'from 320 by 200 to 2560 by 1600'
  throw new DeviceError('ERR_OPTION', `vga: a preferred mode of ${width} by ${height}: expected one ${expected}`)
}

/** Reads a little-endian number; 0 beyond the end. */
function readBytes(bytes: Uint8Array, at: number, size: number): number {
  let value = 0
  for (let i = 0; i < size; i++) value |= (bytes[at + i] ?? 0) << (8 * i)
  return value >>> 0
}
