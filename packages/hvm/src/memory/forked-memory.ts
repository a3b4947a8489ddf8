import { PAGE_BYTES } from '@retrap/memory'
import type { FrameCounts, SharedRun } from '@retrap/p2m'
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
  readonly #counts: FrameCounts
  #shared: readonly SharedRun[]
  readonly #copied: CopiedFrames

  /**
   * Takes the present instant, between two instructions of all vCPUs, while device models rest.
   *
   * @param frames - all of the domain
   * @throws P2mError `ERR_NO_MEMORY`; the domain can run on
   */
  constructor(domain: Domain, frames: readonly GuestFrames[]) {
    this.frames = frames
    this.#counts = domain.frameCounts
    domain.mappings.forget()
    const shared: SharedRun[] = []
    this.#shared = shared
    try {
      for (const { gfn, count, kind } of frames) {
        const first = Math.max(gfn, FIRST_LOGGED_GFN)
        if (kind === 'ram' && first < gfn + count) shared.push(...domain.p2m.offer(first, gfn + count - first))
      }
      this.#copied = copiesOf(domain, shared)
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
    for (const run of this.#shared) {
      const first = Math.max(run.gfn, gfn)
      const last = Math.min(run.gfn + run.count, end)
      if (first >= last) continue
      if (first > at) p2m.populate(at, first - at)
      p2m.insertShared({ gfn: first, mfn: run.mfn + first - run.gfn, count: last - first })
      at = last
    }
    if (at < end) p2m.populate(at, end - at)
  }

  /**
   * Gives a domain, which may have written its RAM meanwhile, the contents.
   *
   * @throws HvmError `ERR_STATE` for a domain with other frames; P2mError `ERR_NO_MEMORY`
   */
  restoreInto(domain: Domain): void {
    const { gfns, contents } = this.#copied
    checkGuestFrames(domain, this.frames, gfns)
    for (const run of this.#shared) domain.p2m.insertShared(run)
    const { memory } = domain
    let at = 0
    for (const { gfn, mfn, count, isShared } of machineRuns(domain)) {
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
    for (const { mfn, count } of this.#shared) this.#counts.drop(mfn, count)
    this.#shared = []
  }
}

/** Copies the frames that are not in `shared`. @param shared - from low to high */
function copiesOf(domain: Domain, shared: readonly SharedRun[]): CopiedFrames {
  const { u8, u32 } = domain.memory
  const gfns: number[] = []
  const contents: Uint8Array[] = []
  let run = 0
  for (const { gfn, mfn, count } of machineRuns(domain)) {
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
