import { HttpStorage } from '@retrap/block'
import { inflateNow, type LateSnapshotSource, openSnapshot, type OpenSnapshot, SnapshotError } from '@retrap/snapshot'
import type { SentSource } from '../protocol.ts'
import { openKeptRanges } from './open-kept-ranges.ts'
import type { KeptRanges } from './kept-ranges.ts'
import { MOST_WHOLE_BYTES, type SourceListener } from './sources.ts'

/** The reader that Workers have and pages lack: it reads a file at once. */
declare const FileReaderSync: new () => { readAsArrayBuffer(blob: Blob): ArrayBuffer }

/** Between two attempts to reach a server. */
const PAUSE_MS = 1000
/** A request that the guest waits for, and that takes longer, has failed. */
const TIMEOUT_MS = 15_000
/** The guest gets as much time as decompressing ahead took the Worker, up to this. */
const LONGEST_WAIT_MS = 250
const IMAGE = 'snapshot'
/** The first reads are small, and close together. */
const CHUNK_BYTES = 64 << 10

/** A snapshot file whose pages are read on demand. */
interface FarSource extends LateSnapshotSource {
  /** Drops the part that was read last, because it is damaged. */
  drop?(): void
  /** Ends the reads, and closes the file. */
  close?(): void
}

/** An open snapshot, with the prefetcher of its pages. */
export interface OpenedSnapshot extends OpenSnapshot {
  /** See `GuestPageSource.ready` of `@retrap/hvm`. */
  readonly ready: (index: number, end: number) => Promise<void>
  /** See `GuestPageSource.close` of `@retrap/hvm`. */
  readonly close: () => void
}

/** Opens a snapshot, and reads all of it except its pages. @throws SnapshotError; ImageError; BlockError */
export async function openSnapshotSource(source: SentSource, listener: SourceListener): Promise<OpenedSnapshot> {
  const file = await sourceOf(source, listener)
  const close = (): void => file.close?.()
  const failed = (error: unknown): never => {
    // A kept file would be as damaged the next time.
    if (error instanceof SnapshotError) file.drop?.()
    throw error
  }
  const opened = await openSnapshot(file).catch((error: unknown) => {
    try {
      return failed(error)
    } finally {
      close()
    }
  })
  const contents = (index: number): Uint8Array => {
    try {
      return opened.pages.contents(index)
    } catch (error) {
      return failed(error)
    }
  }
  const pages = { ...opened.pages, contents }
  // The guest runs between two parts.
  let since: number | null = null
  const ready = async (index: number, end: number): Promise<void> => {
    const spent = since === null ? 0 : performance.now() - since
    await new Promise<void>((resolve) => setTimeout(resolve, Math.min(LONGEST_WAIT_MS, spent)))
    for (let at = index; at < end; at++) {
      await opened.pages.prepare(at)
    }
    since = performance.now()
  }
  return { ...opened, pages, ready, close }
}

async function sourceOf(source: SentSource, listener: SourceListener): Promise<FarSource> {
  if ('url' in source) return UrlSource.open(source.url, listener)
  if ('bytes' in source) return nearSource(source.bytes.length, (start, end) => source.bytes.subarray(start, end))
  const { blob } = source
  const reader = new FileReaderSync()
  return nearSource(blob.size, (start, end) => new Uint8Array(reader.readAsArrayBuffer(blob.slice(start, end))))
}

function nearSource(bytes: number, slice: (start: number, end: number) => Uint8Array): FarSource {
  const read = (offset: number, length: number): Uint8Array => slice(offset, Math.min(offset + length, bytes))
  return { bytes, read, readNow: read, inflateNow }
}

/**
 * A snapshot file on a web server. Pages that the guest touches first are asked for while it waits; all others are fetched ahead,
 * while it runs. Each section has a checksum, so that a file that changes meanwhile is an error, and never a mixture.
 */
class UrlSource implements FarSource {
  readonly inflateNow = inflateNow
  readonly bytes: number
  readonly #url: string
  readonly #storage: HttpStorage
  readonly #listener: SourceListener
  /** Cache of chunks that this machine or earlier ones have fetched; null: no cache. */
  readonly #store: KeptRanges | null
  #loaded = 0
  #isClosed = false

  private constructor(url: string, storage: HttpStorage, store: KeptRanges | null, listener: SourceListener) {
    this.#url = url
    this.#storage = storage
    this.#store = store?.kept === null ? null : store
    this.bytes = storage.bytes
    this.#listener = listener
  }

