import { basename } from 'node:path'
import { defined } from '@retrap/basics'
import { isMultibootKernel, kernelRom, type OptionRom, type MachineBootOptions, type KernelRom } from '@retrap/machine'
import { CliError } from '@retrap/linux-guest/errors'
import type { DriveArgument } from '../machine/drives/drives.ts'
import { readInput } from '@retrap/linux-guest/host/files'
import type { NetworkBoot } from '../machine/devices/network-cards.ts'
import type { MachineImages } from '@retrap/linux-guest/machine/machine-contract'
import type { OptionGroup } from '../options/option-table.ts'
import { parseModule, usage, type ModuleArgument } from '../options/values.ts'
import { readDebianFile } from '../host/files/fetch-progress.ts'

/** Options for the images that a machine loads. */
export interface ImageFlags {
  readonly kernel?: string
  readonly initrd?: string
  readonly module?: readonly ModuleArgument[]
  readonly append?: string
  readonly firmware?: string
  /** Default amd64. */
  readonly arch?: 'amd64' | 'arm64'
  readonly optionRom?: readonly string[]
  readonly boot?: MachineBootOptions
  /** The graphics card; by default present if firmware boots disks. */
  readonly vga?: 'std' | 'ramfb' | 'none'
  readonly preferredMode?: MachineImages['preferredMode']
}

/** Options for the images that a machine boots. */
export const IMAGE_OPTIONS: OptionGroup = [
  'What to boot:',
  [
    {
      flags: '--kernel <file>',
      help: 'kernel: a Linux bzImage, a PVH or multiboot ELF; for arm64 an Image',
      isFile: true,
    },
    { flags: '--initrd <file>', help: "the kernel's initial RAM disk", isFile: true },
    {
      flags: '--module <file text>',
      help: 'further file for a multiboot or PVH kernel, and a text for it (repeatable)',
      each: parseModule,
      shape: {
        short: 'file',
        keys: () => ['file', 'text'],
        paths: ['file'],
        text: ({ file = '', text = '' }) => `${file} ${text}`,
      },
      pcOnly: 'write --initrd FILE',
    },
    { flags: '--append <text>', help: "the kernel's command line; its console is console=ttyS0, for arm64 ttyAMA0" },
    { flags: '--firmware <file>', help: 'firmware image, mapped to end at 4 GiB and at 1 MiB', isFile: true },
  ],
]

/** Whether firmware is to boot from a network. */
export function bootsFromNetwork({ boot, kernel }: ImageFlags): boolean {
  return kernel === undefined && boot?.order?.includes('n') === true
}

/** Throws unless the options name a kernel, firmware or a disk. */
export function checkImages(flags: ImageFlags, drives: readonly DriveArgument[] = []): void {
  if (flags.kernel === undefined && [flags.initrd, flags.append, flags.module].some((flag) => flag !== undefined)) {
    throw usage('--initrd, --module and --append belong to a kernel; give --kernel FILE too')
  }
  if (flags.kernel === undefined && flags.firmware === undefined && drives.length === 0 && !bootsFromNetwork(flags)) {
    throw usage('nothing to run; give a disk image, --kernel FILE or --firmware FILE, or --boot n')
  }
  if (flags.kernel !== undefined && flags.firmware !== undefined && drives.some(({ bootIndex }) => bootIndex === 0)) {
    throw usage('bootindex=0 is what firmware starts the kernel with; give the drive bootindex=1 or more')
  }
}

/** Names the option and the file in the message of an invalid kernel. @throws CliError `ERR_INPUT` */
export async function namingKernel({ kernel }: ImageFlags, run: Promise<void>): Promise<void> {
  try {
    await run
  } catch (error) {
    if (kernel === undefined || !(error instanceof Error) || error.name !== 'LoaderError') throw error
    throw new CliError('ERR_INPUT', `--kernel ${kernel}: ${error.message}`)
  }
}

