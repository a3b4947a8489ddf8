import { P2mError, type P2m } from '@retrap/p2m'
import type { Domain } from '../domain.ts'
import type { DirtyLogs } from '../memory/dirty-logs.ts'
import { FIRST_LOGGED_GFN, type GuestFrames, machineRuns } from './guest-frames.ts'

/** Frames of a guest that are neighbours in the guest and in machine memory. */
export interface FrameRun extends GuestFrames {
  /** The first machine frame. */
  readonly mfn: number
}

/** Consecutive guest frames. */
export interface GuestRange {
  readonly gfn: number
  readonly count: number
}

/** Called for guest frames. */
type FrameListener = (gfn: number, count: number) => void

/** Returns a guest's RAM and ROM, from low to high: neighbours in the guest that are neighbours in machine memory, together. */
export function runsOf(domain: Domain): FrameRun[] {
  const runs: (Omit<FrameRun, 'count'> & { count: number })[] = []
  for (const { gfn, mfn, count, kind } of machineRuns(domain)) {
    const last = runs.at(-1)
    const follows = last?.kind === kind && last.gfn + last.count === gfn && last.mfn + last.count === mfn
    if (follows) last.count += count
    else runs.push({ gfn, mfn, count, kind })
  }
  return runs
}

/**
 * Returns the RAM whose writes can be announced: all but ROM, and RAM below 1 MiB.
 *
 * @param lowEnd - frames below this one are announced as well
 */
export function announcedRanges(runs: readonly FrameRun[], lowEnd: number = 0): GuestRange[] {
  const ranges: { readonly gfn: number; count: number }[] = []
  const add = (gfn: number, end: number): void => {
    if (gfn >= end) return
    const last = ranges.at(-1)
    if (last !== undefined && last.gfn + last.count === gfn) last.count += end - gfn
    else ranges.push({ gfn, count: end - gfn })
  }
  for (const { gfn, count, kind } of runs) {
    if (kind === 'rom') continue
    add(gfn, Math.min(gfn + count, lowEnd))
    add(Math.max(gfn, FIRST_LOGGED_GFN), gfn + count)
  }
  return ranges
}

/**
 * Has the writes to a guest's RAM announced before they are made. RAM becomes RAM whose writes are logged, so that vCPUs and
 * `GuestMemory` mark frames before they write. Device models announce their writes (`DirtyLogs.beforeWrites`).
 *
 * @param ranges - from {@link announcedRanges}
 * @param before - told of frames that are about to be written; also told of frames that were announced already
 * @param changed - called for frames whose mapping has changed, before removed frames are reused
 * @returns a function that ends the announcements; null if the map lacks memory
 */
export function announceWrites(
  { p2m, dirtyLogs }: Domain,
  ranges: readonly GuestRange[],
  before: FrameListener,
  changed: FrameListener,
): (() => void) | null {
  const { ram, logged } = p2m.types
  const ends: (() => void)[] = []
  const end = (): void => {
    for (const each of ends.splice(0)) each()
    for (const range of ranges) unlog(p2m, range)
  }
  try {
    let own = true
    ends.push(p2m.onChange((gfn, count) => void (own || changed(gfn, count))))
    for (const { gfn, count } of ranges) {
      // Frames that are logged already are in TLBs for writing.
      const isLogged = p2m.writeLogs.overlaps(gfn, count)
      p2m.setType(gfn, count, logged, ram)
      ends.push(p2m.writeLogs.add(gfn, count, before))
      if (isLogged) p2m.writeLogs.watch(gfn, count, new Uint32Array(Math.ceil(count / 32)).fill(~0))
    }
    own = false
  } catch (error) {
    end()
    if (error instanceof P2mError && error.code === 'ERR_NO_MEMORY') return null
    throw error
  }
  ends.push(onBeforeWrites(dirtyLogs, before))
  return end
}

/** The listeners of `DirtyLogs.beforeWrites`. */
const listening = new WeakMap<DirtyLogs, Set<FrameListener>>()

/** @returns what ends it */
function onBeforeWrites(logs: DirtyLogs, listener: FrameListener): () => void {
  const listeners = listening.get(logs) ?? new Set()
  listening.set(logs, listeners.add(listener))
  logs.beforeWrites = (gfn, count) => {
    for (const each of listeners) each(gfn, count)
  }
  return () => {
    listeners.delete(listener)
    if (listeners.size === 0) logs.beforeWrites = null
  }
}

/** Makes RAM writable again, except frames that another log covers. */
function unlog(p2m: P2m, { gfn, count }: GuestRange): void {
  const { ram, logged } = p2m.types
  if (!p2m.writeLogs.overlaps(gfn, count)) {
    p2m.setType(gfn, count, ram, logged)
    return
  }
  for (let at = gfn; at < gfn + count; at++) if (!p2m.writeLogs.covers(at)) p2m.setType(at, 1, ram, logged)
}
