import { IMAGE_OPTIONS, type ImageOption, type SentOptions } from '../protocol.ts'
import { readWhole, type SourceListener } from './sources.ts'

type WholeImage = Exclude<ImageOption, 'recording' | 'snapshot'>

export type LoadedImages = Readonly<Partial<Record<WholeImage, Uint8Array>>>

const NAMES = IMAGE_OPTIONS.filter((name) => name !== 'snapshot' && name !== 'recording')

/** Images that a machine which goes on from a snapshot needs for a reset only. */
const LATER: readonly WholeImage[] = ['kernel', 'initrd']

/** Reads the images that a machine starts with, or goes on with from a snapshot. @throws WebError `ERR_SOURCE` */
export function readFirstImages(options: SentOptions, listener: SourceListener): Promise<LoadedImages> {
  const later = options.images.snapshot === undefined ? [] : LATER
  return read(
    options,
    NAMES.filter((name) => !later.includes(name)),
    listener,
  )
}

/** Reads the images not loaded yet. @returns all images @throws WebError `ERR_SOURCE` */
export async function readOtherImages(
  options: SentOptions,
  loaded: LoadedImages,
  listener: SourceListener,
): Promise<LoadedImages> {
  const missing = NAMES.filter((name) => loaded[name] === undefined)
  return { ...loaded, ...(await read(options, missing, listener)) }
}

async function read(
  { images }: SentOptions,
  wanted: readonly WholeImage[],
  listener: SourceListener,
): Promise<LoadedImages> {
  const names = wanted.filter((name) => images[name] !== undefined)
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readWhole(name, images[name]!, listener)] as const)),
  )
}
