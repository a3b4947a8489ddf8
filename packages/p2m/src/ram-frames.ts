import type { FrameAllocator, MachineMemory } from '@retrap/memory'
import { largestOrder, noRam, ORDERS } from './checks.ts'

/** Guest frames and the machine frames that they are to get. */
export interface RamRun {
  readonly gfn: number
  readonly mfn: number
  readonly order: number
}

/**
 * Takes machine frames for `count` guest frames: the largest runs that there are, and of each size in ascending order, so
 * that neighbours in the guest are neighbours in the machine wherever they can be.
 *
 * @returns in order of guest frames
 * @throws P2mError `ERR_NO_MEMORY`; no frame is taken then
 */
export function takeRam(memory: MachineMemory, gfn: number, count: number): RamRun[] {
  const { frames } = memory
  const runs: RamRun[] = []
  let pieces = cut(gfn, count)
  for (const order of ORDERS) {
    // The largest first: smaller ones would break up the runs that these need.
    const here = pieces.filter((piece) => piece.order === order)
    const taken = takeUpTo(frames, order, here.length)
    for (const [i, mfn] of taken.entries()) runs.push({ gfn: here[i]!.gfn, mfn, order })
    const rest = here.slice(taken.length)
    if (order === 0 && rest.length > 0) {
      for (const run of runs) frames.free(run.mfn, run.order)
      throw noRam(memory, count)
    }
    pieces = [...pieces.filter((piece) => piece.order < order), ...rest.flatMap(smaller)].sort(byGfn)
  }
  return runs.sort(byGfn)
}

/**
 * Takes frames for tables that lie side by side, aligned to their number.
 *
 * @param count - a power of two, at most 16
 * @returns the first frame; −1 if not enough are free
 */
export function takeTables(memory: MachineMemory, count: number): number {
  const { frames } = memory
  const taken: number[] = []
  let found = -1
  // Single frames come in ascending order, so that a run is soon among them.
  while (found < 0) {
    const mfn = frames.tryAllocate(0)
    if (mfn < 0) break
    taken.push(mfn)
    const first = mfn - count + 1
    if (first % count === 0 && taken.at(-count) === first) found = first
  }
  for (const mfn of taken) if (found < 0 || mfn < found) frames.free(mfn)
  return found
}

interface Piece {
  readonly gfn: number
  readonly order: number
}

/** Guest frames as aligned runs, the largest there can be. */
function cut(gfn: number, count: number): Piece[] {
  const pieces: Piece[] = []
  for (let done = 0; done < count;) {
    const order = largestOrder(gfn + done, 0, count - done)
    pieces.push({ gfn: gfn + done, order })
    done += 2 ** order
  }
  return pieces
}

function smaller({ gfn, order }: Piece): Piece[] {
  return Array.from({ length: 512 }, (_, i) => ({ gfn: gfn + i * 2 ** (order - 9), order: order - 9 }))
}

/** Allocates at most `count` runs, in ascending order. */
function takeUpTo(frames: FrameAllocator, order: number, count: number): number[] {
  const taken: number[] = []
  while (taken.length < count) {
    const mfn = frames.tryAllocate(order)
    if (mfn < 0) break
    taken.push(mfn)
  }
  return taken.sort((a, b) => a - b)
}

function byGfn(a: Piece, b: Piece): number {
  return a.gfn - b.gfn
}
