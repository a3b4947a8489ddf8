import { describeArgument } from '@retrap/basics'
import { anothersFrame, checkBacking, checkOrder, checkRun, largestOrder } from './checks.ts'
import { hex, P2mError } from './errors.ts'
import { markContiguous } from './contiguous.ts'
import { HANDED_OVER, OVER_ANYTHING, type MapCore } from './map-core.ts'
import { P2mEntry } from './radix-table.ts'
import { takeRam } from './ram-frames.ts'
import { INVALID_MFN, KIND_DEVICE, KIND_FOREIGN, KIND_FRAME, KIND_OWN, KIND_PLAIN, P2mType } from './types.ts'
import type { WriteLogs } from './write-logs.ts'

/*
 * Changes of ranges, each under the lock from its checks to its end, so that checked conditions stay true.
 */

/** See `P2m.insert`. */
export function insert(core: MapCore, gfn: number, mfn: number, order: number, type: number): void {
  checkRun(gfn, order, core.table.limit)
  checkBacking(core.memory, mfn, 2 ** order, type, core.kindsOf(type))
  if (mfn !== INVALID_MFN && mfn % 2 ** order !== 0) {
    throw new P2mError('ERR_ALIGN', `machine frame ${hex(mfn)} is not aligned to order ${order}`, { mfn, order })
  }
  core.begin()
  try {
    core.put(gfn, order, mfn, type)
  } finally {
    core.end()
  }
}

/** See `P2m.insertRange`. */
export function insertRange(core: MapCore, gfn: number, mfn: number, count: number, type: number): void {
  core.checkRange(gfn, count)
  checkBacking(core.memory, mfn, count, type, core.kindsOf(type))
  const backed = (core.kindsOf(type) & KIND_FRAME) !== 0
  core.change(() => {
    checkReplaceable(core, gfn, count, type, mfn)
    for (let done = 0; done < count;) {
      const first = backed ? mfn + done : INVALID_MFN
      let order = largestOrder(gfn + done, backed ? first : 0, count - done)
      while (order > 0 && !core.fits(type, first, order)) order -= 9
      core.put(gfn + done, order, first, type, undefined, OVER_ANYTHING)
      done += 2 ** order
    }
    markContiguous(core, gfn, count)
  })
}

/** See `P2m.populate`. */
export function populate(core: MapCore, gfn: number, count: number, type: number): void {
  core.checkRange(gfn, count)
  if ((core.kindsOf(type) & KIND_PLAIN) === 0)
    throw new P2mError('ERR_TYPE', `type ${describeArgument(type)} is not RAM`, { type })
  core.change(() => {
    checkReplaceable(core, gfn, count, type, INVALID_MFN)
    const runs = takeRam(core.memory, gfn, count)
    try {
      // Tables are made before the first leaf is, so that a failure leaves nothing half done.
      for (const each of runs) core.table.path(each.gfn, each.order, core)
    } catch (error) {
      for (const each of runs) core.memory.frames.free(each.mfn, each.order)
      throw error
    }
    for (const each of runs) {
      core.counts?.adopt(each.mfn, 2 ** each.order)
      core.put(each.gfn, each.order, each.mfn, type, undefined, HANDED_OVER)
    }
    markContiguous(core, gfn, count)
  })
}

/** See `P2m.remove`. */
export function remove(core: MapCore, gfn: number, mfn: number, count: number): void {
  core.checkRange(gfn, count)
  if (!Number.isSafeInteger(mfn)) {
    throw new P2mError('ERR_RANGE', `machine frame ${hex(mfn)}: expected an integer`, { gfn })
  }
  core.change(() => {
    if (checkMapped(core, gfn, mfn, count)) core.splitAround(gfn, count)
    for (let done = 0; done < count;) {
      const order = largestOrder(gfn + done, 0, count - done)
      if (mfn === INVALID_MFN) core.clear(gfn + done, order)
      else core.replace(gfn + done, order, 0, 0, KIND_FOREIGN)
      done += 2 ** order
    }
  })
}

/** @returns whether some leaf is only partly in the range */
function checkMapped(core: MapCore, gfn: number, mfn: number, count: number): boolean {
  const entry = new P2mEntry()
  let partly = false
  for (let done = 0; done < count;) {
    core.table.lookup(gfn + done, entry)
    if ((core.kindsOf(entry.type) & KIND_FOREIGN) !== 0) throw anothersFrame(gfn + done)
    const expected = mfn === INVALID_MFN ? INVALID_MFN : mfn + done
    if (entry.mfn !== expected) {
      throw new P2mError(
        'ERR_MISMATCH',
        `guest frame ${hex(gfn + done)} is mapped to ${hex(entry.mfn)}, not ${hex(expected)}`,
        { gfn: gfn + done, mfn: entry.mfn, expected },
      )
    }
    const size = 2 ** entry.order
    const before = (gfn + done) % size
    // A leaf that is only partly removed is broken up, which may need a table.
    if (before !== 0) partly = true
    // The rest of a leaf continues the same mapping.
    done += size - before
    if (done > count) partly = true
  }
  return partly
}

/** See `P2m.coalesce`. */
export function coalesce(core: MapCore, gfn: number, count: number): number {
  core.checkRange(gfn, count)
  const { table } = core
  const entry = new P2mEntry()
  return core.change(() => {
    const before = core.control.tables
    // Smallest orders first: merged leaves may merge further.
    for (let order = 9; order < table.levels * 9; order += 9) {
      const size = 2 ** order
      for (let at = gfn - (gfn % size); at < Math.min(gfn + count, table.limit);) {
        // An access of its own keeps a frame apart.
        const whole =
          table.isWhole(at, order) && (table.wholeHi === 0 || core.accessTree?.isUniform(at, order) !== false)
        if (whole) core.replace(at, order, table.wholeLo, table.wholeHi)
        // Advance to the next run; skip larger ones at once.
        table.lookup(at, entry)
        const step = Math.max(size, 2 ** entry.order)
        at += step - (at % step)
      }
    }
    return before - core.control.tables
  })
}

