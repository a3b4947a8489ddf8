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
  if ('url' in source) return unpacked(source.url, await download(image, source.url, listener))
  try {
    const bytes = new Uint8Array(await source.blob.arrayBuffer())
    listener.progress({ image, loadedBytes: bytes.length, totalBytes: bytes.length })
    return bytes
  } catch (error) {
    throw new WebError('ERR_SOURCE', `${image}: the file cannot be read: ${reasonOf(error)}`, { cause: error })
  }
}

/** Unpacks a file whose address says that gzip has packed it, unless its server has had the browser unpack it. */
async function unpacked(url: string, bytes: Uint8Array): Promise<Uint8Array> {
  if (!url.endsWith('#gzip') || bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes
  const packed = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream()
  return new Response(packed.pipeThrough(new DecompressionStream('gzip'))).bytes()
}

/** Downloads a whole file. It resumes after an interruption, if the server still has the same file. */
async function download(image: string, url: string, listener: SourceListener): Promise<Uint8Array> {
  let parts: Uint8Array[] = []
  let loadedBytes = 0
  let totalBytes: number | null = null
  let tag: string | null = null
  const failed = (reason: string, cause?: unknown): WebError =>
    new WebError('ERR_SOURCE', `${image}: ${url}: ${reason}`, { cause })
  const startOver = ({ headers }: Response): void => {
    parts = []
    loadedBytes = 0
    const given = headers.get('etag')
    tag = given === null || given.startsWith('W/') ? null : given
    const length = headers.get('content-length')
    // A compressed response is longer than its stated length.
    totalBytes = length === null || headers.get('content-encoding') !== null ? null : Number(length)
  }
  const attempt = async (): Promise<void> => {
    // Without a strong tag nothing says that the rest is of the same file. Source: RFC 9110, section 13.1.5, "If-Range".
    const goesOn = loadedBytes > 0 && tag !== null
    const response = await fetch(url, goesOn ? { headers: { range: `bytes=${loadedBytes}-`, 'if-range': tag! } } : {})
    if (!response.ok) {
      await response.body?.cancel()
      const error = `the server answers with status ${response.status}`
      throw response.status >= 500 ? new Error(error) : failed(error)
    }
    if (response.status !== 206) startOver(response)
    const reader = response.body?.getReader()
    for (;;) {
      const part = (await reader?.read())?.value
      if (part === undefined) break
      parts.push(part)
      loadedBytes += part.length
      listener.progress({ image, loadedBytes, totalBytes })
    }
    if (totalBytes !== null && loadedBytes < totalBytes)
      throw new Error(`the answer ends after ${loadedBytes} of ${totalBytes} bytes`)
  }
  for (let left = ATTEMPTS - 1; ; left--) {
    try {
      await attempt()
      return concatenate(parts)
    } catch (error) {
      if (error instanceof WebError) throw error
      if (left === 0) throw failed(reasonOf(error), error)
    }
  }
}
