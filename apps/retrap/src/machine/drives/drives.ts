import { defined } from '@retrap/basics'
import type { MachineBootOptions, MachineNvmePlace, MachineScsiPlace, MachineVirtioDisk } from '@retrap/machine'
import type { OptionGroup } from '../../options/option-table.ts'
import { didYouMean, Properties, splitPairs, usage } from '../../options/values.ts'

/** A drive that the user asked for. */
export interface DriveArgument {
  /** The image file, or its URL; null: a CD or floppy drive without a disc. */
  readonly path: string | null
  /** Kind of the drive; absent: the file's content decides. */
  readonly media?: 'disk' | 'cdrom'
  /** Format of the file; absent: the file's content decides, and a raw file must not look like another format. */
  readonly format?: 'raw' | 'qcow2'
  readonly index?: number
  /** The drive's place as the board counts: a cable with two drives, or a port with one. */
  readonly cable?: { readonly bus: number; readonly unit: number }
  readonly snapshot: boolean
  readonly readOnly: boolean
  readonly bootIndex?: number
  readonly serialNumber?: string
  /** The drive is a flash with firmware (0), or with the firmware's variables (1). */
  readonly flash?: 0 | 1
  /** A flash that only system-management mode writes. */
  readonly secure?: boolean
  /** The drive's interface; absent: the board's IDE or SATA controller. */
  readonly interface?: 'virtio' | 'nvme' | 'scsi' | 'usb' | 'floppy'
  /** How a virtio disk lies on the PCI bus. */
  readonly virtio?: MachineVirtioDisk
  /** How an NVMe drive lies on the PCI bus. */
  readonly nvme?: MachineNvmePlace
  /** The drive's address at its SCSI controller. */
  readonly scsi?: MachineScsiPlace
  /** Names the drive for a `--device` that uses it. */
  readonly id?: string
  /** Whether the drive exists only for a `--device` (`if=none`). */
  readonly forDevice?: boolean
  /** Keys of QEMU's that were given and change nothing. */
  readonly ignored?: readonly string[]
}

export interface DriveFlags {
  readonly drive?: readonly DriveArgument[]
  readonly hda?: string
  readonly hdb?: string
  readonly hdc?: string
  readonly hdd?: string
  readonly cdrom?: string
  readonly fda?: string
  readonly fdb?: string
  readonly snapshot?: boolean
  readonly machine?: string
  readonly boot?: MachineBootOptions
  readonly firmware?: string
  readonly firmwareVars?: string
  /** Default amd64. */
  readonly arch?: 'amd64' | 'arm64'
}

const NO_FLOPPY = 'write --drive file=FILE,if=virtio'

/** Options that name drives, with QEMU's names. */
export const DRIVE_OPTIONS: OptionGroup = [
  'Disks:',
  [
    {
      flags: '--drive <file=FILE,key=value>',
      help: 'drive: file=FILE or file=URL (read-only, unless snapshot=on), if=ide|virtio|scsi|floppy|none, or if=pflash,unit=0|1 for a flash with firmware or its variables, and secure=on where only system-management mode writes it; format=raw|qcow2, media=disk|cdrom, index=0…3 (0…5 on a q35) or bus and unit, snapshot=on, readonly=on, bootindex=N, serial=TEXT, id=NAME for a --device (repeatable)',
      each: parseDrive,
      shape: { short: 'file', keys: () => DRIVE_KEYS, paths: ['file'] },
    },
    {
      flags: '--firmware-vars <file>',
      help: "flash with the firmware's variables, such as a copy of OVMF_VARS_4M.fd; --firmware is then a flash, too",
      isFile: true,
    },
    {
      flags: '--hda <file>',
      help: 'disk of the first IDE place; --hdb, --hdc and --hdd are the others',
      isFile: true,
    },
    { flags: '--hdb <file>', help: 'disk of the second IDE place', isFile: true },
    { flags: '--hdc <file>', help: 'disk of the third IDE place', isFile: true },
    { flags: '--hdd <file>', help: 'disk of the fourth IDE place', isFile: true },
    { flags: '--cdrom <file>', help: 'disc in a CD drive, at the third IDE place', isFile: true },
    {
      flags: '--fda <file>',
      help: 'disk in floppy drive A, of 1.44 MB or another size that floppies have, or shorter, such as a boot sector; --fdb is drive B',
      isFile: true,
      pcOnly: NO_FLOPPY,
    },
    { flags: '--fdb <file>', help: 'disk in floppy drive B', isFile: true, pcOnly: NO_FLOPPY },
    { flags: '--snapshot', help: 'keep what the guest writes in memory; the files stay as they are' },
    {
      flags: '--boot <order>',
      help: 'what to boot from: order=dc (c disks, d CDs, a floppies, n the network), menu=on; or only the letters',
      parse: parseBoot,
      shape: { short: 'order', keys: () => ['order', 'menu'], paths: [] },
    },
  ],
]

/** Keys of QEMU's that say how the host's files are used, which changes nothing of the machine. */
const HOST_KEYS: readonly string[] = ['cache', 'aio', 'discard', 'detect-zeroes', 'werror', 'rerror']

