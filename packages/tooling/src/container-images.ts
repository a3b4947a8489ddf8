// Images as files: layouts and archives of docker save, made of layers that the tests write.
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { writeTar, type Written } from './tar-writer.ts'

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

const PACKERS = {
  tar: (bytes: Uint8Array) => bytes,
  'tar+gzip': (bytes: Uint8Array) => gzipSync(bytes, { level: 1 }),
  'tar+zstd': (bytes: Uint8Array) => zstdCompressSync(bytes),
}

export interface ImageOptions {
  readonly architecture?: string
  readonly config?: object
  readonly compression?: keyof typeof PACKERS
}

const configOf = (layers: readonly Uint8Array[], { architecture = 'amd64', config = {} }: ImageOptions): Buffer =>
  json({
    architecture,
    os: 'linux',
    config,
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) },
  })

/** Writes an image layout. @param change - changes a document before it is written */
export function writeLayout(
  folder: string,
  layers: readonly Uint8Array[],
  options: ImageOptions = {},
  change: (what: 'manifest' | 'index', value: object) => object = (_, value) => value,
): string {
  mkdirSync(join(folder, 'blobs/sha256'), { recursive: true })
  const blob = (mediaType: string, bytes: Uint8Array) => {
    writeFileSync(join(folder, 'blobs/sha256', sha256(bytes)), bytes)
    return {
      mediaType: `application/vnd.oci.image.${mediaType}`,
      digest: `sha256:${sha256(bytes)}`,
      size: bytes.length,
    }
  }
  const { compression = 'tar' } = options
  const manifest = change('manifest', {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: blob('config.v1+json', configOf(layers, options)),
    layers: layers.map((layer) => blob(`layer.v1.${compression}`, PACKERS[compression](layer))),
  })
  const descriptor = {
    ...blob('manifest.v1+json', json(manifest)),
    annotations: { 'org.opencontainers.image.ref.name': 'test' },
  }
  writeFileSync(join(folder, 'index.json'), json(change('index', { schemaVersion: 2, manifests: [descriptor] })))
  writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  return folder
}

/** The bytes of an archive of `docker save`, as Docker wrote them before version 25. */
export function savedImage(
  layers: readonly Uint8Array[],
  options: ImageOptions & { readonly tags?: readonly string[] } = {},
): Buffer {
  const config = configOf(layers, options)
  const name = `${sha256(config)}.json`
  const files: Written[] = layers.map((layer, i) => ({ name: `layer${i}/layer.tar`, content: layer }))
  const manifest = [{ Config: name, RepoTags: options.tags ?? ['test:latest'], Layers: files.map((file) => file.name) }]
  return writeTar([...files, { name, content: config }, { name: 'manifest.json', content: json(manifest) }])
}
