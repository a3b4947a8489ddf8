import { type BlockBackend, Stateful } from '@retrap/device'

/** The geometry of a floppy disk. Sectors have 512 bytes. */
interface FloppyFormat {
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
function refusesFloppy(type: number, bytes: number): string | null {
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

/** Cylinders that a drive's head can reach. */
const LAST_CYLINDER = 83

/** A drive, with or without a disk. */
export class FloppyDrive extends Stateful {
  readonly #medium: BlockBackend | null
  readonly #unwatch: (() => void) | undefined
  /** The cylinder at which the drive's head is. */
  cylinder = 0
  /** The disk was changed since the head last moved. */
  changed = true
  /** Whether the disk was exchanged since the command began. */
  exchanged = false

  constructor(medium: BlockBackend | null) {
    super()
    // An earlier release has not noticed exchanges.
    this.keeps(this, { only: ['cylinder', 'changed', 'exchanged'], recent: ['exchanged'] })
    this.#medium = medium
    const type = floppyDriveType(medium?.properties.bytes ?? 0)
    this.#unwatch = medium?.onChange(() => {
      this.changed = true
      this.exchanged = true
    })
    // A floppy drive has no lock.
    medium?.tray?.connect({ refuses: ({ bytes }) => refusesFloppy(type, bytes), ejectRequested() {} })
  }

  /** Called when the drive is removed: it gets no further changes of its disk. */
  removed(): void {
    this.#unwatch?.()
  }

  get medium(): BlockBackend | null {
    return this.#medium
  }

  /** The disk's format; null: no disk. */
  get format(): FloppyFormat | null {
    return this.#medium === null ? null : floppyFormat(this.#medium.properties.bytes)
  }

  get isProtected(): boolean {
    return this.#medium?.properties.readOnly ?? false
  }

  /** Moves the head. @returns the cylinders moved */
  seek(cylinder: number): number {
    const to = Math.min(Math.max(cylinder, 0), LAST_CYLINDER)
    const steps = Math.abs(to - this.cylinder)
    if (steps > 0 && this.format !== null) this.changed = false
    this.cylinder = to
    return steps
  }

  /** Offset of a sector on the medium. @returns the offset; −1: the medium has no such sector */
  offset(head: number, sector: number, cylinder: number): number {
    const { format } = this
    if (format === null || cylinder >= format.cylinders || head >= format.heads) return -1
    if (sector < 1 || sector > format.sectors) return -1
    return ((cylinder * format.heads + head) * format.sectors + sector - 1) * SECTOR_BYTES
  }
}
