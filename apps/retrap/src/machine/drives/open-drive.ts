import { defined } from '@retrap/basics'
import { type BlockImage, ImageError } from '@retrap/block'
import { isUrl, openImage, type OpenImageOptions, shownName } from '@retrap/block/node'
import type { MachineDrive } from '@retrap/machine'
import { CliError } from '@retrap/linux-guest/errors'
import type { DriveArgument } from './drives.ts'
import { chainOf } from './layers.ts'
import { examineImage, isNamedQcow2, notRaw, type ImageFile } from './image-file.ts'

/** An open image, and the file that it is in. */
export interface OpenFile {
  /** Path of the file, as messages show it. */
  readonly path: string
  readonly identity: string
  /** The files below the image, which it reads. */
  readonly below: readonly string[]
  /** Paths of the file and its backing files, without files on web servers. */
  readonly paths: readonly string[]
  readonly writes: boolean
  /** The user has not asked for that, and may expect to write. */
  readonly isFixed: boolean
  readonly image: BlockImage
  /** Why the last changes of a flash are not in its file. A flash has no flush command that could report it. */
  failure?: unknown
}

/** Returns a drive's place and name. */
export function placeOf(drive: DriveArgument): Omit<MachineDrive, 'medium' | 'media'> {
  const { index, bootIndex, serialNumber, virtio, nvme, scsi } = drive
  return {
    ...defined({ index, bootIndex, serialNumber, interface: drive.interface, virtio, nvme, scsi, id: drive.id }),
  }
}

/**
 * Opens the image of a drive, and adds its file to the list of open files.
 *
 * @param lock - when to lock a writable image
 * @throws CliError `ERR_INPUT`; ImageError
 */
export async function openDrive(
  drive: DriveArgument,
  files: OpenFile[],
  lock: 'now' | 'later' = 'now',
): Promise<MachineDrive> {
  const { path } = drive
  const rest = placeOf(drive)
  if (path === null) return { medium: null, media: drive.media ?? 'cdrom', ...rest }
  const file = await examineImage(path)
  const media = drive.media ?? (drive.flash === undefined ? mediaOf(path, file) : 'disk')
  const format = drive.format === undefined ? formatOf(path, file) : { format: drive.format }
  const fixed = drive.readOnly || media === 'cdrom'
  const snapshot = drive.snapshot && !fixed
  // A web server's file cannot be written.
  const readOnly = fixed || (isUrl(path) && !snapshot)
  const writes = !readOnly && !snapshot
  const { identity } = file
  // Errors in backing files are reported when they are opened.
  const chain = format.format === 'qcow2' ? await chainOf(path, 'qcow2').catch(() => []) : []
  const below = chain.slice(1).map((one) => one.identity)
  const name = shownName(path)
  refuseTwice({ path: name, identity, below, writes }, files)
  const image = await openImage(path, {
    ...format,
    snapshot,
    readOnly,
    ...(writes && { lock }),
  }).catch((error: unknown) => {
    throw writes ? explainUnwritable(path, error) : error
  })
  const paths = [path, ...chain.slice(1).map((one) => one.path)].filter((one) => !isUrl(one))
  files.push({ path: name, identity, below, paths, writes, isFixed: readOnly && !fixed, image })
  return { medium: image, media, ...rest }
}

/**
 * Returns the format of a file without a given format. A guest controls the start of its raw disk, and could fake a header
 * that names any host file as backing file: such a format is accepted only by the file's name.
 *
 * @throws CliError `ERR_INPUT`
 */
function formatOf(path: string, { format }: ImageFile): Pick<OpenImageOptions, 'format' | 'backing'> {
  if (format === null) return { format: 'raw' }
  if (format !== 'qcow2') throw new CliError('ERR_INPUT', `${shownName(path)}: ${notRaw(format)}`)
  return { format: 'qcow2', backing: isNamedQcow2(path) ? 'open' : 'refuse' }
}

/** Returns the media of a file named without more: a CD if it has that file system. @throws CliError `ERR_INPUT` for a kernel */
function mediaOf(path: string, { hasIso, kernel }: ImageFile): 'disk' | 'cdrom' {
  if (hasIso) return 'cdrom'
  if (kernel === null) return 'disk'
  const name = shownName(path)
  throw new CliError('ERR_INPUT', `${name}: it is ${kernel}, not a disk image; give --kernel ${name}, or --hda ${name}`)
}

/**
 * Two drives may read one file, but no other drive may use a file that a drive writes, not even as a backing file.
 *
 * @throws CliError `ERR_INPUT`
 */
function refuseTwice(file: Omit<OpenFile, 'image' | 'isFixed' | 'paths'>, files: readonly OpenFile[]): void {
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
