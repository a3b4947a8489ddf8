import { stat } from 'node:fs/promises'
import { AGENT } from '@retrap/guest'
import type { PcDrive, PcOptions } from '@retrap/machine'
import { ImageError } from '@retrap/block'
import { openImage } from '@retrap/block/node'
import type { DriveArgument } from '../drives/drives.ts'
import { examineImage, notRaw } from '../drives/image-file.ts'
import { readBytes } from '../files/files.ts'
import { DEBIAN_KERNEL } from '../linux/debian-images.ts'
import { fetchLinux } from '../linux/debian.ts'
import { buildInitramfs, withAgent } from '../linux/initramfs.ts'
import { readImages, usualVga } from '../options/images.ts'
import { parseCpus, parseMemory } from '../options/values.ts'
import type { NamedFolders } from './folders.ts'
import { ToolError } from './tool-error.ts'

/** The tool's arguments. */
export interface BootRequest {
  readonly system: 'debian' | 'embedded' | 'files'
  readonly kernel?: string | undefined
  readonly initrd?: string | undefined
  readonly append?: string | undefined
  readonly firmware?: string | undefined
  readonly disks?: readonly string[] | undefined
  readonly cdrom?: string | undefined
  readonly memory?: string | undefined
  readonly cpus?: number | undefined
  readonly board?: 'pc' | 'q35' | undefined
  readonly display?: 'none' | 'std' | undefined
  readonly addAgent?: boolean | undefined
}

/** A machine that can be made, and its open disks. */
export interface Bootable {
  readonly options: PcOptions
  readonly system: string
  readonly close: () => Promise<void>
}

/** Debian's prompt, and that of the embedded guest. */
export const PROMPTS: Readonly<Record<BootRequest['system'], string | undefined>> = {
  debian: '/ # ',
  embedded: 'retrap> ',
  files: undefined,
}

const MEMORY: Readonly<Record<BootRequest['system'], string>> = { debian: '256M', embedded: '64M', files: '512M' }
/** Kernels and firmware are read as a whole, before the machine's memory has a say. */
const MOST_FILE_BYTES = 1 << 29
const MOST_COMMAND_LINE = 2000

/** Opens the images of a machine. @throws ToolError, CliError, ImageError for what cannot be used */
export async function prepareBoot(
  request: BootRequest,
  folders: NamedFolders,
  embeddedGuest: () => Uint8Array | Promise<Uint8Array>,
  tell: (text: string) => void,
): Promise<Bootable> {
  const { system, cpus = 1, append, board } = request
  if ((append?.length ?? 0) > MOST_COMMAND_LINE)
    throw new ToolError('ERR_ARGUMENT', `append: more than ${MOST_COMMAND_LINE} characters`)
  const options: PcOptions = {
    memoryBytes: parseMemory(request.memory ?? MEMORY[system]),
    cpus: parseCpus(String(cpus)),
    // The second one is the agent's.
    serialPorts: 2,
    jit: true,
    clock: 'deterministic',
    ...(board !== undefined && { machine: board }),
  }
  if (system !== 'files') {
    const unused = (['kernel', 'initrd', 'firmware', 'disks', 'cdrom'] as const).find(
      (name) => request[name] !== undefined,
    )
    if (unused !== undefined) throw new ToolError('ERR_ARGUMENT', `${unused} belongs to system files`)
  }
  if (system === 'embedded')
    return { options: { ...options, firmware: await embeddedGuest() }, system, close: async () => {} }
  if (system === 'debian')
    return { options: { ...options, ...(await debian(append, tell)) }, system: 'Debian', close: async () => {} }
  return fromFiles(request, options, folders)
}

async function debian(append: string | undefined, tell: (text: string) => void): Promise<Partial<PcOptions>> {
  let told = ''
  const onProgress = (_part: number, what: string): void => {
    if (what !== told) tell(`fetching ${what}`)
    told = what
  }
  const { kernelPath, busyboxPath } = await fetchLinux(DEBIAN_KERNEL, { onProgress })
  const [kernel, busybox] = await Promise.all([readBytes(kernelPath), readBytes(busyboxPath)])
  const initrd = buildInitramfs(busybox, [], { script: AGENT, port: '/dev/ttyS1' })
  return { kernel, initrd, commandLine: ['console=ttyS0 quiet', append].filter(Boolean).join(' ') }
}

async function fromFiles(request: BootRequest, options: PcOptions, folders: NamedFolders): Promise<Bootable> {
  const { append, disks = [], cdrom, addAgent } = request
  const read = async (name: 'kernel' | 'initrd' | 'firmware'): Promise<string | undefined> => {
    const path = request[name]
    if (path === undefined) return undefined
    const real = await folders.file(name, path)
    if ((await stat(real)).size > MOST_FILE_BYTES)
      throw new ToolError('ERR_PATH', `${name}: ${path} has more than ${MOST_FILE_BYTES >> 20} MiB`)
    return real
  }
  const [kernel, initrd, firmware] = [await read('kernel'), await read('initrd'), await read('firmware')]
  if (kernel === undefined && firmware === undefined && disks.length === 0 && cdrom === undefined)
    throw new ToolError('ERR_ARGUMENT', 'nothing to boot: give kernel, firmware, disks or cdrom')
  if (kernel === undefined && (initrd ?? append) !== undefined)
    throw new ToolError('ERR_ARGUMENT', 'initrd and append belong to a kernel: give kernel, too')
  if (addAgent === true && initrd === undefined)
    throw new ToolError('ERR_ARGUMENT', 'addAgent puts the agent into an initrd: give initrd, too')
  const drives: PcDrive[] = []
  const close = async (): Promise<void> => {
    for (const { medium } of drives)
      // oxlint-disable-next-line no-await-in-loop -- few, and one after the other
      if (medium !== null && 'close' in medium) await (medium as { close(): Promise<void> }).close()
  }
  try {
    for (const path of disks) drives.push(await openDisk('disks', path, folders)) // oxlint-disable-line no-await-in-loop
    if (cdrom !== undefined) drives.push(await openDisk('cdrom', cdrom, folders))
    // The images below ask only whether there are drives.
    const named = drives.map((): DriveArgument => ({ path: null, snapshot: true, readOnly: false }))
    const flags = {
      ...(kernel !== undefined && { kernel }),
      ...(initrd !== undefined && { initrd }),
      ...(firmware !== undefined && { firmware }),
      ...(append !== undefined && { append }),
    }
    const vga = request.display ?? usualVga(flags, named)
    const images = await readImages({ ...flags, vga }, named)
    const withIt = addAgent === true && images.initrd !== undefined ? { initrd: withAgent(images.initrd, AGENT) } : {}
    const system = [request.kernel, request.firmware, ...disks, cdrom].filter((one) => one !== undefined).join(', ')
    return { options: { ...options, ...images, ...withIt, vga, ...(drives.length > 0 && { drives }) }, system, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Opens an image. Writes stay in memory. An image that names another file below it is refused: that may be any file. */
async function openDisk(argument: string, path: string, folders: NamedFolders): Promise<PcDrive> {
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
