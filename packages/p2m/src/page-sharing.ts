import { FRAME_MONITORED, PAGE_BYTES } from '@retrap/memory'
import { checkFrames, largestOrder } from './checks.ts'
import { hex, P2mError } from './errors.ts'
import { COPIED, type MapCore, OVER_ANYTHING } from './map-core.ts'
import { P2mEntry } from './radix-table.ts'
import { checkReplaceable } from './range-changes.ts'
import { insertSealed, seal, SharedRam, type SharedRun, type SharedTable } from './shared-tables.ts'
import { INVALID_MFN } from './types.ts'

/**
 * Makes a frame shareable: it is read-only from then on.
 *
 * @returns its machine frame, with a reference that the caller drops
 */
export function beginShare(core: MapCore, gfn: number): number {
  return core.change(() => {
    const counts = core.needCounts()
    const { ram, shared } = core.format.types
    const { mfn, type, access } = core.expect(gfn, [ram, shared], 'be shared')
    if (type === ram) {
      const held = counts.count(mfn)
      // A single holder may write the frame.
      if (held !== 1) throw new P2mError('ERR_BUSY', `guest frame ${hex(gfn)} is held by ${held - 1} others`, { gfn })
      core.put(gfn, 0, mfn, shared, access)
    }
    counts.tryTake(mfn, 1)
    return mfn
  })
}

/**
 * Lets a guest frame have the frame of another with equal contents; its own is released.
 *
 * @param mfn - shared already; the caller has a reference
 */
export function shareWith(core: MapCore, gfn: number, mfn: number): void {
  core.change(() => {
    const counts = core.needCounts()
    const { ram, shared } = core.format.types
    const entry = core.expect(gfn, [ram, shared], 'be shared')
    if (entry.mfn === mfn) return
    if (entry.type === ram) {
      const held = counts.count(entry.mfn)
      if (held !== 1) throw new P2mError('ERR_BUSY', `guest frame ${hex(gfn)} is held by ${held - 1} others`, { gfn })
      // Read-only during the comparison.
      core.put(gfn, 0, entry.mfn, shared, entry.access)
    }
    if (!areEqual(core, entry.mfn, mfn)) {
      if (entry.type === ram) core.put(gfn, 0, entry.mfn, ram, entry.access)
      throw new P2mError('ERR_MISMATCH', `guest frame ${hex(gfn)} has other contents than machine frame ${hex(mfn)}`, {
        gfn,
        mfn,
      })
    }
    core.put(gfn, 0, mfn, shared, entry.access)
  })
}

/** See `P2m.unshare`. */
export function unshare(core: MapCore, gfn: number): void {
  core.change(() => {
    const counts = core.needCounts()
    const { ram, shared } = core.format.types
    const { mfn, access } = core.expect(gfn, [shared], 'be unshared')
    // References in a shared table are counted once for all maps.
    core.table.path(gfn, 0, core)
    if (counts.count(mfn) === 1) {
      // Other maps have shared the frame at the same guest frame, and its note was removed when they released it.
      core.reverse?.set(mfn, gfn, 1)
      core.put(gfn, 0, mfn, ram, access)
      return
    }
    const frame = core.takeFrame()
    core.memory.u8.copyWithin(frame * PAGE_BYTES, mfn * PAGE_BYTES, (mfn + 1) * PAGE_BYTES)
    core.put(gfn, 0, frame, ram, access, COPIED)
  })
}

/** A map's latest offer of RAM. Closing the offer changes no map: its lists stay valid while the map is unchanged. */
interface LatestOffer {
  readonly count: number
  /** `control.changes` at the time of the offer. */
  readonly version: number
  readonly offered: Pick<SharedRam, 'tables' | 'runs'>
}

/** The latest offers of each map, by the first guest frame. */
const latestOffers = new WeakMap<MapCore, Map<number, LatestOffer>>()

