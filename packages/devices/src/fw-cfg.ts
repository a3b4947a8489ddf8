import {
  type AccessSize,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  savedState,
  type SynchronousRangeHandler,
} from '@retrap/device'

const PORT_SELECTOR = 0x510
const PORT_DMA = 0x514
/** Keys that every instance has. */
export const FW_CFG_KEY = {
  /** The text "QEMU". */
  signature: 0x00,
  /** Interfaces that are there: bit 0 the registers, bit 1 DMA. */
  id: 0x01,
  /** Bytes of RAM, 64 bits. */
  ramSize: 0x03,
  /** Processors at start, 16 bits. */
  cpus: 0x05,
  /** Processors that there may be, 16 bits. */
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
const TWO32 = 2 ** 32
const CHUNK_BYTES = 0x1_0000
const ZEROES = new Uint8Array(CHUNK_BYTES)

/** A blob that firmware reads by name or by key. */
export interface FwCfgItem {
  /** The contents; the device keeps a copy. */
  readonly bytes: Uint8Array
  /** The guest may write it, through DMA. Default false. */
  readonly writable?: boolean
}

/** Options of {@link FwCfg}. */
export interface FwCfgOptions {
  /** Items of the file directory, by path such as `etc/e820`; at most 55 characters. */
  readonly files?: Readonly<Record<string, FwCfgItem>>
  /** Items by number, 0x02 to 0x18 or 0x8000 and up. */
  readonly keys?: ReadonlyMap<number, FwCfgItem>
}

/** Saved form of a {@link FwCfg}; of the items only what a guest can have changed. */
export interface FwCfgState {
  /** Layout of the state. */
  readonly version: 1
  /** The selected item. */
  readonly key: number
  /** Position of the next byte in it. */
  readonly offset: number
  /** High half of the address that waits for its low half. */
  readonly dmaHigh: number
  /** Items that a guest may write, by key, with their contents. */
  readonly written: readonly (readonly [key: number, bytes: readonly number[]])[]
}

/**
 * QEMU's firmware configuration device, by which SeaBIOS and OVMF learn of
 * the machine: selector and data at ports 0x510 and 0x511, DMA at 0x514.
 *
 * Source: QEMU, docs/specs/fw_cfg.rst, "QEMU Firmware Configuration
 * (fw_cfg) Device".
 */
export class FwCfg implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'fw-cfg'
  readonly #items = new Map<number, FwCfgItem>()
  #key = 0
  #offset = 0
  #dmaHigh = 0
  #context: DeviceContext | null = null

  /** @throws DeviceError `ERR_OPTION` for a name or key that cannot be had */
  constructor(options: FwCfgOptions = {}) {
    this.#items.set(FW_CFG_KEY.signature, { bytes: Uint8Array.of(0x51, 0x45, 0x4d, 0x55) })
    this.#items.set(FW_CFG_KEY.id, { bytes: Uint8Array.of(ID_TRADITIONAL | ID_DMA, 0, 0, 0) })
    for (const [key, item] of options.keys ?? []) {
      if (
        !Number.isInteger(key) ||
        (key & ~KEY_MASK) !== 0 ||
        (key < 0x8000 && (key < 2 || key >= FW_CFG_KEY.fileDirectory))
      )
        throw new DeviceError('ERR_OPTION', `fw-cfg: key ${key}: expected 0x02 to 0x18, or 0x8000 to 0xbfff`)
      this.#items.set(key, own(item))
    }
    const files = Object.entries(options.files ?? {})
    if (files.length > LAST_KEY - FW_CFG_KEY.firstFile)
      throw new DeviceError(
        'ERR_OPTION',
        `fw-cfg: ${files.length} files: expected at most ${LAST_KEY - FW_CFG_KEY.firstFile}`,
      )
    const directory = new Uint8Array(4 + DIRECTORY_ENTRY_BYTES * files.length)
    const view = new DataView(directory.buffer)
    view.setUint32(0, files.length)
    files.forEach(([name, item], index) => {
      if (name.length === 0 || name.length >= NAME_BYTES || !/^[\x20-\x7e]*$/.test(name))
        throw new DeviceError(
          'ERR_OPTION',
          `fw-cfg: file name '${name}': expected 1 to ${NAME_BYTES - 1} printable ASCII characters`,
        )
      const at = 4 + DIRECTORY_ENTRY_BYTES * index
      view.setUint32(at, item.bytes.length)
      view.setUint16(at + 4, FW_CFG_KEY.firstFile + index)
      for (let i = 0; i < name.length; i++) directory[at + 8 + i] = name.charCodeAt(i)
      this.#items.set(FW_CFG_KEY.firstFile + index, own(item))
    })
    this.#items.set(FW_CFG_KEY.fileDirectory, { bytes: directory })
  }

  /** Claims selector, data and DMA ports. */
  attach(context: DeviceContext): void {
    this.#context = context
    const ports: SynchronousRangeHandler = {
      read: (offset: number, size: AccessSize): number => {
        // The selector is write-only; the data port is a byte wide.
        if (offset === 1 && size === 1) return this.#readByte()
        return 0
      },
      write: (offset: number, size: AccessSize, value: number): void => {
        if (offset === 0 && size === 2) this.#select(value)
      },
    }
    const dma: SynchronousRangeHandler = {
      read: (offset: number, size: AccessSize): number => {
        let value = 0
        for (let i = 0; i < size; i++) value += (DMA_SIGNATURE[offset + i] ?? 0) * 2 ** (8 * i)
        return value
      },
      write: (offset: number, size: AccessSize, value: number): void => {
        if (size !== 4) return
        // The register is big-endian: its high half comes first, and the low half starts the transfer.
        if (offset === 0) this.#dmaHigh = swap32(value)
        else if (offset === 4) this.#transfer(this.#dmaHigh * TWO32 + swap32(value))
      },
    }
    context.mapPorts(PORT_SELECTOR, 2, ports, { maximumAccess: 2 })
    context.mapPorts(PORT_DMA, 8, dma)
  }

  #select(value: number): void {
    this.#key = value & KEY_MASK
    this.#offset = 0
  }

  #readByte(): number {
    // Past the end, and for keys that are not there, there are zeroes.
    return this.#items.get(this.#key)?.bytes[this.#offset++] ?? 0
  }

  #transfer(gpa: number): void {
    this.#dmaHigh = 0
    const dma = this.#context?.dma
    const block = new Uint8Array(DMA_BLOCK_BYTES)
    if (dma === undefined || !dma.read(gpa, block)) return
    const view = new DataView(block.buffer)
    const control = view.getUint32(0)
    const length = view.getUint32(4)
    const address = view.getUint32(8) * TWO32 + view.getUint32(12)
    if ((control & DMA_SELECT) !== 0) this.#select(control >>> 16)
    let good = true
    if ((control & DMA_READ) !== 0) good = this.#copyOut(address, length)
    else if ((control & DMA_WRITE) !== 0) good = this.#copyIn(address, length)
    else if ((control & DMA_SKIP) !== 0) this.#offset = Math.min(this.#offset + length, Number.MAX_SAFE_INTEGER)
    // Zero says done; a transfer takes no time here.
    view.setUint32(0, good ? 0 : DMA_ERROR)
    dma.write(gpa, block.subarray(0, 4))
  }

  #copyOut(address: number, length: number): boolean {
    const bytes = this.#items.get(this.#key)?.bytes ?? new Uint8Array(0)
    for (let done = 0; done < length;) {
      const at = this.#offset + done
      const some = at < bytes.length ? bytes.subarray(at, Math.min(bytes.length, at + length - done)) : ZEROES
      const chunk = some.subarray(0, Math.min(some.length, length - done))
      if (this.#context?.dma.write(address + done, chunk) !== true) return false
      done += chunk.length
    }
    this.#offset += length
    return true
  }

  #copyIn(address: number, length: number): boolean {
    const item = this.#items.get(this.#key)
    if (item?.writable !== true || this.#offset + length > item.bytes.length) return false
    const bytes = new Uint8Array(length)
    if (this.#context?.dma.read(address, bytes) !== true) return false
    item.bytes.set(bytes, this.#offset)
    this.#offset += length
    return true
  }

  /** Selects the signature again. What the guest has written into items stays. */
  reset(): void {
    this.#key = 0
    this.#offset = 0
    this.#dmaHigh = 0
  }

  /** Returns the state as plain data. */
  save(): FwCfgState {
    const written = [...this.#items].filter(([, item]) => item.writable === true)
    return {
      version: 1,
      key: this.#key,
      offset: this.#offset,
      dmaHigh: this.#dmaHigh,
      written: written.map(([key, item]) => [key, [...item.bytes]] as const),
    }
  }

  /** Takes over a saved state. Throws `DeviceError` `ERR_STATE` for a state of another version. */
  restore(state: unknown): void {
    const saved = savedState<FwCfgState>(this.name, state, 1)
    for (const [key, bytes] of saved.written) {
      const item = this.#items.get(key)
      if (item === undefined || item.bytes.length !== bytes.length)
        throw new DeviceError(
          'ERR_STATE',
          `fw-cfg: saved item ${key} of ${bytes.length} bytes: expected ${item?.bytes.length ?? 'none'}`,
        )
      item.bytes.set(bytes)
    }
    this.#key = saved.key
    this.#offset = saved.offset
    this.#dmaHigh = saved.dmaHigh
  }
}

/** A guest's writes go to a copy. */
const own = (item: FwCfgItem): FwCfgItem =>
  item.writable === true ? { bytes: item.bytes.slice(), writable: true } : item

const swap32 = (value: number): number =>
  (((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0
