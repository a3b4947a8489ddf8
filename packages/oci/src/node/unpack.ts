import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import type { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import * as zlib from 'node:zlib'
import { type ImageFile, OciError, partsOf, tooLarge } from '../index.ts'
import { type Digest, wrongDigest } from '../digest.ts'
import { type ImageLayer, type LayerCompression, mostUnpacked } from '../layer-store.ts'
import type { ImageLimits } from '../limits.ts'

const UNPACKERS: Readonly<Record<Exclude<LayerCompression, 'none'>, (() => Transform) | undefined>> = {
  gzip: () => zlib.createGunzip(),
  // Available in Node from 22.15 on.
  zstd: typeof zlib.createZstdDecompress === 'function' ? () => zlib.createZstdDecompress() : undefined,
}

/** Compares a file with its digest. @throws OciError `ERR_DIGEST` */
export async function checkFile(file: ImageFile, { algorithm, hex }: Digest): Promise<void> {
  const hash = createHash(algorithm)
  for await (const part of partsOf(file)) hash.update(part)
  const found = hash.digest('hex')
  if (found !== hex) throw wrongDigest(file.name, hex, found)
}

/**
 * Unpacks a layer to a new file. Both digests are checked on the way.
 *
 * @throws OciError `ERR_DIGEST`, `ERR_LIMIT`, `ERR_DAMAGED`, `ERR_UNSUPPORTED`; errors of `node:fs`
 */
export async function unpackLayer(
  layer: ImageLayer,
  from: { readonly file: ImageFile; readonly compression: Exclude<LayerCompression, 'none'> },
  path: string,
  limits: ImageLimits,
): Promise<void> {
  const { file, compression } = from
  const unpacker = UNPACKERS[compression]?.()
  if (unpacker === undefined)
    throw new OciError('ERR_UNSUPPORTED', layer.name, `this Node has no ${compression}; Node 22.15 has`)
  const most = mostUnpacked(file.size, limits)
  const packedHash = createHash(layer.digest?.algorithm ?? 'sha256')
  const hash = createHash(layer.diffId.algorithm)
  let bytes = 0
  const target = await open(path, 'wx', 0o600)
  try {
    await pipeline(
      async function* () {
        for await (const part of partsOf(file, 256 * 1024)) {
          packedHash.update(part)
          // Copied, because the stream keeps the bytes until it has used them.
          yield Uint8Array.from(part)
        }
      },
      unpacker,
      async (source: AsyncIterable<Uint8Array>) => {
        for await (const part of source) {
          if (bytes + part.length > most) throw tooLarge(layer.name, most)
          hash.update(part)
          await target.appendFile(part)
          bytes += part.length
        }
      },
    )
  } catch (error) {
    throw isOfData(error) ? new OciError('ERR_DAMAGED', layer.name, `it cannot be unpacked as ${compression}`) : error
  } finally {
    await target.close()
  }
  const { digest, diffId } = layer
  const packed = packedHash.digest('hex')
  if (digest !== undefined && packed !== digest.hex) throw wrongDigest(layer.name, digest.hex, packed)
  const found = hash.digest('hex')
  if (found !== diffId.hex) throw wrongDigest(layer.name, diffId.hex, found)
}

/** Whether zlib has refused the data. */
const isOfData = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && /^(?:Z_|ZSTD_|ERR_ZSTD|ERR_ZLIB)/.test(String(error.code))
