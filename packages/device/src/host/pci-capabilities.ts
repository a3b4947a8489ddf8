import { DeviceError, hex } from '../errors.ts'
import type { PciFunctionOptions } from '../pci-function.ts'
import { putWord } from './config-bytes.ts'

const STATUS = 0x06
const STATUS_CAPABILITIES = 1 << 4
const POINTER = 0x34
const FIRST = 0x40
const END = 0x100
const FIRST_EXTENDED = 0x100
const END_EXTENDED = 0x1000
/** A capability at its place in the list, with its limit. */
interface Placed {
  readonly id: number
  readonly at: number
  readonly body: Uint8Array
  readonly writable: Uint8Array
  readonly clearable: Uint8Array
  /** Version of an extended capability; −1 for one in the first 256 bytes. */
  readonly version: number
}

/**
 * Lays out the capabilities of a function, and links them.
 *
 * Source: PCI Local Bus Specification 3.0, §6.7, "Capabilities List"; PCI Express Base Specification 3.0, §7.9.
 */
export class PciCapabilities {
  readonly #name: string
  readonly #limit: number
  readonly #placed: Placed[] = []
  /** Whether a doubleword is taken. */
  readonly #taken: Uint8Array

  /**
   * @param name - the function, for errors
   * @param bytes - size of the function's configuration space
   */
  constructor(name: string, bytes: number, options: PciFunctionOptions) {
    this.#name = name
    this.#limit = bytes
    this.#taken = new Uint8Array(bytes / 4)
    for (const [register] of options.writable ?? []) if (register < bytes) this.#taken[register >>> 2] = 1
  }

  /**
   * Places one.
   *
   * @param body - bytes behind the header of 2 bytes, or 4 for an extended capability
   * @returns the capability's offset
   * @throws DeviceError `ERR_INVALID` for a place that does not exist, `ERR_EXISTS` for one that is taken, `ERR_NO_SPACE`
   */
  add(
    id: number,
    body: Uint8Array,
    writable: Uint8Array | undefined,
    place: {
      readonly at?: number | undefined
      readonly version?: number | undefined
      readonly clearable?: Uint8Array | undefined
    } = {},
  ): number {
    const extended = place.version !== undefined
    const bytes = (extended ? 4 : 2) + body.length
    const at = place.at ?? this.#free(bytes, extended)
    const [first, end] = extended ? [FIRST_EXTENDED, END_EXTENDED] : [FIRST, END]
    if (at % 4 !== 0 || at < first || at + bytes > Math.min(end, this.#limit)) {
      const range = `a multiple of 4 from ${hex(first)}, ending by ${hex(Math.min(end, this.#limit))}`
      throw new DeviceError(
        'ERR_INVALID',
        `${this.#name}: capability ${hex(id)} of ${bytes} bytes at ${hex(at)}: expected ${range}`,
      )
    }
    for (let i = at >>> 2; i < (at + bytes + 3) >>> 2; i++) {
      if (this.#taken[i] === 1)
        throw new DeviceError('ERR_EXISTS', `${this.#name}: register ${hex(4 * i)} of capability ${hex(id)} is taken`)
      this.#taken[i] = 1
    }
    const none = new Uint8Array(body.length)
    const { clearable = none, version = -1 } = place
    this.#placed.push({ id, at, body, writable: writable ?? none, clearable, version })
    return at
  }

  #free(bytes: number, extended: boolean): number {
    const longs = (bytes + 3) >>> 2
    const end = Math.min(extended ? END_EXTENDED : END, this.#limit) >>> 2
    for (let first = (extended ? FIRST_EXTENDED : FIRST) >>> 2; first + longs <= end; first++) {
      if (this.#taken.subarray(first, first + longs).every((taken) => taken === 0)) return 4 * first
    }
    throw new DeviceError(
      'ERR_NO_SPACE',
      `${this.#name}: no room for a capability of ${bytes} bytes in configuration space`,
    )
  }

  /** Returns the place of the first one with this ID, or −1. */
  find(id: number): number {
    return this.#placed.find((each) => each.id === id)?.at ?? -1
  }

  /** Writes the list and the bodies, as they are at power-on. */
  writeTo(config: Uint8Array): void {
    const plain = this.#placed.filter((each) => each.version < 0)
    const extended = this.#placed.filter((each) => each.version >= 0)
    const [head] = plain
    if (head !== undefined) {
      putWord(config, STATUS, config[STATUS]! | STATUS_CAPABILITIES)
      config[POINTER] = head.at
    }
    plain.forEach(({ id, at, body }, i) => {
      config[at] = id
      config[at + 1] = plain[i + 1]?.at ?? 0
      config.set(body, at + 2)
    })
    // The list of extended capabilities always begins at 0x100: an empty list has ID 0.
    if (extended.length > 0) extended.sort((a, b) => a.at - b.at)
    extended.forEach(({ id, at, body, version }, i) => {
      putWord(config, at, id)
      putWord(config, at + 2, (version & 0xf) | ((extended[i + 1]?.at ?? 0) << 4))
      config.set(body, at + 4)
    })
  }

  /** Sets the mask of writable bits, and of bits that a write of 1 clears. */
  writableTo(mask: Uint8Array, cleared: Uint8Array): void {
    for (const { at, writable, clearable, version } of this.#placed) {
      const from = at + (version < 0 ? 2 : 4)
      mask.set(writable, from)
      cleared.set(clearable, from)
    }
  }
}