const OWN_KEYS: readonly string[] = [
  ...['file', 'if', 'format', 'media', 'index', 'bus', 'unit'],
  ...['snapshot', 'readonly', 'bootindex', 'serial', 'id', 'secure'],
]

/** The keys of `--drive`. */
export const DRIVE_KEYS: readonly string[] = [...OWN_KEYS, ...HOST_KEYS]

/** Reads `--drive`. A comma within a value is written twice, as in QEMU. */
export function parseDrive(text: string): DriveArgument {
  const given = new Map<string, string>()
  for (const pair of splitPairs(text)) {
    const at = pair.indexOf('=')
    if (at < 1) throw usage(`--drive: '${pair}' is not of the form key=value; write file=FILE,media=disk`)
    const key = pair.slice(0, at)
    if (given.has(key)) throw usage(`--drive ${text} gives '${key}' twice; a comma within a value is written as ,,`)
    given.set(key, pair.slice(at + 1))
  }
  const ignored = HOST_KEYS.filter((key) => given.delete(key))
  const noted = ignored.length > 0 && { ignored }
  const unknown = [...given.keys()].find((key) => !DRIVE_KEYS.includes(key))
  if (unknown !== undefined)
    throw usage(`--drive has no '${unknown}'; it has ${OWN_KEYS.join(', ')}${didYouMean(unknown, DRIVE_KEYS)}`)
  const properties = new Properties({ name: '', properties: given }, '--drive')
  const whole = (key: string, most: number): number | undefined => properties.whole(key, undefined, most)
  const kind = properties.oneOf('if', ['ide', 'virtio', 'scsi', 'floppy', 'none', 'pflash'])
  const flash = kind === 'pflash'
  const format = properties.oneOf('format', ['raw', 'qcow2'])
  const media = properties.oneOf('media', ['disk', 'cdrom'])
  const path = given.get('file') ?? null
  if (path === '' || (path === null && media === 'disk' && kind !== 'floppy')) {
    throw usage(`--drive ${text} names no file; write file=FILE`)
  }
  if (given.has('index') && (given.has('bus') || given.has('unit'))) {
    throw usage(`--drive ${text} names its place twice; write either index, or bus and unit`)
  }
  const isOn = (key: string): boolean => properties.flag(key) === true
  const [snapshot, readOnly] = [isOn('snapshot'), isOn('readonly')]
  if (flash) {
    const unit = whole('index', 1) ?? whole('unit', 1) ?? 0
    const secure = isOn('secure') && { secure: true }
    return { ...parseFlash(text, path, unit, given), snapshot, readOnly, ...secure, ...noted }
  }
  if (given.has('secure')) throw usage(`--drive ${text}: secure is of a flash; write if=pflash`)
  const id = given.get('id')
  if ((kind === 'virtio' || kind === 'floppy') && media === 'cdrom')
    throw usage(`--drive ${text}: a CD drive is one of IDE or SCSI; write if=ide or if=scsi`)
  if (kind === 'none' && id === undefined)
    throw usage(`--drive ${text} has no id for a --device; write id=NAME, and --device virtio-blk-pci,drive=NAME`)
  const [bus, unit] = [whole('bus', LAST_PLACE), whole('unit', 1)]
  const floppy = kind === 'floppy'
  const index = whole('index', floppy ? 1 : LAST_PLACE) ?? (floppy ? unit : undefined)
  const cabled = kind === 'ide' && (bus !== undefined || unit !== undefined)
  const bootIndex = whole('bootindex', 0x7fff_ffff)
  const serialNumber = given.get('serial')
  return {
    path,
    media,
    ...(given.has('format') && { format }),
    snapshot,
    readOnly: media === 'cdrom' || readOnly,
    ...(index !== undefined && kind !== 'none' && { index }),
    ...(cabled && { cable: { bus: bus ?? 0, unit: unit ?? 0 } }),
    ...defined({ bootIndex, serialNumber }),
    ...((kind === 'virtio' || kind === 'scsi' || kind === 'floppy') && { interface: kind }),
    ...(index !== undefined && kind === 'scsi' && { scsi: { target: index } }),
    ...(kind === 'none' && { forDevice: true }),
    ...(id !== undefined && { id }),
    ...noted,
  }
}

const FLASH_KEYS = 'file, if, format, index, unit, snapshot, readonly, secure, id'

/** Checks the other keys of `--drive if=pflash`, and returns the settings of the flash. */
function parseFlash(
  text: string,
  path: string | null,
  unit: number,
  given: ReadonlyMap<string, string>,
): Pick<DriveArgument, 'path' | 'format' | 'flash'> {
  const foreign = [...given.keys()].find((key) => !FLASH_KEYS.split(', ').includes(key))
  if (foreign !== undefined) throw usage(`--drive ${text}: a flash has no '${foreign}'; it has ${FLASH_KEYS}`)
  if (path === null) throw usage(`--drive ${text} names no file; write file=FILE`)
  if (given.get('format') === 'qcow2') throw usage(`--drive ${text}: the image of a flash is raw; write format=raw`)
  return { path, format: 'raw', flash: unit === 0 ? 0 : 1 }
}

