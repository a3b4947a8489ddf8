import { type BlockBackend, BlockError, type BlockProperties, type BlockRequest } from '@retrap/device'

/** Counts the requests of an image and refuses invalid ones. */
export class Requests {
  #running = 0
  #closed = false
  readonly #waiting: (() => void)[] = []

  /**
   * Runs one request.
   *
   * @param properties - properties of the image: the range has to lie in it
   * @throws BlockError `ERR_RANGE`, `ERR_CANCELLED`, `ERR_NO_MEDIUM` after `close`, and errors of `body`
   */
  async run(
    properties: BlockProperties,
    { offset, bytes }: { readonly offset: number; readonly bytes: number },
    request: BlockRequest | undefined,
    body: () => Promise<void>,
  ): Promise<void> {
    this.check(properties, offset, bytes)
    if (request?.signal?.aborted === true) throw new BlockError('ERR_CANCELLED', 'the request was cancelled')
    this.#running++
    try {
      await body()
    } finally {
      this.#running--
      if (this.#running === 0) for (const resolve of this.#waiting.splice(0)) resolve()
    }
  }

  /** Refuses a request that is invalid. @throws BlockError `ERR_RANGE`, `ERR_NO_MEDIUM` after `close` */
  check(properties: BlockProperties, offset: number, bytes: number): void {
    if (this.#closed) throw new BlockError('ERR_NO_MEDIUM', 'the image is closed')
    const unit = properties.blockBytes
    const fits = Number.isSafeInteger(offset) && offset >= 0 && bytes >= 0 && offset + bytes <= properties.bytes
    if (fits && offset % unit === 0 && bytes % unit === 0) return
    const expected = `multiples of ${unit} within ${properties.bytes} bytes`
    throw new BlockError('ERR_RANGE', `${bytes} bytes at ${offset}: expected ${expected}`)
  }

  /** Resolves when no request is pending. */
  idle(): Promise<void> {
    if (this.#running === 0) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /**
   * Refuses requests from now on. A second time nothing happens.
   *
   * @param end - called when pending requests have ended
   */
  async close(end: () => Promise<void> | void): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.idle()
    await end()
  }
}

/** Fills `into` from an image, in parts of the largest size that it takes. */
export async function readParts(
  image: BlockBackend,
  offset: number,
  into: Uint8Array,
  request?: BlockRequest,
): Promise<void> {
  const { blockBytes, maximumBytes } = image.properties
  const most = Math.max(blockBytes, maximumBytes - (maximumBytes % blockBytes))
  for (let done = 0; done < into.length; done += most) {
    await image.read(offset + done, into.subarray(done, done + most), request)
  }
}

/** The range of a request without one. */
export const WHOLE: { readonly offset: 0; readonly bytes: 0 } = { offset: 0, bytes: 0 }
