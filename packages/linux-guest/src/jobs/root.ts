import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { cacheDirectory } from '@retrap/debian'
import { OciError } from '@retrap/oci'
import {
  isImageName,
  openImageFile,
  type PulledImage,
  pullImage,
  type PullOptions,
  type PullPolicy,
} from '@retrap/oci/node'
import type { Share } from '@retrap/virtio/p9'
import { CliError } from '../errors.ts'

/** How a container image starts its program. For a folder or the host, texts and lists are empty. */
export interface ExecConfig extends Omit<Awaited<ReturnType<typeof openImageFile>>['config'], 'architecture' | 'os'> {
  /** The name of the guest; `retrap` if absent. */
  readonly hostname?: string
  /** Folders searched for programs before the usual ones, as far as they exist. */
  readonly searchPath?: string
  /** Files that the root lacks, beside those that every root gets, by their paths. */
  readonly files?: Readonly<Record<string, string>>
}

/** The files that a program of `retrap exec` sees as `/`, under an overlay for its writes. */
export interface ExecRoot {
  /** The files, which are only read. */
  readonly share: Share
  /** The root's settings for starting a program. */
  readonly config: ExecConfig
  /** Lines for `--explain`: which files of the host the guest can read. */
  readonly explanation: readonly string[]
  /** The whole name of an image of a registry, with the digest. */
  readonly pinned?: string | undefined
  /** Paths that a program has looked for, and the root's own folders lack: see {@link ViewShare.missed}. */
  readonly missed?: Set<string>
  /** Gives the files back. */
  close(): Promise<void>
}

/**
 * Divides what names an image: a path, and behind a colon its name among several. A path may have colons itself, and goes as far
 * as there is something.
 */
export function splitImage(text: string): { readonly path: string; readonly name: string | undefined } {
  for (let end = text.length; end > 0; end = text.lastIndexOf(':', end - 1)) {
    const path = text.slice(0, end)
    if (existsSync(path)) return { path, name: text.slice(end + 1) || undefined }
  }
  return { path: text, name: undefined }
}

/** How images of registries are pulled. */
export interface Pulling {
  readonly policy?: PullPolicy | undefined
  readonly signal?: AbortSignal | undefined
  /** Shows how far a pull is. */
  readonly shown?: ShowPull
}

export type ShowPull = <T>(pull: (shown: Pick<PullOptions, 'onProgress'>) => Promise<T>) => Promise<T>

/** The cache of pulled images. */
export const pulledFolder = (): string => join(cacheDirectory(), 'registry')

const roomFor = ({ code }: OciError): string =>
  code === 'ERR_CACHE' ? '; retrap layers --prune makes room, and XDG_CACHE_HOME names another place' : ''

/** The name of a pulled image with its digest: another host pulls the same by it. */
export const pinnedName = ({ name, digest }: PulledImage): string => `${name.replace(/@.*/, '')}@${digest}`

/** A name with a registry's host, and the name of an archive, such as `saved.tar.gz`. */
const HOST = /^(?:localhost|[^/]*[.:][^/]*)\//
const ARCHIVE = /^[^:]*\.(?:tar|tgz|oci)(?:\.\w+)?(?::[^/]*)?$/

/**
 * Pulls an image of a registry, unless it is kept.
 *
 * @param folder - the folder of relative paths: a text that begins as a path, is a file or an archive's name, is no image of a registry; undefined: each is
 * @returns undefined for the path of a file
 * @throws CliError `ERR_FETCH`
 */
export async function pulled(
  image: string,
  architecture: string,
  { policy, signal, shown = (pull) => pull({}) }: Pulling,
  folder?: string,
): Promise<PulledImage | undefined> {
  const file = folder === undefined ? undefined : splitImage(resolve(folder, image)).path
  const canBeFile = file !== undefined && !HOST.test(image)
  if (!isImageName(image) || existsSync(file ?? '') || (canBeFile && ARCHIVE.test(image))) return undefined
  const options = { architecture, folder: pulledFolder(), policy, signal }
  try {
    return await shown(({ onProgress }) => pullImage(image, { ...options, onProgress }))
  } catch (error) {
    if (signal?.aborted === true) throw new CliError('ERR_FETCH', `${image}: the pull was stopped; what has come stays`)
    if (!(error instanceof OciError)) throw error
    const kept = policy === 'never' ? ' (--pull never)' : roomFor(error)
    throw new CliError('ERR_FETCH', `${error.message}${kept}${canBeFile ? `; and there is no file ${file}` : ''}`)
  }
}

/**
 * Opens an image of a container as a root: of a registry, an OCI layout, an archive of `docker save`, or a folder of skopeo's
 * `dir:`.
 *
 * @param image - name or path of the image, or `PATH:NAME` for one of several images
 * @param architecture - as in images: `amd64` or `arm64`
 * @throws CliError `ERR_INPUT`, `ERR_FETCH`
 */
export async function openImageRoot(image: string, architecture: string, pulling: Pulling = {}): Promise<ExecRoot> {
  const found = await pulled(image, architecture, pulling, '.')
  const { path, name } = splitImage(found?.path ?? image)
  const pinned = found && pinnedName(found)
  try {
    const cache = { folder: join(cacheDirectory(), 'oci-layers') }
    const opened = await openImageFile(path, { architecture, cache, name })
    return {
      share: opened.share,
      config: opened.config,
      explanation: [`${pinned ?? resolve(path)} (--image, ${opened.layers.length} layers)`],
      pinned,
      close: () => opened.close(),
    }
  } catch (error) {
    if (!(error instanceof OciError)) throw error
    const how = error.code === 'ERR_CHOICE' ? ` (--image ${path}:NAME)` : roomFor(error)
    throw new CliError('ERR_INPUT', `${error.message}${how}`)
  }
}
