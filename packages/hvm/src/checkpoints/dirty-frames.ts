import { type LogDirty, P2mError } from '@retrap/p2m'
import type { Domain } from '../domain.ts'
import { FIRST_LOGGED_GFN, type FrameBits, FrameSet, guestFrames } from './guest-frames.ts'

/** A log of consecutive guest frames, with a bit for each. */
interface LoggedRange extends FrameBits {
  readonly log: LogDirty
}

/** The guest frames that have been written since an instant. Made by {@link DirtyFrames.note}. */
export class DirtySince {
  /** With the bits of the logs. */
  readonly #ranges: readonly FrameBits[]
  /** Bits by range; without the log's content since the last query of {@link DirtyFrames}. */
  readonly #bits: readonly Uint32Array[]

  /** @internal */
  constructor(ranges: readonly FrameBits[]) {
    this.#ranges = ranges
    this.#bits = ranges.map(({ bits }) => new Uint32Array(bits.length))
  }

  /** Returns the frames that may have changed since the instant. @param others - guest frames to add */
  now(others: Iterable<number> = []): FrameSet {
    const found = this.#ranges.map(({ gfn, count, bits }, at) => {
      const own = this.#bits[at]!
      return { gfn, count, bits: own.map((word, i) => word | Atomics.load(bits, i)) }
    })
    for (const other of others)
      for (const { gfn, count, bits } of found) {
        const at = other - gfn
        if (at >= 0 && at < count) bits[at >>> 5]! |= 1 << (at & 31)
      }
    return new FrameSet(found)
  }

  /** @internal Adds frames to the log. @param others - by range */
  add(others: readonly Uint32Array[]): void {
    for (const [at, bits] of this.#bits.entries()) {
      const more = others[at]!
      for (let word = 0; word < bits.length; word++) bits[word]! |= more[word]!
    }
  }

  /** @internal Empties the set. @returns its previous words */
  clear(): Uint32Array[] {
    return this.#bits.map((bits) => {
      const had = bits.slice()
      bits.fill(0)
      return had
    })
  }
}

/**
 * Notes which RAM of a guest is written between instants: who goes back to one has only that to bring back. The first write
 * of each frame after an instant costs as much as with any dirty log.
 */
export class DirtyFrames {
  readonly #domain: Domain
  readonly #ranges: LoggedRange[] = []
  readonly #instants = new Set<WeakRef<DirtySince>>()

  private constructor(domain: Domain) {
    this.#domain = domain
  }

  /** Begins to track writes. @returns null if they cannot be tracked, as the map lacks memory */
  static begin(domain: Domain): DirtyFrames | null {
    const written = new DirtyFrames(domain)
    try {
      for (const { gfn, count, kind } of guestFrames(domain)) {
        const first = Math.max(gfn, FIRST_LOGGED_GFN)
        if (kind === 'ram' && first < gfn + count) written.#log(first, gfn + count - first)
      }
      return written
    } catch (error) {
      written.close()
      if (error instanceof P2mError && error.code === 'ERR_NO_MEMORY') return null
      throw error
    }
  }

  #log(gfn: number, count: number): void {
    const bits = new Uint32Array(Math.ceil(count / 32))
    this.#ranges.push({ gfn, count, bits, log: this.#domain.dirtyLogs.start(gfn, count, bits) })
  }

  /** Notes the present instant. Releasing the returned object ends its tracking. */
  note(): DirtySince {
    this.#fold()
    const since = new DirtySince(this.#ranges)
    this.#instants.add(new WeakRef(since))
    return since
  }

  /**
   * Notes that RAM was restored to another instant.
   *
   * @param since - one of this log; default one of which nothing is known: any frame may have changed
   * @returns the instant, from now on
   */
  returnedTo(since?: DirtySince): DirtySince {
    this.#fold()
    const written = since?.clear() ?? this.#ranges.map(({ bits }) => new Uint32Array(bits.length).fill(~0))
    for (const other of this.#each()) if (other !== since) other.add(written)
    return since ?? this.note()
  }

  /** Changes mappings of frames but not their contents. @returns result of the change */
  unwritten<T>(gfn: number, count: number, change: () => T): T {
    const parts = this.#ranges.flatMap((range) => {
      const first = Math.max(gfn, range.gfn) - range.gfn
      const end = Math.min(gfn + count, range.gfn + range.count) - range.gfn
      const word = first >>> 5
      return first < end ? [{ first, end, word, bits: range.bits, kept: range.bits.slice(word, (end + 31) >>> 5) }] : []
    })
    const changed = change()
    for (const { first, end, word, bits, kept } of parts) {
      for (const [i, had] of kept.entries()) {
        const from = Math.max(first - 32 * (word + i), 0)
        const rest = end - 32 * (word + i)
        const inside = (~0 << from) & (rest < 32 ? (1 << rest) - 1 : ~0)
        Atomics.and(bits, word + i, had | ~inside)
      }
    }
    return changed
  }

  /** Ends the log: writes to RAM are no longer intercepted. */
  close(): void {
    for (const { log } of this.#ranges.splice(0)) this.#domain.dirtyLogs.stop(log)
    this.#instants.clear()
  }

  /** Adds frames written since the last call to each instant. */
  #fold(): void {
    const taken = this.#ranges.map(({ log, bits }) => {
      const into = new Uint32Array(bits.length)
      log.take(into)
      return into
    })
    for (const since of this.#each()) since.add(taken)
    // Holders of writable mappings were asked before.
    this.#domain.mappings.heldForWriting((gfn, count) => {
      for (const { log } of this.#ranges) log.mark(gfn, count)
    })
  }

  *#each(): Generator<DirtySince, void, undefined> {
    for (const ref of this.#instants) {
      const since = ref.deref()
      if (since === undefined) this.#instants.delete(ref)
      else yield since
    }
  }
}
