import { stat } from 'node:fs/promises'
import { AGENT } from '@retrap/guest'
import type { MachineDrive, PcOptions } from '@retrap/machine'
import type { ArmMachineOptions } from '@retrap/machine/arm'
import { ImageError } from '@retrap/block'
import { openImage } from '@retrap/block/node'
import type { DriveArgument } from '../../machine/drives/drives.ts'
import { examineImage, notRaw } from '../../machine/drives/image-file.ts'
import { fetchLines } from '@retrap/linux-guest/host/files'
import { readBytes } from '@retrap/linux-guest/host/files'
import { DEBIAN_KERNEL } from '../debian/debian-images.ts'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { fetchLinuxWithDrivers } from '@retrap/linux-guest/linux/debian-drivers'
import { buildInitramfs, withAgent } from '@retrap/linux-guest/linux/initramfs'
import { CODE_CACHE_BYTES, flashOf, unzstd } from '@retrap/linux-guest/machine/arm-machine'
import { readImages, usualVga } from '../../flags/images.ts'
import { settingsFor } from '../../flags/machine-options.ts'
import type { MachineOptions } from '@retrap/linux-guest/machine/machine-contract'
import { type BootFlags, bootFlags, type BootRequest } from './boot-arguments.ts'
import { ARM_AGENT_DEVICE, type BoardOptions } from './boards.ts'
import type { NamedFolders } from './folders.ts'
import { openNetwork, type ToolNetwork } from './networks.ts'
import { ToolError } from './tool-error.ts'

/** A machine that can be made, and its open disks. */
export interface Bootable {
  readonly board: BoardOptions
  readonly system: string
  readonly network: ToolNetwork | undefined
  readonly close: () => Promise<void>
}

/** Debian's prompt, and that of the embedded guest. */
export const PROMPTS: Readonly<Record<BootRequest['system'], string | undefined>> = {
  debian: '/ # ',
  embedded: 'retrap> ',
  files: undefined,
}

const MEMORY: Readonly<Record<BootRequest['system'], string>> = { debian: '256M', embedded: '64M', files: '512M' }
/** Limit for kernels and firmware, which are read as a whole before the machine's memory limits their size. */
const MOST_FILE_BYTES = 1 << 29

/** Sources of a machine's parts. */
export interface BootSources {
  readonly folders: NamedFolders
  /** Whether guests may have a network that reaches the host and beyond. */
  readonly allowsNetwork: boolean
  readonly embeddedGuest: () => Uint8Array | Promise<Uint8Array>
  readonly tell: (text: string) => void
}

/** The parts of a machine that differ by its system. */
interface System {
  readonly options: Partial<MachineOptions>
  readonly name: string
  readonly close: () => Promise<void>
}

/** Opens the images and the network of a machine. @throws ToolError, CliError, ImageError for invalid arguments or files */
export async function prepareBoot(request: BootRequest, sources: BootSources): Promise<Bootable> {
  const { system, nic } = request
  const unused = (['kernel', 'initrd', 'firmware', 'disks', 'cdrom'] as const).find(
    (name) => system !== 'files' && request[name] !== undefined,
  )
  if (unused !== undefined) throw new ToolError('ERR_ARGUMENT', `${unused} belongs to system files`)
  const flags = await bootFlags({ ...request, memory: request.memory ?? MEMORY[system] }, sources.folders)
  const output = { write: sources.tell, on: () => undefined }
  const { machine } = await settingsFor(flags, async () => ({}), { kind: 'pass' }, { stdout: output, stderr: output })
  const { options, name, close } = await openSystem(request, flags, sources)
  try {
    const network = nic === undefined ? undefined : await openNetwork(nic, sources.allowsNetwork)
    const { virtio, networkCards } = network ?? {}
    const all = { ...machine, ...options, ...(network && { virtio, networkCards }) }
    if (flags.arch === 'arm64')
      return { board: { kind: 'virt', options: armOptions(all) }, system: name, network, close }
    // The second port is the agent's.
    return { board: { kind: 'pc', options: { ...all, serialPorts: 2 } as PcOptions }, system: name, network, close }
  } catch (error) {
    await close()
    throw error
  }
}

function armOptions({ firmware, drives, ...both }: Partial<MachineOptions>): ArmMachineOptions {
  const flash = flashOf(firmware)
  return {
    ...both,
    codeCacheBytes: CODE_CACHE_BYTES,
    unzstd: unzstd(),
    ...(flash !== undefined && { flash }),
    // A kernel without firmware may have few drivers, of which virtio is one.
    ...(drives && {
      drives: drives.map((drive) => (drive.media === 'cdrom' ? drive : { ...drive, interface: 'virtio' as const })),
    }),
  } as ArmMachineOptions
}

