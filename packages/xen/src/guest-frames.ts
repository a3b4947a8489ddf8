import { XenError } from './errors.ts'

/** Guest frames are below this: as many as CPUID's physical-address bits allow. */
export const GUEST_FRAMES: number = 2 ** 28

/** Consecutive guest frames of a domain. */
export interface XenGuestFrames {
  /** The first. */
  readonly gfn: number
  /** How many. */
  readonly count: number
  /** The frames' kind for the guest. */
  readonly kind: 'ram' | 'rom'
}

/** Whether a guest frame is RAM or, if that will do, ROM. @param frames - from low to high */
export function findRam(frames: readonly XenGuestFrames[], gfn: number, orRom: boolean): boolean {
  let [low, high] = [0, frames.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    const run = frames[middle]!
    if (run.gfn + run.count <= gfn) low = middle + 1
    else high = middle
  }
  const run = frames[low]
  return run !== undefined && run.gfn <= gfn && (orRom || run.kind === 'ram')
}

/** Returns runs of RAM in `frames` that are missing from `others`, both in ascending order. */
export function missingFrom(others: readonly XenGuestFrames[], frames: readonly XenGuestFrames[]): XenGuestFrames[] {
  const missing: XenGuestFrames[] = []
  let at = 0
  for (const { gfn: first, count, kind } of frames) {
    if (kind !== 'ram') continue
    const end = first + count
    let gfn = first
    while (at > 0 && others[at - 1]!.gfn + others[at - 1]!.count > gfn) at--
    while (gfn < end) {
      const other = others[at]
      if (other === undefined || other.gfn >= end) {
        missing.push({ gfn, count: end - gfn, kind })
        break
      }
      if (other.gfn > gfn) missing.push({ gfn, count: other.gfn - gfn, kind })
      gfn = Math.max(gfn, other.gfn + other.count)
      at++
    }
  }
  return missing
}

/** Machine address of RAM that is about to be written. @throws XenError `ERR_STATE` */
export function ramOf(
  { secondLevel }: { readonly secondLevel: { translateWrite(gpa: number): number } },
  gpa: number,
): number {
  const ma = secondLevel.translateWrite(gpa)
  if (ma < 0)
    throw new XenError('ERR_STATE', `the saved guest had RAM at 0x${gpa.toString(16)}: expected the same here`)
  return ma
}
