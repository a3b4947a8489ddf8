import type { BlockImage, Qcow2Image } from '@retrap/block'
import { type ImageFormat, openImage, openQcow2 } from '@retrap/block/node'
import { usage } from '../../options/values.ts'
import { createImage, refuseSame } from './create.ts'
import { parseOptions, sourceOptions, type OnProgress, naming } from '../../machine/drives/formats.ts'
import { chainOf, closeLayers, extentsOf, type Layer, openLayers } from '../../machine/drives/layers.ts'

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
