import { WasmEmitterError } from './errors.ts'

/** Reads the elements of WebAssembly's binary format ("Values", core specification 5.2). */
export class ByteReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  /** Position of the next read. */
  at: number
  readonly #end: number

  constructor(bytes: Uint8Array, at = 0, end: number = bytes.length) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.at = at
    this.#end = end
  }

  get isAtEnd(): boolean {
    return this.at >= this.#end
  }

  #take(count: number): number {
    const { at } = this
    if (count > this.#end - at) throw new WasmEmitterError('ERR_STRUCTURE', `the module ends at byte ${this.#end}`)
    this.at = at + count
    return at
  }

  u8(): number {
    return this.#bytes[this.#take(1)]!
  }

  bytes(count: number): Uint8Array {
    const from = this.#take(count)
    return this.#bytes.subarray(from, from + count)
  }

  /** An unsigned integer of 32 bits. */
  leb(): number {
    return Number(this.#leb(false, 32))
  }

  /** A signed integer of 32 or 64 bits. */
  signedLeb(bits: 32 | 64): bigint {
    return this.#leb(true, bits)
  }

  #leb(isSigned: boolean, bits: number): bigint {
    let value = 0n
    for (let shift = 0n; shift < bits;) {
      const byte = this.u8()
      value |= BigInt(byte & 0x7f) << shift
      shift += 7n
      if (byte < 0x80) return isSigned && (byte & 0x40) !== 0 ? BigInt.asIntN(Number(shift), value) : value
    }
    throw new WasmEmitterError('ERR_STRUCTURE', `an integer of more than ${bits} bits at byte ${this.at}`)
  }

  f32(): number {
    return this.#view.getFloat32(this.#take(4), true)
  }

  f64(): number {
    return this.#view.getFloat64(this.#take(8), true)
  }

  /** A name, in UTF-8. */
  name(): string {
    const { at } = this
    const escapes = Array.from(this.bytes(this.leb()), (byte) => `%${byte.toString(16).padStart(2, '0')}`)
    try {
      return decodeURIComponent(escapes.join(''))
    } catch {
      throw new WasmEmitterError('ERR_STRUCTURE', `no name at byte ${at}`)
    }
  }

  /** Reads a list after its length. */
  list<T>(read: () => T): T[] {
    return Array.from({ length: this.leb() }, read)
  }
}
