import {
  BlobStorage,
  type BlockStorage,
  HttpStorage,
  isQcow2,
  MemoryStorage,
  Overlay,
  Qcow2Image,
  RawImage,
} from '@retrap/block'
import { WebError } from '../errors.ts'
import type { Progress } from '../options.ts'
import type { SentDrive, SentSource } from '../protocol.ts'

/** What readers of images tell the page. */
export interface SourceListener {
  progress(progress: Progress): void
  /** Something that the guest sees as a failed disk. */
  warning(message: string): void
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
/** How often a file that was cut off is asked for again. */
const ATTEMPTS = 4
/** Magic number and version of a qcow2 image. */
const HEAD_BYTES = 8

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

/** A download of a whole file. It goes on where it was cut off, if the server still has the same file. */
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
        // oxlint-disable-next-line no-await-in-loop -- one attempt after the other
        await this.#attempt()
        return join(this.#parts, this.#loaded)
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
      // oxlint-disable-next-line no-await-in-loop -- a stream has an order
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
    // A compressed answer is longer than what its length says.
    this.#total = length === null || headers.get('content-encoding') !== null ? null : Number(length)
  }
}

function join(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  const all = new Uint8Array(bytes)
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/** Tells the page what is read from an image by and by, and what fails. */
class WatchedStorage implements BlockStorage {
  readonly #storage: BlockStorage
  readonly #fetched: () => number
  readonly #image: string
  readonly #listener: SourceListener
  #told = 0

  constructor(image: string, storage: BlockStorage, fetched: () => number, listener: SourceListener) {
    this.#image = image
    this.#storage = storage
    this.#fetched = fetched
    this.#listener = listener
  }

  get bytes(): number {
    return this.#storage.bytes
  }

  get readOnly(): boolean {
    return this.#storage.readOnly
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    try {
      await this.#storage.read(offset, into)
    } catch (error) {
      this.#listener.warning(`${this.#image}: ${reasonOf(error)}`)
      throw error
    }
    const loadedBytes = this.#fetched()
    if (loadedBytes === this.#told) return
    this.#told = loadedBytes
    this.#listener.progress({ image: this.#image, loadedBytes, totalBytes: this.bytes })
  }

  write(offset: number, from: Uint8Array): Promise<void> {
    return this.#storage.write(offset, from)
  }

  flush(): Promise<void> {
    return this.#storage.flush()
  }

  close(): Promise<void> {
    return this.#storage.close()
  }
}

async function openStorage(image: string, source: SentSource, listener: SourceListener): Promise<BlockStorage> {
  if ('bytes' in source) return new MemoryStorage(source.bytes, { readOnly: true })
  if ('blob' in source) {
    const storage = new BlobStorage(source.blob)
    return new WatchedStorage(image, storage, () => 0, listener)
  }
  const storage = await HttpStorage.open(source.url)
  return new WatchedStorage(image, storage, () => storage.fetchedBytes, listener)
}

/**
 * Opens the medium of a drive, as little of it as possible. What is written to a disk stays in memory.
 *
 * @throws WebError `ERR_SOURCE`
 */
export async function openMedium(
  drive: Pick<SentDrive, 'id' | 'media'>,
  source: SentSource,
  listener: SourceListener,
): Promise<Overlay | RawImage | Qcow2Image> {
  try {
    const storage = await openStorage(drive.id, source, listener)
    const head = new Uint8Array(Math.min(HEAD_BYTES, storage.bytes))
    await storage.read(0, head)
    const image = isQcow2(head)
      ? await Qcow2Image.open(storage, { readOnly: true })
      : new RawImage(storage, { readOnly: true })
    return drive.media === 'cdrom' ? image : new Overlay(image)
  } catch (error) {
    throw new WebError('ERR_SOURCE', `${drive.id}: ${reasonOf(error)}`, { cause: error })
  }
}
