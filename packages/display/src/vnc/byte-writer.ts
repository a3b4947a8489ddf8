/** Writes the bytes of messages, big-endian as in RFB. */
export class ByteWriter {
  #bytes: Uint8Array
  #view: DataView
  #length = 0

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity)
    this.#view = new DataView(this.#bytes.buffer)
  }

  /** Makes room for `count` more bytes. @returns their start */
  #grow(count: number): number {
    const at = this.#length
    this.#length += count
    if (this.#length > this.#bytes.length) {
      const bytes = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length))
      bytes.set(this.#bytes)
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer)
    }
    return at
  }

  u8(value: number): this {
    const at = this.#grow(1)
    this.#bytes[at] = value
    return this
  }

  u16(value: number): this {
    const at = this.#grow(2)
    this.#view.setUint16(at, value)
    return this
  }

  /** @param value - the low 32 bits are written; encodings are signed */
  u32(value: number): this {
    const at = this.#grow(4)
    this.#view.setUint32(at, value)
    return this
  }

  bytes(bytes: Uint8Array): this {
    const at = this.#grow(bytes.length)
    this.#bytes.set(bytes, at)
    return this
  }

  /** Writes an ASCII text after its length. */
  text(text: string): this {
    this.u32(text.length)
    return this.bytes(Uint8Array.from(text, (character: string) => character.charCodeAt(0)))
  }

  /** A pixel of `size` bytes in a client's order, from the byte `first` on. */
  pixel(pixel: number, size: number, bigEndian: boolean, first: number = 0, count: number = size): this {
    const at = this.#grow(count)
    for (let i = 0; i < count; i++) {
      const place = first + i
      this.#bytes[at + i] = pixel >>> (8 * (bigEndian ? size - 1 - place : place))
    }
    return this
  }

  /** Removes and returns all bytes. */
  take(): Uint8Array {
    const bytes = this.#bytes.subarray(0, this.#length)
    this.#bytes = new Uint8Array(256)
    this.#view = new DataView(this.#bytes.buffer)
    this.#length = 0
    return bytes
  }
}
