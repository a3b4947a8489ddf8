/** The machine of a site, read from its machine file. */
import { defined } from '@retrap/basics'
import { open } from 'node:fs/promises'
import { isUrl } from '@retrap/block/node'
import { Command, CommanderError } from 'commander'
import { connectDrives } from '../../machine/devices/disk-devices.ts'
import { type DriveArgument, type DriveFlags, listDrives } from '../../machine/drives/drives.ts'
import { CliError, troubleWith } from '@retrap/linux-guest/errors'
import { checkArmFlags } from '../../flags/arm-options.ts'
import { checkImages, type ImageFlags, usualVga } from '../../flags/images.ts'
import type { MachineFlags } from '../../flags/machine-options.ts'
import { systemOptions } from '../../flags/machine-table.ts'
import { examineImage, takeKernel } from '../../machine/drives/image-file.ts'
import { fileOptions, imagesOf } from '../../flags/machine-file/machine-file.ts'
import { splitPairs } from '../../options/values.ts'

type Flags = MachineFlags &
  ImageFlags &
  DriveFlags & { readonly arch: 'amd64' | 'arm64'; readonly nic?: readonly string[] }

/** A file of the machine. */
export interface SiteImage {
  /** Name in the folder of the machine. */
  readonly name: string
  readonly path: string
  /** Whether the guest may write to the image. */
  readonly isDisk: boolean
}

/** A machine that a page can have. */
export interface SiteMachine {
  readonly images: readonly SiteImage[]
  /** Whether a BIOS starts the machine. */
  readonly needsBios: boolean
  /** Returns the command line for the machine. @param pathOf - returns the path of an image */
  readonly argumentsFor: (pathOf: (image: SiteImage) => string) => string[]
  /** Options of the page's machine, without its files. */
  readonly options: Readonly<Record<string, unknown>>
  /** Drives in their order, as options of the page's machine. */
  readonly drives: readonly SiteDrive[]
  /** The network card; undefined: none. */
  readonly network: SiteNetwork | undefined
}

interface SiteNetwork {
  readonly macAddress: string
  readonly card?: 'e1000'
}

interface SiteDrive {
  readonly id: string
  readonly media: 'disk' | 'cdrom'
  /** The drive's interface; default `ide`. */
  readonly interface?: NonNullable<DriveArgument['interface']>
  readonly image: SiteImage | null
}

/** Options that a page's machine has. */
const KEYS: readonly string[] = [
  ...['memory', 'cpus', 'cpu', 'machine', 'arch', 'hypervisor', 'vga', 'kernel', 'initrd', 'append', 'firmware'],
  ...['hda', 'cdrom', 'fda', 'drive', 'device', 'nic', 'snapshot'],
]

/** Options that a page's machine does not have, and why. */
const REFUSED: readonly (readonly [keys: string, why: string])[] = [
  ['share virtfs fsdev', 'a page has no folders of this host'],
  ['netdev', 'a page has one network, which "nic": "user" stands for'],
  ['device-server devices controllers vsock', 'a page has no programs and no servers of this host'],
  ['serial console chardev control display audio', 'a page has the first serial port, in its terminal, and the screen'],
  ['firmware-vars', 'a page has firmware in one flat image'],
]

/** Devices that a page has, beside drives and a network card. */
const DEVICES: readonly string[] = ['qemu-xhci', 'usb-tablet', 'AC97', 'nvme', 'usb-storage']
/** Properties of devices that a page follows. */
const PROPERTIES: readonly string[] = ['drive', 'id']
const CARDS: readonly string[] = ['virtio-net-pci', 'virtio', 'e1000']
const BOARDS: readonly string[] = ['pc', 'q35']
const USUAL_MAC_ADDRESS = '52:54:00:12:34:56'

/**
 * Reads a machine's file.
 *
 * @throws CliError `ERR_INPUT` for a machine that cannot be put into a page
 */
