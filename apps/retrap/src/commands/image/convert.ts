import type { BlockImage, Qcow2Image } from '@retrap/block'
import { FileStorage, type ImageFormat, openImage, openQcow2 } from '@retrap/block/node'
import { CliError } from '@retrap/linux-guest/errors'
import { naming, type OnProgress, parseOptions, type Print, sourceOptions } from '../../machine/drives/formats.ts'
import { chainOf, closeLayers, extentsOf, type Layer, openLayers } from '../../machine/drives/layers.ts'
import { usage } from '../../options/values.ts'
import { createImage, refuseSame } from './create.ts'

export interface ConvertFlags {
  readonly format?: ImageFormat
  readonly targetFormat: ImageFormat
  readonly options?: string
  readonly compress?: boolean
  readonly snapshot?: string
  readonly progress?: boolean
  readonly quiet?: boolean
}

/** Size of a piece for copying, unless a cluster is larger. */
const PIECE_BYTES = 1 << 20
/** A hole in a raw file is at least this large. */
const RAW_HOLE_BYTES = 4096
/** Number of clusters compressed at a time. */
const COMPRESSED_AT_A_TIME = 8

/** `retrap image convert`. */
export async function convert(
  path: string,
  target: string,
  flags: ConvertFlags,
  onProgress: OnProgress,
): Promise<void> {
  const options = parseOptions(flags.options, flags.targetFormat)
  if (options.backing !== undefined) throw usage('-o backing_file: the new image holds everything itself')
  if (flags.compress === true && flags.targetFormat === 'raw') throw usage('-c: a raw image cannot be compressed')
  const source = await sourceOptions(path, flags.format)
  const files = await chainOf(path, flags.format)
  await refuseSame(
    target,
    files.map((file) => file.path),
  )
  const snapshot = flags.snapshot === undefined ? {} : { internalSnapshot: flags.snapshot }
  const image = await openImage(path, { ...source, ...snapshot, readOnly: true })
  const layers = await openLayers(path, flags.format, flags.snapshot)
  try {
    const { bytes } = image.properties
    const size = Math.max(bytes, options.bytes ?? 0)
    await naming(target, createImage(target, flags.targetFormat, { ...options, bytes: size }))
    const made = flags.targetFormat === 'raw' ? undefined : await openQcow2(target)
    const copied: Target = {
      path: target,
      image: made ?? (await openImage(target)),
      unit: made?.clusterBytes ?? RAW_HOLE_BYTES,
      compressed: flags.compress === true ? made : undefined,
    }
    await copy(image, layers, copied, onProgress)
  } finally {
    await closeLayers(layers)
    await image.close()
  }
}

interface Target {
  readonly path: string
  readonly image: BlockImage
  /** Aligned ranges of this size that are zeros are left out. */
  readonly unit: number
  /** The image, if its clusters are to be compressed. */
  readonly compressed: Qcow2Image | undefined
}

/** Copies the parts of a disk that are not zeros, and closes the target. */
async function copy(
  source: BlockImage,
  layers: readonly Layer[],
  { path, image, unit, compressed }: Target,
  onProgress: OnProgress,
): Promise<void> {
  const size = source.properties.bytes
  const copyPiece = async (offset: number, bytes: number): Promise<void> => {
    const data = Buffer.alloc(bytes)
    for (let at = 0; at < bytes; at += PIECE_BYTES) {
      await source.read(offset + at, data.subarray(at, at + PIECE_BYTES))
    }
    const zeros = Buffer.alloc(unit)
    const isZero = (at: number): boolean => {
      const part = data.subarray(at, at + unit)
      return part.equals(zeros.subarray(0, part.length))
    }
    const clusters: number[] = []
    for (let at = 0; at < bytes;) {
      let end = at
      while (end < bytes && !isZero(end)) end += unit
      end = Math.min(end, bytes)
      if (compressed !== undefined) for (let cluster = at; cluster < end; cluster += unit) clusters.push(cluster)
      else if (end > at) await naming(path, image.write(offset + at, data.subarray(at, end)))
      at = end + unit
    }
    if (compressed === undefined) return
    const next = async (): Promise<void> => {
      for (let at = clusters.shift(); at !== undefined; at = clusters.shift()) {
        const written = compressed.writeCompressed(offset + at, data.subarray(at, Math.min(at + unit, bytes)))
        await naming(path, written)
      }
    }
    await Promise.all(Array.from({ length: COMPRESSED_AT_A_TIME }, next))
  }
  try {
    const piece = Math.max(PIECE_BYTES, unit)
    // The end of the last extent that is not zeros, up to its unit.
    let done = 0
    for await (const extent of extentsOf(layers)) {
      const end = extent.start + extent.bytes
      if (extent.kind !== 'zero' && extent.kind !== 'unallocated') {
        const first = Math.max(done, extent.start - (extent.start % unit))
        const last = Math.min(size, Math.ceil(end / unit) * unit)
        for (let at = first; at < last; at += piece) {
          await copyPiece(at, Math.min(piece, last - at))
          onProgress(Math.min(0.9999, (at + piece) / size))
        }
        done = Math.max(done, last)
      }
    }
    await naming(path, image.flush())
  } finally {
    await naming(path, image.close())
  }
  onProgress(1)
}

export interface CommitFlags {
  readonly format?: ImageFormat
  readonly keep?: boolean
  readonly progress?: boolean
  readonly quiet?: boolean
}

/** `retrap image commit`. */
export async function commit(path: string, flags: CommitFlags, print: Print, onProgress: OnProgress): Promise<void> {
  await sourceOptions(path, flags.format)
  const [, base] = await chainOf(path, flags.format)
  if (base === undefined) throw new CliError('ERR_INPUT', `${path}: it has no file below`)
  const image = await openQcow2(path, { backing: 'ignore' })
  try {
    const { bytes } = image.properties
    if (base.format === 'raw') await naming(base.path, grow(base.path, bytes))
    const below = await openImage(base.path, { format: base.format })
    try {
      if (below.properties.bytes < bytes) {
        throw new CliError('ERR_INPUT', `${base.path}: it is smaller than ${path}; resize it with: qemu-img resize`)
      }
      for (let at = 0; at < bytes;) {
        const extent = await image.extentAt(at)
        if (extent.kind === 'zero') {
          await naming(base.path, below.writeZeroes(at, extent.bytes))
        } else if (extent.kind !== 'unallocated') {
          for (let done = 0; done < extent.bytes; done += PIECE_BYTES) {
            const data = new Uint8Array(Math.min(PIECE_BYTES, extent.bytes - done))
            await image.read(at + done, data)
            await naming(base.path, below.write(at + done, data))
          }
        }
        at += extent.bytes
        onProgress(Math.min(0.9999, at / bytes))
      }
      // The base is durable before the overlay drops its data.
      await naming(base.path, below.flush())
    } finally {
      await naming(base.path, below.close())
    }
    if (flags.keep !== true) await image.clear()
  } finally {
    await image.close()
  }
  onProgress(1)
  if (flags.quiet !== true) void print('Image committed.\n')
}

/** Extends a raw file to the size of the disk above, unless another process has it open. */
async function grow(path: string, bytes: number): Promise<void> {
  const storage = await FileStorage.open(path)
  try {
    if (storage.bytes < bytes) await storage.write(bytes - 1, new Uint8Array(1))
  } finally {
    await storage.close()
  }
}
