import type { Region } from '@retrap/device'

/** Maps a range at the guest's address, or switches it off. If another device occupies the address, the range stays off, as for a BAR. */
export function placeRegion(region: Region | null, base: number, on: boolean): void {
  if (region === null) return
  if (region.enabled && (!on || region.base !== base)) region.disable()
  if (!on || region.enabled) return
  try {
    region.move(base)
    region.enable()
  } catch (error) {
    // Hosts of models throw their own error classes.
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_EXISTS')) throw error
  }
}
