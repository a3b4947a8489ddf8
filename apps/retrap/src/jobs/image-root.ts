import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { cacheDirectory } from '@retrap/debian'
import { OciError } from '@retrap/oci'
import { openImageFile } from '@retrap/oci/node'
import { CliError } from '../errors.ts'
import type { ExecRoot } from './root.ts'

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

/**
 * Opens an image of a container as a root: an OCI layout, an archive of `docker save`, or a folder of skopeo's
 * `dir:`.
 *
 * @param image - path of the image, or `PATH:NAME` for one of several images
 * @param architecture - as in images: `amd64` or `arm64`
 * @throws CliError `ERR_INPUT`
 */
export async function openImageRoot(image: string, architecture: string): Promise<ExecRoot> {
  const { path, name } = splitImage(image)
  try {
    const cache = { folder: join(cacheDirectory(), 'oci-layers') }
    const opened = await openImageFile(path, { architecture, cache, name })
    return {
      share: opened.share,
      config: opened.config,
      explanation: [`${resolve(path)} (--image, ${opened.layers.length} layers)`],
      close: () => opened.close(),
    }
  } catch (error) {
    if (!(error instanceof OciError)) throw error
    const how = error.code === 'ERR_CHOICE' ? ` (--image ${path}:NAME)` : ''
    throw new CliError('ERR_INPUT', `${error.message}${how}`)
  }
}
