import * as device from '@retrap/device'

/** A disk in memory whose answers a test can hold back, and which fails where the test says. */
export class TestDisk implements device.BlockBackend {
  readonly bytes: Uint8Array
  /** Properties that differ from the usual ones. */
  given: Partial<device.BlockProperties>
  /** Requests wait until they are let go. */
  hold = false
  bad: device.BlockErrorCode | null = null
  /** Data is moved without a wait, where a model asks for that. */
  inPlace = false
  /** The requests, as text: `write 0+512 durable`. */
  readonly log: string[] = []
  readonly signals: device.BlockRequest['signal'][] = []
  #held: (() => void)[] = []
  readonly #listeners = new Set<() => void>()

  constructor(bytes: number, given: Partial<device.BlockProperties> = {}) {
    this.given = given
    this.bytes = Uint8Array.from({ length: bytes }, (_, i) => (i >> 9) + i * 13)
  }

  get properties(): device.BlockProperties {
    return {
      bytes: this.bytes.length,
      blockBytes: 512,
      physicalBlockBytes: 4096,
      maximumBytes: 1 << 16,
      readOnly: false,
      discards: true,
      ...this.given,
    }
  }

  /** Lets one of those that wait go on, or all. */
  release(index?: number): void {
    const held = index === undefined ? this.#held.splice(0) : this.#held.splice(index, 1)
    for (const go of held) go()
  }

  get held(): number {
    return this.#held.length
  }

  change(given: Partial<device.BlockProperties>): void {
    this.given = given
    for (const changed of this.#listeners) changed()
  }

  async #begin(what: string, request: device.BlockRequest | undefined): Promise<void> {
    this.log.push(request?.durable === true ? `${what} durable` : what)
    this.signals.push(request?.signal)
    if (this.hold) await new Promise<void>((resolve) => this.#held.push(resolve))
    if (this.bad !== null) throw new device.BlockError(this.bad, 'as the test says')
  }

  #beginInPlace(what: string): boolean {
    if (!this.inPlace) return false
    this.log.push(`${what} in place`)
    if (this.bad !== null) throw new device.BlockError(this.bad, 'as the test says')
    return true
  }

  readInPlace(offset: number, into: Uint8Array): boolean {
    if (!this.#beginInPlace(`read ${offset}+${into.length}`)) return false
    into.set(this.bytes.subarray(offset, offset + into.length))
    return true
  }

  writeInPlace(offset: number, from: Uint8Array): boolean {
    if (!this.#beginInPlace(`write ${offset}+${from.length}`)) return false
    this.bytes.set(from, offset)
    return true
  }

  async read(offset: number, into: Uint8Array, request?: device.BlockRequest): Promise<void> {
    await this.#begin(`read ${offset}+${into.length}`, request)
    into.set(this.bytes.subarray(offset, offset + into.length))
  }

  async write(offset: number, from: Uint8Array, request?: device.BlockRequest): Promise<void> {
    await this.#begin(`write ${offset}+${from.length}`, request)
    this.bytes.set(from, offset)
  }

  async flush(request?: device.BlockRequest): Promise<void> {
    await this.#begin('flush', request)
  }

  async discard(offset: number, bytes: number, request?: device.BlockRequest): Promise<void> {
    await this.#begin(`discard ${offset}+${bytes}`, request)
  }

  async writeZeroes(offset: number, bytes: number, request?: device.BlockRequest): Promise<void> {
    await this.#begin(`zeroes ${offset}+${bytes}`, request)
    this.bytes.fill(0, offset, offset + bytes)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }
}
