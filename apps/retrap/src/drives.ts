import { open } from 'node:fs/promises'
import type { BlockImage } from '@retrap/block'
import { openImage } from '@retrap/block/node'
import { DebianError, fetchMembers } from '@retrap/debian'
import type { PcBootOptions, PcDrive } from '@retrap/machine'
import { join } from 'node:path'
import type { Command } from 'commander'
import { CliError } from './cli-error.ts'
import { showFetchProgress } from './fetch-progress.ts'
import { readBytes, troubleWith } from './files.ts'
import { parseWhole, usage } from './values.ts'

/** A drive that the user asked for. */
export interface DriveArgument {
  /** The image file; null: a CD drive without a disc. */
  readonly path: string | null
  /** Absent: the file's content says which. */
  readonly media?: 'disk' | 'cdrom'
  readonly index?: number
  readonly snapshot: boolean
  readonly readOnly: boolean
  readonly bootIndex?: number
  readonly serialNumber?: string
}

/** What the options below give. */
export interface DriveFlags {
  readonly drive?: readonly DriveArgument[]
  readonly hda?: string
  readonly hdb?: string
  readonly hdc?: string
  readonly hdd?: string
  readonly cdrom?: string
  readonly snapshot?: boolean
  readonly boot?: PcBootOptions
}

/** Adds the options that name drives, with QEMU's names. */
export function driveOptions(command: Command): Command {
  return command
    .option(
      '--drive <file=FILE,key=value>',
      'drive of the IDE controller: if=ide, format=raw, media=disk|cdrom, index=0…3 or bus and unit, snapshot=on, readonly=on, bootindex=N, serial=TEXT (repeatable)',
      (text: string, before: readonly DriveArgument[] | undefined) => [...(before ?? []), parseDrive(text)],
    )
    .option('--hda <file>', 'disk of the first IDE place; --hdb, --hdc and --hdd are the others')
    .option('--hdb <file>', 'disk of the second IDE place')
    .option('--hdc <file>', 'disk of the third IDE place')
    .option('--hdd <file>', 'disk of the fourth IDE place')
    .option('--cdrom <file>', 'disc in a CD drive, at the third IDE place')
    .option('--snapshot', 'keep what the guest writes in memory; the files stay as they are')
    .option('--boot <order>', 'what to boot from: order=dc (c disks, d CDs), menu=on; or only the letters', parseBoot)
}

const DRIVE_KEYS = 'file, if, format, media, index, bus, unit, snapshot, readonly, bootindex, serial, id'

/** Reads `--drive`. A comma within a value is written twice, as in QEMU. */
export function parseDrive(text: string): DriveArgument {
  const given = new Map<string, string>()
  for (const pair of text.split(/(?<!,),(?!,)/).map((part) => part.replaceAll(',,', ','))) {
    const at = pair.indexOf('=')
    if (at < 1) throw usage(`--drive: '${pair}' is not of the form key=value; write file=FILE,media=disk`)
    given.set(pair.slice(0, at), pair.slice(at + 1))
  }
  const known = DRIVE_KEYS.split(', ')
  const unknown = [...given.keys()].find((key) => !known.includes(key))
  if (unknown !== undefined) throw usage(`--drive has no '${unknown}'; it has ${DRIVE_KEYS}`)
  const oneOf = (key: string, values: readonly string[], otherwise: string): string => {
    const value = given.get(key) ?? otherwise
    if (!values.includes(value)) throw usage(`--drive: ${key}=${value} is unknown; there are ${values.join(' and ')}`)
    return value
  }
  const whole = (key: string, most: number): number | undefined => {
    const value = given.get(key)
    const number = value === undefined ? undefined : parseWhole(value)
    if (value !== undefined && (number === undefined || number > most))
      throw usage(`--drive: ${key}=${value} is not a number from 0 to ${most}`)
    return number
  }
  if (given.get('if') === 'virtio') throw usage('--drive: there is no virtio yet; write if=ide')
  oneOf('if', ['ide'], 'ide')
  if (given.get('format') === 'qcow2') throw usage(`--drive: ${QCOW2}`)
  oneOf('format', ['raw'], 'raw')
  const media = oneOf('media', ['disk', 'cdrom'], 'disk') as 'disk' | 'cdrom'
  const path = given.get('file') ?? null
  if (path === null && media === 'disk') throw usage(`--drive ${text} names no file; write file=FILE`)
  const index = whole('index', 3) ?? place(whole('bus', 1), whole('unit', 1))
  const bootIndex = whole('bootindex', 0x7fff_ffff)
  const serialNumber = given.get('serial')
  return {
    path,
    media,
    snapshot: oneOf('snapshot', ['on', 'off'], 'off') === 'on',
    readOnly: media === 'cdrom' || oneOf('readonly', ['on', 'off'], 'off') === 'on',
    ...(index !== undefined && { index }),
    ...(bootIndex !== undefined && { bootIndex }),
    ...(serialNumber !== undefined && { serialNumber }),
  }
}

const place = (bus: number | undefined, unit: number | undefined): number | undefined =>
  bus === undefined && unit === undefined ? undefined : 2 * (bus ?? 0) + (unit ?? 0)

const QCOW2 = 'qcow2 images cannot be used yet; convert with: qemu-img convert -O raw IMAGE IMAGE.raw'

