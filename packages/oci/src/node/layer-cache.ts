import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type ImageFile, type LayerStore, OciError, readTar, type TarEntry } from '../index.ts'
import type { ImageLayer, OpenLayer } from '../layer-store.ts'
import type { ImageLimits } from '../limits.ts'
import { tryFileLock } from './file-lock.ts'
import { codeOf, NEW, openLocalFile, touch, writeWhole } from './local-files.ts'
import { checkFile, unpackLayer } from './unpack.ts'

/** Options of {@link LayerCache}. */
export interface LayerCacheOptions {
  /** The folder, created if absent. Nothing is written elsewhere. */
  readonly folder: string
  /** Most bytes of the cache; least recently used files are removed first. Default 20 GiB. */
  readonly mostBytes?: number
}

const VERSION = 2
const MOST_STAMPS = 8
/** Age without writes at which a file counts as left over by a killed process. */
const ABANDONED_MS = 3600 * 1000
const COLUMNS = [
  'path',
  'mode',
  'uid',
  'gid',
  'size',
  'offset',
  'seconds',
  'nanoseconds',
  'target',
  'device',
] as const satisfies readonly (keyof TarEntry)[]

type Row = readonly [string, number, number, number, number, number, number, number, string, number]

/** Facts about a cached layer: `DIGEST.json`. For a compressed layer, `DIGEST.tar` is its archive. */
interface Index {
  readonly version: number
  /** Bytes of the archive. */
  readonly bytes: number
  /** Stamps of files that have the layer without compression, and were compared with its digest. */
  readonly stamps: readonly string[]
  readonly columns: readonly string[]
  readonly rows: readonly Row[]
}

/**
 * Caches layers in a folder: compressed layers are unpacked once, and each layer's entries are listed. Both files are named by
 * the uncompressed layer's digest, and appear when complete, so that several processes may share the folder.
 */
export class LayerCache implements LayerStore {
  readonly #folder: string
  readonly #mostBytes: number

  constructor({ folder, mostBytes = 20 * 2 ** 30 }: LayerCacheOptions) {
    this.#folder = folder
    this.#mostBytes = mostBytes
  }