  static async open(url: string, listener: SourceListener): Promise<FarSource> {
    const store = listener.keepsFetched ? await openKeptRanges(url, CHUNK_BYTES) : undefined
    // Each part is wanted once, and kept by this class.
    const options = {
      ...{ cacheBytes: 2 * CHUNK_BYTES, chunkBytes: CHUNK_BYTES, wholeBytes: MOST_WHOLE_BYTES },
      ...(store !== undefined && { store }),
      unreachable: async () => {
        opened.#tellWaits()
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
        if (opened.#isClosed) throw new Error('it is not needed any more')
      },
    }
    const storage = await HttpStorage.open(url, options)
    const { bytes, whole } = storage
    if (whole !== null) {
      listener.progress({ image: IMAGE, loadedBytes: bytes, totalBytes: bytes, whole: true })
      return nearSource(bytes, (start, end) => whole.subarray(start, end))
    }
    const opened = new UrlSource(url, storage, store ?? null, listener)
    return opened
  }

  async read(offset: number, bytes: number): Promise<Uint8Array> {
    const into = new Uint8Array(Math.max(0, Math.min(bytes, this.bytes - offset)))
    await this.#storage.read(offset, into)
    this.#tell(into.length)
    return into
  }

  drop(): void {
    this.#store?.drop()
  }

  close(): void {
    this.#isClosed = true
    void this.#storage.close()
  }

  readNow(offset: number, bytes: number): Uint8Array {
    return this.#kept(offset, bytes) ?? this.#fetchNow(offset, bytes)
  }

  /** Returns a range if all of its chunks are cached; null otherwise. */
  #kept(offset: number, bytes: number): Uint8Array | null {
    if (this.#store === null) return null
    const into = new Uint8Array(bytes)
    for (let at = offset; at < offset + bytes;) {
      const index = Math.floor(at / CHUNK_BYTES)
      const chunk = this.#store.read(index)?.subarray(at - index * CHUNK_BYTES, offset + bytes - index * CHUNK_BYTES)
      if (chunk === undefined || chunk.length === 0) return null
      into.set(chunk, at - offset)
      at += chunk.length
    }
    this.#tell(bytes)
    return into
  }

  /** An unreachable server is asked until it responds: the guest and its clock wait as for a slow device. */
  #fetchNow(offset: number, bytes: number): Uint8Array {
    // Whole chunks are kept.
    const start = this.#store === null ? offset : offset - (offset % CHUNK_BYTES)
    const whole = Math.ceil((offset + bytes) / CHUNK_BYTES) * CHUNK_BYTES
    const end = this.#store === null ? offset + bytes : Math.min(whole, this.bytes)
    for (;;) {
      const found = this.#ask(start, end)
      if (found !== null) return found.subarray(offset - start, offset - start + bytes)
      this.#tellWaits()
      standStill()
    }
  }

  /** The Worker waits: the guest's instruction cannot go on without its page. @returns null for a failure that may pass */
  #ask(start: number, end: number): Uint8Array | null {
    const request = new XMLHttpRequest()
    request.open('GET', this.#url, false)
    request.responseType = 'arraybuffer'
    request.timeout = TIMEOUT_MS
    request.setRequestHeader('range', `bytes=${start}-${end - 1}`)
    try {
      request.send()
    } catch {
      return null
    }
    const { status } = request
    if (status === 408 || status === 429 || status >= 500) return null
    if (status !== 206) throw new Error(`${this.#url}: the server answers with status ${status}`)
    const found = new Uint8Array(request.response as ArrayBuffer)
    if (found.length !== end - start)
      throw new Error(`${this.#url}: the answer has ${found.length} bytes: expected ${end - start}`)
    // Parts of another state of the file fail their checksum, and are not to stay.
    if (this.#store !== null && request.getResponseHeader('etag') === this.#store.kept?.tag)
      for (let at = 0; at < found.length; at += CHUNK_BYTES)
        this.#store.write((start + at) / CHUNK_BYTES, found.subarray(at, at + CHUNK_BYTES))
    this.#tell(found.length)
    return found
  }

  #tellWaits(): void {
    this.#listener.progress({ image: IMAGE, loadedBytes: this.#loaded, totalBytes: this.bytes, waits: true })
  }

  #tell(bytes: number): void {
    this.#loaded += bytes
    this.#listener.progress({ image: IMAGE, loadedBytes: this.#loaded, totalBytes: this.bytes })
  }
}

/** Blocks the Worker for a while. A page that is not isolated has no shared memory to wait at. */
function standStill(): void {
  if (typeof SharedArrayBuffer !== 'undefined')
    return void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS)
  for (const end = performance.now() + PAUSE_MS; performance.now() < end;);
}
