import { PAGE_BYTES } from '@retrap/memory'
import { P2mAccess, P2mEntry, P2mError } from '@retrap/p2m'
import type { Domain } from './domain.ts'
import {
  checkGuestFrames,
  clearFrames,
  type GuestFrames,
  type GuestPages,
  type GuestPageSource,
  machineRuns,
  sourceOf,
} from './guest-frames.ts'

/** Frames of a block, which is filled at once: a leaf of 2 MiB. */
const BLOCK_FRAMES = 512
const BLOCK_ORDER = 9

/** A block of RAM whose contents are still to be brought. */
interface LateBlock {
  readonly gfn: number
  readonly mfn: number
  /** Its contents in the source: from `first` up to `end`. */
  readonly first: number
  readonly end: number
  /** The contents are in machine memory, and only the map still says no. */
  filled: boolean
}

/**
 * Gives a guest's frames their contents back: those in leaves of 2 MiB when they are needed, the others at once. Until
 * then nobody may access these leaves (`P2mAccess.N`), and whoever does so brings the contents: vCPUs, their page walks
 * and device models by `SecondLevelFaults`, which also peeks for debuggers. Where other threads map RAM themselves,
 * everything is brought at once.
 *
 * Contents that cannot be read end the domain, which says why.
 */
export class LatePages {
  readonly #domain: Domain
  #source: GuestPageSource | null
  /** By the number of the guest's block. */
  readonly #blocks = new Map<number, LateBlock>()
  readonly #entry = new P2mEntry()
  readonly #stopWatching: () => void
  /** The changes of the map now are this object's own. */
  #own = false
  /** Parts of larger leaves have become leaves. */
  #split = false

  /**
   * @param frames - where the contents belong
   * @throws HvmError `ERR_STATE` where the guest has other frames, or contents are of none; what the source throws
   */
  constructor(domain: Domain, frames: readonly GuestFrames[], pages: GuestPages | GuestPageSource) {
    const source = sourceOf(pages)
    checkGuestFrames(domain, frames, source.gfns)
    this.#domain = domain
    this.#source = source
    this.#begin(source)
    this.#stopWatching = domain.p2m.onChange((gfn, count) => {
      if (!this.#own) this.#beforeChange(gfn, count)
    })
    if (this.#blocks.size === 0) this.close()
    else domain.secondLevel.late = this
  }

  /** Blocks that have not been brought. */
  get left(): number {
    return this.#blocks.size
  }

  /** Whether the contents of a guest frame are still to be brought. */
  has(gfn: number): boolean {
    return this.#blocks.has(Math.floor(gfn / BLOCK_FRAMES))
  }

  /** Brings the contents of a guest frame. @returns false where they cannot be read: the domain stops */
  bring(gfn: number): boolean {
    const block = this.#blocks.get(Math.floor(gfn / BLOCK_FRAMES))
    try {
      if (block !== undefined) this.#bring(block)
      return true
    } catch (error) {
      this.#stop(gfn, error)
      return false
    }
  }

  #stop(gfn: number, error: unknown): void {
    this.#domain.stop({ reason: 'memory-failure', failure: { cause: 'unreadable', vcpu: -1, gfn, error } })
  }

  /** Brings all that is left, at once. @throws what the source throws */
  finishNow(): void {
    for (const block of [...this.#blocks.values()]) this.#bring(block)
  }

  /**
   * Brings all that is left, block by block.
   *
   * @param turn - lets others have a turn of the host's event loop
   */
  async finish(turn: () => Promise<void>): Promise<void> {
    for (const block of [...this.#blocks.values()]) {
      // oxlint-disable-next-line no-await-in-loop -- the guest runs in between
      await turn()
      if (!this.bring(block.gfn)) return
    }
  }

  /** Nothing more is brought. */
  close(): void {
    const source = this.#source
    if (source === null) return
    this.#source = null
    this.#blocks.clear()
    this.#stopWatching?.()
    if (this.#domain.secondLevel.late === this) this.#domain.secondLevel.late = null
    source.close?.()
  }

  /** Fills small leaves and ROM, and makes blocks of what is left. */
  #begin(source: GuestPageSource): void {
    const { gfns } = source
    const mayWait = !this.#domain.writtenElsewhere
    let at = 0
    for (const { gfn, mfn, count, kind, order, access } of machineRuns(this.#domain)) {
      const waits = mayWait && kind === 'ram' && order >= BLOCK_ORDER && access === P2mAccess.RWX
      const step = waits ? BLOCK_FRAMES : count
      for (let done = 0; done < count; done += step) {
        clearFrames(this.#domain, mfn + done, step, gfns, at, gfn + done)
        const first = at
        while (at < gfns.length && gfns[at]! < gfn + done + step) at++
        if (at === first) continue
        const block: LateBlock = { gfn: gfn + done, mfn: mfn + done, first, end: at, filled: false }
        if (waits && this.#hide(block)) {
          this.#split ||= order > BLOCK_ORDER
          this.#blocks.set(block.gfn / BLOCK_FRAMES, block)
        } else this.#fill(block)
      }
    }
  }

  /** @returns false where the map has no memory for it */
  #hide({ gfn }: LateBlock): boolean {
    try {
      this.#domain.p2m.setAccess(gfn, BLOCK_FRAMES, P2mAccess.N)
      return true
    } catch (error) {
      if (error instanceof P2mError && error.code === 'ERR_NO_MEMORY') return false
      throw error
    }
  }

  #bring(block: LateBlock): void {
    this.#fill(block)
    this.#own = true
    try {
      this.#show(block)
    } finally {
      this.#own = false
    }
    this.#blocks.delete(block.gfn / BLOCK_FRAMES)
    if (this.#blocks.size > 0) return
    if (this.#split) this.#domain.p2m.coalesce()
    this.close()
  }

  /** Lets everybody access the frames of a block that are still where they were. */
  #show({ gfn, mfn }: LateBlock): void {
    const { p2m } = this.#domain
    const entry = this.#entry
    for (let at = gfn; at < gfn + BLOCK_FRAMES;) {
      p2m.lookup(at, entry)
      const count = Math.min(2 ** entry.order - (at % 2 ** entry.order), gfn + BLOCK_FRAMES - at)
      const isHidden = entry.access === P2mAccess.N && entry.mfn === mfn + at - gfn
      if (isHidden) p2m.setAccess(at, count, P2mAccess.RWX)
      at += count
    }
  }

  #fill(block: LateBlock): void {
    const source = this.#source
    if (block.filled || source === null) return
    const { memory } = this.#domain
    const { gfn, mfn, first, end } = block
    for (let at = first; at < end; at++) memory.write((mfn + source.gfns[at]! - gfn) * PAGE_BYTES, source.contents(at))
    block.filled = true
  }

  /** The map has changed: frames that leave the guest have their contents first. */
  #beforeChange(gfn: number, count: number): void {
    for (let block = Math.floor(gfn / BLOCK_FRAMES); block * BLOCK_FRAMES < gfn + count; block++) {
      const found = this.#blocks.get(block)
      if (found === undefined) continue
      try {
        this.#fill(found)
      } catch (error) {
        this.#stop(gfn, error)
      }
    }
  }
}