async function openSystem(request: BootRequest, flags: BootFlags, sources: BootSources): Promise<System> {
  const { system } = request
  if (system === 'files') return fromFiles(request, flags, sources.folders)
  const close = async (): Promise<void> => {}
  if (system === 'debian') return { options: await debian(request, flags, sources.tell), name: 'Debian', close }
  if (flags.arch === 'arm64') throw new ToolError('ERR_ARGUMENT', 'the embedded guest is a PC: leave board virt out')
  return { options: { firmware: await sources.embeddedGuest() }, name: system, close }
}

async function debian(
  { nic, display = 'none' }: BootRequest,
  { arch, append }: BootFlags,
  tell: (text: string) => void,
): Promise<System['options']> {
  const onProgress = fetchLines(tell)
  const isArm = arch === 'arm64'
  const drivers = [
    ...(isArm ? ['virtio_pci', 'virtio_console'] : []),
    ...(nic === undefined ? [] : ['virtio_pci', 'virtio_net']),
  ]
  const { kernelPath, busyboxPath, modulePaths } =
    drivers.length === 0
      ? { ...(await fetchLinux(DEBIAN_KERNEL, { onProgress })), modulePaths: [] }
      : await fetchLinuxWithDrivers(isArm ? 'arm64' : 'amd64', drivers, onProgress)
  const [kernel, busybox, ...modules] = await Promise.all([kernelPath, busyboxPath, ...modulePaths].map(readBytes))
  const port = isArm ? ARM_AGENT_DEVICE : '/dev/ttyS1'
  return {
    kernel: kernel!,
    initrd: buildInitramfs(busybox!, modules, { agent: { script: AGENT, port } }),
    commandLine: [isArm ? 'console=ttyAMA0' : 'console=ttyS0', 'quiet', append].filter(Boolean).join(' '),
    ...(display !== 'none' && { vga: display }),
  }
}

async function fromFiles(request: BootRequest, flags: BootFlags, folders: NamedFolders): Promise<System> {
  const { disks = [], cdrom, addAgent } = request
  const { kernel, initrd, append, firmware } = flags
  for (const name of ['kernel', 'initrd', 'firmware'] as const)
    if (flags[name] !== undefined && (await stat(flags[name])).size > MOST_FILE_BYTES)
      throw new ToolError('ERR_PATH', `${name}: ${request[name]} has more than ${MOST_FILE_BYTES >> 20} MiB`)
  if (kernel === undefined && firmware === undefined && disks.length === 0 && cdrom === undefined)
    throw new ToolError('ERR_ARGUMENT', 'nothing to boot: give kernel, firmware, disks or cdrom')
  if (flags.arch === 'arm64' && (kernel ?? firmware) === undefined)
    throw new ToolError('ERR_ARGUMENT', 'nothing that starts an Arm board: give kernel, or UEFI firmware')
  if (kernel === undefined && (initrd ?? append) !== undefined)
    throw new ToolError('ERR_ARGUMENT', 'initrd and append belong to a kernel: give kernel, too')
  if (addAgent === true && initrd === undefined)
    throw new ToolError('ERR_ARGUMENT', 'addAgent puts the agent into an initrd: give initrd, too')
  const drives: MachineDrive[] = []
  const close = async (): Promise<void> => {
    for (const { medium } of drives)
      if (medium !== null && 'close' in medium) await (medium as { close(): Promise<void> }).close()
  }
  try {
    for (const path of disks) drives.push(await openDisk('disks', path, folders))
    if (cdrom !== undefined) drives.push(await openDisk('cdrom', String(cdrom), folders))
    // The image options below only depend on whether any drive exists.
    const named = drives.map((): DriveArgument => ({ path: null, snapshot: true, readOnly: false }))
    const vga = request.display ?? usualVga(flags, named)
    const images = await readImages({ ...flags, vga }, named)
    const withIt = addAgent === true && images.initrd !== undefined ? { initrd: withAgent(images.initrd, AGENT) } : {}
    const name = [request.kernel, request.firmware, ...disks, cdrom].filter((one) => one !== undefined).join(', ')
    return { options: { ...images, ...withIt, vga, ...(drives.length > 0 && { drives }) }, name, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Opens an image. Writes stay in memory. An image with a backing file is refused, because it could name any file. */
async function openDisk(argument: string, path: string, folders: NamedFolders): Promise<MachineDrive> {
  const real = await folders.file(argument, path)
  const { format, hasIso } = await examineImage(real)
  if (format !== null && format !== 'qcow2') throw new ToolError('ERR_PATH', `${argument}: ${path}: ${notRaw(format)}`)
  const isDisc = argument === 'cdrom' || hasIso
  const medium = await openImage(real, {
    format: format ?? 'raw',
    ...(format === 'qcow2' && { backing: 'refuse' }),
    ...(isDisc ? { readOnly: true } : { snapshot: true }),
  }).catch((error: unknown) => {
    if (error instanceof ImageError && error.code === 'ERR_BACKING')
      throw new ToolError(
        'ERR_PATH',
        `${argument}: ${path} has another file below it, which is not opened here: make one of both by retrap image convert -O qcow2`,
      )
    throw error
  })
  return { medium, media: isDisc ? 'cdrom' : 'disk' }
}
