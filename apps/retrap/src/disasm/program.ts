/** The content of a file with machine code in it, whatever its format. */
import { CliError } from '../errors.ts'

export type Mode = 16 | 32 | 64

/** The processor that the code is for. */
export type Architecture = 'x86' | 'arm64' | 'arm' | 'thumb'

/** A stretch of code. */
export interface Section {
  readonly name: string
  readonly address: bigint
  readonly bytes: Uint8Array
  /** Names of places; those of other sections too, unless the file is not linked yet. */
  readonly symbols: readonly Symbol[]
  /** 32-bit Arm: where another instruction set or data begins, by address, as far as the file says. */
  readonly marks?: readonly Mark[]
}

/** A place from which on the bytes are of one kind. */
export interface Mark {
  readonly address: bigint
  readonly kind: 'arm' | 'thumb' | 'data'
}

/** A place with a name. */
export interface Symbol {
  readonly name: string
  readonly address: bigint
  /** Bytes; 0 if the file does not say. */
  readonly size: bigint
  /** Of several names for one place the one with the highest rank is shown. */
  readonly rank: number
}

export interface Program {
  readonly format: 'ELF' | 'PE' | 'raw'
  readonly architecture: Architecture
  /** Of x86 code; 64 for A64, 32 for A32 and Thumb. */
  readonly mode: Mode
  /** In the order of the file. */
  readonly sections: readonly Section[]
}

const decoder = new TextDecoder()
/** ASCII without control characters. */
const FIRST_PRINTABLE = 0x20
const LAST_PRINTABLE = 0x7e
/** A longer name is left to the decoder. */
const MAX_PLAIN = 1000
/** Names may share bytes of the file, but together have at most this many times its bytes. */
const MOST_SHARED = 16
const LEAST_TEXT_BYTES = 1 << 20

/** Fields of a file's headers. Whatever lies outside the file is a mistake of the file. */
export class FileReader {
  readonly bytes: Uint8Array
  readonly #view: DataView
  /** The same bytes, as what Node makes characters of. */
  readonly #characters: Buffer
  readonly #format: string
  /** Bytes of all texts so far. */
  #textBytes = 0

  constructor(bytes: Uint8Array, format: string) {
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#characters = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#format = format
  }

  /** @throws CliError `ERR_INPUT` */
  damaged(what: string): CliError {
    return new CliError('ERR_INPUT', `this ${this.#format} file is damaged: ${what}; --raw takes it as plain code`)
  }

  u8(at: number): number {
    return this.#view.getUint8(this.#inside(at, 1))
  }

  u16(at: number): number {
    return this.#view.getUint16(this.#inside(at, 2), true)
  }

  u32(at: number): number {
    return this.#view.getUint32(this.#inside(at, 4), true)
  }

  u64(at: number): bigint {
    return this.#view.getBigUint64(this.#inside(at, 8), true)
  }

  /** A part of the file, as a view. */
  slice(at: number, size: number): Uint8Array {
    return this.bytes.subarray(this.#inside(at, size), at + size)
  }

  /** A part of the file, for its fields. */
  view(at: number, size: number): DataView {
    const { buffer, byteOffset } = this.slice(at, size)
    return new DataView(buffer, byteOffset, size)
  }

  /** Text that ends with a zero, or after `limit` bytes. It is for a terminal, which no file may give orders to. */
  text(at: number, limit: number = Number.MAX_SAFE_INTEGER): string {
    this.#inside(at, 0)
    const { bytes } = this
    const last = Math.min(bytes.length, at + limit)
    const lastPlain = Math.min(last, at + MAX_PLAIN)
    let end = at
    let byte = 0
    // Nearly all names are short and plain, and a decoder takes ten times as long for those.
    while (end < lastPlain && (byte = bytes[end]!) >= FIRST_PRINTABLE && byte <= LAST_PRINTABLE) end++
    const isPlain = end === last || (end < lastPlain && byte === 0)
    if (!isPlain) {
      const zero = bytes.subarray(end, last).indexOf(0)
      end = zero < 0 ? last : end + zero
    }
    this.#textBytes += end - at
    if (this.#textBytes > Math.max(LEAST_TEXT_BYTES, MOST_SHARED * bytes.length))
      throw this.damaged('its names lie upon one another')
    if (isPlain) return this.#characters.toString('latin1', at, end)
    return decoder.decode(bytes.subarray(at, end)).replaceAll(/\p{Cc}/gu, '?')
  }

  #inside(at: number, size: number): number {
    if (at < 0 || !(at + size <= this.bytes.length)) {
      throw this.damaged(`it ends before offset 0x${(at + size).toString(16)}, which its headers refer to`)
    }
    return at
  }
}
