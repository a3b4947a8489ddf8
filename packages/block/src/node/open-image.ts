import { BlockError } from '@retrap/device'
import { stat, open } from 'node:fs/promises'
import { dirname, isAbsolute, join } from 'node:path'
import { type BlockImage, type BlockStorage, ImageError, Overlay, Qcow2Image, RawImage, isQcow2 } from '../index.ts'
import type { BackingName } from '../qcow2/header.ts'
import type { RawImageOptions } from '../raw-image.ts'
import { NODE_CODEC } from './codec.ts'
import type { FileStorageOptions } from './file-storage.ts'
import { isUrl, openStorage, resolveUrl, shownName, type OpenStorageOptions } from './open-storage.ts'

/** Options for {@link openImage}. */
export interface OpenImageOptions extends RawImageOptions, Pick<FileStorageOptions, 'lock'> {
  /**
   * Default `raw`. A guest can write anything to a raw disk, also the first bytes of another format: do not take the format
   * from the content of a file that a guest has written as raw.
   */
  readonly format?: ImageFormat
  /** Writes go to memory, and the file stays as it is. Default false. */
  readonly snapshot?: boolean
  /** Shows the internal snapshot with this name or id, read-only. Only qcow2 images have some. */
  readonly internalSnapshot?: string
  /**
   * The treatment of a file below the image: open it (default); refuse such an image, for a format that only the content tells;
   * or ignore it, so that clusters that the image lacks read as zeros.
   */
  readonly backing?: 'open' | 'refuse' | 'ignore'
  /** Refuse redirects to another site, for this file and for the web images below it. Default false. */
  readonly sameOrigin?: boolean
}

/** A chain of backing files is no longer. */
const LONGEST_CHAIN = 64

/**
 * Opens an image file, and the files below it read-only. An image of a web server (`http://…`, `https://…`) cannot be written:
 * with `snapshot`, writes go to memory.
 *
 * @throws ImageError
 */
export async function openImage(path: string, options: OpenImageOptions = {}): Promise<BlockImage> {
  const { snapshot = false, ...rest } = options
  const image = await openInChain(path, { ...rest, readOnly: snapshot || rest.readOnly === true }, [])
  return snapshot ? new Overlay(image) : image
}

/** Opens a qcow2 image file, for operations that only qcow2 supports. @throws ImageError */
export function openQcow2(
  path: string,
  options: Omit<OpenImageOptions, 'format' | 'snapshot'> = {},
): Promise<Qcow2Image> {
  return openQcow2InChain(path, options, [])
}

type ChainOptions = Omit<OpenImageOptions, 'snapshot'>

async function openInChain(path: string, options: ChainOptions, above: readonly string[]): Promise<BlockImage> {
  const { format = 'raw', internalSnapshot, backing: _backing, sameOrigin = false, lock = 'now', ...raw } = options
  if (format === 'qcow2') return openQcow2InChain(path, options, above)
  if (format !== 'raw') throw new ImageError('ERR_OPTION', `format ${String(format)}: expected raw or qcow2`)
  if (internalSnapshot !== undefined) throw new ImageError('ERR_OPTION', 'a raw image has no internal snapshots')
  await refuseLoop(path, above)
  const storage = await openStorage(path, { readOnly: raw.readOnly === true, sameOrigin, lock })
  return orClose(path, storage, async () => new RawImage(storage, raw))
}

async function openQcow2InChain(
  path: string,
  options: Omit<ChainOptions, 'format'>,
  above: readonly string[],
): Promise<Qcow2Image> {
  const { blockBytes = 512, backing: policy = 'open', internalSnapshot, ...more } = options
  const { sameOrigin = false, lock = 'now', ...rest } = more
  if (blockBytes !== 512) throw new ImageError('ERR_OPTION', `blockBytes ${blockBytes}: a qcow2 image has 512`)
  const chain = [...above, await refuseLoop(path, above)]
  const isRead = rest.readOnly === true || internalSnapshot !== undefined
  const storage = await openStorage(path, { readOnly: isRead, sameOrigin, lock })
  const openBacking = async (backing: BackingName): Promise<BlockImage> => {
    if (policy === 'ignore') return NOTHING
    if (policy === 'open') return openBackingFile(path, backing, chain)
    const reason = `it is qcow2 by its content, and needs ${shownName(backing.name)}`
    throw new ImageError(
      'ERR_BACKING',
      `${shownName(path)}: ${reason}; say format=qcow2 if no guest has used it as a raw disk`,
    )
  }
  return orClose(path, storage, () =>
    Qcow2Image.open(storage, {
      ...rest,
      ...(internalSnapshot !== undefined && { snapshot: internalSnapshot }),
      codec: NODE_CODEC,
      openBacking,
    }),
  )
}