/** The highest number of a place on any board. */
const LAST_PLACE = 5

/** The place that `bus=` and `unit=` name. @throws CliError `ERR_USAGE` for a unit that the board's buses do not have */
function placeOnBoard(drive: DriveArgument, machine: string): DriveArgument {
  const { cable, ...rest } = drive
  if (cable === undefined) return drive
  // The text after a comma is an option of the board.
  const [board = machine] = machine.split(',')
  // An IDE cable has two drives, a SATA port has one.
  const units = board === 'pc' ? 2 : 1
  if (cable.unit >= units)
    throw usage(`--drive unit=${cable.unit}: a port of a ${board} has one drive; write bus=0…5, or index=0…5`)
  return { ...rest, index: cable.bus * units + cable.unit }
}

/** Sorts virtio disks by index, as QEMU places them; disks without an index come last. Other drives stay in place. */
function orderVirtio(drives: readonly DriveArgument[]): readonly DriveArgument[] {
  const isVirtio = (drive: DriveArgument): boolean => drive.interface === 'virtio' && drive.forDevice !== true
  const sorted = drives.filter(isVirtio).toSorted((a, b) => (a.index ?? Infinity) - (b.index ?? Infinity))
  return drives.map((drive) => {
    if (!isVirtio(drive)) return drive
    const { index: _order, ...next } = sorted.shift()!
    return next
  })
}

/** Reads `--boot`: letters, or `order=…,menu=on`. */
export function parseBoot(text: string): MachineBootOptions {
  const pairs = text.split(',').map((part) => (part.includes('=') ? part : `order=${part}`))
  const boot: { order?: string; menu?: boolean } = {}
  for (const pair of pairs) {
    const [key, value = ''] = pair.split('=', 2)
    if (key !== undefined && Object.hasOwn(boot, key)) {
      throw usage(`--boot '${text}' gives '${key}' twice; write one order for all drives, such as order=dc`)
    }
    if (key === 'order' && /^[acdn]+$/.test(value)) boot.order = value
    else if (key === 'menu' && (value === 'on' || value === 'off')) boot.menu = value === 'on'
    else throw usage(`--boot '${pair}' is unknown; write order=dc (c disks, d CDs, a floppies, n network) or menu=on`)
  }
  return boot
}

/** The drives that the options and arguments ask for, in the order of their places. */
export function listDrives(flags: DriveFlags, images: readonly string[]): readonly DriveArgument[] {
  const bare = { snapshot: false, readOnly: false }
  // UEFI firmware for Arm has a driver of SCSI, for disks and CDs, and none of SATA.
  const scsi = flags.arch === 'arm64'
  const plain = scsi ? { ...bare, interface: 'scsi' as const } : bare
  const disks = [flags.hda, flags.hdb, flags.hdc, flags.hdd].flatMap((path, index) =>
    path === undefined ? [] : [{ ...plain, path, ...(scsi ? {} : { index }), media: 'disk' as const }],
  )
  const floppies = [flags.fda, flags.fdb].flatMap((path, index) =>
    path === undefined ? [] : [{ ...bare, path, index, media: 'disk' as const, interface: 'floppy' as const }],
  )
  const cds =
    flags.cdrom === undefined ? [] : [{ ...plain, path: flags.cdrom, media: 'cdrom' as const, readOnly: true }]
  const empty = [flags.hda, flags.hdb, flags.hdc, flags.hdd, flags.cdrom, flags.fda, flags.fdb, ...images].includes('')
  if (empty) throw usage('the name of a disk image is empty; give the name of a file')
  const named = images.map((path) => ({ ...plain, path }))
  const all: DriveArgument[] = [
    ...disks,
    ...floppies,
    ...cds,
    ...(flags.drive ?? []),
    ...named,
    ...firmwareFlash(flags),
  ]
  for (const unit of [0, 1]) {
    if (all.filter(({ flash }) => flash === unit).length < 2) continue
    throw usage(`two flash memories are unit ${unit}; give --firmware FILE --firmware-vars FILE, or --drive if=pflash`)
  }
  if (all.some(({ flash }) => flash === 1) && !all.some(({ flash }) => flash === 0)) {
    throw usage("there are firmware's variables, but no firmware; give --firmware FILE, such as OVMF_CODE_4M.fd")
  }
  const placed = orderVirtio(all.map((drive) => placeOnBoard(drive, flags.machine ?? 'pc')))
  return flags.snapshot === true ? placed.map((drive) => ({ ...drive, snapshot: true })) : placed
}

/** With variables, the firmware is in a flash that is never written. */
function firmwareFlash({ firmware, firmwareVars }: DriveFlags): DriveArgument[] {
  if (firmwareVars === undefined) return []
  const plain = { format: 'raw' as const, snapshot: false, readOnly: false }
  const code = firmware === undefined ? [] : [{ ...plain, path: firmware, readOnly: true, flash: 0 as const }]
  return [...code, { ...plain, path: firmwareVars, flash: 1 as const }]
}
