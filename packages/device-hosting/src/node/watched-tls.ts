import { readTlsFiles, type TlsFiles, type TlsIdentity } from './tls.ts'

/** Options of {@link WatchedTlsFiles}. */
export interface TlsWatchOptions {
  /** Period of reading the files, in milliseconds; 0: only by `reload`. Default 10,000. */
  readonly everyMs?: number
  /** Called when files that have changed are in use. */
  onChanged?(): void
  /** Called, once for each reason, when files that have changed cannot be used: those before stay in use. */
  onTrouble?(error: Error): void
}

/** Called after each change. */
type Listener = (now: TlsIdentity, before: TlsIdentity) => void

const EVERY_MS = 10_000

/**
 * A `TlsIdentity` in files that are replaced while it is in use, as before a certificate expires. They are read as a whole and
 * compared by content, so that links and files that are moved into place will do. A certificate without its new key is not
 * used: the next look finds both.
 *
 * New connections use the files' present content. Open connections continue; when authorities or revocation lists change, the
 * end that listens cuts them, and peers that are still trusted connect again within `reconnectMs`.
 */
export class WatchedTlsFiles {
  readonly #files: TlsFiles
  readonly #options: TlsWatchOptions
  readonly #listeners = new Set<Listener>()
  readonly #timer: NodeJS.Timeout | undefined
  #identity: TlsIdentity
  #trouble = ''
  #reading: Promise<boolean> | null = null

  private constructor(files: TlsFiles, options: TlsWatchOptions, identity: TlsIdentity) {
    this.#files = files
    this.#options = options
    this.#identity = identity
    const { everyMs = EVERY_MS } = options
    if (everyMs > 0) this.#timer = setInterval(() => void this.#look(), everyMs).unref()
  }

  /**
   * Reads the files, and looks at them from then on. The process ends although it looks.
   *
   * @throws IoreqError `ERR_NOT_FOUND` for a file that cannot be read, `ERR_INVALID` for a bad identity
   */
  static async open(files: TlsFiles, options: TlsWatchOptions = {}): Promise<WatchedTlsFiles> {
    return new WatchedTlsFiles(files, options, await readTlsFiles(files))
  }

  /** The identity in use. */
  get identity(): TlsIdentity {
    return this.#identity
  }

  /**
   * Reads the files at once.
   *
   * @returns whether they have changed
   * @throws IoreqError as `open`; the identity in use stays
   */
  reload(): Promise<boolean> {
    this.#reading ??= this.#read().finally(() => void (this.#reading = null))
    return this.#reading
  }

  /** Ends the looks at the files; the identity in use stays. */
  close(): void {
    clearInterval(this.#timer)
    this.#listeners.clear()
  }

  /** @internal Calls back with each change; returns how to end that. */
  onChange(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  async #look(): Promise<void> {
    try {
      await this.reload()
      this.#trouble = ''
    } catch (thrown) {
      const error = thrown as Error
      if (error.message === this.#trouble) return
      this.#trouble = error.message
      this.#options.onTrouble?.(error)
    }
  }

  async #read(): Promise<boolean> {
    const before = this.#identity
    const now = await readTlsFiles(this.#files)
    if (now.cert === before.cert && now.key === before.key && now.ca === before.ca && now.crl === before.crl)
      return false
    this.#identity = now
    for (const listener of this.#listeners) listener(now, before)
    this.#options.onChanged?.()
    return true
  }
}

/** The identity that a TLS option has at this moment. */
export function identityOf(tls: TlsIdentity | WatchedTlsFiles): TlsIdentity {
  return tls instanceof WatchedTlsFiles ? tls.identity : tls
}
