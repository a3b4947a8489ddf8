import { shownName } from '@retrap/block/node'
import { didYouMean } from '../options/nearest.ts'
import { usage } from '../options/values.ts'
import { type MonitorSite, runningMachine } from './site.ts'

/** `info block`: CD and floppy drives with what is in them, and disks with a name. */
export function describeDrives(site: MonitorSite): string {
  const { images } = site.backEnds
  const { removableDrives = [] } = runningMachine(site)
  const media = removableDrives.map((drive) => {
    const where = drive.medium === null ? 'nothing' : (images.nameOf(drive.medium) ?? 'an image')
    const tray = `${drive.isLocked ? ', locked' : ''}${drive.isOpen ? ', tray open' : ''}`
    return `${drive.id}: ${where} (${drive.kind === 'cdrom' ? 'CD drive' : 'floppy drive'}${tray})\n`
  })
  const disks = images.named.map(({ id, path, used }) => `${id}: ${path} (disk${used ? '' : ', of no device yet'})\n`)
  const lines = [...media, ...disks]
  return lines.length === 0 ? 'There is no CD or floppy drive, and no disk with an id.\n' : lines.join('')
}

/** Changes or ejects the medium of a drive. @throws CliError `ERR_USAGE`, `ERR_INPUT`; ImageError; MachineError */
export async function exchange(name: 'change' | 'eject', given: readonly string[], site: MonitorSite): Promise<string> {
  const force = given[0] === '-f'
  const [id, path, format, ...more] = force ? given.slice(1) : given
  const isChange = name === 'change'
  if (id === undefined || (path === undefined) === isChange || more.length > 0 || (!isChange && format !== undefined))
    throw usage(`write ${isChange ? 'change [-f] DRIVE FILE [FORMAT]' : 'eject [-f] DRIVE'}`)
  if (format !== undefined && format !== 'raw' && format !== 'qcow2')
    throw usage(`there is no format '${format}'; there are raw and qcow2`)
  const { images } = site.backEnds
  const { removableDrives: drives = [] } = runningMachine(site)
  const names = drives.map((drive) => drive.id)
  const at = names.indexOf(id)
  if (at < 0) throw usage(`there is no drive '${id}'; there are: ${names.join(', ') || 'none'}${didYouMean(id, names)}`)
  const drive = drives[at]!
  if (path === undefined) {
    if (drive.medium === null) return `${id}: nothing is in it\n`
    await images.eject(drive, at, force)
    return `${id}: empty\n`
  }
  await images.change(drive, at, { path, force, ...(format !== undefined && { format }) })
  return `${id}: ${shownName(path)}\n`
}
