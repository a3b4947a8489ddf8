import type { PAGE_BYTES } from '@retrap/memory'
import { LoaderError, hex } from './errors.ts'
import { pageUp, ramFrom, type GuestMemoryWriter } from './guest-memory.ts'
import { EBDA_BASE } from './memory-map.ts'

const BDA = 0x400
const BDA_COM_PORTS = 0x00
const BDA_EBDA_SEGMENT = 0x0e
const BDA_EQUIPMENT = 0x10
const BDA_MEMORY_KIB = 0x13
const BDA_VIDEO_MODE = 0x49
const BDA_COLUMNS = 0x4a
const BDA_CRTC_PORT = 0x63
const BDA_LAST_ROW = 0x84
const BDA_CHARACTER_LINES = 0x85
const TEXT_MODE = 3
const COM_PORTS = 4
const EQUIPMENT_FPU = 0x02
const EQUIPMENT_SERIAL_SHIFT = 9

/**
 * Writes the few words of the BIOS data area that kernels look at when no
 * firmware has run: serial ports, the extended BIOS data area, the size of
 * base memory.
 *
 * Source: IBM PC/AT Technical Reference, "BIOS Data Area".
 */
export function writeBiosData(
  memory: GuestMemoryWriter,
  board: {
    /** First ports of the serial ports. */
    readonly serialPorts: readonly number[]
    /** Whether there is a graphics card, in text mode 3. */
    readonly hasScreen?: boolean | undefined
  },
): void {
  const area = new Uint8Array(0x100)
  const view = new DataView(area.buffer)
  const ports = board.serialPorts.slice(0, COM_PORTS)
  ports.forEach((port, i) => view.setUint16(BDA_COM_PORTS + 2 * i, port, true))
  view.setUint16(BDA_EBDA_SEGMENT, EBDA_BASE >> 4, true)
  view.setUint16(BDA_EQUIPMENT, EQUIPMENT_FPU | (ports.length << EQUIPMENT_SERIAL_SHIFT), true)
  view.setUint16(BDA_MEMORY_KIB, EBDA_BASE / 1024, true)
  if (board.hasScreen === true) {
    area[BDA_VIDEO_MODE] = TEXT_MODE
    view.setUint16(BDA_COLUMNS, 80, true)
    view.setUint16(BDA_CRTC_PORT, 0x3d4, true)
    area[BDA_LAST_ROW] = 24
    area[BDA_CHARACTER_LINES] = 16
  }
  memory.write(BDA, area)
}

/** Gives out RAM behind a loaded kernel, upwards, for modules and boot information. */
export class BootArea {
  readonly #memory: GuestMemoryWriter
  #next: number

  /** @param from - first free GPA; allocations come from the RAM range that contains it */
  constructor(memory: GuestMemoryWriter, from: number) {
    this.#memory = memory
    this.#next = pageUp(from)
  }

  /**
   * Copies bytes to the next page or, unaligned, to the next 16 bytes.
   *
   * @returns their GPA
   * @throws LoaderError `ERR_NO_ROOM` that names the bytes
   */
  place(what: string, bytes: Uint8Array, alignment: 16 | typeof PAGE_BYTES = 16): number {
    const at = Math.ceil(this.#next / alignment) * alignment
    const room = ramFrom(this.#memory, at)
    if (room < bytes.length)
      throw new LoaderError(
        'ERR_NO_ROOM',
        `${what} size`,
        `${bytes.length} bytes`,
        `at most ${room} bytes from ${hex(at)} on; give the machine more memory`,
      )
    this.#memory.write(at, bytes)
    this.#next = at + bytes.length
    return at
  }

  /** First GPA after all allocations. */
  get end(): number {
    return this.#next
  }
}

/** A growing little-endian structure. */
export class StructureWriter {
  readonly #bytes: number[] = []

  u32(...values: readonly number[]): this {
    for (const value of values) for (let i = 0; i < 4; i++) this.#bytes.push((value >>> (8 * i)) & 0xff)
    return this
  }

  u64(...values: readonly number[]): this {
    return this.u32(...values.flatMap((value) => [value % 2 ** 32, Math.floor(value / 2 ** 32)]))
  }

  get length(): number {
    return this.#bytes.length
  }

  /** The structure, padded with zeroes to `length` bytes. */
  finish(length: number = this.#bytes.length): Uint8Array {
    const out = new Uint8Array(length)
    out.set(this.#bytes)
    return out
  }
}
