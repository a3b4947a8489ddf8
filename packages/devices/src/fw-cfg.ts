import { TWO_32 } from '@retrap/basics'
import {
  type AccessSize,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  restoreDeadline,
  savedDeadline,
  Stateful,
  type SynchronousRangeHandler,
  type Timer,
  type Word64,
} from '@retrap/device'

const PORT_SELECTOR = 0x510
const PORT_DMA = 0x514
/** Keys that every instance has. */
export const FW_CFG_KEY = {
  /** The text "QEMU". */
  signature: 0x00,
  /** Available interfaces: bit 0 the registers, bit 1 DMA. */
  id: 0x01,
  /** Bytes of RAM, 64 bits. */
  ramSize: 0x03,
  /** Processors at start, 16 bits. */
  cpus: 0x05,
  /** Most processors of the machine, 16 bits. */
  maximumCpus: 0x0f,
  /** The directory of named items. */
  fileDirectory: 0x19,
  /** Key of the first named item. */
  firstFile: 0x20,
} as const

const ID_TRADITIONAL = 1 << 0
const ID_DMA = 1 << 1
const NAME_BYTES = 56
const DIRECTORY_ENTRY_BYTES = 64
const LAST_KEY = 0x3fff
/** Bit 14 of a selector asked for write access once; bit 15 marks an architecture's own keys. */
const KEY_MASK = 0xbfff

const DMA_ERROR = 1 << 0
const DMA_READ = 1 << 1
const DMA_SKIP = 1 << 2
const DMA_SELECT = 1 << 3
const DMA_WRITE = 1 << 4
const DMA_BLOCK_BYTES = 16
/** "QEMU CFG", which the DMA register reads as. */
const DMA_SIGNATURE = [0x51, 0x45, 0x4d, 0x55, 0x20, 0x43, 0x46, 0x47] as const
/** Bytes moved at once by a transfer; the rest follows in slices of this size. */
const SLICE_BYTES = 0x1_0000
/** Virtual time from one slice to the next: 1.3 GB/s. */
const SLICE_NS = 50_000
const ZEROES = new Uint8Array(SLICE_BYTES)

/** A blob that firmware reads by name or by key. */
export interface FwCfgItem {
  /** The contents; the device keeps a copy. */
  readonly bytes: Uint8Array
  /** Whether the guest may write the file, through DMA. Default false. */
  readonly writable?: boolean
  /** Called with the contents when the guest selects the item, before the read; the function may change them. */
  readonly onSelect?: (bytes: Uint8Array) => void
  /** Called with the contents after a write of the guest and after a restore; the function may change them. */
  readonly onWrite?: (bytes: Uint8Array) => void
  /** Called with the contents at a reset; the function may change them. Default: no change. */
  readonly onReset?: (bytes: Uint8Array) => void
}

/** Options of {@link FwCfg}. */
export interface FwCfgOptions {
  /** Items of the file directory, by path such as `etc/e820`; at most 55 characters. */
  readonly files?: Readonly<Record<string, FwCfgItem>>
  /** Items by number, 0x02 to 0x18 or 0x8000 and up. */
  readonly keys?: ReadonlyMap<number, FwCfgItem>
  /** Claims the registers; default at the ports of a PC. `fwCfgInMemory` of `@retrap/devices/arm` is for boards without. */
  readonly place?: (context: DeviceContext, registers: FwCfgRegisters) => void
}

/** The device's registers, independent of their addresses. */
export interface FwCfgRegisters {
  /** Selects an item. */
  select(key: number): void
  /** Reads the next byte of the item. */
  readByte(): number
  /** Reads the DMA register, which holds a signature. */
  readDma(offset: number, size: number): number
  /** Writes the half of the DMA register at offset 0 or 4, as the guest has it: big-endian. The low half starts the transfer. */
  writeDma(offset: number, value: number): void
}

/** A DMA read in progress. */
export interface FwCfgTransfer {
  /** Guest-physical address of the command, whose control field tells the guest of the end. */
  readonly gpa: number
  /** The item. */
  readonly key: number
  /** Offset of the next byte in the item. */
  readonly offset: number
  /** Guest-physical address of the next byte. */
  readonly address: number
  /** Bytes that are still to be moved. */
  readonly left: number
}

