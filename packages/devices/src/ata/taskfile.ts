import type { BlockProperties, DiskGeometry } from '@retrap/device'

// Status (ATA8-ACS, "Status field").
export const BSY = 0x80
export const DRDY = 0x40
/** Device Seek Complete in older editions; set by disks that are ready. */
export const DSC = 0x10
export const DRQ = 0x08
export const ERR = 0x01

// Error (ATA8-ACS, "Error field").
export const UNC = 0x40
export const IDNF = 0x10
export const ABRT = 0x04

// Device.
export const DEVICE_LBA = 0x40
export const DEVICE_1 = 0x10

/** Saved form of a {@link Taskfile}: its fields. */
export type TaskfileState = { readonly [Key in Exclude<keyof Taskfile, 'save' | 'restore' | 'setSignature'>]: number }

/**
 * The registers through which a drive is given commands and reports their results. A register that takes 48-bit
 * addresses keeps its previous content, which is the upper byte.
 *
 * Source: ATA/ATAPI-7 volume 2 (T13/1532D), "Parallel interface register definitions".
 */
export class Taskfile {
  feature = 0
  count = 1
  low = 1
  mid = 0
  high = 0
  previousFeature = 0
  previousCount = 0
  previousLow = 0
  previousMid = 0
  previousHigh = 0
  device = 0
  /** Status without BSY and DRQ, which follow from the drive's transport. */
  status = 0
  error = 0

  /** Sets the registers after a reset: the drive's kind. (ATA/ATAPI-7, "Signature and persistence".) */
  setSignature(packet: boolean): void {
    this.count = 1
    this.low = 1
    this.mid = packet ? 0x14 : 0
    this.high = packet ? 0xeb : 0
  }

  save(): TaskfileState {
    return { ...this }
  }

  restore(state: TaskfileState): void {
    for (const key of Object.keys(this.save()) as (keyof TaskfileState)[]) this[key] = state[key]
  }
}

/** The geometry of CHS addresses: heads, and sectors of a track. */
export interface Translation {
  readonly heads: number
  readonly sectors: number
}

/** Returns the sector in the registers, of 48 bits with `ext`; −1: no such sector. */
export function readAddress(registers: Taskfile, ext: boolean, { heads, sectors }: Translation): number {
  const { low, mid, high, device, previousLow, previousMid, previousHigh } = registers
  if (ext) {
    return ((previousHigh << 16) | (previousMid << 8) | previousLow) * 2 ** 24 + ((high << 16) | (mid << 8) | low)
  }
  if ((device & DEVICE_LBA) !== 0) return ((device & 15) << 24) | (high << 16) | (mid << 8) | low
  if (low === 0 || low > sectors || (device & 15) >= heads) return -1
  return (((high << 8) | mid) * heads + (device & 15)) * sectors + low - 1
}

/** Writes a sector's address to the registers. */
export function putAddress(registers: Taskfile, lba: number, ext: boolean, { heads, sectors }: Translation): void {
  if (!ext && (registers.device & DEVICE_LBA) === 0) {
    const track = Math.floor(lba / sectors)
    const cylinder = Math.floor(track / heads)
    registers.low = (lba % sectors) + 1
    registers.mid = cylinder & 0xff
    registers.high = (cylinder >> 8) & 0xff
    registers.device = (registers.device & 0xf0) | (track % heads)
    return
  }
  const upper = Math.floor(lba / 2 ** 24)
  registers.low = lba & 0xff
  registers.mid = (lba >>> 8) & 0xff
  registers.high = (lba >>> 16) & 0xff
  if (ext) {
    registers.previousLow = upper & 0xff
    registers.previousMid = (upper >>> 8) & 0xff
    registers.previousHigh = (upper >>> 16) & 0xff
  } else registers.device = (registers.device & 0xf0) | (upper & 15)
}

/** Translation at power-on, which all BIOSes know. */
const HEADS = 16
const SECTORS_PER_TRACK = 63
const MOST_CYLINDERS = 16_383

const isWithin = (value: number, most: number): boolean => Number.isInteger(value) && value >= 1 && value <= most

/** The geometry of a disk of this many sectors: the medium's own if the registers can address it, else the usual one. */
export function diskGeometry({ geometry }: BlockProperties, sectors: number): DiskGeometry {
  if (geometry !== undefined) {
    const { cylinders, heads, sectors: track } = geometry
    if (isWithin(cylinders, 0xffff) && isWithin(heads, 16) && isWithin(track, 0xff)) return geometry
  }
  const cylinders = Math.min(MOST_CYLINDERS, Math.floor(sectors / (HEADS * SECTORS_PER_TRACK)))
  return { cylinders: Math.max(1, cylinders), heads: HEADS, sectors: SECTORS_PER_TRACK }
}
