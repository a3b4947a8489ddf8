import { defined } from '@retrap/basics'
import { stat } from 'node:fs/promises'
import { type BlockStorage, createQcow2 } from '@retrap/block'
import { FileStorage, type ImageFormat, openImage, resolveBacking, shownName } from '@retrap/block/node'
import { usage } from '../../options/values.ts'
import { type CreateOptions, parseOptions, parseSize, type Print } from '../../machine/drives/formats.ts'

export interface CreateFlags {
  readonly format: ImageFormat
  readonly backing?: string
  readonly backingFormat?: ImageFormat
  readonly options?: string
  readonly unsafe?: boolean
  readonly quiet?: boolean
}

const SECTOR = 512

/** `retrap image create`. */
export async function create(path: string, size: string | undefined, flags: CreateFlags, print: Print): Promise<void> {
  const options = parseOptions(flags.options, flags.format)
  const backing = backingOf(flags, options)
  const below = backing === undefined || flags.unsafe === true ? undefined : await sizeBelow(path, backing)
  const given = size === undefined ? options.bytes : parseSize(size)
  const wanted = given ?? below
  if (wanted === undefined) throw usage('the new image needs a size, such as 20G')
  const bytes = Math.ceil(wanted / SECTOR) * SECTOR
  await createImage(path, flags.format, { ...options, bytes }, backing)
  if (flags.quiet === true) return
  const about = backing === undefined ? '' : ` backing_file=${shownName(backing.name)} backing_fmt=${backing.format}`
  void print(`Formatting '${path}', fmt=${flags.format} size=${bytes}${about}\n`)
}

interface Backing {
  readonly name: string
  readonly format: ImageFormat
}

function backingOf(flags: CreateFlags, options: CreateOptions): Backing | undefined {
  const name = flags.backing ?? options.backing
  const format = flags.backingFormat ?? options.backingFormat
  if (name === undefined) {
    if (format !== undefined) throw usage('-F is the format of a file below; give -b FILE too')
    return undefined
  }
  if (flags.format === 'raw') throw usage('a raw image has no file below; give -f qcow2')
  // The backing image may hold a guest's writes, so its content must not determine its format.
  if (format === undefined) throw usage(`-b ${shownName(name)}: give its format too, with -F raw or -F qcow2`)
  return { name, format }
}

/** The size of a file below, which must be there and not the new image itself. */
async function sizeBelow(path: string, { name, format }: Backing): Promise<number> {
  const below = resolveBacking(path, name)
  await refuseSame(path, [below])
  const image = await openImage(below, { format, readOnly: true })
  const { bytes } = image.properties
  await image.close()
  return bytes
}

/** @throws CliError `ERR_USAGE` if the new file is also an input */
export async function refuseSame(target: string, sources: readonly string[]): Promise<void> {
  const identity = async (path: string): Promise<string | undefined> => {
    const state = await stat(path, { bigint: true }).catch(() => undefined)
    return state === undefined ? undefined : `${state.dev}:${state.ino}`
  }
  const wanted = await identity(target)
  if (wanted === undefined) return
  for (const source of sources) {
    if ((await identity(source)) === wanted) throw usage(`${target}: it is the same file as ${source}`)
  }
}

/** Makes an image file. */
export async function createImage(
  path: string,
  format: ImageFormat,
  options: CreateOptions & { readonly bytes: number },
  backing?: Backing,
): Promise<void> {
  const { bytes, clusterBytes, version, refcountBits, lazyRefcounts } = options
  const wanted = {
    bytes,
    ...defined({ clusterBytes, version, refcountBits, lazyRefcounts, backing }),
  }
  // Try without a file first, so that an impossible image leaves the existing file intact.
  if (format === 'qcow2') await createQcow2(NOWHERE, wanted)
  const storage = await FileStorage.create(path, format === 'raw' ? bytes : 0)
  try {
    if (format === 'qcow2') await createQcow2(storage, wanted)
  } finally {
    await storage.close()
  }
}

/** A storage that discards all writes. */
const NOWHERE: BlockStorage = {
  bytes: 0,
  readOnly: false,
  read: async () => {},
  write: async () => {},
  flush: async () => {},
  close: async () => {},
}
