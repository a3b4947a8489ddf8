import { PAGE_BYTES } from '@retrap/memory'
import { P2mAccess, P2mEntry, P2mError } from '@retrap/p2m'
import type { Domain } from '../domain.ts'
import {
  checkGuestFrames,
  clearFrames,
  type FrameSet,
  type GuestFrames,
  type MachineRun,
  machineRuns,
} from './guest-frames.ts'
import { isSame, isZero, WORDS } from '../memory/frame-contents.ts'
import { closePages, type GuestPages, type GuestPageSource, sourceOf } from './page-source.ts'
import type { DirtyFrames } from './dirty-frames.ts'

/** Frames of a block, which is filled at once, unless its source gives a size: a leaf of 2 MiB. */
const BLOCK_FRAMES = 512
/** Order of leaves whose frames wait. */
const BLOCK_ORDER = 9

/** A block of RAM whose contents are still to be brought. */
interface PendingBlock {
  readonly gfn: number
  readonly mfn: number
  readonly count: number
  /** Contents in the source: from `first` up to `end`. */
  readonly first: number
  readonly end: number
  /** Other guests may have the block's frames too: frames whose contents change are copied first. */
  readonly isShared: boolean
  /** Whether the contents are in machine memory already, and only the p2m still denies access. */
  filled: boolean
  /** By frame: 1 if the guest may access the frame before the block is loaded; null: no frame. */
  given: Uint8Array | null
}

/** The known contents of a guest's frames. */
export interface KnownContents {
  /** Frames whose contents may differ from the source's; default: all frames of a guest that has run. */
  readonly written?: FrameSet | undefined
  /** Log of written frames, in which loaded contents do not count as written. */
  readonly log?: DirtyFrames | undefined
}

/**
 * Gives a guest's frames their contents back: those in leaves of 2 MiB when they are needed, the others at once. Until
 * then nobody may access these leaves (`P2mAccess.N`), and an attempt brings the contents: vCPUs, their page walks
 * and device models by `SecondLevelFaults`, which also peeks for debuggers. Where other threads map RAM themselves,
 * everything is brought at once. Of a guest that has run, frames whose contents are right already are not written: what has
 * been generated of their code stays.
 *
 * Contents that cannot be read end the domain, which says why.
 */
export class PostCopyPages {
  readonly #domain: Domain
  readonly #former: KnownContents
  /** Whether the guest has run, and so may have written any of its frames. */
  readonly #hasRun: boolean
  #source: GuestPageSource | null
  /** Number of frames of a block. */
  readonly #frames: number
  /** Frames to load before the rest of their blocks; null: none. */
  readonly #first: ReadonlySet<number> | null
  /** Blocks that are not loaded, by block number. */
  readonly #blocks = new Map<number, PendingBlock>()
  readonly #entry = new P2mEntry()
  readonly #stopWatching: () => void
  /** The changes of the map now are this object's own. */
  #own = false
  /** Parts of larger leaves have become leaves. */
  #split = false

  /**
   * @param frames - frames that the contents belong to
   * @throws HvmError `ERR_STATE` if the guest has other frames, or contents belong to no frame; errors of the source
   */
  constructor(
    domain: Domain,
    frames: readonly GuestFrames[],
    pages: GuestPages | GuestPageSource,
    former: KnownContents = {},
  ) {
    const source = sourceOf(pages)
    checkGuestFrames(domain, frames, source.gfns)
    this.#domain = domain
    this.#former = former
    this.#hasRun = domain.hasExecuted
    this.#source = source
    this.#frames = source.blockFrames ?? BLOCK_FRAMES
    this.#first = this.#hasRun || source.first === undefined ? null : new Set(source.first)
    // Models would find frames that must not be accessed yet.
    domain.mappings.forget()
    this.#begin(source)
    this.#stopWatching = domain.p2m.onChange((gfn, count) => {
      if (!this.#own) this.#beforeChange(gfn, count)
    })
    if (this.#blocks.size === 0) this.close()
    else domain.secondLevel.late = this
  }

  /** Number of blocks that have not been loaded. */
  get left(): number {
    return this.#blocks.size
  }

  /** Whether the contents of a guest frame are still to be brought. */
  has(gfn: number): boolean {
    return this.#blocks.has(Math.floor(gfn / this.#frames))
  }

  /** Loads the contents of a guest frame. @returns false if they cannot be read: the domain stops */
  bring(gfn: number): boolean {
    const block = this.#blocks.get(Math.floor(gfn / this.#frames))
    return block === undefined || this.#tryToBring(block, gfn)
  }

