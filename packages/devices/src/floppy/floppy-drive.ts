import { type BlockBackend, Stateful } from '@retrap/device'
import { floppyDriveType, type FloppyFormat, floppyFormat, refusesFloppy, SECTOR_BYTES } from './formats.ts'

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