type Written = readonly (readonly [key: number, bytes: readonly number[]])[]

const wrong = (what: string): DeviceError => new DeviceError('ERR_OPTION', `fw-cfg: ${what}`)

/**
 * QEMU's firmware configuration device, by which SeaBIOS and OVMF learn of
 * the machine: selector and data at ports 0x510 and 0x511, DMA at 0x514, or
 * data, selector and DMA in memory. A DMA read of up to 64 KiB is done at once; a longer one goes on in slices while
 * the guest runs, and a command that is given meanwhile fails.
 *
 * Source: QEMU, docs/specs/fw_cfg.rst, "QEMU Firmware Configuration
 * (fw_cfg) Device".
 */
export class FwCfg extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'fw-cfg'
  readonly #items = new Map<number, FwCfgItem>()
  /** Names of the files, in the order of their keys. */
  readonly #names: readonly string[]
  readonly #place: NonNullable<FwCfgOptions['place']>
  #context: DeviceContext | null = null
  #timer: Timer | null = null
  readonly #r = this.keeps({
    version: 2,
    /** The selected item, and the position of the next byte in it. */
    key: 0,
    offset: 0,
    /** High half of the address that waits for its low half. */
    dmaHigh: 0,
    /** The read in progress. */
    transfer: null as FwCfgTransfer | null,
    nextSliceAt: {
      save: (): Word64 | null => (this.#r.transfer === null ? null : savedDeadline(this.#timer)),
      restore: (at: Word64 | null): void => restoreDeadline(this.#timer, at),
      reset: (): void => this.#timer?.cancel(),
    },
    /** Items that a guest may change, by key. */
    written: {
      save: () => [...this.#items].filter(([, item]) => mayChange(item)).map(([key, { bytes }]) => [key, [...bytes]]),
      restore: (written: Written): void => {
        this.#resetItems()
        for (const [key, bytes] of written) {
          const item = this.#items.get(key)!
          item.bytes.set(bytes)
          item.onWrite?.(item.bytes)
        }
      },
      reset: (): void => this.#resetItems(),
      stateFault: (written: unknown): string | undefined => {
        for (const [key, { length }] of written as Written) {
          const expected = this.#items.get(key)?.bytes.length ?? 'none'
          if (length !== expected) return ` has item ${key} of ${length} bytes: expected ${expected}`
        }
        return undefined
      },
    },
  })

  /** @throws DeviceError `ERR_OPTION` for a name or key that cannot be had */
  constructor(options: FwCfgOptions = {}) {
    super()
    this.#place = options.place ?? mapPorts
    this.#items.set(FW_CFG_KEY.signature, { bytes: Uint8Array.of(0x51, 0x45, 0x4d, 0x55) })
    this.#items.set(FW_CFG_KEY.id, { bytes: Uint8Array.of(ID_TRADITIONAL | ID_DMA, 0, 0, 0) })
    for (const [key, item] of options.keys ?? []) {
      if (
        !Number.isInteger(key) ||
        (key & ~KEY_MASK) !== 0 ||
        (key < 0x8000 && (key < 2 || key >= FW_CFG_KEY.fileDirectory))
      )
        throw wrong(`key ${key}: expected 0x02 to 0x18, or 0x8000 to 0xbfff`)
      this.#items.set(key, own(item))
    }
    const files = Object.entries(options.files ?? {})
    this.#names = files.map(([name]) => name)
    if (files.length > LAST_KEY - FW_CFG_KEY.firstFile)
      throw wrong(`${files.length} files: expected at most ${LAST_KEY - FW_CFG_KEY.firstFile}`)
    const directory = new Uint8Array(4 + DIRECTORY_ENTRY_BYTES * files.length)
    const view = new DataView(directory.buffer)
    view.setUint32(0, files.length)
    files.forEach(([name, item], index) => {
      if (name.length === 0 || name.length >= NAME_BYTES || !/^[\x20-\x7e]*$/.test(name))
        throw wrong(`file name '${name}': expected 1 to ${NAME_BYTES - 1} printable ASCII characters`)
      const at = 4 + DIRECTORY_ENTRY_BYTES * index
      view.setUint32(at, item.bytes.length)
      view.setUint16(at + 4, FW_CFG_KEY.firstFile + index)
      for (let i = 0; i < name.length; i++) directory[at + 8 + i] = name.charCodeAt(i)
      this.#items.set(FW_CFG_KEY.firstFile + index, own(item))
    })
    this.#items.set(FW_CFG_KEY.fileDirectory, { bytes: directory })
  }

  /**
   * Replaces a file's contents, after the guest has changed the facts that it describes.
   *
   * @throws DeviceError `ERR_OPTION` for an unknown name, or contents of another size
   */
  replaceFile(name: string, bytes: Uint8Array): void {
    const key = this.#names.indexOf(name) + FW_CFG_KEY.firstFile
    const size = this.#items.get(key)?.bytes.length
    if (key < FW_CFG_KEY.firstFile || size !== bytes.length) {
      throw wrong(`${bytes.length} bytes for '${name}': expected ${size ?? 'no such file'}`)
    }
    this.#items.set(key, { bytes })
  }

  /** Claims selector, data and DMA. */
  attach(context: DeviceContext): void {
    this.#context = context
    this.#timer = context.timer(() => this.#moveSlice())
    this.#place(context, {
      select: (key) => this.#select(key),
      readByte: () => this.#readByte(),
      readDma: readSignature,
      writeDma: (offset, value) => {
        if (offset === 0) this.#r.dmaHigh = swap32(value)
        else if (offset === 4) this.#command(this.#r.dmaHigh * TWO_32 + swap32(value))
      },
    })
  }

  #resetItems(): void {
    for (const { bytes, onReset } of this.#items.values()) onReset?.(bytes)
  }

  #select(value: number): void {
    this.#r.key = value & KEY_MASK
    this.#r.offset = 0
    const item = this.#items.get(this.#r.key)
    item?.onSelect?.(item.bytes)
  }

  #readByte(): number {
    // Reads beyond the end, and of unknown keys, give zeroes.
    return this.#items.get(this.#r.key)?.bytes[this.#r.offset++] ?? 0
  }

  #command(gpa: number): void {
    this.#r.dmaHigh = 0
    const dma = this.#context?.dma
    const block = new Uint8Array(DMA_BLOCK_BYTES)
    if (dma === undefined || !dma.read(gpa, block)) return
    const view = new DataView(block.buffer)
    const control = view.getUint32(0)
    const length = view.getUint32(4)
    const address = view.getUint32(8) * TWO_32 + view.getUint32(12)
    // The register takes one command at a time.
    if (this.#r.transfer !== null) return this.#finish(gpa, false)
    if ((control & DMA_SELECT) !== 0) this.#select(control >>> 16)
    if ((control & DMA_READ) !== 0) {
      this.#r.transfer = { gpa, key: this.#r.key, offset: this.#r.offset, address, left: length }
      this.#r.offset += length
      this.#moveSlice()
    } else if ((control & DMA_WRITE) !== 0) this.#finish(gpa, this.#copyIn(address, length))
    else {
      if ((control & DMA_SKIP) !== 0) this.#r.offset = Math.min(this.#r.offset + length, Number.MAX_SAFE_INTEGER)
      this.#finish(gpa, true)
    }
  }

  /** Zero in the control field says done: the guest looks at it until then. */
  #finish(gpa: number, good: boolean): void {
    const control = new Uint8Array(4)
    new DataView(control.buffer).setUint32(0, good ? 0 : DMA_ERROR)
    this.#context?.dma.write(gpa, control)
  }

  /** Copies a part of an item to the guest, zeroes behind its end; the next part follows by itself. */
  #moveSlice(): void {
    const transfer = this.#r.transfer
    if (transfer === null) return
    const { gpa, key, offset, address, left } = transfer
    const length = Math.min(left, SLICE_BYTES)
    const bytes = this.#items.get(key)?.bytes
    const held = Math.max(0, Math.min(length, (bytes?.length ?? 0) - offset))
    const dma = this.#context?.dma
    const good =
      (held === 0 || dma?.write(address, bytes!.subarray(offset, offset + held)) === true) &&
      (held === length || dma?.write(address + held, ZEROES.subarray(0, length - held)) === true)
    if (!good || left === length) {
      this.#r.transfer = null
      this.#finish(gpa, good)
      return
    }
    this.#r.transfer = { gpa, key, offset: offset + length, address: address + length, left: left - length }
    this.#timer?.armAfter(SLICE_NS)
  }

  #copyIn(address: number, length: number): boolean {
    const item = this.#items.get(this.#r.key)
    if (item?.writable !== true || this.#r.offset + length > item.bytes.length) return false
    const bytes = new Uint8Array(length)
    if (this.#context?.dma.read(address, bytes) !== true) return false
    item.bytes.set(bytes, this.#r.offset)
    item.onWrite?.(item.bytes)
    this.#r.offset += length
    return true
  }
}

/** Maps the registers at a PC's ports. */
function mapPorts(context: DeviceContext, registers: FwCfgRegisters): void {
  const ports: SynchronousRangeHandler = {
    // The selector is write-only; the data port is a byte wide.
    read: (offset: number, size: AccessSize): number => (offset === 1 && size === 1 ? registers.readByte() : 0),
    write: (offset: number, size: AccessSize, value: number): void => {
      if (offset === 0 && size === 2) registers.select(value)
    },
  }
  const dma: SynchronousRangeHandler = {
    read: (offset: number, size: AccessSize): number => registers.readDma(offset, size),
    write: (offset: number, size: AccessSize, value: number): void => {
      if (size === 4) registers.writeDma(offset, value)
    },
  }
  context.mapPorts(PORT_SELECTOR, 2, ports, { maximumAccess: 2 })
  context.mapPorts(PORT_DMA, 8, dma)
}

function readSignature(offset: number, size: number): number {
  let value = 0
  for (let i = 0; i < size; i++) value += (DMA_SIGNATURE[offset + i] ?? 0) * 2 ** (8 * i)
  return value
}

const mayChange = ({ writable, onSelect }: FwCfgItem): boolean => writable === true || onSelect !== undefined

/** A guest's writes go to a copy. */
const own = (item: FwCfgItem): FwCfgItem => (mayChange(item) ? { ...item, bytes: item.bytes.slice() } : item)

const swap32 = (value: number): number =>
  (((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0

const SELECTOR = 0x08
const DMA = 0x10
const BYTES = 0x18

/**
 * Places the registers of a `FwCfg` in memory: data, selector and DMA, 24 bytes. The latter two are big-endian, and reads of
 * data give the item's bytes in their order.
 *
 * @param base - guest-physical address
 *
 * Source: QEMU, docs/specs/fw_cfg.rst, "Register Locations".
 */
export const fwCfgInMemory =
  (base: number) =>
  (context: DeviceContext, registers: FwCfgRegisters): void => {
    const read = (offset: number, size: number): number => {
      if (offset >= DMA) return registers.readDma(offset - DMA, size)
      let value = 0
      if (offset < SELECTOR) for (let i = 0; i < size; i++) value += registers.readByte() * 2 ** (8 * i)
      return value
    }
    const handler: SynchronousRangeHandler = {
      read,
      write: (offset: number, size: AccessSize, value: number): void => {
        if (offset === SELECTOR && size === 2) registers.select((value >> 8) | ((value & 0xff) << 8))
        else if (offset >= DMA && size === 4) registers.writeDma(offset - DMA, value)
      },
      read64: (offset: number, into: Word64): void => {
        into.lo = read(offset, 4)
        into.hi = read(offset >= DMA ? offset + 4 : offset, 4)
      },
      write64: (offset: number, lo: number, hi: number): void => {
        if (offset !== DMA) return
        registers.writeDma(0, lo)
        registers.writeDma(4, hi)
      },
    }
    context.mapMmio(base, BYTES, handler, { maximumAccess: 8 })
  }
