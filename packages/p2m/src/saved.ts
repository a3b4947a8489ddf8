import { PAGE_BYTES } from '@retrap/memory'
import { checkAccess } from './access-tree.ts'
import { largestOrder } from './checks.ts'
import { ControlWord } from './control-block.ts'
import { P2mError } from './errors.ts'
import { markContiguous } from './contiguous.ts'
import type { MapCore } from './map-core.ts'
import { P2mEntry } from './radix-table.ts'
import { INVALID_MFN, KIND_FOREIGN, KIND_FRAME, KIND_LARGE, KIND_OWN } from './types.ts'

/** Guest frames of one type, in consecutive machine frames if the type has any. */
export interface P2mRun {
  /** First guest frame. */
  readonly gfn: number
  /** First machine frame, or {@link INVALID_MFN}. */
  readonly mfn: number
  /** Number of frames. */
  readonly count: number
  /** A `P2mType` number, or one of `ArmP2mType`. */
  readonly type: number
  /** A value of `P2mAccess`; absent: all accesses. */
  readonly access?: number
}

/** A map as data: its mappings, independent of leaf sizes and places of tables. */
export interface P2mState {
  /** Version of this form. */
  readonly version: 2
  /** The architecture of the types: x86, or Arm. */
  readonly format: 'ept' | 'lpae'
  /** Runs in order of guest frames. */
  readonly runs: readonly P2mRun[]
  /** A value of `P2mAccess` for future mappings. */
  readonly defaultAccess: number
  /** Number of frames in the populate-on-demand cache. Their contents are zero, and the frames differ after each restore. */
  readonly onDemandCache: number
  /** The server that claims writes; −1 for none. */
  readonly writeClaim: number
  /** Machine frames of devices that must not be written. */
  readonly readOnly: readonly { readonly mfn: number; readonly count: number }[]
}

/** The composition of a map; see `P2m.statistics`. */
export interface P2mStatistics {
  /** The format of the tables, which gives types their meaning. */
  readonly format: 'ept' | 'lpae'
  /** Machine memory of the tables. */
  readonly tableBytes: number
  /** Leaves of 4 KiB, 2 MiB and 1 GiB. */
  readonly leaves: { readonly '4K': number; readonly '2M': number; readonly '1G': number }
  /** Number of guest frames, by number of each existing type. */
  readonly frames: Readonly<Record<number, number>>
}

/** A leaf, for people. */
export interface P2mLeaf {
  /** First guest frame. */
  readonly gfn: number
  /** First machine frame, or {@link INVALID_MFN}. */
  readonly mfn: number
  /** A `P2mType` number, or one of `ArmP2mType`. */
  readonly type: number
  /** Order of the run, which has `2 ** order` frames. */
  readonly order: number
  /** `P2M_` bits. */
  readonly rights: number
  /** One of `P2mAccess`. */
  readonly access: number
}

/** See `P2m.leaves`. */
export function* leavesOf(
  core: MapCore,
  from: number,
  to: number,
  byTable: boolean = false,
): Generator<P2mLeaf, void, undefined> {
  const entry = new P2mEntry()
  const end = Math.min(to, core.table.mappedEnd)
  for (let gfn = from; gfn < end;) {
    core.lookup(gfn, entry)
    if (byTable && entry.type === core.format.types.shared && core.table.sealedTable(gfn) >= 0) {
      const { type, rights, access } = entry
      const start = gfn - (gfn % 512)
      yield { gfn: start, mfn: INVALID_MFN, type, order: 9, rights, access }
      gfn = start + 512
      continue
    }
    const size = 2 ** entry.order
    const start = gfn - (gfn % size)
    const { type, order, rights, access } = entry
    const mfn = entry.mfn === INVALID_MFN ? INVALID_MFN : entry.mfn - (gfn - start)
    if (core.table.orderOfLeaf(gfn) < 0) {
      gfn = core.table.endOfHole(gfn)
      continue
    }
    yield { gfn: start, mfn, type, order, rights, access }
    gfn = start + size
  }
}

