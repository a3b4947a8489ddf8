import { ImageError, Overlay, type OverlayState } from '@retrap/block'
import { shownName } from '@retrap/block/node'
import type { BlockBackend } from '@retrap/device'
import {
  describeThrown,
  isRemovable,
  type MachineDrive,
  type MachineFlash,
  type MachineRemovableDrive,
} from '@retrap/machine'
import { CliError } from '@retrap/linux-guest/errors'
import type { DriveArgument } from './drives.ts'
import { openDrive, type OpenFile, placeOf } from './open-drive.ts'
import { usage } from '../../options/values.ts'

/** A drive with its options, and its current medium. */
interface HeldDrive {
  readonly argument: DriveArgument
  opened: MachineDrive
  /** Settles when the last exchange of the drive's medium has ended: exchanges are made one at a time. */
  exchanged: Promise<void>
  /** The drive was opened while a machine runs, and no device has it yet. */
  spare: boolean
  /** Whether the image stays open when its device is removed. */
  stays?: boolean
}

/** A drive with a name, for the user to see. */
export interface NamedDrive {
  readonly id: string
  /** Path of the drive's image, as messages show it. */
  readonly path: string
  /** Whether a device uses the drive. */
  readonly used: boolean
}

/** Most bytes of writes kept in memory that can be sent: the guest stands still meanwhile, and a section of a file has 1 GiB. */
const MOST_WRITES_BYTES = 512 << 20

/** An image whose last writes failed to reach its file. */
export interface FailedClose {
  readonly path: string
  readonly error: unknown
}

/** The images of a session. After a reset the new machine uses the same ones. */
export class OpenDrives {
  readonly #drives: HeldDrive[]
  /** Flash images in the order of their units. */
  readonly flash: readonly MachineFlash[]
  readonly #files: OpenFile[]

  private constructor(drives: HeldDrive[], flash: readonly MachineFlash[], files: OpenFile[]) {
    this.#drives = drives
    this.flash = flash
    this.#files = files
  }

  /** All drives except spare ones, each with its current medium. */
  get drives(): readonly MachineDrive[] {
    return this.#drives.filter(({ spare }) => !spare).map(({ opened }) => opened)
  }

