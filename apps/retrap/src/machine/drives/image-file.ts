import { open, stat, type FileHandle } from 'node:fs/promises'
import { ImageError } from '@retrap/block'
import { isUrl, openStorage, shownName } from '@retrap/block/node'
import { BlockError } from '@retrap/device'
import { CliError, troubleWith } from '@retrap/linux-guest/errors'

/** The facts about an image file before it is opened. */
export interface ImageFile {
  /** Identity of the file, equal for all of its names. */
  readonly identity: string
  readonly hasIso: boolean
  /** The image format, if it is not raw. */
  readonly format: string | null
  /** The kind of kernel, if the file is a kernel. */
  readonly kernel: string | null
}

/** Signatures at the start of images that are not raw. Sources: the specifications of qcow2, VMDK, VHDX and VDI. */
const FORMATS: readonly (readonly [name: string, at: number, signature: string])[] = [
  ['qcow2', 0, 'QFI\xfb'],
  ['VMDK', 0, 'KDMV'],
  ['VHDX', 0, 'vhdxfile'],
  ['VDI', 0x40, '\x7f\x10\xda\xbe'],
]
/** Sources: Linux, "The Linux/x86 Boot Protocol" and "Booting AArch64 Linux"; System V ABI, "ELF Header". */
const KERNELS: readonly (readonly [name: string, at: number, signature: string])[] = [
  ['a Linux kernel', 0x202, 'HdrS'],
  ['a Linux kernel', 0x38, 'ARMd'],
  ['an ELF file', 0, '\x7fELF'],
]
const HEAD_BYTES = 0x206
/** The first volume descriptor of ISO 9660, behind its type byte. Source: ECMA-119, "Volume Descriptors". */
const ISO_AT = 0x8001
const ISO_MAGIC = 'CD001'

/** Looks at a file that the user named as an image. @throws CliError `ERR_INPUT` */
export async function examineImage(path: string): Promise<ImageFile> {
  if (isUrl(path)) return examineUrl(path)
  const refuse = (reason: string): CliError => new CliError('ERR_INPUT', `${path}: ${reason}`)
  let file: FileHandle | undefined
  try {
    // The file is looked at before it is opened: `open` would wait for the writer of a FIFO.
    const state = await stat(path, { bigint: true })
    if (state.isDirectory()) throw refuse('it is a directory')
    if (!state.isFile()) throw refuse('it is not a regular file')
    if (state.size === 0n) throw refuse('it is empty; make an image with a size: truncate -s 1G IMAGE')
    file = await open(path)
    const [head, descriptor] = [await text(file, 0, HEAD_BYTES), await text(file, ISO_AT, ISO_MAGIC.length)]
    return { identity: `${state.dev}:${state.ino}`, ...recognise(head, descriptor) }
  } catch (error) {
    throw error instanceof CliError ? error : refuse(troubleWith(error))
  } finally {
    await file?.close()
  }
}

/**
 * Removes the kernel from the named images. A second kernel stays in the list, to be refused as a disk.
 *
 * @param given - the kernel that an option names
 */
export async function takeKernel(
  images: readonly string[],
  given: string | undefined,
): Promise<{ readonly kernel: string | undefined; readonly files: readonly string[] }> {
  if (given !== undefined) return { kernel: given, files: images }
  for (const path of images) {
    // A file that cannot be read is refused where disks are opened.
    const found = isUrl(path) ? undefined : await examineImage(path).catch(() => undefined)
    if (typeof found?.kernel === 'string' && !found.hasIso)
      return { kernel: path, files: images.filter((other) => other !== path) }
  }
  return { kernel: undefined, files: images }
}

/** Looks at a file on a web server. @throws CliError `ERR_INPUT`; ImageError */
async function examineUrl(url: string): Promise<ImageFile> {
  const storage = await openStorage(url)
  const read = async (at: number, bytes: number): Promise<string> => {
    const into = Buffer.alloc(Math.max(0, Math.min(bytes, storage.bytes - at)))
    await storage.read(at, into)
    return into.toString('latin1')
  }
  try {
    if (storage.bytes === 0) throw new ImageError('ERR_OPEN', `${shownName(url)}: it is empty`)
    return { identity: url, ...recognise(await read(0, HEAD_BYTES), await read(ISO_AT, ISO_MAGIC.length)) }
  } catch (error) {
    // An error of a server names the file.
    throw error instanceof BlockError ? new CliError('ERR_INPUT', error.message) : error
  } finally {
    await storage.close()
  }
}

function recognise(head: string, descriptor: string): Omit<ImageFile, 'identity'> {
  const named = (table: typeof FORMATS): string | null =>
    table.find(([, at, signature]) => head.startsWith(signature, at))?.[0] ?? null
  return { hasIso: descriptor === ISO_MAGIC, format: named(FORMATS), kernel: named(KERNELS) }
}

/** Whether the name of a file says that it is a qcow2 image. A URL may have more behind it. */
export function isNamedQcow2(name: string): boolean {
  return /\.qcow2?$/i.test(isUrl(name) && URL.canParse(name) ? new URL(name).pathname : name)
}

/** Returns advice about an image that is neither raw nor qcow2. */
export function notRaw(format: string): string {
  return `${format} images cannot be used yet; convert with: qemu-img convert -O qcow2 IMAGE IMAGE.qcow2`
}

async function text(file: FileHandle, at: number, bytes: number): Promise<string> {
  const into = Buffer.alloc(bytes)
  await file.read(into, 0, bytes, at)
  return into.toString('latin1')
}
