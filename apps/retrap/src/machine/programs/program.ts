/** The content of a file with machine code, in any format. */
import { type NamedPlace, NameReader } from '@retrap/symbols'
import { CliError } from '@retrap/linux-guest/errors'

export type Mode = 16 | 32 | 64

/** The processor that the code is for. */
export type Architecture = 'x86' | 'arm64' | 'arm' | 'thumb'

/** A stretch of code. */
export interface Section {
  readonly name: string
  readonly address: bigint
  readonly bytes: Uint8Array
  /** Named places; including other sections, unless the file is not linked yet. */
  readonly symbols: readonly NamedPlace[]
  /** 32-bit Arm: addresses at which another instruction set or data begins, as far as the file has marks. */
  readonly marks?: readonly Mark[]
}

/** A place from which on the bytes are of one kind. */
export interface Mark {
  readonly address: bigint
  readonly kind: 'arm' | 'thumb' | 'data'
}

export interface Program {
  readonly format: 'ELF' | 'PE' | 'raw'
  readonly architecture: Architecture
  /** Mode of x86 code; 64 for A64, 32 for A32 and Thumb. */
  readonly mode: Mode
  /** Sections in the order of the file. */
  readonly sections: readonly Section[]
}

/** Fields of a file's headers. Whatever lies outside the file is a mistake of the file. */
export class FileReader {
  readonly bytes: Uint8Array
  readonly #view: DataView
  readonly #names: NameReader
  readonly #format: string

  constructor(bytes: Uint8Array, format: string) {
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#names = new NameReader(bytes, (what) => this.damaged(what))
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
    return this.#names.text(at, limit)
  }

  #inside(at: number, size: number): number {
    if (at < 0 || !(at + size <= this.bytes.length)) {
      throw this.damaged(`it ends before offset 0x${(at + size).toString(16)}, which its headers refer to`)
    }
    return at
  }
}
