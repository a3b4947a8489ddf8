import { FileStorage, type ImageFormat, openImage, openQcow2 } from '@retrap/block/node'
import { CliError } from '@retrap/linux-guest/errors'
import { sourceOptions, type OnProgress, type Print, naming } from '../../machine/drives/formats.ts'
import { chainOf } from '../../machine/drives/layers.ts'

export interface CommitFlags {
  readonly format?: ImageFormat
  readonly keep?: boolean
  readonly progress?: boolean
  readonly quiet?: boolean
}

const PIECE_BYTES = 1 << 20

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