  /** @param gfn - the needed frame, which may be loaded without the rest of its block; null: loads the whole block */
  #tryToBring(block: PendingBlock, gfn: number | null): boolean {
    try {
      if (this.#first !== null && gfn !== null && block.given === null) this.#give(block, this.#first)
      if (gfn === null || block.given?.[gfn - block.gfn] !== 1) this.#bring(block)
      return true
    } catch (error) {
      this.#stop(gfn ?? block.gfn, error)
      return false
    }
  }

  #stop(gfn: number, error: unknown): void {
    this.#domain.stop({ reason: 'memory-failure', failure: { cause: 'unreadable', vcpu: -1, gfn, error } })
  }

  /** Loads all remaining blocks before it returns. @throws errors of the source */
  finishNow(): void {
    for (const block of [...this.#blocks.values()]) this.#bring(block)
  }

  /**
   * Loads all remaining blocks one by one while the guest runs.
   *
   * @param turn - yields a turn of the host's event loop
   */
  async finish(turn: () => Promise<void>): Promise<void> {
    for (const block of [...this.#blocks.values()]) {
      await turn()
      // The guest may have needed the block meanwhile. An error of fetching ahead shows when the block is brought.
      if (!block.filled && block.end > block.first) await this.#source?.ready?.(block.first, block.end).catch(() => {})
      if (this.#blocks.has(block.gfn / this.#frames) && !this.#tryToBring(block, null)) return
    }
  }

  /** Loads nothing more, and closes the source. */
  close(): void {
    const source = this.#source
    if (source === null) return
    this.#source = null
    this.#blocks.clear()
    this.#stopWatching?.()
    if (this.#domain.secondLevel.late === this) this.#domain.secondLevel.late = null
    closePages(source)
  }

  /** Fills small leaves and ROM, and makes blocks of all other RAM. */
  #begin(source: GuestPageSource): void {
    const { gfns } = source
    const mayWait = !this.#domain.reachedElsewhere
    let at = 0
    for (const run of machineRuns(this.#domain)) {
      // Blocks whose frames are shared with other machines are loaded at once, because the frames may be replaced.
      const waits =
        mayWait && !run.isShared && run.kind === 'ram' && run.order >= BLOCK_ORDER && run.access === P2mAccess.RWX
      const step = waits ? this.#frames : run.count
      let isHidden = false
      for (let done = 0; done < run.count; done += step) {
        const gfn = run.gfn + done
        // A leaf is hidden as a whole: by its frames that takes a hundred times as long.
        if (waits && done % BLOCK_FRAMES === 0) isHidden = this.#isWorthWaiting(gfn, at) && this.#hide(gfn)
        const first = at
        while (at < gfns.length && gfns[at]! < gfn + step) at++
        const { isShared } = run
        const mfn = run.mfn + done
        const block: PendingBlock = { gfn, mfn, count: step, first, end: at, isShared, filled: false, given: null }
        // Once is enough for a block that waits: it is hidden, and has no writer.
        if (!this.#hasRun && !isShared) this.#clear(block)
        if (isHidden) this.#keep(block, run)
        else this.#fill(block)
      }
    }
  }

  /** Whether filling a leaf of 2 MiB takes time. @param at - its first contents in the source, if it has some */
  #isWorthWaiting(gfn: number, at: number): boolean {
    if (!this.#hasRun) return this.#source!.gfns[at]! < gfn + BLOCK_FRAMES
    const { written } = this.#former
    return written === undefined || written.any(gfn, BLOCK_FRAMES)
  }

  #keep(block: PendingBlock, { order }: MachineRun): void {
    this.#split ||= order > BLOCK_ORDER || this.#frames < BLOCK_FRAMES
    this.#blocks.set(block.gfn / this.#frames, block)
  }

  /** Hides a leaf of 2 MiB. @returns false if the map lacks memory */
  #hide(gfn: number): boolean {
    const { p2m } = this.#domain
    return this.#hasRoom(() =>
      this.#unwritten(gfn, BLOCK_FRAMES, () => void p2m.setAccess(gfn, BLOCK_FRAMES, P2mAccess.N)),
    )
  }

  /** Changes the map. @returns false if the map lacks memory */
  #hasRoom(change: () => void): boolean {
    try {
      change()
      return true
    } catch (error) {
      if (error instanceof P2mError && error.code === 'ERR_NO_MEMORY') return false
      throw error
    }
  }

  /** Lets the guest access a block's `first` frames and its frames of zeros before the rest is loaded. */
  #give(block: PendingBlock, first: ReadonlySet<number>): void {
    const { gfns } = this.#source!
    const given = new Uint8Array(block.count).fill(1)
    for (let at = block.first; at < block.end; at++) if (!first.has(gfns[at]!)) given[gfns[at]! - block.gfn] = 0
    block.given = given
    this.#held(() => this.#write(block, 1))
    this.#split = true
    if (!this.#hasRoom(() => this.#showOwn(block))) block.given = null
  }

  #bring(block: PendingBlock): void {
    this.#held(() => this.#fill(block))
    block.given = null
    this.#showOwn(block)
    this.#blocks.delete(block.gfn / this.#frames)
    if (this.#blocks.size === 0) this.#end()
  }

  /** Over a slow link this takes seconds each time, and a guest whose time goes on believes that a vCPU hangs. */
  #held(work: () => void): void {
    const { clock } = this.#domain
    const began = clock.now()
    work()
    clock.hold(clock.now() - began)
  }

  /** See `LateContents`. Frames that had still to be brought count as written. */
  drop(): void {
    for (const block of this.#blocks.values()) {
      block.given = null
      this.#showOwn(block)
      if (!block.filled) this.#domain.dirtyLogs.mark(block.gfn, block.count)
    }
    this.#end()
  }

  #end(): void {
    if (this.#split) this.#unwritten(0, Infinity, () => void this.#domain.p2m.coalesce())
    this.close()
  }

  #showOwn(block: PendingBlock): void {
    this.#own = true
    try {
      this.#unwritten(block.gfn, block.count, () => this.#show(block))
    } finally {
      this.#own = false
    }
  }

  /** Changes the p2m without the write log noting frames as written. */
  #unwritten(gfn: number, count: number, change: () => void): void {
    const { log } = this.#former
    if (log === undefined) change()
    else log.unwritten(gfn, count, change)
  }

  /** Lets guest and devices access the frames of a block that have not been remapped: all, or only the `given` frames. */
  #show({ gfn, mfn, count: frames, given }: PendingBlock): void {
    const { p2m } = this.#domain
    const entry = this.#entry
    for (let at = 0; at < frames;) {
      if (given?.[at] === 0) {
        at++
        continue
      }
      let end = given === null ? frames : given.indexOf(0, at)
      if (end < 0) end = frames
      p2m.lookup(gfn + at, entry)
      const count = Math.min(2 ** entry.order - ((gfn + at) % 2 ** entry.order), end - at)
      const isHidden = entry.access === P2mAccess.N && entry.mfn === mfn + at
      if (isHidden) p2m.setAccess(gfn + at, count, P2mAccess.RWX)
      at += count
    }
  }

  #fill(block: PendingBlock): void {
    const source = this.#source
    if (block.filled || source === null) return
    if (this.#hasRun || block.isShared) this.#replace(block, source)
    else this.#write(block, 0)
    block.filled = true
  }

  /**
   * Writes the contents of a block of a guest that has not run, as a whole or in two parts.
   *
   * @param part - 1: the frames given first; 0: the other frames
   */
  #write({ gfn, mfn, count, first, end, given }: PendingBlock, part: 0 | 1): void {
    const { memory, dirtyLogs } = this.#domain
    const source = this.#source!
    dirtyLogs.beforeWrites?.(gfn, count)
    for (let at = first; at < end; at++) {
      const frame = source.gfns[at]! - gfn
      if (given === null || given[frame] === part) memory.write((mfn + frame) * PAGE_BYTES, source.contents(at))
    }
  }

  /** Has a block of a guest that has not run be zeros, but for frames that get contents. */
  #clear({ gfn, mfn, count, first }: PendingBlock): void {
    this.#domain.dirtyLogs.beforeWrites?.(gfn, count)
    clearFrames(this.#domain, mfn, count, this.#source!.gfns, first, gfn)
  }

  /** Writes the contents of the frames that differ from the source. */
  #replace({ gfn, mfn, count, first, end, isShared }: PendingBlock, source: GuestPageSource): void {
    const { memory, dirtyLogs } = this.#domain
    const { written } = this.#former
    for (let frame = 0, at = first; frame < count; frame++) {
      const has = at < end && source.gfns[at] === gfn + frame
      const index = at
      if (has) at++
      if (written?.has(gfn + frame) === false) continue
      const word = (mfn + frame) * WORDS
      const contents = has ? source.contents(index) : null
      if (contents === null ? isZero(memory.u32, word) : isSame(memory.u32, word, contents)) continue
      dirtyLogs.beforeWrites?.(gfn + frame, 1)
      const ma = isShared ? this.#unshared(gfn + frame) : (mfn + frame) * PAGE_BYTES
      if (contents === null) memory.fill(ma, PAGE_BYTES, 0)
      else memory.write(ma, contents)
    }
  }

  /** Replaces a shared guest frame by a private copy. @returns its machine address */
  #unshared(gfn: number): number {
    const { p2m } = this.#domain
    p2m.unshare(gfn)
    p2m.lookup(gfn, this.#entry)
    return this.#entry.mfn * PAGE_BYTES
  }

  /** The map has changed: frames that leave the guest have their contents first. */
  #beforeChange(gfn: number, count: number): void {
    for (let block = Math.floor(gfn / this.#frames); block * this.#frames < gfn + count; block++) {
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
