import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import type { ControlBlock } from './control-block.ts'
import { type TableFormat, tableOf } from './format.ts'
import type { FrameCounts, ReverseMap } from './frame-counts.ts'
import { KIND_OWN, KIND_REACHABLE } from './types.ts'

/** Entries of a table. */
const ENTRIES = 512

/** Called when guest frames stop being backed by the machine frames named. */
export type ReleaseListener = (gfn: number, mfn: number, order: number) => void

/** The parts of a map that leaves which go concern. */
interface LeavingParts {
  readonly memory: MachineMemory
  readonly control: ControlBlock
  readonly format: TableFormat
  readonly counts: FrameCounts | null
  readonly reverse: ReverseMap | null
  readonly releases: readonly ReleaseListener[]
  /** Whether the map is being destroyed: frames shared with other maps are not reported one by one. */
  readonly isEnding: boolean
  kindsOf(type: number): number
}

/**
 * Counts the leaves below an entry that a map has no more out, reports their frames that do not stay, and drops their
 * references.
 *
 * @param gfn - the first guest frame that the entry maps
 * @param kept - offset from a guest frame to its new machine frame; NaN: none
 * @param sameFrame - whether the entry is a leaf that keeps its machine frame
 */
export function leave(
  core: LeavingParts,
  lo: number,
  hi: number,
  level: number,
  gfn: number,
  kept: number,
  sameFrame: boolean,
): void {
  const { format } = core
  if (!format.isTable(lo, hi, level)) {
    if (format.isLeaf(lo, hi, level)) leaveRun(core, lo, hi, (level - 1) * 9, 1, gfn, kept, sameFrame)
    return
  }
  // The references that a shared table holds stay: other maps still have the table.
  const isShared = (hi & format.sealed) !== 0 && core.counts!.letTable(lo >>> 12) > 0
  if (isShared && core.isEnding) {
    core.control.addFrames(format.types.shared, -ENTRIES)
    return
  }
  const { u32 } = core.memory
  const table = tableOf(lo) >>> 2
  const mask = isShared ? ~format.counted : ~0
  const order = (level - 2) * 9
  const size = 2 ** order
  for (let i = 0; i < ENTRIES;) {
    const first = u32[table + i * 2]!
    const flags = (u32[table + i * 2 + 1]! & mask) >>> 0
    let count = 1
    if (format.isLeaf(first, flags, level - 1)) {
      // Leaves of consecutive frames go together; leaves without a frame go alone.
      const step = first >>> 12 === 0 ? NaN : size * PAGE_BYTES
      for (let word = table + (i + 1) * 2; i + count < ENTRIES; word += 2, count++)
        if (u32[word] !== first + count * step || (u32[word + 1]! & mask) >>> 0 !== flags) break
      leaveRun(core, first, flags, order, count, gfn + i * size, kept, false)
    } else leave(core, first, flags, level - 1, gfn + i * size, kept, false)
    i += count
  }
}

/** Removes several leaves of equal order, type and rights, in consecutive machine frames. */
function leaveRun(
  core: LeavingParts,
  lo: number,
  hi: number,
  order: number,
  leaves: number,
  gfn: number,
  kept: number,
  sameFrame: boolean,
): void {
  const { format, releases } = core
  const size = 2 ** order
  const type = format.typeOf(hi)
  const mfn = lo >>> 12
  core.control.addFrames(type, -size * leaves)
  if (mfn === 0 || (core.kindsOf(type) & KIND_OWN) === 0) return
  if (mfn !== gfn + kept) {
    if (!sameFrame) core.reverse?.clear(mfn, gfn, size * leaves)
    // Frames that device models could not reach before have been released already.
    const isReported = (core.kindsOf(type) & KIND_REACHABLE) !== 0 && releases.length > 0
    for (let i = 0; isReported && i < leaves; i++) {
      for (const listener of releases) listener(gfn + i * size, mfn + i * size, order)
    }
  }
  if (!sameFrame && (hi & format.counted) !== 0) core.counts?.drop(mfn, size * leaves)
}