  /** Disks with an id. */
  get named(): readonly NamedDrive[] {
    return this.#drives.flatMap(({ argument: { id }, opened, spare }) => {
      if (id === undefined || opened.medium === null || isRemovable(opened)) return []
      return [{ id, path: this.nameOf(opened.medium) ?? '', used: !spare }]
    })
  }

  /** Remarks on the images that the user may not expect. */
  get notes(): readonly string[] {
    const fixed = this.#files.filter(({ isFixed }) => isFixed)
    const ignored = this.#drives.flatMap(({ argument: { path, ignored: keys } }) => {
      const name = path === null ? 'an empty drive' : shownName(path)
      return keys === undefined
        ? []
        : [`--drive ${name}: ${keys.map((key) => `${key}=`).join(', ')} change nothing here`]
    })
    return [
      ...fixed.map(({ path }) => `${path} is read-only: a web server takes no writes; --snapshot keeps them in memory`),
      ...ignored,
    ]
  }

  /** All files of this host that the images are in. */
  get paths(): readonly string[] {
    return this.#files.flatMap(({ paths }) => paths)
  }

  /** Returns the file of an image, for messages. */
  nameOf(image: BlockBackend): string | undefined {
    return this.#files.find((file) => file.image === image)?.path
  }

  /**
   * @param lock - `later`: writable images are opened for writing only after {@link OpenDrives.claim}
   * @throws CliError `ERR_INPUT`; ImageError
   */
  static async open(list: readonly DriveArgument[], lock: 'now' | 'later' = 'now'): Promise<OpenDrives> {
    const files: OpenFile[] = []
    const drives: HeldDrive[] = []
    const flash: MachineFlash[] = []
    try {
      for (const drive of list) {
        const opened = await openDrive(drive, files, lock)
        if (drive.flash === undefined) drives.push(held(drive, opened, false))
        else flash[drive.flash] = { medium: noting(files.at(-1)!), ...(drive.secure === true && { secure: true }) }
      }
      return new OpenDrives(drives, flash, files)
    } catch (error) {
      await closeAll(files)
      throw error
    }
  }

  /**
   * Opens a disk for a device that is plugged in later.
   *
   * @returns notes for the user on unexpected behaviour of the drive
   * @throws CliError `ERR_USAGE` for an id in use; `ERR_INPUT`; ImageError
   */
  async add(drive: DriveArgument): Promise<readonly string[]> {
    if (this.#drives.some(({ argument }) => argument.id === drive.id))
      throw usage(`there is a drive '${drive.id}' already`)
    const before = this.notes.length
    this.#drives.push(held(drive, await openDrive(drive, this.#files), true))
    return this.notes.slice(before)
  }

  /**
   * Gives a disk that {@link OpenDrives.add} has opened to a device.
   *
   * @param device - the device's settings of the drive
   * @returns undefined for an unknown drive
   */
  use(id: string, device: Partial<DriveArgument>): MachineDrive | undefined {
    const found = this.#drives.find(({ argument, spare }) => spare && argument.id === id)
    if (found === undefined) return undefined
    found.spare = false
    const { medium, media } = found.opened
    found.opened = { medium, ...(media !== undefined && { media }), ...placeOf({ ...found.argument, ...device }) }
    return found.opened
  }

  /** Has a disk stay open when its device goes, until {@link OpenDrives.remove}. */
  keep(id: string): void {
    for (const drive of this.#drives) if (drive.argument.id === id) drive.stays = true
  }

  /** Takes a disk back from a device that could not be plugged in. */
  disuse(drive: MachineDrive): void {
    const found = this.#drives.find(({ opened }) => opened === drive)
    if (found !== undefined) found.spare = true
  }

  /** Closes a disk that no device uses. @throws CliError `ERR_USAGE` for an unknown disk; `ERR_INPUT` */
  async remove(id: string): Promise<void> {
    const at = this.#drives.findIndex(({ argument, spare }) => spare && argument.id === id)
    if (at < 0) {
      const isUsed = this.named.some((drive) => drive.id === id)
      const stays = this.#drives.some((drive) => drive.argument.id === id && drive.stays)
      const what = `device_del of it ${stays ? 'comes first' : 'closes both'}`
      throw usage(isUsed ? `a device has drive '${id}'; ${what}` : `there is no drive '${id}'`)
    }
    const [{ opened }] = this.#drives.splice(at, 1) as [HeldDrive]
    await this.#closeFile(opened.medium)
  }

  /** Closes the disk of a device that was behind a root port, unless it stays. @throws CliError `ERR_INPUT`; BlockError */
  async removeBehind(port: string): Promise<void> {
    // A spare disk may still name the port of its former device.
    const at = this.#drives.findIndex(
      ({ opened: { virtio, nvme }, spare }) => !spare && (virtio ?? nvme)?.port === port,
    )
    if (at < 0) return
    const drive = this.#drives[at]!
    drive.spare = drive.stays === true
    if (drive.spare) return drive.opened.medium?.flush()
    this.#drives.splice(at, 1)
    await this.#closeFile(drive.opened.medium)
  }

  /**
   * Puts another image in a drive of the machine that runs, and closes the one before. Exchanges of a drive wait for each other.
   *
   * @param at - index of the drive among the drives with removable media
   * @throws CliError `ERR_INPUT`; ImageError; MachineError `ERR_LOCKED`
   */
  change(
    drive: MachineRemovableDrive,
    at: number,
    given: { readonly path: string; readonly format?: 'raw' | 'qcow2'; readonly force: boolean },
  ): Promise<void> {
    return this.#inTurn(at, async () => {
      const { format: _format, ...rest } = this.#removable(at).argument
      const { force, ...image } = given
      const opened = await openDrive(
        { ...rest, media: drive.kind === 'cdrom' ? 'cdrom' : 'disk', ...image },
        this.#files,
      )
      try {
        await drive.insert(opened.medium!, { force })
      } catch (error) {
        await this.#closeFile(opened.medium)
        throw error
      }
      await this.#replace(at, opened.medium)
    })
  }

  /** Takes the image out of a drive of the machine that runs, and closes it. @throws MachineError `ERR_LOCKED` */
  eject(drive: MachineRemovableDrive, at: number, force: boolean): Promise<void> {
    return this.#inTurn(at, async () => {
      await drive.eject({ force })
      await this.#replace(at, null)
    })
  }

  #inTurn(at: number, exchange: () => Promise<void>): Promise<void> {
    const held = this.#removable(at)
    const done = held.exchanged.then(exchange)
    held.exchanged = done.catch(() => {})
    return done
  }

  #removable(at: number): HeldDrive {
    return this.#drives.filter(({ opened }) => isRemovable(opened))[at]!
  }

  async #replace(at: number, medium: BlockBackend | null): Promise<void> {
    const drive = this.#removable(at)
    const before = drive.opened.medium
    drive.opened = { ...drive.opened, medium }
    await this.#closeFile(before)
  }

  /** Closes an image that no drive has any more. @throws CliError `ERR_INPUT` where its last writes are not in the file */
  async #closeFile(image: BlockBackend | null): Promise<void> {
    const at = this.#files.findIndex((file) => file.image === image)
    if (at < 0) return
    const [failed] = await closeAll(this.#files.splice(at, 1))
    if (failed === undefined) return
    const what = `not all that the guest wrote is in it: ${describeThrown(failed.error)}`
    throw new CliError('ERR_INPUT', `${failed.path}: ${what}`)
  }

  /** Waits for exchanges that were begun while a machine ran, and for requests that it has left behind. */
  async idle(): Promise<void> {
    await Promise.all(this.#drives.map(({ exchanged }) => exchanged))
    await Promise.all(this.#files.map(({ image }) => image.idle()))
  }

  /** Flushes all images. @throws BlockError */
  async flush(): Promise<void> {
    await Promise.all(this.#files.map(({ image }) => image.flush()))
  }

  /** Flushes the images, also parts that a flush leaves for a second one: nothing is written until the next request. No request is under way. */
  async settle(): Promise<void> {
    await Promise.all(
      this.#files.map(async ({ image }) => (image.settle === undefined ? image.flush() : image.settle())),
    )
  }

  /** Gives up the right to write images, for another process to take. @throws BlockError */
  async release(): Promise<void> {
    await Promise.all(this.#files.map(async ({ image }) => image.release?.()))
  }

  /**
   * Takes the lock of all images or of none.
   *
   * @param writes - the result of {@link OpenDrives.saveWrites} in another process; default: this process has its own writes
   * @throws ImageError `ERR_LOCKED`; `ERR_FORMAT` for writes of other drives
   */
  async claim(writes?: unknown): Promise<void> {
    try {
      for (const { image } of this.#files) await image.claim?.()
      if (writes !== undefined) this.#putBack(Array.isArray(writes) ? writes : [])
    } catch (error) {
      await this.release()
      throw error
    }
  }

  /**
   * Returns the guest's writes that images keep in memory, null for images that keep none. No request may be in progress.
   *
   * @throws CliError `ERR_INPUT` if the writes are too large to send
   */
  saveWrites(): readonly (OverlayState | null)[] {
    const images = this.#files.map(({ image }) => (image instanceof Overlay ? image : null))
    const bytes = images.reduce((sum, image) => sum + (image?.heldBytes ?? 0), 0)
    if (bytes > MOST_WRITES_BYTES) {
      const what = `its drives keep ${Math.ceil(bytes / 2 ** 20)} MiB of writes in memory (snapshot=on)`
      throw new CliError(
        'ERR_INPUT',
        `the machine cannot be moved: ${what}; at most ${MOST_WRITES_BYTES / 2 ** 20} MiB can go`,
      )
    }
    return images.map((image) => image?.save() ?? null)
  }

  #putBack(writes: readonly unknown[]): void {
    for (const [i, { image, path }] of this.#files.entries()) {
      const given = writes[i] ?? null
      if (image instanceof Overlay !== (given !== null))
        throw new ImageError('ERR_FORMAT', `${path}: one side alone has snapshot=on; give both the same options`)
      if (image instanceof Overlay) image.restore(Object(given) as OverlayState)
    }
  }

  /** Writes remaining data, and closes every file. @returns the images for which this has failed */
  close(): Promise<readonly FailedClose[]> {
    return closeAll(this.#files)
  }
}

async function closeAll(files: readonly OpenFile[]): Promise<readonly FailedClose[]> {
  const failed: FailedClose[] = []
  await Promise.all(
    files.map(async (file) => {
      await file.image.close().catch((error: unknown) => (file.failure ??= error))
      if (file.failure !== undefined) failed.push({ path: file.path, error: file.failure })
    }),
  )
  return failed
}

/** The image of a flash. A failed write is reported to the user at the end, for the guest may not be notified of it. */
function noting(file: OpenFile): BlockBackend {
  const { image } = file
  const note = (request: Promise<void>): Promise<void> =>
    request.catch((error: unknown) => {
      file.failure ??= error
      throw error
    })
  return {
    get properties() {
      return image.properties
    },
    read: (offset, into, request) => image.read(offset, into, request),
    write: (offset, from, request) => note(image.write(offset, from, request)),
    flush: (request) => note(image.flush(request)),
    discard: (offset, bytes, request) => image.discard(offset, bytes, request),
    writeZeroes: (offset, bytes, request) => note(image.writeZeroes(offset, bytes, request)),
    onChange: (listener) => image.onChange(listener),
  }
}

const held = (argument: DriveArgument, opened: MachineDrive, spare: boolean): HeldDrive => {
  return { argument, opened, exchanged: Promise.resolve(), spare }
}
