import { PAGE_BYTES } from '@retrap/memory'
import type { P2m, SharedRam } from '@retrap/p2m'
import type { Domain } from '../domain.ts'
import { type DomainState, goOn, putModelsBack, type SavedDomain } from './saved-domain.ts'
import { addFrames, FIRST_LOGGED_GFN, type GuestFrames, machineRuns, requireSameFrames } from './guest-frames.ts'
import { isSame, isZero, WORDS } from '../memory/frame-contents.ts'

/** Guest frames that one shared p2m table maps. */
const TABLE_FRAMES = 512

/** Consecutive guest frames. */
interface Piece {
  readonly gfn: number
  readonly count: number
}

/** Frames of one p2m leaf that are not shared: consecutive guest frames in consecutive machine frames. */
interface UnsharedRun extends GuestFrames {
  readonly mfn: number
}

/** Contents of frames that cannot be shared; zeros are left out. */
type CopiedFrames = ReadonlyMap<number, Uint8Array>

/**
 * A guest's RAM and ROM as they are at one instant, for domains in the same machine memory that go on from there. They have
 * the guest's own frames, which nobody writes from then on: the first write of each makes a copy (`P2m.unshare`). ROM, and frames
 * of which somebody else keeps hold, are copied.
 */
export class ForkedMemory {
  /** The frames that a domain needs to continue from here. */
  readonly frames: readonly GuestFrames[]
  readonly #shared: SharedRam[] = []
  /** The shared frames, from low to high. */
  readonly #pieces: readonly Piece[]
  readonly #copied: CopiedFrames

  /**
   * Takes the present instant, between two instructions of all vCPUs, while device models rest.
   *
   * @param frames - all frames of the domain
   * @throws P2mError `ERR_NO_MEMORY`; the domain can run on
   */
  constructor(domain: Domain, frames: readonly GuestFrames[]) {
    this.frames = frames
    domain.sharesFrames = true
    domain.mappings.forget()
    try {
      for (const { gfn, count, kind } of frames) if (kind === 'ram') this.#shared.push(domain.p2m.offer(gfn, count))
      this.#pieces = piecesOf(this.#shared)
      this.#copied = copiesOf(domain, this.#pieces)
    } catch (error) {
      this.close()
      throw error
    }
  }

  /**
   * Gives a new domain RAM: shared frames, and free frames where none are shared. RAM above 1 MiB that the guest has given back
   * stays unpopulated.
   *
   * @throws P2mError `ERR_NO_MEMORY`
   */
  populate(domain: Domain, gfn: number, count: number): void {
    const { p2m } = domain
    domain.sharesFrames = true
    const end = gfn + count
    let at = gfn
    for (const piece of this.#pieces) {
      if (piece.gfn < at || piece.gfn + piece.count > end) continue
      this.#populateOthers(p2m, at, piece.gfn)
      at = piece.gfn + piece.count
    }
    this.#populateOthers(p2m, at, end)
    for (const shared of this.#shared) insert(p2m, shared, gfn, end)
  }

  #populateOthers(p2m: P2m, from: number, end: number): void {
    const low = Math.min(end, FIRST_LOGGED_GFN)
    if (from < low) p2m.populate(from, low - from)
    for (const { gfn, count } of this.frames) {
      const first = Math.max(from, gfn, FIRST_LOGGED_GFN)
      const behind = Math.min(end, gfn + count)
      if (first < behind) p2m.populate(first, behind - first)
    }
  }

