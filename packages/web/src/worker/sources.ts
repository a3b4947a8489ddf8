import { concatenate } from '@retrap/basics'
import { WebError } from '../errors.ts'
import type { Progress } from '../options.ts'
import type { SentSource } from '../protocol.ts'
import type { DiskRequests } from './disk-requests.ts'

/** The events of readers of images for the page. */
export interface SourceListener {
  progress(progress: Progress): void
  /** Reports an error that the guest sees as a failed disk. */
  warning(message: string): void
  /** Reads of disks, for the inspector. */
  readonly requests: DiskRequests
  /** Whether fetched ranges of files are cached: `MachineOptions.keepFetched`. */
  readonly keepsFetched: boolean
}

/** A disk or snapshot of this size is read as a whole where its server answers no requests for a range. */
export const MOST_WHOLE_BYTES: number = 64 << 20

/** Returns the text of an error. */
export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Most attempts for a file whose download breaks off. */
const ATTEMPTS = 4

/** Reads all of an image. @throws WebError `ERR_SOURCE` */
export async function readWhole(image: string, source: SentSource, listener: SourceListener): Promise<Uint8Array> {
  if ('bytes' in source) return source.bytes
  if ('url' in source) return new Download(image, source.url, listener).run()
  try {
    const bytes = new Uint8Array(await source.blob.arrayBuffer())
    listener.progress({ image, loadedBytes: bytes.length, totalBytes: bytes.length })
    return bytes
  } catch (error) {
    throw new WebError('ERR_SOURCE', `${image}: the file cannot be read: ${reasonOf(error)}`, { cause: error })
  }
}

/** A download of a whole file. It resumes after an interruption, if the server still has the same file. */
class Download {
  readonly #image: string
  readonly #url: string
  readonly #listener: SourceListener
  #parts: Uint8Array[] = []
  #loaded = 0
  #total: number | null = null
  #tag: string | null = null

  constructor(image: string, url: string, listener: SourceListener) {
    this.#image = image
    this.#url = url
    this.#listener = listener
  }

  async run(): Promise<Uint8Array> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#attempt()
        return concatenate(this.#parts)
      } catch (error) {
        if (error instanceof WebError) throw error
        if (attempt === ATTEMPTS) throw this.#failed(reasonOf(error), error)
      }
    }
  }

  #failed(reason: string, cause?: unknown): WebError {
    return new WebError('ERR_SOURCE', `${this.#image}: ${this.#url}: ${reason}`, { cause })
  }

  async #attempt(): Promise<void> {
    // Without a strong tag nothing says that the rest is of the same file. Source: RFC 9110, section 13.1.5, "If-Range".
    const goesOn = this.#loaded > 0 && this.#tag !== null
    const response = await fetch(
      this.#url,
      goesOn ? { headers: { range: `bytes=${this.#loaded}-`, 'if-range': this.#tag! } } : {},
    )
    if (!response.ok) {
      await response.body?.cancel()
      const error = `the server answers with status ${response.status}`
      throw response.status >= 500 ? new Error(error) : this.#failed(error)
    }
    if (response.status !== 206) this.#startOver(response)
    const reader = response.body?.getReader()
    for (;;) {
      const part = (await reader?.read())?.value
      if (part === undefined) break
      this.#parts.push(part)
      this.#loaded += part.length
      this.#listener.progress({ image: this.#image, loadedBytes: this.#loaded, totalBytes: this.#total })
    }
    if (this.#total !== null && this.#loaded < this.#total)
      throw new Error(`the answer ends after ${this.#loaded} of ${this.#total} bytes`)
  }

  #startOver({ headers }: Response): void {
    this.#parts = []
    this.#loaded = 0
    const tag = headers.get('etag')
    this.#tag = tag === null || tag.startsWith('W/') ? null : tag
    const length = headers.get('content-length')
    // A compressed response is longer than its stated length.
    this.#total = length === null || headers.get('content-encoding') !== null ? null : Number(length)
  }
}
