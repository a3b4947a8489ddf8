import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { OciError } from '@retrap/oci'
import {
  isImageName,
  openImageFile,
  prunePulledImages,
  pulledImages,
  pullImage,
  type PullOptions,
} from '@retrap/oci/node'
import { type ImageOptions, writeLayout } from '@retrap/tooling/container-images'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { writeTar } from '@retrap/tooling/tar-writer'
import { FakeRegistry } from './fake-registry.ts'
import { contentOf } from './share-tree.ts'

const folder = temporaryFolder('oci-registry')
let count = 0
const fresh = (): string => join(folder, `${++count}`)

const layout = (text: string, options?: ImageOptions): string =>
  writeLayout(
    fresh(),
    [writeTar([{ name: 'base', content: 'b'.repeat(300_000) }]), writeTar([{ name: 'text', content: text }])],
    options,
  )

let registry: FakeRegistry
let cache: string
beforeEach(async () => {
  registry = await FakeRegistry.start()
  registry.tags.set('1', layout('one'))
  cache = fresh()
})
afterEach(() => registry.stop())

const pull = (name = 'a/b:1', options: Partial<PullOptions> = {}) =>
  pullImage(`${registry.host}/${name}`, { architecture: 'amd64', folder: cache, pauseMs: 1, ...options })

async function textOf(path: string, architecture = 'amd64'): Promise<string> {
  const image = await openImageFile(path, { architecture, cache: { folder: join(cache, 'layers') } })
  const text = String(await contentOf(await (await image.share.root()).child('text')))
  await image.close()
  return text
}

const errorOf = (done: Promise<unknown>): Promise<string> =>
  done.then(
    () => 'none',
    (error: unknown) =>
      error instanceof OciError ? `${error.code} ${error.message.replaceAll(registry.host, 'HOST')}` : String(error),
  )

test('pull', async () => {
  const image = await pull()
  expect(await textOf(image.path)).toBe('one')
  console.log(image, await pulledImages(cache), registry.seen)
})
