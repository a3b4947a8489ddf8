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
import type { SentDrive, SentSource } from '../protocol.ts'
import { reasonOf, type SourceListener } from './sources.ts'

/** Magic number and version of a qcow2 image. */
const HEAD_BYTES = 8

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
      await this.#listener.requests.run(this.#image, offset, into.length, () => this.#storage.read(offset, into))
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
  if ('bytes' in source)
    return new WatchedStorage(image, new MemoryStorage(source.bytes, { readOnly: true }), () => 0, listener)
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

/** See {@link openMedium}. */
export type OpenMedium = typeof openMedium