/** Returns the default graphics card: a card if firmware shows its output on it. */
export function usualVga(flags: ImageFlags, drives: readonly DriveArgument[]): 'std' | 'ramfb' | 'none' {
  // UEFI firmware for Arm has no driver of the standard VGA.
  if (flags.arch === 'arm64') return hasFirmware(flags, drives) ? 'ramfb' : 'none'
  return flags.kernel === undefined && (drives.length > 0 || bootsFromNetwork(flags)) ? 'std' : 'none'
}

/** Whether the options name firmware. */
const hasFirmware = ({ firmware }: ImageFlags, drives: readonly DriveArgument[]): boolean =>
  firmware !== undefined || drives.some((drive) => drive.flash !== undefined)

/** Returns the program that boots network cards; undefined without any. */
export function networkBootOf(flags: ImageFlags, drives: readonly DriveArgument[]): NetworkBoot {
  const isOwn = hasFirmware(flags, drives)
  return {
    firmware: isOwn ? 'own' : flags.kernel === undefined ? 'bios' : 'none',
    wanted: bootsFromNetwork(flags),
  }
}

/**
 * Reads the files that the options name. A disk is started by SeaBIOS, where nothing else is to start. A flash is not read here.
 *
 * A multiboot kernel expects the name of each file before its text, as GRUB Legacy and QEMU write it: kernels skip the first word.
 * Linux and PVH kernels get the text alone. One on a machine with a graphics card expects a BIOS behind it: it gets SeaBIOS.
 *
 * @param tell - gets a sentence about automatic choices
 */
export async function readImages(
  flags: ImageFlags,
  drives: readonly DriveArgument[] = [],
  tell?: (text: string) => void,
): Promise<MachineImages> {
  const flash = drives.some((drive) => drive.flash !== undefined)
  const isPc = flags.arch !== 'arm64'
  const seaBios =
    isPc && flags.kernel === undefined && flags.firmware === undefined && (drives.length > 0 || bootsFromNetwork(flags))
  const [kernel, initrd, own] = await Promise.all([
    readImage('--kernel', flags.kernel),
    readImage('--initrd', flags.initrd),
    flash ? undefined : seaBios ? fetchBiosFile('bios-256k.bin') : readImage('--firmware', flags.firmware),
  ])
  // UEFI firmware has its own drivers.
  const vga = flags.vga ?? usualVga(flags, drives)
  const named = kernel !== undefined && isMultibootKernel(kernel)
  const wantsBios = isPc && named && vga === 'std' && own === undefined && !flash
  const bios = wantsBios ? await biosFor(kernel, flags.optionRom, tell) : undefined
  const firmware = own ?? bios?.firmware
  const vgaBios =
    isPc && vga === 'std' && own !== undefined && !flash ? await fetchBiosFile('vgabios-stdvga.bin') : bios?.vgaBios
  const rom =
    isPc && kernel !== undefined && own !== undefined ? await readKernelRom(kernel, flags.optionRom) : bios?.rom
  const files = await Promise.all(
    (flags.module ?? []).map(async ({ path, commandLine }) => ({
      path,
      bytes: await readInput(`--module ${path}`, path),
      commandLine,
    })),
  )
  if (named && flags.initrd !== undefined && initrd !== undefined) {
    files.unshift({ path: flags.initrd, bytes: initrd, commandLine: '' })
  }
  const modules = files.map(({ path, bytes, commandLine }) => ({
    bytes,
    commandLine: named ? [path, ...(commandLine === '' ? [] : [commandLine])].join(' ') : commandLine,
  }))
  const commandLine = named ? `${flags.kernel} ${flags.append ?? ''}` : flags.append
  const isUBoot =
    own !== undefined &&
    flags.preferredMode === undefined &&
    Buffer.from(own.buffer, own.byteOffset, own.length).includes('U-Boot')
  if (isUBoot && vgaBios !== undefined)
    tell?.(
      'U-Boot runs the video BIOS with segments of 64 KiB: the monitor tells it nothing, as with --device VGA,edid=off',
    )
  return {
    ...(isUBoot && { preferredMode: null }),
    ...defined({ kernel, initrd: named ? undefined : initrd, firmware, vgaBios, commandLine }),
    ...(modules.length === 0 ? {} : { modules }),
    ...(rom === undefined || rom.length === 0 ? {} : { optionRoms: rom }),
  }
}

