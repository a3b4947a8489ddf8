import { open } from 'node:fs/promises'
import { ImageError, isQcow2 } from '../index.ts'
import { isUrl, openStorage, type OpenStorageOptions } from './open-storage.ts'

/** Formats of images. */
export type ImageFormat = 'raw' | 'qcow2'

/** Signatures at the start of images that are not raw. Sources: the specifications of VMDK, VHDX and VDI. */
const OTHERS: readonly (readonly [name: string, at: number, signature: string])[] = [
  ['vmdk', 0, 'KDMV'],
  ['vhdx', 0, 'vhdxfile'],
  ['vdi', 0x40, '\x7f\x10\xda\xbe'],
]

/**
 * Says by its content which format a file has. A guest decides what a raw disk begins with: trust the answer only for a file
 * that no guest has written as raw.
 *
 * @returns also `vmdk`, `vhdx` and `vdi`, which cannot be opened
 * @throws ImageError `ERR_OPEN`; `ERR_BACKING` for a redirect that `sameOrigin` refuses
 */
export async function probeFormat(
  path: string,
  options: Pick<OpenStorageOptions, 'sameOrigin'> = {},
): Promise<ImageFormat | 'vmdk' | 'vhdx' | 'vdi'> {
  const head = await (isUrl(path) ? remoteHead(path, options) : localHead(path))
  if (isQcow2(head)) return 'qcow2'
  const text = head.toString('latin1')
  const found = OTHERS.find(([, at, signature]) => text.startsWith(signature, at))
  return (found?.[0] as 'vmdk' | 'vhdx' | 'vdi' | undefined) ?? 'raw'
}

const HEAD_BYTES = 0x44

async function localHead(path: string): Promise<Buffer> {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw new ImageError('ERR_OPEN', `${path}: it cannot be read: ${String(error)}`, { cause: error })
  })
  try {
    const head = Buffer.alloc(HEAD_BYTES)
    await file.read(head, 0, head.length, 0)
    return head
  } finally {
    await file.close()
  }
}

async function remoteHead(url: string, options: OpenStorageOptions): Promise<Buffer> {
  const storage = await openStorage(url, options)
  const head = Buffer.alloc(Math.min(HEAD_BYTES, storage.bytes))
  await storage.read(0, head)
  await storage.close()
  return head
}
