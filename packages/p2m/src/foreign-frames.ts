import { describeArgument } from '@retrap/basics'
import { checkFrames } from './checks.ts'
import { hex, P2mError } from './errors.ts'
import type { MapCore } from './map-core.ts'
import { P2mEntry } from './radix-table.ts'
import { KIND_FOREIGN } from './types.ts'

/** Maps a frame of another domain's, as `P2m.insertForeign`. */
export function insertForeign(core: MapCore, gfn: number, mfn: number, type: number): void {
  core.checkRange(gfn, 1)
  if ((core.kindsOf(type) & KIND_FOREIGN) === 0) {
    throw new P2mError('ERR_TYPE', `type ${describeArgument(type)} is not another's frame`, { type })
  }
  checkFrames(core.memory, mfn, 1)
  core.change(() => core.put(gfn, 0, mfn, type))
}

/** Removes a frame of another domain's, as `P2m.removeForeign`. */
export function removeForeign(core: MapCore, gfn: number): number {
  return core.change(() => {
    const entry = new P2mEntry()
    const type = core.lookup(gfn, entry)
    if ((core.kindsOf(type) & KIND_FOREIGN) === 0) {
      throw new P2mError('ERR_TYPE', `guest frame ${hex(gfn)} is of type ${type}, not another's`, { gfn, type })
    }
    const { mfn } = entry
    core.replace(gfn, 0, 0, 0, 0)
    return mfn
  })
}

/** See `P2m.guestFrame`. */
export function guestFrame(core: MapCore, mfn: number): number {
  const gfn = core.reverse?.get(mfn) ?? -1
  if (gfn < 0) return -1
  const entry = new P2mEntry()
  core.lookup(gfn, entry)
  return entry.mfn === mfn && (core.kindsOf(entry.type) & KIND_FOREIGN) === 0 ? gfn : -1
}
