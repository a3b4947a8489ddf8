import type { Region } from '@retrap/device'

/** Puts a range where the guest wants it, or switches it off. Where another device is, the newcomer stays off, as with a BAR. */
export function placeRegion(region: Region | null, base: number, on: boolean): void {
  if (region === null) return
  if (region.enabled && (!on || region.base !== base)) region.disable()
  if (!on || region.enabled) return
  try {
    region.move(base)
    region.enable()
  } catch (error) {
    // Hosts of models throw classes of their own.
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_EXISTS')) throw error
  }
}