/** See `P2m.save`. */
export function saveMap(core: MapCore): P2mState {
  const { control } = core
  const runs: { gfn: number; mfn: number; count: number; type: number; access?: number }[] = []
  for (const { gfn, mfn, type, order, access } of leavesOf(core, 0, core.table.limit)) {
    // References to others' frames are not data.
    if ((core.kindsOf(type) & KIND_FOREIGN) !== 0) continue
    const last = runs.at(-1)
    const count = 2 ** order
    if (
      last !== undefined &&
      last.type === type &&
      (last.access ?? 7) === access &&
      last.gfn + last.count === gfn &&
      (mfn === INVALID_MFN ? last.mfn === INVALID_MFN : last.mfn + last.count === mfn)
    )
      last.count += count
    else runs.push({ gfn, mfn, count, type, ...(access !== 7 && { access }) })
  }
  return {
    version: 2,
    format: core.format.name,
    runs,
    defaultAccess: core.defaultAccess,
    onDemandCache: control.word(ControlWord.POD_CACHED),
    writeClaim: control.word(ControlWord.IOREQ_CLAIM) - 1,
    readOnly: Array.from({ length: control.word(ControlWord.READ_ONLY_COUNT) }, (_, i) => ({
      mfn: control.word(ControlWord.READ_ONLY_FIRST + i * 2),
      count: control.word(ControlWord.READ_ONLY_FIRST + i * 2 + 1),
    })),
  }
}

/** See `P2m.restore`; without the cache for populating on demand. Under the lock. */
export function restoreMap(core: MapCore, state: P2mState): void {
  checkState(core, state)
  const { control } = core
  for (const { mfn, count } of state.readOnly) core.addReadOnly(mfn, count)
  control.setWord(ControlWord.DEFAULT_ACCESS, state.defaultAccess + 1)
  control.setWord(ControlWord.IOREQ_CLAIM, state.writeClaim + 1)
  for (const { gfn, mfn, count, type, access } of state.runs) {
    const large = (core.kindsOf(type) & KIND_LARGE) !== 0
    for (let done = 0; done < count;) {
      const first = mfn === INVALID_MFN ? INVALID_MFN : mfn + done
      let order = large ? largestOrder(gfn + done, first === INVALID_MFN ? 0 : first, count - done) : 0
      while (order > 0 && !core.fits(type, first, order)) order -= 9
      core.put(gfn + done, order, first, type, access ?? 7)
      done += 2 ** order
    }
    markContiguous(core, gfn, count)
  }
}

function checkState(core: MapCore, state: P2mState): void {
  if (state.version !== 2 || state.format !== core.format.name) {
    const what = `version ${String(state.version)}, ${String(state.format)}`
    throw new P2mError('ERR_STATE', `a saved map of ${what}: expected version 2, ${core.format.name}`, {
      version: state.version,
    })
  }
  let end = 0
  for (const { gfn, mfn, count, type, access } of state.runs) {
    core.checkRange(gfn, count)
    checkAccess(access ?? 7)
    const kinds = core.kindsOf(type)
    const framed = (kinds & KIND_FRAME) !== 0
    const fits = mfn === INVALID_MFN ? !framed : framed || (kinds & KIND_OWN) !== 0
    if (gfn < end || kinds === 0 || (kinds & KIND_FOREIGN) !== 0 || !fits) {
      throw new P2mError('ERR_STATE', `a saved map has guest frame ${gfn} after ${end}, of type ${type}`, { gfn, type })
    }
    if (mfn !== INVALID_MFN && !(mfn > 0 && mfn + count <= core.memory.frameCount)) {
      throw new P2mError('ERR_STATE', `a saved map has machine frames that there are not, from ${mfn} on`, {
        mfn,
        count,
      })
    }
    end = gfn + count
  }
}

/** See `P2m.statistics`. */
export function countLeaves(core: MapCore): P2mStatistics {
  const leaves = { '4K': 0, '2M': 0, '1G': 0 }
  const frames: Record<number, number> = {}
  for (const { type, order } of leavesOf(core, 0, core.table.limit)) {
    leaves[order === 0 ? '4K' : order === 9 ? '2M' : '1G']++
    frames[type] = (frames[type] ?? 0) + 2 ** order
  }
  return { format: core.format.name, tableBytes: core.control.tables * PAGE_BYTES, leaves, frames }
}