/** Opens the backing file that an image names. */
async function openBackingFile(path: string, backing: BackingName, chain: readonly string[]): Promise<BlockImage> {
  const below = resolveBacking(path, backing.name)
  // A server must not redirect this host elsewhere, either.
  const sameOrigin = isUrl(path)
  try {
    const format = backing.format ?? (await probeFormat(below, { sameOrigin }))
    if (format !== 'raw' && format !== 'qcow2') {
      throw new ImageError('ERR_BACKING', `its format is ${format}; raw and qcow2 are supported`)
    }
    // Without a named format the backing file may be a raw disk written by a guest.
    const policy = backing.format === null ? 'refuse' : 'open'
    return await openInChain(below, { format, readOnly: true, backing: policy, sameOrigin }, chain)
  } catch (error) {
    if (!(error instanceof Error)) throw error
    throw new ImageError('ERR_BACKING', `${shownName(path)}: the backing file ${shownName(below)}: ${error.message}`, {
      cause: error,
    })
  }
}

/**
 * A name is relative to the folder of the image, or a URL. An image of a web server names files of that server alone.
 *
 * @throws ImageError `ERR_BACKING` for any other name
 */
export function resolveBacking(path: string, name: string): string {
  if (isUrl(path)) return resolveUrl(path, name)
  if (isUrl(name)) return name
  const file = name.startsWith('file:') ? name.slice(5) : name
  // A single letter is a Windows drive.
  if (/^[a-z0-9+.-]{2,}:/i.test(file) && !file.startsWith('/')) {
    throw new ImageError(
      'ERR_BACKING',
      `${shownName(path)}: the backing file is ${name}; only files and URLs of http and https are supported`,
    )
  }
  return isAbsolute(file) ? file : join(dirname(path), file)
}

/** @returns names for the backing files' messages. @throws ImageError `ERR_BACKING` */
async function refuseLoop(path: string, above: readonly string[]): Promise<string> {
  const state = await stat(path, { bigint: true }).catch(() => undefined)
  const name = state === undefined ? path : `${state.dev}:${state.ino}`
  if (above.includes(name)) throw new ImageError('ERR_BACKING', 'the backing files form a loop')
  if (above.length >= LONGEST_CHAIN) throw new ImageError('ERR_BACKING', 'the chain of backing files is too long')
  return name
}

/** Opens an image over a storage. Errors name the file. */
async function orClose<T>(path: string, storage: BlockStorage, open: () => Promise<T>): Promise<T> {
  const name = shownName(path)
  try {
    return await open()
  } catch (error) {
    await storage.close()
    if (!(error instanceof ImageError || error instanceof BlockError) || error.message.startsWith(name)) throw error
    const code = error instanceof ImageError ? error.code : 'ERR_OPEN'
    throw new ImageError(code, `${name}: ${error.message}`, { cause: error })
  }
}

/** Replaces a backing file that is not opened. */
const NOTHING: BlockImage = new RawImage({
  bytes: 0,
  readOnly: true,
  read: async () => {},
  write: async () => {},
  flush: async () => {},
  close: async () => {},
})

/** Formats of images. */
export type ImageFormat = 'raw' | 'qcow2'

/** Signatures at the start of images that are not raw. Sources: the specifications of VMDK, VHDX and VDI. */
const OTHERS: readonly (readonly [name: string, at: number, signature: string])[] = [
  ['vmdk', 0, 'KDMV'],
  ['vhdx', 0, 'vhdxfile'],
  ['vdi', 0x40, '\x7f\x10\xda\xbe'],
]

/**
 * Tells a file's format by its content. A guest chooses the first bytes of a raw disk: trust the answer only for a file that
 * no guest has written as raw.
 *
 * @returns also `vmdk`, `vhdx` and `vdi`, which cannot be opened
 * @throws ImageError `ERR_OPEN`; `ERR_BACKING` for a redirect that `sameOrigin` refuses
 */
export async function probeFormat(
  path: string,
  options: Pick<OpenStorageOptions, 'sameOrigin'> = {},
): Promise<ImageFormat | 'vmdk' | 'vhdx' | 'vdi'> {
  const head = await (isUrl(path) ? remoteHead(path, options) : localHead(path))
  if (isQcow2(head)) return 'qcow2'
  const text = head.toString('latin1')
  const found = OTHERS.find(([, at, signature]) => text.startsWith(signature, at))
  return (found?.[0] as 'vmdk' | 'vhdx' | 'vdi' | undefined) ?? 'raw'
}

const HEAD_BYTES = 0x44

async function localHead(path: string): Promise<Buffer> {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw new ImageError('ERR_OPEN', `${path}: it cannot be read: ${String(error)}`, { cause: error })
  })
  try {
    const head = Buffer.alloc(HEAD_BYTES)
    await file.read(head, 0, head.length, 0)
    return head
  } finally {
    await file.close()
  }
}

async function remoteHead(url: string, options: OpenStorageOptions): Promise<Buffer> {
  const storage = await openStorage(url, options)
  const head = Buffer.alloc(Math.min(HEAD_BYTES, storage.bytes))
  await storage.read(0, head)
  await storage.close()
  return head
}