export async function readSiteMachine(path: string): Promise<SiteMachine> {
  const wrong = (place: string, why: string): CliError => new CliError('ERR_INPUT', `${path}: ${place}: ${why}`)
  const quiet = { writeOut: () => undefined, writeErr: () => undefined }
  const command = systemOptions(new Command().configureOutput(quiet))
  const named = namedIn(path, command)
  for (const [key, option] of fileOptions(command)) {
    if (KEYS.includes(key) || command.getOptionValueSource(option.attributeName()) !== 'config') continue
    const why = REFUSED.find(([keys]) => keys.split(' ').includes(key))?.[1]
    throw wrong(key, `${why ?? `a machine in a page has no such option; it has ${KEYS.join(', ')}`}; leave it out`)
  }
  const flags = command.opts<Flags>()
  const { kernel, files } = await takeKernel(named, flags.kernel)
  const isArm = flags.arch === 'arm64'
  if (isArm) {
    checkArmFlags(command)
    if (flags.machine !== command.getOptionValue('machine') || flags.firmware !== undefined || kernel === undefined)
      throw wrong('arch', 'an Arm board in a page starts a kernel, without firmware; give a kernel')
  } else if (!BOARDS.includes(flags.machine)) throw wrong('machine', `a page has ${BOARDS.join(', ')}`)
  const devices = checkDevices(flags, wrong)
  const whole: Flags = { ...flags, ...(kernel !== undefined && { kernel }) }
  const arguments_ = connectDrives(listDrives(whole, files), flags.device)
  checkImages(whole, arguments_)
  const drives = await namedDrives(arguments_, wrong)
  const network = networkOf(flags.nic ?? [], wrong)
  const single = (['kernel', 'initrd', 'firmware'] as const).flatMap((name): SiteImage[] => {
    const given = whole[name]
    if (given !== undefined && isUrl(given)) throw wrong(name, HAS_ADDRESS)
    return given === undefined ? [] : [{ name, path: given, isDisk: false }]
  })
  const vga = whole.vga ?? usualVga(whole, arguments_)
  if (vga !== 'std' && vga !== 'none') throw wrong('vga', 'a page has std, none')
  const { cpus, cpu, append, hypervisor } = whole
  return {
    images: [...single, ...drives.flatMap(({ image }) => image ?? [])],
    needsBios: !isArm && kernel === undefined && flags.firmware === undefined,
    drives,
    network,
    options: {
      ...{ memoryBytes: flags.memory, cpus, board: isArm ? 'virt' : flags.machine, vga },
      ...defined({ cpu, commandLine: append }),
      ...(hypervisor === 'xen' && { hypervisor }),
      ...(devices.tablet && { tablet: true }),
      ...(devices.sound && { sound: true }),
    },
    argumentsFor: (pathOf) => [
      'run',
      ...(isArm ? ['--arch', 'arm64'] : ['--machine', flags.machine, '--vga', vga]),
      ...['--memory', `${flags.memory / 1024}K`, '--cpus', String(cpus)],
      ...(cpu === undefined ? [] : ['--cpu', cpu]),
      ...(hypervisor === 'xen' ? ['--hypervisor', hypervisor] : []),
      ...single.flatMap((image) => [`--${image.name}`, pathOf(image)]),
      ...(append === undefined ? [] : ['--append', append]),
      ...(devices.tablet || drives.some((drive) => drive.interface === 'usb') ? ['--device', 'qemu-xhci'] : []),
      ...(devices.tablet ? ['--device', 'usb-tablet'] : []),
      ...(devices.sound ? ['--device', 'AC97'] : []),
      ...(network === undefined ? [] : ['--nic', nicOf(network)]),
      ...drives.flatMap((drive) => driveArguments(drive, pathOf)),
    ],
  }
}

const HAS_ADDRESS = 'it is an address; a site has its own files: fetch it, and name the file'

/** Reads the file. @returns the images in it */
function namedIn(path: string, command: Command): readonly string[] {
  if (!/\.json$/i.test(path)) throw new CliError('ERR_USAGE', `--machine ${path}: expected a machine.json`)
  try {
    return imagesOf([path], command)
  } catch (error) {
    if (error instanceof CommanderError) throw new CliError('ERR_INPUT', `${path}: help is not there`)
    throw error
  }
}

type Wrong = (place: string, why: string) => CliError

/** Looks at the devices. @throws CliError for devices that no page has */
function checkDevices({ device = [] }: Flags, wrong: Wrong): { readonly tablet: boolean; readonly sound: boolean } {
  for (const { name, properties } of device) {
    if (!DEVICES.includes(name))
      throw wrong('device', `${name}: a page has ${DEVICES.join(', ')}, and no models or programs of this host`)
    const lost = [...properties.keys()].find((key) => !PROPERTIES.includes(key))
    if (lost !== undefined) throw wrong('device', `${name}: a page does not follow '${lost}'; leave it out`)
  }
  const has = (name: string): boolean => device.some((one) => one.name === name)
  return { tablet: has('usb-tablet'), sound: has('AC97') }
}

