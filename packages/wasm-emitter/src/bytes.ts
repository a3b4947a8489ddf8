import { check } from './checks.ts'

/** A growable byte string with the integer encodings of the WebAssembly binary format ("Values", core specification 5.2). */
export class ByteWriter {
  #bytes: Uint8Array = new Uint8Array(256)
  #length = 0

  /** Number of bytes so far. */
  get length(): number {
    return this.#length
  }

  /** Returns a copy of the bytes so far. */
  toBytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  /** Empties the writer, and keeps its memory. */
  clear(): void {
    this.#length = 0
  }

  /** Appends a byte. */
  u8(value: number): void {
    if (typeof value !== 'number') throw check.wrong('a byte', value, 'a number')
    if (this.#length === this.#bytes.length) this.#grow(1)
    this.#bytes[this.#length++] = value
  }

  /** Appends raw bytes. */
  raw(bytes: ArrayLike<number>): void {
    const count = (bytes as ArrayLike<number> | null)?.length
    if (typeof count !== 'number') throw check.wrong('a list of bytes', bytes, 'an array')
    if (this.#length + count > this.#bytes.length) this.#grow(count)
    // Most calls append an instruction of one to three bytes.
    if (count < 4) for (let i = 0; i < count; i++) this.#bytes[this.#length + i] = bytes[i]!
    else this.#bytes.set(bytes, this.#length)
    this.#length += count
  }

  /** Appends another writer's bytes. */
  append(other: ByteWriter): void {
    checkWriter(other)
    this.raw(other.#bytes.subarray(0, other.#length))
  }

  /** Appends bytes `from` to `to` of another writer. */
  appendRange(other: ByteWriter, from: number, to: number): void {
    checkWriter(other)
    for (const at of [from, to]) if (typeof at !== 'number') throw check.wrong('a position', at, 'a number')
    this.raw(other.#bytes.subarray(from, to))
  }

  /** Unsigned LEB128 of a u32. */
  leb(value: number): void {
    if (typeof value !== 'number') throw check.wrong('an integer', value, 'a number')
    let rest = value >>> 0
    while (rest > 0x7f) {
      this.u8((rest & 0x7f) | 0x80)
      rest >>>= 7
    }
    this.u8(rest)
  }

  /** Signed LEB128 of an i32. */
  leb32(value: number): void {
    if (typeof value !== 'number') throw check.wrong('an integer', value, 'a number')
    let rest = value | 0
    for (;;) {
      const low = rest & 0x7f
      rest >>= 7
      if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) {
        this.u8(low)
        return
      }
      this.u8(low | 0x80)
    }
  }

  /** Signed LEB128 of an i64. */
  leb64(value: bigint): void {
    if (typeof value !== 'bigint') throw check.wrong('an integer', value, 'a bigint')
    let rest = BigInt.asIntN(64, value)
    for (;;) {
      const low = Number(rest & 0x7fn)
      rest >>= 7n
      if ((rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)) {
        this.u8(low)
        return
      }
      this.u8(low | 0x80)
    }
  }

  /** Appends an f32, little-endian. */
  f32(value: number): void {
    if (typeof value !== 'number') throw check.wrong('a value', value, 'a number')
    this.raw(new Uint8Array(new Float32Array([value]).buffer))
  }

  /** Appends an f64, little-endian. */
  f64(value: number): void {
    if (typeof value !== 'number') throw check.wrong('a value', value, 'a number')
    this.raw(new Uint8Array(new Float64Array([value]).buffer))
  }

  /** A name: length in bytes, then UTF-8. Only ASCII is needed here. */
  name(text: string): void {
    check.text('a name', text)
    this.leb(text.length)
    for (let i = 0; i < text.length; i++) this.u8(text.charCodeAt(i) & 0x7f)
  }

  #grow(atLeast: number): void {
    const next = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + atLeast))
    next.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = next
  }
}

export function checkWriter(value: unknown): void {
  if (!(value instanceof ByteWriter)) throw check.wrong('a writer', value, 'a ByteWriter')
}