/** Returns SeaBIOS for a kernel without firmware; undefined if it is unavailable. */
async function biosFor(kernel: Uint8Array, given: ImageFlags['optionRom'], tell?: (text: string) => void) {
  try {
    const firmware = await fetchBiosFile('bios-256k.bin')
    const vgaBios = await fetchBiosFile('vgabios-stdvga.bin')
    const rom = await readKernelRom(kernel, given)
    tell?.('SeaBIOS prepares the board for this multiboot kernel; with --vga none it starts at once')
    return { firmware, vgaBios, rom }
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    tell?.(
      `SeaBIOS cannot be fetched: the multiboot kernel finds BARs and text mode that retrap has set, but no font, which --display terminal does without (${error.message})`,
    )
    return undefined
  }
}

/** Reads the ROM with which a BIOS starts the kernel, unless the user provides one of that name. UEFI reads the kernel itself. */
async function readKernelRom(kernel: Uint8Array, given: readonly string[] = []): Promise<readonly OptionRom[]> {
  const name = kernelRom(kernel)
  return given.some((path) => basename(path) === name) ? [] : [{ name, bytes: await fetchBiosFile(name) }]
}

const readImage = async (option: string, path: string | undefined): Promise<Uint8Array | undefined> =>
  path === undefined ? undefined : readInput(`${option} ${path}`, path)

/** Adds adapters' firmware. @throws CliError `ERR_INPUT` */
export async function withOptionRoms(images: MachineImages, paths: readonly string[] = []): Promise<MachineImages> {
  if (paths.length === 0) return images
  const optionRoms = await Promise.all(
    paths.map(async (path) => ({ name: basename(path), bytes: await readInput(`--option-rom ${path}`, path) })),
  )
  return { ...images, optionRoms: [...(images.optionRoms ?? []), ...optionRoms] }
}

/** Files that firmware consists of. */
type BiosFile = 'bios-256k.bin' | 'vgabios-stdvga.bin' | KernelRom

/** The place of a file in Debian, and advice for when it cannot be fetched. */
interface Source {
  readonly package: string
  /** The ROMs to fetch with the firmware; default none. */
  readonly together?: readonly KernelRom[]
  readonly folder: string
  readonly instead: string
}

const KERNEL_ROM: Source = {
  package: 'qemu-system-data',
  together: ['linuxboot_dma.bin', 'multiboot_dma.bin', 'pvh.bin'],
  folder: 'usr/share/qemu',
  instead: "give QEMU's ROM of this name: --option-rom FILE",
}

const SOURCES: Readonly<Record<BiosFile, Source>> = {
  'bios-256k.bin': {
    package: 'seabios',
    folder: 'usr/share/seabios',
    instead: 'give a firmware image of your own: --firmware FILE',
  },
  'vgabios-stdvga.bin': {
    package: 'seabios',
    folder: 'usr/share/seabios',
    instead: 'do without the graphics card: --vga none',
  },
  'linuxboot_dma.bin': KERNEL_ROM,
  'multiboot_dma.bin': KERNEL_ROM,
  'pvh.bin': KERNEL_ROM,
}

/** A file of firmware as Debian has it, from the cache or fetched. @throws CliError `ERR_FETCH` */
export async function fetchBiosFile(name: BiosFile): Promise<Uint8Array> {
  const { package: archive, folder, instead, together } = SOURCES[name]
  return readDebianFile(archive, folder, name, instead, together)
}
