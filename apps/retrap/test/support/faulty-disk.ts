import * as device from '@retrap/device'
import { numbers } from '@retrap/tooling/random'

/** How a {@link FaultyDisk} behaves. */
export interface Faults {
  /** Of 1,000 requests, those that fail. */
  readonly failing: number
  /** The code that writes fail with; all else fails with `ERR_MEDIUM`. */
  readonly code: 'ERR_MEDIUM' | 'ERR_NO_SPACE'
  /** Of 1,000 requests, those that take up to {@link lateMs}; the others take a millisecond at most. */
  readonly late: number
  readonly lateMs: number
  /** Requests until the image is gone for a while, and how many fail then. */
  readonly goneAfter: number
  readonly goneFor: number
}

/** Nothing fails, and nothing is late. */
export const CALM: Faults = { failing: 0, code: 'ERR_MEDIUM', late: 0, lateMs: 0, goneAfter: Infinity, goneFor: 0 }

/**
 * A disk in memory whose requests fail and are late. A write that fails may have written its first half. It knows what a cut
 * of the power would leave: what was completed before the last flush began.
 */
export class FaultyDisk implements device.BlockBackend {
  readonly properties: device.BlockProperties
  /** What a flush has made durable. */
  readonly durable: Uint8Array
  faults: Faults = CALM
  /** Requests, and those of them that failed. */
  requests = 0
  failed = 0
  readonly #bytes: Uint8Array
  readonly #draw: (bound: number) => number

  constructor(bytes: number, seed: number) {
    this.#bytes = new Uint8Array(bytes)
    this.durable = new Uint8Array(bytes)
    this.#draw = numbers(seed)
    this.properties = {
      bytes,
      blockBytes: 512,
      physicalBlockBytes: 4096,
      maximumBytes: 1 << 20,
      readOnly: false,
      discards: false,
    }
  }

  /** @returns the code that the request is to fail with, after its time */
  async #wait(
    request: device.BlockRequest | undefined,
    code: device.BlockErrorCode = 'ERR_MEDIUM',
  ): Promise<device.BlockErrorCode | null> {
    const { failing, late, lateMs, goneAfter, goneFor } = this.faults
    const number = ++this.requests
    const ms = this.#draw(1000) < late ? this.#draw(lateMs) : this.#draw(2)
    const fails = this.#draw(1000) < failing || (number > goneAfter && number <= goneAfter + goneFor)
    await new Promise((resolve) => setTimeout(resolve, ms))
    if (request?.signal?.aborted === true) return 'ERR_CANCELLED'
    if (fails) this.failed++
    return fails ? code : null
  }

  async read(offset: number, into: Uint8Array, request?: device.BlockRequest): Promise<void> {
    const code = await this.#wait(request)
    // What a failing read has put there must not reach anybody as data.
    if (code !== null) {
      into.fill(0xee)
      throw new device.BlockError(code, 'a fault of the test')
    }
    into.set(this.#bytes.subarray(offset, offset + into.length))
  }

  async write(offset: number, from: Uint8Array, request?: device.BlockRequest): Promise<void> {
    const code = await this.#wait(request, this.faults.code)
    if (code !== null) {
      this.#bytes.set(from.subarray(0, (from.length >> 10) << 9), offset)
      throw new device.BlockError(code, 'a fault of the test')
    }
    this.#bytes.set(from, offset)
    if (request?.durable === true) this.durable.set(from, offset)
  }

  async flush(request?: device.BlockRequest): Promise<void> {
    const completed = this.#bytes.slice()
    const code = await this.#wait(request)
    if (code !== null) throw new device.BlockError(code, 'a fault of the test')
    this.durable.set(completed)
  }

  async discard(): Promise<void> {}

  async writeZeroes(offset: number, bytes: number, request?: device.BlockRequest): Promise<void> {
    await this.write(offset, new Uint8Array(bytes), request)
  }

  onChange(): () => void {
    return () => {}
  }
}
