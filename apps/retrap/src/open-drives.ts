import { ImageError, type BlockImage } from '@retrap/block'
import { openImage, type OpenImageOptions } from '@retrap/block/node'
import type { BlockBackend } from '@retrap/device'
import type { PcDrive, PcFlash } from '@retrap/machine'
import { CliError } from './cli-error.ts'
import type { DriveArgument } from './drives.ts'
import { chainOf } from './image/layers.ts'
import { examineImage, notRaw, type ImageFile } from './image-file.ts'

/** An open image, and the file that it is in. */
interface OpenFile {
  readonly path: string
  readonly identity: string
  /** The files below it, which it reads. */
  readonly below: readonly string[]
  readonly writes: boolean
  readonly image: BlockImage
  /** Why the last changes of a flash are not in its file. A flash has no flush command that could report it. */
  failure?: unknown
}

/** An image whose last writes are not in its file. */
export interface FailedClose {
  readonly path: string
  readonly error: unknown
}

/** The images of a session. A machine that replaces one that was reset goes on with the same ones. */
export class OpenDrives {
  readonly drives: readonly PcDrive[]
  /** In the order of their units. */
  readonly flash: readonly PcFlash[]
  readonly #files: readonly OpenFile[]

  private constructor(drives: readonly PcDrive[], flash: readonly PcFlash[], files: readonly OpenFile[]) {
    this.drives = drives
    this.flash = flash
    this.#files = files
  }

  /** @throws CliError `ERR_INPUT`; ImageError */
  static async open(list: readonly DriveArgument[]): Promise<OpenDrives> {
    const files: OpenFile[] = []
    const drives: PcDrive[] = []
    const flash: PcFlash[] = []
    try {
      for (const drive of list) {
        // oxlint-disable-next-line no-await-in-loop -- what is open so far is closed where one fails
        const opened = await openDrive(drive, files)
        if (drive.flash === undefined) drives.push(opened)
        else flash[drive.flash] = { medium: noting(files.at(-1)!), ...(drive.secure === true && { secure: true }) }
      }
      return new OpenDrives(drives, flash, files)
    } catch (error) {
      await closeAll(files)
      throw error
    }
  }

  /** Waits for requests that a machine has left behind. */
  async idle(): Promise<void> {
    await Promise.all(this.#files.map(({ image }) => image.idle()))
  }

  /** Writes what is left, and closes every file. @returns the images for which this has failed */
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

/** The image of a flash. A write that fails is told to the user at the end, for the guest may not hear of it. */
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

async function openDrive(drive: DriveArgument, files: OpenFile[]): Promise<PcDrive> {
  const { path, index, bootIndex, serialNumber, virtio, nvme, scsi } = drive
  const rest = {
    ...(index !== undefined && { index }),
    ...(bootIndex !== undefined && { bootIndex }),
    ...(serialNumber !== undefined && { serialNumber }),
    ...(drive.interface !== undefined && { interface: drive.interface }),
    ...(virtio !== undefined && { virtio }),
    ...(nvme !== undefined && { nvme }),
    ...(scsi !== undefined && { scsi }),
  }
  if (path === null) return { medium: null, media: drive.media ?? 'cdrom', ...rest }
  const file = await examineImage(path)
  const media = drive.media ?? (drive.flash === undefined ? mediaOf(path, file) : 'disk')
  const format = drive.format === undefined ? formatOf(path, file) : { format: drive.format }
  const readOnly = drive.readOnly || media === 'cdrom'
  const writes = !readOnly && !drive.snapshot
  const { identity } = file
  // What is wrong with the files below is told where they are opened.
  const chain = format.format === 'qcow2' ? await chainOf(path, 'qcow2').catch(() => []) : []
  const below = chain.slice(1).map((one) => one.identity)
  refuseTwice({ path, identity, below, writes }, files)
  const image = await openImage(path, {
    ...format,
    snapshot: drive.snapshot && !readOnly,
    readOnly,
  }).catch((error: unknown) => {
    throw writes ? explainUnwritable(path, error) : error
  })
  files.push({ path, identity, below, writes, image })
  return { medium: image, media, ...rest }
}

/**
 * The format of a file named without one. A guest decides what its raw disk begins with, and could name any file of the host
 * as the one below it: such an image is taken only by its name.
 *
 * @throws CliError `ERR_INPUT`
 */
function formatOf(path: string, { format }: ImageFile): Pick<OpenImageOptions, 'format' | 'backing'> {
  if (format === null) return { format: 'raw' }
  if (format !== 'qcow2') throw new CliError('ERR_INPUT', `${path}: ${notRaw(format)}`)
  return { format: 'qcow2', backing: /\.qcow2?$/i.test(path) ? 'open' : 'refuse' }
}

/** What a file named without more is: a CD if it has that file system. @throws CliError `ERR_INPUT` for a kernel */
function mediaOf(path: string, { hasIso, kernel }: ImageFile): 'disk' | 'cdrom' {
  if (hasIso) return 'cdrom'
  if (kernel === null) return 'disk'
  throw new CliError('ERR_INPUT', `${path}: it is ${kernel}, not a disk image; give --kernel ${path}, or --hda ${path}`)
}

/**
 * Two drives that read one file are no trouble; one that writes it is, also where the other one has it below its own file.
 *
 * @throws CliError `ERR_INPUT`
 */
function refuseTwice(file: Omit<OpenFile, 'image'>, files: readonly OpenFile[]): void {
  const { path, identity, below, writes } = file
  const refuse = (what: string): CliError => new CliError('ERR_INPUT', `${path}: ${what}, or give --snapshot`)
  for (const other of files) {
    if (other.identity === identity && (other.writes || writes))
      throw refuse(`it is ${other.path === path ? 'named twice' : `the same file as ${other.path}`}; give it once`)
    if (writes && other.below.includes(identity))
      throw refuse(`it is below ${other.path}, and must not change; give only one of them`)
    if (other.writes && below.includes(other.identity))
      throw refuse(`${other.path} is below it, and must not change; give only one of them`)
  }
}

/** Names the options that only read a file. The file has been read before, so that it is writing that is refused. */
function explainUnwritable(path: string, error: unknown): unknown {
  const cause = error instanceof ImageError ? error.cause : undefined
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  if (!['EACCES', 'EPERM', 'EROFS'].includes(code)) return error
  const options = `--snapshot, or --drive file=${path.replaceAll(',', ',,')},readonly=on`
  return new CliError('ERR_INPUT', `${path}: it may not be written; give ${options}`)
}
