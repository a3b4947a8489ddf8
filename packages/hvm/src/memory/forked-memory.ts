import { PAGE_BYTES } from '@retrap/memory'
import type { P2m, SharedRam } from '@retrap/p2m'
import type { Domain } from '../domain.ts'
import { type DomainState, goOn, restoreModels, type SavedDomain } from '../saved-domain.ts'
import {
  checkGuestFrames,
  FIRST_LOGGED_GFN,
  type GuestFrames,
  isSame,
  isZero,
  machineRuns,
  WORDS,
} from './guest-frames.ts'

/** Guest frames of a table that maps share. */
const TABLE_FRAMES = 512

/** Consecutive guest frames. */
interface Piece {
  readonly gfn: number
  readonly count: number
}

/** Contents of frames that cannot be shared; zeros are left out. */
interface CopiedFrames {
  readonly gfns: Uint32Array
  readonly contents: readonly Uint8Array[]
}

/**
 * A guest's RAM and ROM as they are at one instant, for domains in the same machine memory that go on from there. They have
 * the guest's own frames, which nobody writes from then on: the first write of each makes a copy (`P2m.unshare`). ROM, RAM
 * below 1 MiB, and frames of which a device model keeps hold are copied.
 */
export class ForkedMemory {
  /** The frames that a domain must have to go on from here. */
  readonly frames: readonly GuestFrames[]
  readonly #shared: SharedRam[] = []
  readonly #copied: CopiedFrames

  /**
   * Takes the present instant, between two instructions of all vCPUs, while device models rest.
   *
   * @param frames - all of the domain
   * @throws P2mError `ERR_NO_MEMORY`; the domain can run on
   */
  constructor(domain: Domain, frames: readonly GuestFrames[]) {
    this.frames = frames
    domain.mappings.forget()
    try {
      for (const { gfn, count, kind } of frames) {
        const first = Math.max(gfn, FIRST_LOGGED_GFN)
        if (kind === 'ram' && first < gfn + count) this.#shared.push(domain.p2m.offer(first, gfn + count - first))
      }
      this.#copied = copiesOf(domain, this.#pieces())
    } catch (error) {
      this.close()
      throw error
    }
  }

  /**
   * Gives a new domain RAM: the shared frames where there are such, others from the free ones.
   *
   * @throws P2mError `ERR_NO_MEMORY`
   */
  populate({ p2m }: Domain, gfn: number, count: number): void {
    const end = gfn + count
    let at = gfn
    for (const piece of this.#pieces()) {
      if (piece.gfn < at || piece.gfn + piece.count > end) continue
      if (piece.gfn > at) p2m.populate(at, piece.gfn - at)
      at = piece.gfn + piece.count
    }
    if (at < end) p2m.populate(at, end - at)
    for (const shared of this.#shared) insert(p2m, shared, gfn, end)
  }

  /** The shared frames, from low to high. */
  #pieces(): Piece[] {
    const pieces: Piece[] = []
    for (const { runs, tables } of this.#shared)
      pieces.push(...runs, ...tables.map(({ gfn }) => ({ gfn, count: TABLE_FRAMES })))
    return pieces.toSorted((a, b) => a.gfn - b.gfn)
  }

  /**
   * Gives a domain, which may have written its RAM meanwhile, the contents.
   *
   * @throws HvmError `ERR_STATE` for a domain with other frames; P2mError `ERR_NO_MEMORY`
   */
  restoreInto(domain: Domain): void {
    const { gfns, contents } = this.#copied
    checkGuestFrames(domain, this.frames, gfns)
    for (const shared of this.#shared) insert(domain.p2m, shared, 0, Infinity)
    const { memory } = domain
    let at = 0
    for (const { gfn, mfn, count, isShared } of machineRuns(domain, true)) {
      for (let i = 0; i < count && !isShared; i++) {
        const has = gfns[at] === gfn + i
        const word = (mfn + i) * WORDS
        const ma = (mfn + i) * PAGE_BYTES
        if (has && !isSame(memory.u32, word, contents[at]!)) memory.write(ma, contents[at]!)
        if (!has && !isZero(memory.u32, word)) memory.fill(ma, PAGE_BYTES, 0)
        if (has) at++
      }
    }
  }

  /**
   * Gives a domain that has just been made in the same machine memory all that the forked one had. A domain for which this has
   * failed is of no more use.
   *
   * @param state - of the forked domain
   * @param mapped - called when device models have mapped what they map, and before RAM is restored
   * @throws as `restoreDomain`; P2mError `ERR_NO_MEMORY`
   */
  async restoreDomain<S extends DomainState>(domain: SavedDomain<S>, state: S, mapped?: () => void): Promise<void> {
    const rest = await restoreModels(domain, state, mapped, undefined)
    this.restoreInto(domain)
    goOn(domain, state, rest, undefined)
  }

  /** Ends the fork: frames that no domain has are free. */
  close(): void {
    for (const shared of this.#shared.splice(0)) shared.close()
  }
}

/** Maps what lies in a range of guest frames, and is not mapped so already. */
function insert(p2m: P2m, { runs, tables }: SharedRam, gfn: number, end: number): void {
  for (const run of runs) if (run.gfn >= gfn && run.gfn + run.count <= end) p2m.insertShared(run)
  for (const table of tables) if (table.gfn >= gfn && table.gfn + TABLE_FRAMES <= end) p2m.insertSharedTable(table)
}

/** Copies the frames that are not in `shared`. @param shared - from low to high */
function copiesOf(domain: Domain, shared: readonly Piece[]): CopiedFrames {
  const { u8, u32 } = domain.memory
  const gfns: number[] = []
  const contents: Uint8Array[] = []
  let run = 0
  for (const { gfn, mfn, count } of machineRuns(domain, true)) {
    for (let i = 0; i < count; i++) {
      while (run < shared.length && shared[run]!.gfn + shared[run]!.count <= gfn + i) run++
      const next = shared[run]
      if (next !== undefined && next.gfn <= gfn + i) {
        // All of the run that lies in this leaf.
        i = Math.min(next.gfn + next.count - gfn, count) - 1
        continue
      }
      if (isZero(u32, (mfn + i) * WORDS)) continue
      gfns.push(gfn + i)
      contents.push(u8.slice((mfn + i) * PAGE_BYTES, (mfn + i + 1) * PAGE_BYTES))
    }
  }
  return { gfns: Uint32Array.from(gfns), contents }
}
