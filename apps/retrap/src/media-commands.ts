import { shownName } from '@retrap/block/node'
import { describeThrown, type PcRemovableDrive } from '@retrap/machine'
import { CliError } from './cli-error.ts'
import { explainError } from './explain-error.ts'
import { didYouMean } from './nearest.ts'
import type { OpenDrives } from './open-drives.ts'
import { usage } from './values.ts'

/** What the commands work with: the machine that runs, and its images. */
export interface MediaSite {
  /** Undefined: no machine runs. */
  readonly drives: readonly PcRemovableDrive[] | undefined
  /** Null: there are no drives. */
  readonly images: OpenDrives | null
}

export const COMMANDS_HELP = `info block                        what is in the CD and floppy drives
change [-f] DRIVE FILE [FORMAT]   put FILE, or a URL, in; FORMAT is raw or qcow2
eject [-f] DRIVE                  take out what is in it
-f takes also what the guest has locked. A name with blanks is written "like this".
`

const COMMANDS = ['info', 'change', 'eject', 'help']

/**
 * Does what the user types after Ctrl-A c. The commands are those of QEMU's monitor.
 *
 * @returns what to tell the user, in whole lines
 */
export async function runMediaCommand(line: string, site: MediaSite): Promise<string> {
  const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
  const [name, ...rest] = words
  try {
    switch (name) {
      case undefined:
        return ''
      case 'help':
      case '?':
        return COMMANDS_HELP
      case 'info':
        return describeDrives(site)
      case 'change':
      case 'eject':
        return await exchange(name, rest, site)
      default:
        throw usage(`there is no command '${name}'; there are ${COMMANDS.join(', ')}${didYouMean(name, COMMANDS)}`)
    }
  } catch (error) {
    return `retrap: ${explainError(error)?.message ?? describeThrown(error)}\n`
  }
}

function describeDrives({ drives, images }: MediaSite): string {
  if (drives === undefined) throw new CliError('ERR_INPUT', 'no machine runs')
  if (drives.length === 0) return 'There is no CD or floppy drive.\n'
  const lines = drives.map((drive) => {
    const where = drive.medium === null ? 'nothing' : (images?.nameOf(drive.medium) ?? 'an image')
    const tray = `${drive.isLocked ? ', locked' : ''}${drive.isOpen ? ', tray open' : ''}`
    return `${drive.id}: ${where} (${drive.kind === 'cdrom' ? 'CD drive' : 'floppy drive'}${tray})\n`
  })
  return lines.join('')
}

async function exchange(name: 'change' | 'eject', given: readonly string[], site: MediaSite): Promise<string> {
  const force = given[0] === '-f'
  const [id, path, format, ...more] = force ? given.slice(1) : given
  const isChange = name === 'change'
  if (id === undefined || (path === undefined) === isChange || more.length > 0 || (!isChange && format !== undefined))
    throw usage(`write ${isChange ? 'change [-f] DRIVE FILE [FORMAT]' : 'eject [-f] DRIVE'}`)
  if (format !== undefined && format !== 'raw' && format !== 'qcow2')
    throw usage(`there is no format '${format}'; there are raw and qcow2`)
  const { drives, images } = site
  if (drives === undefined || images === null) throw new CliError('ERR_INPUT', 'no machine with drives runs')
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