/** Reads `--boot`: letters, or `order=…,menu=on`. */
export function parseBoot(text: string): PcBootOptions {
  const pairs = text.split(',').map((part) => (part.includes('=') ? part : `order=${part}`))
  const boot: { order?: string; menu?: boolean } = {}
  for (const pair of pairs) {
    const [key, value = ''] = pair.split('=', 2)
    if (key === 'order' && /^[acdn]+$/.test(value)) boot.order = value
    else if (key === 'menu' && (value === 'on' || value === 'off')) boot.menu = value === 'on'
    else throw usage(`--boot '${pair}' is unknown; write order=dc (c disks, d CDs, a floppies, n network) or menu=on`)
  }
  return boot
}

/** The drives that the options and arguments ask for, in the order of their places. */
export function listDrives(flags: DriveFlags, images: readonly string[]): readonly DriveArgument[] {
  const plain = { snapshot: false, readOnly: false }
  const disks = [flags.hda, flags.hdb, flags.hdc, flags.hdd].flatMap((path, index) =>
    path === undefined ? [] : [{ ...plain, path, index, media: 'disk' as const }],
  )
  const cds =
    flags.cdrom === undefined ? [] : [{ ...plain, path: flags.cdrom, media: 'cdrom' as const, readOnly: true }]
  const named = images.map((path) => ({ ...plain, path }))
  const all = [...disks, ...cds, ...(flags.drive ?? []), ...named]
  return flags.snapshot === true ? all.map((drive) => ({ ...drive, snapshot: true })) : all
}

/** The images of a session. A machine that replaces one that was reset goes on with the same ones. */
export class OpenDrives {
  readonly drives: readonly PcDrive[]
  readonly #images: readonly BlockImage[]

  private constructor(drives: readonly PcDrive[], images: readonly BlockImage[]) {
    this.drives = drives
    this.#images = images
  }

  /** @throws CliError `ERR_INPUT`; ImageError */
  static async open(list: readonly DriveArgument[]): Promise<OpenDrives> {
    const images: BlockImage[] = []
    const drives: PcDrive[] = []
    try {
      for (const drive of list) {
        // oxlint-disable-next-line no-await-in-loop -- what is open so far is closed where one fails
        drives.push(await openDrive(drive, images))
      }
      return new OpenDrives(drives, images)
    } catch (error) {
      await Promise.all(images.map((image) => image.close()))
      throw error
    }
  }

  /** Waits for requests that a machine has left behind. */
  async idle(): Promise<void> {
    await Promise.all(this.#images.map((image) => image.idle()))
  }

  /** Writes what is left, and closes the files. */
  async close(): Promise<void> {
    await Promise.all(this.#images.map((image) => image.close()))
  }
}

async function openDrive(drive: DriveArgument, images: BlockImage[]): Promise<PcDrive> {
  const { path, index, bootIndex, serialNumber } = drive
  const media = drive.media ?? (path === null ? 'cdrom' : await mediaOf(path))
  const readOnly = drive.readOnly || media === 'cdrom'
  let medium: BlockImage | null = null
  if (path !== null) {
    medium = await openImage(path, { snapshot: drive.snapshot && !readOnly, readOnly })
    images.push(medium)
  }
  return {
    medium,
    media,
    ...(index !== undefined && { index }),
    ...(bootIndex !== undefined && { bootIndex }),
    ...(serialNumber !== undefined && { serialNumber }),
  }
}

const QCOW2_MAGIC = 'QFI\xfb'
/** The first volume descriptor of ISO 9660, behind its type byte. */
const ISO_AT = 0x8001
const ISO_MAGIC = 'CD001'

/** What an image named without more is: a CD if it has that file system. @throws CliError `ERR_INPUT` */
async function mediaOf(path: string): Promise<'disk' | 'cdrom'> {
  const text = async (at: number, bytes: number): Promise<string> => {
    const into = Buffer.alloc(bytes)
    await file.read(into, 0, bytes, at)
    return into.toString('latin1')
  }
  const file = await open(path).catch((error: unknown) => {
    throw new CliError('ERR_INPUT', `${path}: ${troubleWith(error)}`)
  })
  try {
    if ((await text(0, 4)) === QCOW2_MAGIC) throw new CliError('ERR_INPUT', `${path}: ${QCOW2}`)
    return (await text(ISO_AT, 5)) === ISO_MAGIC ? 'cdrom' : 'disk'
  } catch (error) {
    if (error instanceof CliError) throw error
    throw new CliError('ERR_INPUT', `${path}: ${troubleWith(error)}`)
  } finally {
    await file.close()
  }
}

const SEABIOS = 'usr/share/seabios/bios-256k.bin'

/** Debian's SeaBIOS, from the cache or fetched. @throws CliError `ERR_FETCH` */
export async function fetchSeaBios(): Promise<Uint8Array> {
  const shown = showFetchProgress()
  try {
    const [folder = ''] = await fetchMembers([{ package: 'seabios', members: [`./${SEABIOS}`] }], shown)
    shown.stop('done')
    return await readBytes(join(folder, SEABIOS))
  } catch (error) {
    shown.stop('failed')
    if (!(error instanceof DebianError)) throw error
    throw new CliError('ERR_FETCH', `${error.message}; give a firmware image of your own: --firmware FILE`)
  }
}
