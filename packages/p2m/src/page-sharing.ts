import { PAGE_BYTES } from '@retrap/memory'
import { hex, P2mError } from './errors.ts'
import { HANDED_OVER, type MapCore } from './map-core.ts'
import { P2mType } from './types.ts'

const SHAREABLE = [P2mType.RAM_RW, P2mType.RAM_SHARED]

/**
 * Makes a frame one that others may share: nobody writes it from then on.
 *
 * @returns its machine frame, with a reference that the caller drops
 */
export function beginShare(core: MapCore, gfn: number): number {
  return core.change(() => {
    const counts = core.needCounts()
    const { mfn, type, access } = core.expect(gfn, SHAREABLE, 'be shared')
    if (type === P2mType.RAM_RW) {
      const held = counts.count(mfn)
      // Who holds it may write it.
      if (held !== 1) throw new P2mError('ERR_BUSY', `guest frame ${hex(gfn)} is held by ${held - 1} others`, { gfn })
      core.put(gfn, 0, mfn, P2mType.RAM_SHARED, access)
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
    const entry = core.expect(gfn, SHAREABLE, 'be shared')
    if (entry.mfn === mfn) return
    if (entry.type === P2mType.RAM_RW) {
      const held = counts.count(entry.mfn)
      if (held !== 1) throw new P2mError('ERR_BUSY', `guest frame ${hex(gfn)} is held by ${held - 1} others`, { gfn })
      // Nobody writes it while it is compared.
      core.put(gfn, 0, entry.mfn, P2mType.RAM_SHARED, entry.access)
    }
    if (!areEqual(core, entry.mfn, mfn)) {
      if (entry.type === P2mType.RAM_RW) core.put(gfn, 0, entry.mfn, P2mType.RAM_RW, entry.access)
      throw new P2mError('ERR_MISMATCH', `guest frame ${hex(gfn)} has other contents than machine frame ${hex(mfn)}`, {
        gfn,
        mfn,
      })
    }
    core.put(gfn, 0, mfn, P2mType.RAM_SHARED, entry.access)
  })
}

/** See `P2m.unshare`. */
export function unshare(core: MapCore, gfn: number): void {
  core.change(() => {
    const counts = core.needCounts()
    const { mfn, access } = core.expect(gfn, [P2mType.RAM_SHARED], 'be unshared')
    if (counts.count(mfn) === 1) {
      core.put(gfn, 0, mfn, P2mType.RAM_RW, access)
      return
    }
    const frame = core.takeFrame()
    core.memory.u8.copyWithin(frame * PAGE_BYTES, mfn * PAGE_BYTES, (mfn + 1) * PAGE_BYTES)
    core.put(gfn, 0, frame, P2mType.RAM_RW, access, HANDED_OVER)
  })
}

function areEqual(core: MapCore, a: number, b: number): boolean {
  const { u32 } = core.memory
  for (let i = 0; i < 1024; i++) if (u32[a * 1024 + i] !== u32[b * 1024 + i]) return false
  return true
}
