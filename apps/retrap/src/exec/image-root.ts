import { join, resolve } from 'node:path'
import { cacheDirectory } from '@retrap/debian'
import { OciError } from '@retrap/oci'
import { openImageFile } from '@retrap/oci/node'
import { CliError } from '../errors.ts'
import type { ExecRoot } from './root.ts'

/**
 * Opens an image of a container as a root: an OCI layout, or an archive of `docker save`.
 *
 * @param architecture - as images have it: `amd64` or `arm64`
 * @throws CliError `ERR_INPUT`
 */
export async function openImageRoot(path: string, architecture: string): Promise<ExecRoot> {
  try {
    const cache = { folder: join(cacheDirectory(), 'oci-layers') }
    const image = await openImageFile(path, { architecture, cache })
    return {
      share: image.share,
      config: image.config,
      explanation: [`${resolve(path)} (--image, ${image.layers.length} layers)`],
      close: () => image.close(),
    }
  } catch (error) {
    throw error instanceof OciError ? new CliError('ERR_INPUT', error.message) : error
  }
}
