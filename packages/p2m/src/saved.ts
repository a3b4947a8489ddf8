import { P2mError } from './errors.ts'
import type { P2m } from './p2m.ts'
import { INVALID_MFN, isForeign, isRam } from './types.ts'

/** Guest frames of one type, in consecutive machine frames if they are RAM. */
export interface P2mRun {
  readonly gfn: number
  /** First machine frame, or {@link INVALID_MFN}. */
  readonly mfn: number
  readonly count: number
  /** A `P2mType` number. */
  readonly type: number
}

/** A map as data: what it maps, whatever the sizes of its leaves and the places of its tables. */
export interface P2mState {
  readonly version: 1
  /** In order of guest frames. */
  readonly runs: readonly P2mRun[]
}

/** What a map is made of; see `P2m.statistics`. */
export interface P2mStatistics {
  /** Machine memory of the tables. */
  readonly tableBytes: number
  /** Leaves of 4 KiB, 2 MiB and 1 GiB. */
  readonly leaves: { readonly '4K': number; readonly '2M': number; readonly '1G': number }
  /** Guest frames by `P2mType` number, of types that there are. */
  readonly frames: Readonly<Record<number, number>>
}

/** See `P2m.save`. */
export function saveRuns(p2m: P2m): P2mState {
  const runs: { gfn: number; mfn: number; count: number; type: number }[] = []
  for (const { gfn, mfn, type, order } of p2m.leaves()) {
    // References to others' frames are not data.
    if (isForeign(type)) continue
    const last = runs.at(-1)
    const count = 2 ** order
    if (
      last !== undefined &&
      last.type === type &&
      last.gfn + last.count === gfn &&
      (mfn === INVALID_MFN || last.mfn + last.count === mfn)
    )
      last.count += count
    else runs.push({ gfn, mfn, count, type })
  }
  return { version: 1, runs }
}

/** See `P2m.restore`. */
export function restoreRuns(p2m: P2m, state: P2mState): void {
  if (state.version !== 1) {
    throw new P2mError('ERR_STATE', `a saved map of version ${String(state.version)}: expected 1`, {
      version: state.version,
    })
  }
  let end = 0
  for (const { gfn, mfn, count, type } of state.runs) {
    if (!(gfn >= end && (isRam(type) || mfn === INVALID_MFN))) {
      throw new P2mError('ERR_STATE', `a saved map has guest frame ${gfn} after ${end}, of type ${type}`, { gfn, type })
    }
    end = gfn + count
  }
  for (const { gfn, mfn, count, type } of state.runs) p2m.insertRange(gfn, mfn, count, type)
}

/** See `P2m.statistics`. */
export function countLeaves(p2m: P2m): P2mStatistics {
  const leaves = { '4K': 0, '2M': 0, '1G': 0 }
  const frames: Record<number, number> = {}
  for (const { type, order } of p2m.leaves()) {
    leaves[order === 0 ? '4K' : order === 9 ? '2M' : '1G']++
    frames[type] = (frames[type] ?? 0) + 2 ** order
  }
  return { tableBytes: p2m.tableBytes, leaves, frames }
}
