import {
  BlobStorage,
  type BlockImage,
  type BlockStorage,
  HttpStorage,
  isQcow2,
  MemoryStorage,
  Overlay,
  Qcow2Image,
  RawImage,
} from '@retrap/block'
import { WebError } from '../errors.ts'
import type { KeptSource } from '../kept-disk-files.ts'
import type { SentDrive, SentSource } from '../protocol.ts'
import { openKeptRanges } from './open-kept-ranges.ts'
import { MOST_WHOLE_BYTES, reasonOf, type SourceListener } from './sources.ts'

/** An image's storage, and the identity of the image. */
interface OpenedStorage {
  readonly storage: BlockStorage
  readonly identity: KeptSource
}

/** Magic number and version of a qcow2 image. */
const HEAD_BYTES = 8
/** Bytes of a disk at an address that are read at a time. */
const CHUNK_BYTES = 256 << 10

/** A storage that reports to the page how much was read from an image, and failures. */
function watched(image: string, storage: BlockStorage, fetched: () => number, listener: SourceListener): BlockStorage {
  let told = 0
  return {
    get bytes() {
      return storage.bytes
    },
    readOnly: storage.readOnly,
    async read(offset, into) {
      try {
        await listener.requests.run(image, offset, into.length, () => storage.read(offset, into))
      } catch (error) {
        listener.warning(`${image}: ${reasonOf(error)}`)
        throw error
      }
      const loadedBytes = fetched()
      if (loadedBytes === told) return
      told = loadedBytes
      listener.progress({ image, loadedBytes, totalBytes: storage.bytes })
    },
    write: (offset, from) => storage.write(offset, from),
    flush: () => storage.flush(),
    close: () => storage.close(),
  }
}

async function openStorage(image: string, source: SentSource, listener: SourceListener): Promise<OpenedStorage> {
  if ('bytes' in source) {
    const { bytes } = source
    const storage = watched(image, new MemoryStorage(bytes, { readOnly: true }), () => 0, listener)
    return { storage, identity: { name: 'bytes', bytes: bytes.length, tag: null } }
  }
  if ('blob' in source) {
    const { blob } = source
    const storage = watched(image, new BlobStorage(blob), () => 0, listener)
    const isFile = blob instanceof File
    const tag = isFile ? `changed ${new Date(blob.lastModified).toISOString()}` : null
    return { storage, identity: { name: isFile ? blob.name : 'file', bytes: blob.size, tag } }
  }
  const store = listener.keepsFetched ? await openKeptRanges(source.url, CHUNK_BYTES) : undefined
  const options = { chunkBytes: CHUNK_BYTES, wholeBytes: MOST_WHOLE_BYTES, ...(store !== undefined && { store }) }
  const storage = await HttpStorage.open(source.url, options)
  const { bytes, whole } = storage
  if (whole !== null) listener.progress({ image, loadedBytes: bytes, totalBytes: bytes, whole: true })
  return {
    storage: watched(image, storage, () => storage.fetchedBytes, listener),
    identity: { name: source.url, bytes: storage.bytes, tag: storage.tag },
  }
}

/**
 * Opens the medium of a drive, as little of it as possible. Writes to a disk stay in memory, unless it is kept.
 *
 * @throws WebError `ERR_SOURCE`
 */
export async function openMedium(
  drive: Pick<SentDrive, 'id' | 'media' | 'keep'>,
  source: SentSource,
  listener: SourceListener,
): Promise<BlockImage> {
  let opened: BlockStorage | undefined
  try {
    const { storage, identity } = await openStorage(drive.id, source, listener)
    opened = storage
    const head = new Uint8Array(Math.min(HEAD_BYTES, storage.bytes))
    await storage.read(0, head)
    const image = isQcow2(head)
      ? await Qcow2Image.open(storage, { readOnly: true })
      : new RawImage(storage, { readOnly: true })
    if (drive.keep !== undefined) {
      const { openKeptDisk } = await import('./kept-disk.ts')
      return await openKeptDisk(drive.keep, image, identity, (error) =>
        listener.warning(`${drive.id}: what the guest has written is not kept: ${reasonOf(error)}`),
      )
    }
    return drive.media === 'cdrom' ? image : new Overlay(image)
  } catch (error) {
    // Close it, so that another page can open the cached parts.
    await opened?.close().catch(() => {})
    throw new WebError('ERR_SOURCE', `${drive.id}: ${reasonOf(error)}`, { cause: error })
  }
}

/** See {@link openMedium}. */
export type OpenMedium = typeof openMedium