  /**
   * Restores the RAM of a domain, which may have written it since. A domain for which this fails cannot be used any more.
   *
   * @throws HvmError `ERR_STATE` for a domain with other frames; P2mError `ERR_NO_MEMORY`
   */
  restoreInto(domain: Domain): void {
    const { memory, p2m } = domain
    for (const shared of this.#shared) insert(p2m, shared, 0, Infinity)
    const here: GuestFrames[] = []
    for (const { gfn, count, kind, mfn } of allFrames(domain, this.#pieces)) {
      addFrames(here, gfn, count, kind)
      for (let i = 0; i < count && mfn >= 0; i++) {
        const contents = this.#copied.get(gfn + i)
        const word = (mfn + i) * WORDS
        if (contents === undefined ? isZero(memory.u32, word) : isSame(memory.u32, word, contents)) continue
        if (contents === undefined) memory.fill((mfn + i) * PAGE_BYTES, PAGE_BYTES, 0)
        else memory.write((mfn + i) * PAGE_BYTES, contents)
      }
    }
    requireSameFrames(here, this.frames)
  }

  /**
   * Restores RAM and state of the forked domain into a domain that has just been made in the same machine memory. A domain for
   * which this fails cannot be used any more.
   *
   * @param state - of the forked domain, which has the same vCPUs, interrupt controllers and device models
   * @param mapped - called when device models have mapped their memory, and before RAM is restored
   * @throws as `restoreDomain`; P2mError `ERR_NO_MEMORY`
   */
  async restoreDomain<S extends DomainState>(domain: SavedDomain<S>, state: S, mapped?: () => void): Promise<void> {
    const rest = await putModelsBack(domain, state, mapped, undefined)
    this.restoreInto(domain)
    goOn(domain, state, rest, undefined)
  }

  /** Ends the fork: unreferenced frames are freed. */
  close(): void {
    for (const shared of this.#shared.splice(0)) shared.close()
  }
}

/** Maps the shared runs and tables that lie in a range of guest frames, unless they are mapped already. */
function insert(p2m: P2m, { runs, tables }: SharedRam, gfn: number, end: number): void {
  for (const run of runs) if (run.gfn >= gfn && run.gfn + run.count <= end) p2m.insertShared(run)
  for (const table of tables) if (table.gfn >= gfn && table.gfn + TABLE_FRAMES <= end) p2m.insertSharedTable(table)
}

/** The shared frames as runs, from low to high. */
function piecesOf(shared: readonly SharedRam[]): Piece[] {
  const all: Piece[] = []
  for (const { runs, tables } of shared) {
    for (const { gfn, count } of runs) all.push({ gfn, count })
    for (const { gfn } of tables) all.push({ gfn, count: TABLE_FRAMES })
  }
  return all.sort((a, b) => a.gfn - b.gfn)
}

/**
 * All frames of a domain, from low to high.
 *
 * @param shared - known shared frames in ascending order: they are not looked up, and get −1 as `mfn`
 */
function* allFrames(domain: Domain, shared: readonly Piece[]): Generator<UnsharedRun, void, undefined> {
  let from = 0
  for (const { gfn, count } of shared) {
    if (gfn > from) yield* unsharedFrames(domain, from, gfn)
    yield { gfn, count, kind: 'ram', mfn: -1 }
    from = gfn + count
  }
  yield* unsharedFrames(domain, from, Infinity)
}

/** The populated frames in a range of guest frames. */
function* unsharedFrames(domain: Domain, from: number, to: number): Generator<UnsharedRun, void, undefined> {
  for (const run of machineRuns(domain, false, from, to)) {
    const gfn = Math.max(run.gfn, from)
    const end = Math.min(run.gfn + run.count, to)
    yield { gfn, count: end - gfn, kind: run.kind, mfn: run.mfn + gfn - run.gfn }
  }
}

/** Copies the frames that are not shared. */
function copiesOf(domain: Domain, shared: readonly Piece[]): CopiedFrames {
  const { u8, u32 } = domain.memory
  const copies = new Map<number, Uint8Array>()
  for (const { gfn, count, mfn } of allFrames(domain, shared)) {
    for (let i = 0; i < count && mfn >= 0; i++) {
      if (isZero(u32, (mfn + i) * WORDS)) continue
      copies.set(gfn + i, u8.slice((mfn + i) * PAGE_BYTES, (mfn + i + 1) * PAGE_BYTES))
    }
  }
  return copies
}
