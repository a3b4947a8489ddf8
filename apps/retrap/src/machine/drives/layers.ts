import { stat } from 'node:fs/promises'
import { readQcow2Info, type BlockImage, type ImageExtent, type Qcow2Image } from '@retrap/block'
import {
  type ImageFormat,
  openImage,
  openQcow2,
  openStorage,
  isUrl,
  probeFormat,
  resolveBacking,
  shownName,
} from '@retrap/block/node'
import { CliError } from '@retrap/linux-guest/errors'
import { sourceOptions } from './formats.ts'

/** One file in the backing chain of an image. */
export interface Layer {
  readonly path: string
  readonly image: BlockImage
  /** The file's qcow2 image; null: the file is raw. */
  readonly qcow2: Qcow2Image | null
}

/** A range of the disk, and the file that holds it. */
export interface LayerExtent {
  readonly start: number
  readonly bytes: number
  /** Number of files above this one in the chain. */
  readonly depth: number
  readonly kind: ImageExtent['kind']
  readonly fileOffset?: number
}

interface ChainFile {
  readonly path: string
  /** Identity of the file, equal for all of its names. */
  readonly identity: string
  readonly format: ImageFormat
  /** Whether the format was detected from the content, which a guest may have written: it must not name further files. */
  readonly isGuess: boolean
  /** Whether an image of a web server names the file: then that server may redirect to itself only. */
  readonly sameOrigin: boolean
}

type NamedFile = Omit<ChainFile, 'identity'>

/** The files of an image in the order of its chain, the image first. @throws CliError, ImageError */
export async function chainOf(path: string, format: ImageFormat | undefined): Promise<readonly ChainFile[]> {
  const chain: ChainFile[] = []
  const seen = new Set<string>()
  const source = await sourceOptions(path, format)
  let next: NamedFile | null = { path, format: source.format, isGuess: source.backing === 'refuse', sameOrigin: false }
  while (next !== null) {
    const state = await stat(next.path, { bigint: true }).catch(() => undefined)
    const identity = state === undefined ? next.path : `${state.dev}:${state.ino}`
    if (seen.has(identity)) throw new CliError('ERR_INPUT', `${shownName(path)}: the backing files form a loop`)
    seen.add(identity)
    chain.push({ ...next, identity })
    next = next.format === 'raw' ? null : await below(next)
  }
  return chain
}

async function below({ path, isGuess, sameOrigin }: NamedFile): Promise<NamedFile | null> {
  // Only the name of the file below is read, which a machine that writes the image does not change.
  const storage = await openStorage(path, { readOnly: true, sameOrigin, lock: 'later' })
  try {
    const { backing } = await readQcow2Info(storage)
    if (backing === null) return null
    if (isGuess)
      throw new CliError(
        'ERR_INPUT',
        `${shownName(path)}: it is qcow2 by its content, and needs ${shownName(backing.name)}; give -f qcow2`,
      )
    const file = resolveBacking(path, backing.name)
    const isServers = isUrl(path)
    const format = backing.format ?? (await probeFormat(file, { sameOrigin: isServers }))
    if (format === 'raw' || format === 'qcow2')
      return { path: file, format, isGuess: backing.format === null, sameOrigin: isServers }
    throw new CliError('ERR_INPUT', `${shownName(file)}: ${format} images cannot be used`)
  } finally {
    await storage.close()
  }
}

/** Opens each file of an image's backing chain on its own, to inspect its content. */
export async function openLayers(
  path: string,
  format: ImageFormat | undefined,
  internalSnapshot?: string,
): Promise<readonly Layer[]> {
  const layers: Layer[] = []
  try {
    for (const file of await chainOf(path, format)) {
      const snapshot = internalSnapshot !== undefined && layers.length === 0 ? { internalSnapshot } : {}
      const options = { readOnly: true, backing: 'ignore', sameOrigin: file.sameOrigin, ...snapshot } as const
      const qcow2 = file.format === 'qcow2' ? await openQcow2(file.path, options) : null
      layers.push({ path: file.path, qcow2, image: qcow2 ?? (await openImage(file.path, options)) })
    }
    return layers
  } catch (error) {
    await closeLayers(layers)
    throw error
  }
}

export async function closeLayers(layers: readonly Layer[]): Promise<void> {
  await Promise.all(layers.map(({ image }) => image.close()))
}

/** Says which file holds each part of the disk, in order, without gaps. */
export async function* extentsOf(layers: readonly Layer[]): AsyncGenerator<LayerExtent> {
  const { bytes } = layers[0]!.image.properties
  for (let start = 0; start < bytes;) {
    const extent = await extentAt(layers, start, bytes - start)
    yield extent
    start += extent.bytes
  }
}

async function extentAt(layers: readonly Layer[], start: number, most: number): Promise<LayerExtent> {
  let bytes = most
  for (const [depth, { qcow2, image }] of layers.entries()) {
    const left = image.properties.bytes - start
    // After the end of a backing file nothing is mapped.
    if (left <= 0) return { start, bytes, depth: depth - 1, kind: 'unallocated' }
    bytes = Math.min(bytes, left)
    if (qcow2 === null) return { start, bytes, depth, kind: 'data', fileOffset: start }
    const extent = await qcow2.extentAt(start)
    bytes = Math.min(bytes, extent.bytes)
    if (extent.kind === 'unallocated') continue
    const place = extent.fileOffset === undefined ? {} : { fileOffset: extent.fileOffset }
    return { start, bytes, depth, kind: extent.kind, ...place }
  }
  return { start, bytes, depth: layers.length - 1, kind: 'unallocated' }
}
