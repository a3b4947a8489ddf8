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
 * The registers through which a drive is told what to do and says what became of it. A register that takes 48-bit
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
  /** Without BSY and DRQ, which follow from what the drive's transport is doing. */
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