  /** Opens a layer. @throws OciError `ERR_CACHE` where the folder cannot be written, and others of a layer */
  async open(layer: ImageLayer, limits: ImageLimits): Promise<OpenLayer> {
    const index = await this.#index(layer)
    if (index !== undefined) {
      const tar = await this.#unpacked(layer, index.bytes)
      if (tar !== undefined) return { tar, entries: entriesOf(index) }
    }
    const file = await layer.open()
    try {
      const compression = await layer.compression(file)
      if (compression === 'none') return { tar: file, entries: await this.#inPlace(layer, file, index, limits) }
      const unpacked = await this.#unpack(layer, { file, compression }, limits)
      await file.close()
      return unpacked
    } catch (error) {
      await file.close()
      throw error
    }
  }

  #path(layer: ImageLayer, extension: 'json' | 'tar'): string {
    return join(this.#folder, `${layer.diffId.algorithm}-${layer.diffId.hex}.${extension}`)
  }

  async #index(layer: ImageLayer): Promise<Index | undefined> {
    try {
      const index = JSON.parse(await readFile(this.#path(layer, 'json'), 'utf8')) as Index
      return index.version === VERSION && index.columns.join() === COLUMNS.join() ? index : undefined
    } catch {
      // Absent, or incomplete after a loss of power: it is made again.
      return undefined
    }
  }

  /** Opens a layer that was unpacked before. */
  async #unpacked(layer: ImageLayer, bytes: number): Promise<ImageFile | undefined> {
    const tar = await openLocalFile(this.#path(layer, 'tar'))
    if (tar?.size === bytes) {
      await Promise.all([touch(this.#path(layer, 'tar')), touch(this.#path(layer, 'json'))])
      return tar
    }
    await tar?.close()
    return undefined
  }

  /** Opens an uncompressed layer in place. */
  async #inPlace(
    layer: ImageLayer,
    file: ImageFile,
    index: Index | undefined,
    limits: ImageLimits,
  ): Promise<readonly TarEntry[]> {
    const { stamp, size } = file
    if (index !== undefined && stamp !== undefined && index.stamps.includes(stamp) && index.bytes === size)
      return entriesOf(index)
    if (size > limits.layerBytes)
      throw new OciError('ERR_LIMIT', layer.name, `a layer of ${size} bytes; at most ${limits.layerBytes} are read`)
    await checkFile(file, layer.diffId)
    const entries = await readTar(file, limits)
    const stamps = [...(stamp === undefined ? [] : [stamp]), ...(index?.stamps ?? [])].slice(0, MOST_STAMPS)
    await this.#write(layer, { bytes: size, stamps }, entries)
    return entries
  }

  async #unpack(layer: ImageLayer, from: Parameters<typeof unpackLayer>[1], limits: ImageLimits): Promise<OpenLayer> {
    const path = this.#path(layer, 'tar')
    const made = join(this.#folder, `${NEW}${randomUUID()}`)
    try {
      await this.#prepare()
      await unpackLayer(layer, from, made, limits)
      await rename(made, path)
    } catch (error) {
      await rm(made, { force: true }).catch(() => {})
      throw cacheError(this.#folder, error)
    }
    const tar = await openLocalFile(path)
    // Another process has made room at this very moment.
    if (tar === undefined) throw new OciError('ERR_CACHE', this.#folder, 'a layer has gone from it; give it more room')
    try {
      const entries = await readTar(tar, limits)
      await this.#write(layer, { bytes: tar.size, stamps: [] }, entries)
      return { tar, entries }
    } catch (error) {
      await tar.close()
      throw error
    }
  }

  async #write(
    layer: ImageLayer,
    about: { readonly bytes: number; readonly stamps: readonly string[] },
    entries: readonly TarEntry[],
  ): Promise<void> {
    const rows = entries.map((entry) => COLUMNS.map((column) => entry[column]) as unknown as Row)
    const index: Index = { version: VERSION, ...about, columns: COLUMNS, rows }
    try {
      await this.#prepare()
      await writeWhole(this.#path(layer, 'json'), JSON.stringify(index))
      await removeOldest(this.#folder, { mostBytes: this.#mostBytes })
    } catch (error) {
      throw cacheError(this.#folder, error)
    }
  }

  async #prepare(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
  }
}

/** Which files {@link removeOldest} leaves. */
interface LeftFiles {
  /** Least recently used files are removed until the rest has no more bytes. */
  readonly mostBytes: number
  /** Whether a file stays in any case. @param file - its last use in milliseconds since 1970 */
  readonly stays?: (file: { readonly time: number }) => boolean
}

/** Removes files of a cache until the rest is small enough, and leftovers of killed processes. @returns bytes removed */
export async function removeOldest(folder: string, { mostBytes, stays = () => false }: LeftFiles): Promise<number> {
  const isNew = (name: string): boolean => name.startsWith(NEW) || name.endsWith('.lock')
  const names = (await readdir(folder, { recursive: true }).catch(() => [])).filter(
    (path) => isNew(basename(path)) || /^(?:sha\d+-)?[0-9a-f]{64,128}(?:\.|$)/.test(basename(path)),
  )
  const found = await Promise.all(
    names.map(async (name) => {
      const path = join(folder, name)
      const state = await stat(path).catch(() => undefined)
      return { path, bytes: state?.size ?? 0, time: state?.mtimeMs ?? 0, isNew: isNew(basename(name)) }
    }),
  )
  const all = found.reduce((sum, file) => sum + file.bytes, 0)
  let bytes = all
  for (const file of found.toSorted((a, b) => a.time - b.time)) {
    const { path } = file
    if (file.isNew ? Date.now() - file.time <= ABANDONED_MS : bytes <= mostBytes || stays(file)) continue
    // A process that has the file open can still read it.
    const remove = async (): Promise<void> => {
      await rm(path, { force: true })
      bytes -= file.bytes
    }
    // A process may be fetching the rest.
    await (path.endsWith('.part') ? tryFileLock(path.replace(/part$/, 'lock'), remove) : remove())
  }
  return all - bytes
}

/** The error for a cache folder that cannot be used; other errors stay as they are. */
export function cacheError(folder: string, error: unknown): unknown {
  const code = codeOf(error)
  if (error instanceof OciError || !/^E[A-Z]+$/.test(code)) return error
  return new OciError('ERR_CACHE', folder, REASONS[code] ?? `the cache folder cannot be used (${code})`)
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'the cache folder may not be written',
  EPERM: 'the cache folder may not be written',
  EROFS: 'the cache folder is on a read-only file system',
  ENOSPC: 'no space is left on the disk of the cache folder',
  EDQUOT: 'the disk quota of the cache folder is used up',
  ENOTDIR: 'a part of the path of the cache folder is a file',
  EEXIST: 'the cache folder is a file',
}

/** Returns the cached entries; the image checks their limits. */
function entriesOf({ rows }: Index): readonly TarEntry[] {
  return rows.map(([path, mode, uid, gid, size, offset, seconds, nanoseconds, target, device]) => ({
    path,
    mode,
    uid,
    gid,
    size,
    offset,
    seconds,
    nanoseconds,
    target,
    device,
  }))
}