function offersOf(core: MapCore): Map<number, LatestOffer> {
  const offers = latestOffers.get(core) ?? new Map<number, LatestOffer>()
  latestOffers.set(core, offers)
  return offers
}

/** See `P2m.offer`. */
export function offer(core: MapCore, gfn: number, count: number): SharedRam {
  core.checkRange(gfn, count)
  const again = offeredAgain(core, gfn, count)
  if (again !== null) return again
  const [tables, runs]: [SharedTable[], SharedRun[]] = [[], []]
  const offered = new SharedRam(core.memory, core.needCounts(), tables, runs)
  const end = gfn + count
  return core.change(() => {
    try {
      for (let at = gfn; at < end;) {
        const next = Math.min(end, at - (at % 512) + 512)
        if (next - at < 512 || !offerTable(core, at, tables)) offerLeaves(core, at, next - at, runs)
        at = next
      }
      offersOf(core).set(gfn, { count, version: core.control.changes, offered })
      return offered
    } catch (error) {
      offered.close()
      throw error
    }
  })
}

/** Repeats the last offer of an unchanged map. @returns null if the map has changed */
function offeredAgain(core: MapCore, gfn: number, count: number): SharedRam | null {
  const latest = offersOf(core).get(gfn)
  if (latest?.count !== count || latest.version !== core.control.changes) return null
  const { tables, runs } = latest.offered
  // A table may have been replaced by a private copy with the same leaves.
  for (const table of tables) if (core.table.sealedTable(table.gfn) !== table.mfn) return null
  const counts = core.needCounts()
  for (const { mfn } of tables) counts.holdTable(mfn)
  for (const run of runs) counts.tryTake(run.mfn, run.count)
  return new SharedRam(core.memory, counts, tables, runs)
}

/** Offers 512 frames by their leaf table, which is made if necessary. @returns false if some cannot be shared */
function offerTable(core: MapCore, gfn: number, tables: SharedTable[]): boolean {
  const counts = core.needCounts()
  let mfn = core.table.sealedTable(gfn)
  if (mfn < 0) {
    offerLeaves(core, gfn, 512, null)
    // Without memory for a table, a large leaf is shared as it is.
    if (core.table.orderOfLeaf(gfn) > 0 && core.memory.frames.freeFrames > 1) core.table.path(gfn, 0, core)
    mfn = seal(core, gfn)
  }
  if (mfn < 0) return false
  counts.holdTable(mfn)
  tables.push({ gfn, mfn })
  return true
}

/** @param offered - gets a reference to each frame; null: the frames are made shareable, no more */
function offerLeaves(core: MapCore, gfn: number, count: number, offered: SharedRun[] | null): void {
  const entry = new P2mEntry()
  const { ram, logged, shared } = core.format.types
  for (let at = gfn; at < gfn + count;) {
    core.lookup(at, entry)
    const { type, mfn, access, order } = entry
    const size = Math.min(2 ** order - (at % 2 ** order), gfn + count - at)
    const isRam = type === ram || type === logged || type === shared
    if (isRam) offerLeaf(core, { gfn: at, mfn, count: size }, type, access, offered)
    at += size
  }
}

/** Offers the frames of a leaf, or of a part of one, that no other party can write. */
function offerLeaf(core: MapCore, run: SharedRun, type: number, access: number, offered: SharedRun[] | null): void {
  const counts = core.needCounts()
  if (type === core.format.types.shared) {
    if (offered === null) return
    counts.tryTake(run.mfn, run.count)
    append(offered, run)
    return
  }
  const { codeBits } = core.memory
  const isFree = (mfn: number): boolean => counts.count(mfn) === 1 && (codeBits[mfn]! & FRAME_MONITORED) === 0
  for (let from = 0; from < run.count;) {
    let end = from
    while (end < run.count && isFree(run.mfn + end)) end++
    if (end > from) {
      const piece = { gfn: run.gfn + from, mfn: run.mfn + from, count: end - from }
      putShared(core, piece, access)
      if (offered !== null) {
        counts.tryTake(piece.mfn, piece.count)
        append(offered, piece)
      }
    }
    from = end + 1
  }
}

