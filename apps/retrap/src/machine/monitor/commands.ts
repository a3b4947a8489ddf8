import { describeThrown } from '@retrap/machine'
import { shownName } from '@retrap/block/node'
import { parseDrive } from '../drives/drives.ts'
import { explainError } from '../../errors.ts'
import { didYouMean, parseDevice, usage } from '../../options/values.ts'
import { plainText } from '../../print-lines.ts'
import { readNetdev } from '../network/netdevs.ts'
import { asCommand, type HotDevices } from './hot-devices.ts'
import { describePci } from './pci-listing.ts'
import { RUN_COMMANDS, RUN_HELP, RUN_INFO, runningMachine, type RunSite } from './run-commands.ts'
import type { BackEnds } from '../back-ends/back-ends.ts'
import type { SessionRecording } from '../recording/session-recording.ts'
import type { SessionSnapshots } from '../snapshots/session-snapshots.ts'
import type { SessionMigration } from '../migration/session-migration.ts'

/** The surroundings of commands: the machine that runs, and its connections. */
export interface MonitorSite extends RunSite {
  readonly backEnds: Pick<BackEnds, 'images' | 'networks' | 'uses'>
  readonly devices: HotDevices
  readonly snapshots: Pick<SessionSnapshots, 'changed' | 'save' | 'saveNow'>
  readonly recording: Pick<SessionRecording, 'goto' | 'mark' | 'marks' | 'when' | 'whoWrote'>
  readonly migration: Pick<SessionMigration, 'decide' | 'migrate'>
  /** Rejects when the run ends: a command that is under way gets no further. */
  readonly over: Promise<never>
  /** Prints a text before the command has ended, in whole lines. */
  readonly tell: (text: string) => void
}

const HELP = `info block                        CD and floppy drives with what is in them, and disks
info network                      networks, and which of them cards have
info pci                          PCI functions: addresses, IDs, BARs
change [-f] DRIVE FILE [FORMAT]   put FILE, or a URL, in; FORMAT is raw or qcow2
eject [-f] DRIVE                  take out what is in it
drive_add if=none,id=ID,file=FILE[,format=FORMAT]
                                  open a disk for a device
drive_del ID                      close it
netdev_add user,id=ID             open a network for a card; kinds and keys as of --netdev
netdev_del ID                     close it
device_add NAME,bus=PORT,id=ID[,drive=ID|,netdev=ID]
                                  plug a device into a root port (--device pcie-root-port);
                                  NAME may be a module of yours, ./card.ts, or a program, exec:./card
device_del [-f] ID                ask the guest for it; its disk is closed then
savevm [FILE]                     save the machine, for retrap restore FILE
when                              the instruction that a recorded run, or its replay, is at
mark NAME                         name this instant of a recorded run
info marks                        names of instants, in a replay
goto INSTRUCTION|TIME|NAME        go there in a replay, forwards or backwards: goto 2.5ms
who-wrote PLACE [LENGTH]          in a replay, who wrote memory last: at an address, ADDRESS@p, or a name of Linux's
migrate TARGET [downtime=MS] [bandwidth=MIB]
                                  move the machine to retrap run --incoming TARGET
migrate --resume|--abandon        say where it is, where the connection has ended at the last moment
${RUN_HELP}-f takes also what the guest has locked, or will not give. A name with blanks is written "like this".
`

type Command = (given: readonly string[], site: MonitorSite) => string | Promise<string>

const INFO: Readonly<Record<string, Command>> = {
  ...RUN_INFO,
  block: (_, site) => describeDrives(site),
  network: (_, { backEnds }) =>
    backEnds.networks.ids.map((id) => `${id}: ${backEnds.uses(id) ? 'a card has it' : 'no card has it'}\n`).join('') ||
    'There is no network.\n',
  marks: (_, { recording }) => recording.marks(),
  pci: (_, site) => {
    const { devices } = runningMachine(site).domain
    if (devices === undefined) throw usage('info pci: this machine does not list its functions')
    return describePci(devices.functions, (model) => site.devices.nameOf(model))
  },
}

