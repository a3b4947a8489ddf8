/** The geometry of a floppy disk. Sectors have 512 bytes. */
export interface FloppyFormat {
  /** Cylinders of a side. */
  readonly cylinders: number
  /** Sides. */
  readonly heads: number
  /** Sectors of a track. */
  readonly sectors: number
  /** Values of the data rate register with which it is read: 0 500, 1 300, 2 250 kbit/s, 3 1 Mbit/s. */
  readonly rates: readonly number[]
  /** Type of the drive that it is made for, as CMOS byte 0x10 has it. */
  readonly drive: number
}

export const SECTOR_BYTES = 512

const row = (
  cylinders: number,
  heads: number,
  sectors: number,
  drive: number,
  ...rates: readonly number[]
): FloppyFormat => ({ cylinders, heads, sectors, drive, rates })

/** Formats, identified by size: all sizes differ. */
const FORMATS: readonly FloppyFormat[] = [
  row(80, 2, 18, 4, 0),
  row(80, 2, 36, 5, 3),
  row(80, 2, 15, 2, 0),
  row(80, 2, 9, 3, 2),
  row(80, 2, 21, 4, 0),
  row(82, 2, 21, 4, 0),
  row(40, 2, 9, 1, 1, 2),
  row(40, 2, 8, 1, 1, 2),
  row(40, 1, 9, 1, 1, 2),
  row(40, 1, 8, 1, 1, 2),
]

/** The formats of images that no format has the size of: the first that is large enough. */
const ROOMY = [FORMATS[0]!, FORMATS[1]!]

/**
 * The format of an image, by its size. A shorter image, such as a boot sector alone, is on a disk of 1.44 or 2.88 MB that is
 * empty behind it.
 *
 * @returns null for a size that is larger than any floppy, and for 0
 */
export function floppyFormat(bytes: number): FloppyFormat | null {
  const sectors = bytes / SECTOR_BYTES
  const exact = FORMATS.find((format) => sectorsOf(format) === sectors)
  return exact ?? (sectors > 0 ? ROOMY.find((format) => sectorsOf(format) >= sectors) : undefined) ?? null
}

/** Type of a drive that was made without a disk: 1.44 MB. */
const USUAL_TYPE = 4

/** Returns the type of drive for a disk of this size, as encoded in CMOS byte 0x10; 0 bytes: no disk yet. */
export function floppyDriveType(bytes: number): number {
  return floppyFormat(bytes)?.drive ?? USUAL_TYPE
}

/** Disks that each type of drive reads, by the type of drive that they are made for. */
const READABLE: Readonly<Record<number, readonly number[]>> = { 1: [1], 2: [1, 2], 3: [3], 4: [3, 4], 5: [3, 4, 5] }

/** Why a drive of a type cannot read a disk of a size; null: it can. */
export function refusesFloppy(type: number, bytes: number): string | null {
  const format = floppyFormat(bytes)
  if (format !== null && READABLE[type]?.includes(format.drive) === true) return null
  const fits = FORMATS.filter(({ drive }) => READABLE[type]?.includes(drive)).map(kibOf)
  const what = `an image of ${bytes} bytes in a drive for ${kibOf(FORMATS.find(({ drive }) => drive === type)!)} KiB`
  return `${what}: expected one of ${fits.toSorted((a, b) => a - b).join(', ')} KiB`
}

const sectorsOf = ({ cylinders, heads, sectors }: FloppyFormat): number => cylinders * heads * sectors
const kibOf = (format: FloppyFormat): number => sectorsOf(format) / 2

/** The largest disk, in KiB. */
export const MOST_KIB: number = Math.max(...FORMATS.map(kibOf))