function append(runs: SharedRun[], run: SharedRun): void {
  const last = runs.at(-1)
  const follows = last !== undefined && last.gfn + last.count === run.gfn && last.mfn + last.count === run.mfn
  if (follows) runs[runs.length - 1] = { gfn: last.gfn, mfn: last.mfn, count: last.count + run.count }
  else runs.push(run)
}

/** See `P2m.insertShared`. */
export function insertShared(core: MapCore, run: SharedRun): void {
  const { gfn, mfn, count } = run
  core.checkRange(gfn, count)
  checkFrames(core.memory, mfn, count)
  const counts = core.needCounts()
  for (let i = 0; i < count; i++) {
    if (counts.count(mfn + i) > 0) continue
    throw new P2mError('ERR_COUNT', `machine frame ${hex(mfn + i)} has no owner: expected one that was offered`, {
      mfn,
    })
  }
  core.change(() => {
    // Accesses of Arm maps are beside the tables.
    const isInOne = count < 512 && (gfn & 511) + count <= 512 && core.accessTree === null
    if (isInOne && fillLeaves(core, run)) return
    checkReplaceable(core, gfn, count, core.format.types.shared, mfn)
    putShared(core, run)
  })
}

/**
 * Maps counted frames by leaves of one table, where entries are empty or map the same frames.
 *
 * @returns false for other entries: nothing has changed then
 */
function fillLeaves(core: MapCore, { gfn, mfn, count }: SharedRun): boolean {
  const { format, memory, control } = core
  const { u32 } = memory
  const type = format.types.shared
  const rights = core.rights(type, core.defaultAccess, mfn, count)
  const lo = format.leafLo(mfn, type, rights, 0)
  const hi = format.leafHi(type, rights, core.defaultAccess)
  const ma = core.table.path(gfn, 0, core)
  let there = 0
  for (let i = 0; i < count; i++) {
    const word = (ma >>> 2) + 2 * i
    if (u32[word] === 0 && u32[word + 1] === 0) continue
    const isSame = u32[word] === (lo + i * PAGE_BYTES) >>> 0 && ((u32[word + 1]! ^ hi) & ~format.counted) === 0
    if (!isSame) return false
    there++
  }
  if (there === count) return true
  if (there > 0 || !core.needCounts().tryTake(mfn, count)) return false
  core.reverse?.set(mfn, gfn, count)
  control.addFrames(type, count)
  const counted = (hi | format.counted) >>> 0
  for (let i = 0; i < count; i++) memory.publishEntry(ma + 8 * i, (lo + i * PAGE_BYTES) >>> 0, counted)
  control.raiseChanges()
  for (const listener of core.changes) listener(gfn, count, 0, false, -1)
  return true
}

/** See `P2m.insertSharedTable`. */
export function insertSharedTable(core: MapCore, table: SharedTable): void {
  core.checkRange(table.gfn, 512)
  core.change(() => {
    if (core.table.sealedTable(table.gfn) === table.mfn) return
    checkReplaceable(core, table.gfn, 512, core.format.types.shared, INVALID_MFN)
    insertSealed(core, table)
  })
}

/** Maps frames that are counted already, in the largest leaves there can be. */
function putShared(core: MapCore, { gfn, mfn, count }: SharedRun, access?: number): void {
  for (let done = 0; done < count;) {
    const order = largestOrder(gfn + done, mfn + done, count - done)
    core.put(gfn + done, order, mfn + done, core.format.types.shared, access, OVER_ANYTHING)
    done += 2 ** order
  }
}

function areEqual(core: MapCore, a: number, b: number): boolean {
  const { u32 } = core.memory
  for (let i = 0; i < 1024; i++) if (u32[a * 1024 + i] !== u32[b * 1024 + i]) return false
  return true
}
