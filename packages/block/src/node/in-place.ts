import { statfs } from 'node:fs/promises'

/** File systems on disks and in memory of the host itself. Source: Linux man-pages, statfs(2), "f_type". */
const LOCAL: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x5846_5342, // XFS
  0x9123_683e, // Btrfs
  0xf2f5_2010, // F2FS
  0xca45_1a4e, // bcachefs
  0x2fc1_2fc1, // ZFS
  0x0102_1994, // tmpfs
  0x8584_58f6, // ramfs
  0x794c_7630, // overlayfs
])

/** Returns whether requests to a file end by themselves, however slow: a server of files may never answer. */
export async function isLocal(path: string): Promise<boolean> {
  // The numbers of file systems are Linux's.
  if (process.platform !== 'linux') return false
  const found = await statfs(path).catch(() => null)
  return found !== null && LOCAL.has(found.type >>> 0)
}

/** A request that took longer has waited for a disk, or this thread has waited for a processor. */
const QUICK_MS = 0.5
/** Two slow requests among this many mean that the host's cache lacks the data, and the disk is read. */
const NEAR = 16
/** After two slow requests none is made in place for this many times their duration. */
const REST = 16
/** Most host time of quick requests in place, in each window. */
const MOST_MS = 6
const WINDOW_MS = 8

/**
 * Decides whether a request to the host is made in place: the thread waits for it.
 *
 * A request through another thread costs ten times as much as one that the host's cache answers. A disk that has to be waited
 * for holds this thread for about a sixteenth of the time, and a guest with many quick requests leaves the event loop its turn.
 */
export class InPlace {
  readonly #now: () => number
  #restUntil = -Infinity
  #windowEnd = -Infinity
  #spent = 0
  /** Duration of the last slow request, and the number of requests since. */
  #slow = 0
  #sinceSlow = NEAR

  /** @param now - milliseconds */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Starts a synchronous request, and returns its start time; NaN if another thread has to do the request. */
  begin(): number {
    const now = this.#now()
    if (now < this.#restUntil) return NaN
    if (now >= this.#windowEnd) {
      this.#windowEnd = now + WINDOW_MS
      this.#spent = 0
    }
    return this.#spent < MOST_MS ? now : NaN
  }

  /** Ends the request. @param begun - result of `begin` */
  end(begun: number): void {
    const now = this.#now()
    const took = now - begun
    this.#spent += took
    this.#sinceSlow++
    if (took <= QUICK_MS) return
    if (this.#sinceSlow <= NEAR) this.#restUntil = now + REST * (this.#slow + took)
    this.#slow = took
    this.#sinceSlow = 0
  }
}
