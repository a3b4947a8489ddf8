import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { OnProgress } from './apt.ts'

/** Time without data after which a server is abandoned. */
const STALL_MS = 30_000

/** A file to request from servers. */
export interface WantedFile {
  /** The file's name for users. */
  readonly what: string
  /** Bytes of the file; the limit for a list of unknown size. */
  readonly size: number
  /** Digest of the content; absent for a document with a signature. */
  readonly sha256?: string
}

/** Why a fetch failed: the server is unreachable, lacks the file, or has sent another one. */
export type TransferFailure = 'unreachable' | 'absent' | 'wrong'

/** A file that a server does not give. */
export class TransferError extends Error {
  readonly kind: TransferFailure

  constructor(kind: TransferFailure, message: string) {
    super(message)
    this.name = 'TransferError'
    this.kind = kind
  }
}

/**
 * Fetches a file by HTTP, through the proxy that the environment names.
 *
 * @param path - destination path; after an error its content is useless
 * @throws TransferError if the server is unreachable, lacks the file, or sends another one
 */
export async function transfer(
  url: string,
  path: string,
  { what, size, sha256 }: WantedFile,
  onProgress: OnProgress,
  stallMs: number = STALL_MS,
): Promise<void> {
  const stop = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const goesOn = (): void => {
    clearTimeout(timer)
    timer = setTimeout(
      () => stop.abort(new TransferError('unreachable', `nothing came for ${stallMs / 1000} s`)),
      stallMs,
    )
  }
  const unset = await heedProxy()
  try {
    goesOn()
    const response = await fetch(url, { signal: stop.signal, headers: { 'accept-encoding': 'identity' } })
    if (!response.ok || response.body === null)
      throw new TransferError(
        [404, 410].includes(response.status) ? 'absent' : 'unreachable',
        `the server answered ${response.status}`,
      )
    const hash = createHash('sha256')
    let done = 0
    const check = new Transform({
      transform(chunk: Uint8Array, _encoding, next) {
        goesOn()
        done += chunk.length
        hash.update(chunk)
        onProgress(Math.min(done / size, 1), what)
        next(done > size ? new TransferError('wrong', `it has more than ${size} bytes`) : null, chunk)
      },
    })
    await pipeline(response.body, check, createWriteStream(path))
    const found = hash.digest('hex')
    if (sha256 !== undefined && found !== sha256)
      throw new TransferError(
        'wrong',
        done < size
          ? `it ended after ${done} of ${size} bytes`
          : `it is another file: its SHA-256 is ${found}, expected ${sha256}`,
      )
  } catch (error) {
    throw stop.signal.aborted ? stop.signal.reason : reasonOf(error)
  } finally {
    clearTimeout(timer)
    unset()
  }
}

/**
 * Has `fetch` heed http_proxy, https_proxy and no_proxy until the returned function is called. Node 24.14 and 25.4 have the
 * call; Bun and Deno heed the variables by themselves.
 */
async function heedProxy(): Promise<() => void> {
  // The module takes milliseconds, which runs that fetch nothing need not spend.
  const { setGlobalProxyFromEnv } = (await import('node:http')) as { readonly setGlobalProxyFromEnv?: () => () => void }
  return setGlobalProxyFromEnv?.() ?? (() => {})
}

/** The innermost cause: `fetch failed` says nothing. */
function reasonOf(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof TransferError) return error
  // A full disk is no fault of the server.
  if ('code' in error && error.code === 'ENOSPC') return error
  let inner: Error = error
  while (inner.cause instanceof Error) inner = inner.cause
  const first = inner instanceof AggregateError && inner.errors[0] instanceof Error ? inner.errors[0] : inner
  return new TransferError('unreachable', first.message)
}
