import { type BlockBackend, BlockError, type BlockErrorCode, type BlockProperties } from '@retrap/device'

/** A medium in memory whose answers a test can hold back, and which fails where the test says. */
export class TestMedium implements BlockBackend {
  bytes: Uint8Array
  readOnly = false
  /** The next requests wait until they are let go. */
  hold = false
  /** Fails requests that touch this byte. */
  bad: { readonly at: number; readonly code: BlockErrorCode } | null = null
  /** What was asked for: `read 0+512`. */
  readonly log: string[] = []
  readonly #held: (() => void)[] = []
  readonly #listeners: (() => void)[] = []

  /** Properties that differ from the usual ones. */
  given: Partial<BlockProperties> = {}

  /** Says so many bytes, most of which are not there; 0: as many as there are. */
  readonly #claimed: number

  constructor(bytes: number, claimed = 0) {
    this.#claimed = claimed
    this.bytes = new Uint8Array(bytes)
    // A callback for each byte would be most of what a test takes.
    for (let i = 0; i < bytes; i++) this.bytes[i] = (i >> 9) + i * 13
  }

  get properties(): BlockProperties {
    return {
      bytes: this.#claimed || this.bytes.length,
      blockBytes: 512,
      physicalBlockBytes: 4096,
      maximumBytes: 1 << 20,
      readOnly: this.readOnly,
      discards: false,
      ...this.given,
    }
  }

  /** How many requests wait. */
  get held(): number {
    return this.#held.length
  }

  /** Lets all that waits go on, and later requests too. */
  async release(): Promise<void> {
    this.hold = false
    for (const go of this.#held.splice(0)) go()
    await new Promise((resolve) => setImmediate(resolve))
  }

  /** Lets one request that waits go on; there may be none. */
  letGo(index: number): void {
    this.#held.splice(index, 1)[0]?.()
  }

  async #begin(what: string, offset: number, length: number): Promise<void> {
    this.log.push(`${what} ${offset}+${length}`)
    if (this.hold) await new Promise<void>((resolve) => this.#held.push(resolve))
    if (this.bad !== null && this.bad.at >= offset && this.bad.at < offset + Math.max(1, length))
      throw new BlockError(this.bad.code, 'as the test says')
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    await this.#begin('read', offset, into.length)
    into.set(this.bytes.subarray(offset, offset + into.length))
  }

  async write(offset: number, from: Uint8Array, request?: { readonly durable?: boolean }): Promise<void> {
    await this.#begin(request?.durable === true ? 'durable write' : 'write', offset, from.length)
    this.bytes.set(from, offset)
  }

  async flush(): Promise<void> {
    await this.#begin('flush', 0, 0)
  }

  async discard(offset: number, length: number): Promise<void> {
    await this.#begin('discard', offset, length)
  }

  async writeZeroes(offset: number, length: number): Promise<void> {
    await this.#begin('zeroes', offset, length)
    this.bytes.fill(0, offset, offset + length)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.push(listener)
    return () => {}
  }

  /** Exchanges the medium; no bytes: it is taken out. */
  change(bytes: Uint8Array): void {
    this.bytes = bytes
    for (const listener of this.#listeners) listener()
  }
}
