import type { BlockProperties, DiskGeometry } from '@retrap/device'

/** Translation at power-on, which all BIOSes know. */
const HEADS = 16
const SECTORS_PER_TRACK = 63
const MOST_CYLINDERS = 16_383

const isWithin = (value: number, most: number): boolean => Number.isInteger(value) && value >= 1 && value <= most

/** The geometry of a disk of so many sectors: the medium's own if the registers can address it, else the usual one. */
export function diskGeometry({ geometry }: BlockProperties, sectors: number): DiskGeometry {
  if (geometry !== undefined) {
    const { cylinders, heads, sectors: track } = geometry
    if (isWithin(cylinders, 0xffff) && isWithin(heads, 16) && isWithin(track, 0xff)) return geometry
  }
  const cylinders = Math.min(MOST_CYLINDERS, Math.floor(sectors / (HEADS * SECTORS_PER_TRACK)))
  return { cylinders: Math.max(1, cylinders), heads: HEADS, sectors: SECTORS_PER_TRACK }
}
