import { bytesOfName, nameOfBytes, ShareError } from './share.ts'

/** Bytes of a message's head: size, type, tag. */
export const HEAD = 7

/** Reads the fields of a message, little-endian. A message that is too short is an error of its sender's. */
export class MessageReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = HEAD

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  #take(bytes: number): number {
    const at = this.#at
    if (at + bytes > this.#bytes.length) throw new ShareError('EPROTO', 'the message is too short')
    this.#at += bytes
    return at
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true)
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true)
  }

  /** A place in a file. @throws ShareError `EFBIG` for one that no file reaches */
  offset(): number {
    const value = this.u64()
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ShareError('EFBIG')
    return Number(value)
  }

  bytes(length: number): Uint8Array {
    const at = this.#take(length)
    return this.#bytes.subarray(at, at + length)
  }

  text(): string {
    return nameOfBytes(this.bytes(this.u16()))
  }
}

/** Writes the fields of a message. */
export class MessageWriter {
  #bytes = new Uint8Array(256)
  #view = new DataView(this.#bytes.buffer)
  #at = HEAD

  #make(bytes: number): number {
    const at = this.#at
    if (at + bytes > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(2 * at, at + bytes))
      larger.set(this.#bytes)
      this.#bytes = larger
      this.#view = new DataView(larger.buffer)
    }
    this.#at += bytes
    return at
  }

  /** Bytes so far. */
  get length(): number {
    return this.#at
  }

  u8(value: number): this {
    const at = this.#make(1)
    this.#view.setUint8(at, value)
    return this
  }

  u16(value: number): this {
    const at = this.#make(2)
    this.#view.setUint16(at, value, true)
    return this
  }

  u32(value: number): this {
    const at = this.#make(4)
    this.#view.setUint32(at, value, true)
    return this
  }

  u64(value: bigint | number): this {
    const at = this.#make(8)
    this.#view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true)
    return this
  }

  text(value: string): this {
    const bytes = bytesOfName(value).subarray(0, 0xffff)
    return this.u16(bytes.length).bytes(bytes)
  }

  bytes(value: Uint8Array): this {
    const at = this.#make(value.length)
    this.#bytes.set(value, at)
    return this
  }

  /** Fills in a count for which room was left. */
  count(at: number, value: number): void {
    this.#view.setUint32(at, value, true)
  }

  /** Writes the head. @returns the message */
  finish(type: number, tag: number): Uint8Array {
    this.#view.setUint32(0, this.#at, true)
    this.#view.setUint8(4, type)
    this.#view.setUint16(5, tag, true)
    return this.#bytes.subarray(0, this.#at)
  }
}

/** The length of a name in a message. */
export const textBytes = (value: string): number => bytesOfName(value).length