/** See `P2m.contiguous`. */
export function contiguous(core: MapCore, gfn: number, most: number): number {
  core.checkRange(gfn, 1)
  const entry = new P2mEntry()
  const type = core.table.lookup(gfn, entry)
  const { mfn } = entry
  let count = 0
  while (count < most && gfn + count < core.table.limit) {
    if (core.table.lookup(gfn + count, entry) !== type) break
    if (entry.mfn !== (mfn === INVALID_MFN ? INVALID_MFN : mfn + count)) break
    count += 2 ** entry.order - ((gfn + count) % 2 ** entry.order)
  }
  return Math.max(1, Math.min(count, most))
}

/** See `P2m.setType`. */
export function setType(core: MapCore, gfn: number, count: number, type: number, from: number): number {
  if ((core.kindsOf(type) & KIND_PLAIN) === 0) {
    throw new P2mError('ERR_TYPE', `type ${describeArgument(type)} is not ordinary RAM; insert or remove instead`, {
      type,
    })
  }
  return changeLeaves(core, gfn, count, (entry) => {
    const { type: old } = entry
    if ((core.kindsOf(old) & KIND_PLAIN) === 0 || old === type || (from >= 0 && old !== from)) return false
    entry.type = type
    return true
  })
}

/** RAM_LOGDIRTY that nobody logs becomes RAM_RW, a whole leaf if it cannot be broken up: a vCPU's write cannot be refused. */
export function unlock(core: MapCore, gfn: number, count: number, logs: WriteLogs): void {
  const { ram, logged } = core.format.types
  if (core.control.frames(logged) === 0) return
  for (let at = gfn; at < gfn + count; at++) {
    if (logs.covers(at)) continue
    const { type, order } = lookUp(core, at)
    if (type !== logged) continue
    try {
      setType(core, at, 1, ram, logged)
    } catch (error) {
      if (!(error instanceof P2mError && error.code === 'ERR_NO_MEMORY')) throw error
      setType(core, at - (at % 2 ** order), 2 ** order, ram, logged)
    }
  }
}

/** See `P2m.setAccess`. */
export function setAccess(core: MapCore, gfn: number, count: number, access: number): number {
  return changeLeaves(core, gfn, count, (entry) => {
    // An entry without a frame has no rights to be taken.
    if (entry.mfn === INVALID_MFN || entry.access === access) return false
    entry.access = access
    return true
  })
}

/** See `P2m.markBroken`. */
export function markBroken(core: MapCore, gfn: number): void {
  core.checkRange(gfn, 1)
  core.change(() => {
    const { type, mfn, access } = lookUp(core, gfn)
    if (mfn === INVALID_MFN || (core.kindsOf(type) & KIND_OWN) === 0) {
      throw new P2mError('ERR_TYPE', `guest frame ${hex(gfn)} is of type ${type} and has no frame`, { gfn, type })
    }
    core.put(gfn, 0, mfn, P2mType.RAM_BROKEN, access)
    // This reference is never dropped.
    core.counts?.tryTake(mfn, 1)
  })
}

function lookUp(core: MapCore, gfn: number): P2mEntry {
  const entry = new P2mEntry()
  core.table.lookup(gfn, entry)
  return entry
}

/**
 * Changes type and access of leaves, and splits leaves that are only partly in a range.
 *
 * @param edit - changes an entry; false if it stays unchanged
 * @returns number of changed frames
 */
function changeLeaves(core: MapCore, gfn: number, count: number, edit: (entry: P2mEntry) => boolean): number {
  core.checkRange(gfn, count)
  const entry = new P2mEntry()
  return core.change(() => {
    let changed = 0
    for (let at = gfn; at < gfn + count;) {
      core.lookup(at, entry)
      const left = gfn + count - at
      const size = 2 ** entry.order
      const whole = at % size === 0 && size <= left
      if (!edit(entry)) {
        at += size - (at % size)
        continue
      }
      const order = whole ? entry.order : largestOrder(at, entry.mfn, left)
      core.put(at, order, entry.mfn, entry.type, entry.access, OVER_ANYTHING)
      changed += 2 ** order
      at += 2 ** order
    }
    return changed
  })
}

/** Refuses a range with a foreign frame, or with a device's frame that would be mapped differently. */
export function checkReplaceable(core: MapCore, gfn: number, count: number, type: number, mfn: number): void {
  const entry = new P2mEntry()
  for (let at = gfn; at < gfn + count;) {
    const kinds = core.kindsOf(core.table.lookup(at, entry))
    const same = entry.type === type && entry.mfn === mfn + (at - gfn)
    if ((kinds & KIND_FOREIGN) !== 0 || ((kinds & KIND_DEVICE) !== 0 && !same)) throw anothersFrame(at)
    at += 2 ** entry.order - (at % 2 ** entry.order)
  }
}

/** See `P2m.shatter`. */
export function shatter(core: MapCore, gfn: number, order: number): void {
  checkOrder(order)
  core.checkRange(gfn, 1)
  core.change(() => core.split(gfn, order))
}

/** Removes all entries except foreign ones. @throws P2mError `ERR_FOREIGN` while any are mapped */
export function removeAll(core: MapCore): void {
  const { table } = core
  const order = (table.levels - 1) * 9
  core.change(() => {
    for (let i = 0; i < table.topEntries; i++) {
      if (table.hasEntry(i * 2 ** order, order)) core.replace(i * 2 ** order, order, 0, 0, KIND_FOREIGN)
    }
  })
}