function networkOf(nic: readonly string[], wrong: Wrong): SiteNetwork | undefined {
  const [first, ...others] = nic.filter((text) => text !== 'none')
  if (first === undefined) return undefined
  if (others.length > 0) throw wrong('nic', 'a machine in a page has one network card')
  const [kind = '', ...pairs] = splitPairs(first)
  const given = new Map(pairs.map((pair) => [pair.replace(/=.*$/s, ''), pair.replace(/^[^=]*=?/, '')]))
  if (kind !== 'user')
    throw wrong('nic', `${kind}: a page reaches no network of this host; "nic": "user" is the web through the page`)
  const lost = [...given.keys()].find((key) => key !== 'mac' && key !== 'model')
  if (lost !== undefined) throw wrong('nic', `a page does not follow '${lost}'; leave it out`)
  const model = given.get('model') ?? 'virtio'
  if (!CARDS.includes(model)) throw wrong('nic', `model ${model}: a page has ${CARDS.join(', ')}`)
  return { macAddress: given.get('mac') ?? USUAL_MAC_ADDRESS, ...(model === 'e1000' && { card: 'e1000' as const }) }
}

const nicOf = ({ macAddress, card }: SiteNetwork): string =>
  `user,mac=${macAddress}${card === undefined ? '' : `,model=${card}`}`

/** Names the drives and their files as a page does. @throws CliError for drives that no page has */
async function namedDrives(given: readonly DriveArgument[], wrong: Wrong): Promise<readonly SiteDrive[]> {
  const counts = { disk: 0, cd: 0, floppy: 0 }
  const drives: SiteDrive[] = []
  for (const drive of given) {
    const { path, interface: way, flash, bootIndex, serialNumber } = drive
    const shown = path ?? drive.id ?? 'a drive'
    if (flash !== undefined) throw wrong(shown, 'a page has no flash; give the firmware in one flat image')
    if (bootIndex !== undefined || serialNumber !== undefined)
      throw wrong(shown, 'a drive of a page has no bootindex and no serial; leave them out')
    if (path !== null && isUrl(path)) throw wrong(shown, HAS_ADDRESS)
    const file = path === null ? undefined : await examineImage(path)
    const media = drive.media ?? (file?.hasIso === true ? 'cdrom' : 'disk')
    if (media === 'disk' && drive.readOnly && way !== 'floppy')
      throw wrong(shown, 'a disk of a page is written to, in memory; leave readonly out')
    if (path !== null && file?.format === 'qcow2') await checkBacking(path, wrong)
    const kind = way === 'floppy' ? 'floppy' : media === 'disk' ? 'disk' : 'cd'
    const id = `${kind}${counts[kind]++}`
    const name = `${id}.${file?.format === 'qcow2' ? 'qcow2' : media === 'cdrom' ? 'iso' : 'img'}`
    const image = path === null ? null : { name, path, isDisk: media === 'disk' }
    drives.push({ id, media, ...(way !== undefined && { interface: way }), image })
  }
  return drives
}

/** Source: QEMU, "qcow2 image file format", "Header": the name of the image below is at bytes 8 to 15. */
async function checkBacking(path: string, wrong: Wrong): Promise<void> {
  const head = Buffer.alloc(16)
  try {
    const file = await open(path)
    try {
      await file.read(head, 0, head.length, 0)
    } finally {
      await file.close()
    }
  } catch (error) {
    throw wrong(path, troubleWith(error))
  }
  if (head.readBigUInt64BE(8) !== 0n)
    throw wrong(path, 'it lies above another image, which no page has; make one image of both: retrap image convert')
}

/** Interfaces that are a `--device` beside the drive. */
const DRIVE_DEVICES: Readonly<Record<string, string>> = { nvme: 'nvme', usb: 'usb-storage' }

function driveArguments(
  { id, media, interface: way, image }: SiteDrive,
  pathOf: (image: SiteImage) => string,
): string[] {
  const where = image === null ? '' : `file=${pathOf(image).replaceAll(',', ',,')},`
  const device = way && DRIVE_DEVICES[way]
  const kind = way === 'floppy' ? '' : `,media=${media}`
  const drive = ['--drive', `${where}if=${device === undefined ? (way ?? 'ide') : 'none'}${kind},id=${id}`]
  return device === undefined ? drive : [...drive, '--device', `${device},drive=${id}`]
}