const COMMANDS: Readonly<Record<string, Command>> = {
  info: (given, site) => {
    const [what = '', ...more] = given
    if (!Object.hasOwn(INFO, what) || (more.length > 0 && more.join() !== '-a')) {
      const names = Object.keys(INFO)
      throw usage(`write info ${names.join('|')}${didYouMean(what, names)}`)
    }
    return INFO[what]!(more, site)
  },
  change: (given, site) => exchange('change', given, site),
  eject: (given, site) => exchange('eject', given, site),
  drive_add: (given, { backEnds: { images }, devices }) => {
    // QEMU's monitor has an unused number at this place.
    const [text, ...more] = given[0]?.includes('=') === false ? given.slice(1) : given
    if (text === undefined || more.length > 0) throw usage('write drive_add if=none,id=ID,file=FILE')
    const drive = asCommand(() => parseDrive(text))
    if (drive.forDevice !== true || drive.path === null || drive.media === 'cdrom')
      throw usage(`drive_add ${text}: it opens a disk for device_add; write if=none,id=ID,file=FILE`)
    return devices.inTurn(async () => {
      const notes = await images.add(drive)
      return [`${drive.id}: open`, ...notes, ''].join('\n')
    })
  },
  drive_del: (given, { backEnds: { images }, devices }) => {
    const id = only('drive_del ID', given)
    return devices.inTurn(async () => {
      await images.remove(id)
      return `${id}: closed\n`
    })
  },
  netdev_add: (given, { backEnds: { networks }, devices }) => {
    const netdev = readNetdev('netdev_add', only('netdev_add user,id=ID', given), undefined)
    return devices.inTurn(async () => {
      await networks.add(netdev)
      return `${netdev.id}: open\n`
    })
  },
  netdev_del: (given, { backEnds, devices }) => {
    const id = only('netdev_del ID', given)
    return devices.inTurn(async () => {
      if (backEnds.uses(id)) throw usage(`a card has network '${id}'; device_del of it comes first`)
      backEnds.networks.remove(id)
      return `${id}: closed\n`
    })
  },
  device_add: (given, site) => {
    const argument = asCommand(() => parseDevice(only('device_add NAME,bus=PORT,id=ID', given)))
    const { devices } = site
    return devices.inTurn(() => devices.add(runningMachine(site), argument))
  },
  device_del: (given, site) => {
    const force = given[0] === '-f'
    const id = only('device_del [-f] ID', force ? given.slice(1) : given)
    return site.devices.remove(runningMachine(site), id, force, site.tell)
  },
  savevm: async ([path, ...more], site) => {
    if (more.length > 0) throw usage('write savevm [FILE]')
    const machine = runningMachine(site)
    return `${await (path === undefined ? site.snapshots.saveNow(machine) : site.snapshots.save(machine, path))}\n`
  },
  when: (_, { recording }) => recording.when(),
  mark: (given, { recording }) => recording.mark(only('mark NAME', given)),
  goto: (given, { recording }) =>
    recording.goto(only('goto INSTRUCTION, a time such as 1500ns, or the name of a mark', given)),
  'who-wrote': (given, { recording }) => recording.whoWrote(given),
  migrate: (given, site) => {
    const [first] = given
    if (given.length === 1 && (first === '--resume' || first === '--abandon'))
      return site.migration.decide(first === '--resume' ? 'resume' : 'abandon')
    return site.migration.migrate(runningMachine(site), given)
  },
  ...RUN_COMMANDS,
  help: () => HELP,
  '?': () => HELP,
}

/** Commands that change the machine, so that its command line no longer describes it. */
const CHANGES: ReadonlySet<string> = new Set(['change', 'eject', 'device_add', 'device_del'])

function only(form: string, given: readonly string[]): string {
  const [text, ...more] = given
  if (text === undefined || text === '' || more.length > 0) throw usage(`write ${form}`)
  return text
}

/**
 * Executes a command typed after Ctrl-A c. The commands are as in QEMU's monitor.
 *
 * @returns the text for the user, in whole lines
 */
export async function runCommand(line: string, site: MonitorSite): Promise<string> {
  const words = [...line.matchAll(/(?:"[^"]*"|[^\s"])+/g)].map(([word]) => word.replaceAll('"', ''))
  const [name, ...given] = words
  if (name === undefined) return ''
  try {
    if (!Object.hasOwn(COMMANDS, name)) {
      const names = Object.keys(COMMANDS).filter((one) => one !== '?')
      throw usage(`there is no command '${name}'; there are ${names.join(', ')}${didYouMean(name, names)}`)
    }
    const told = await Promise.race([COMMANDS[name]!(given, site), site.over])
    if (CHANGES.has(name)) site.snapshots.changed(name)
    return plainText(told)
  } catch (error) {
    return plainText(`retrap: ${explainError(error)?.message ?? describeThrown(error)}\n`)
  }
}

/** `info block`: CD and floppy drives with their media, and disks with a name. */
function describeDrives(site: MonitorSite): string {
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
async function exchange(name: 'change' | 'eject', given: readonly string[], site: MonitorSite): Promise<string> {
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
