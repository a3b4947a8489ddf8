import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { launchBrowser, noBrowser } from '@retrap/tooling/browser'
import { bundleScript } from '@retrap/tooling/bundle'
import { servePages } from '@retrap/tooling/page-server'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { createQcow2 } from '../src/index.ts'
import { FileStorage, openQcow2 } from '../src/node/index.ts'

const folder = temporaryFolder('block-browser')

const BYTES = 64 << 10
const content = Uint8Array.from({ length: BYTES }, (_, i) => (i >> 8) & 0xff)
const sum = (bytes: Uint8Array): number => bytes.reduce((before, byte) => (Math.imul(before, 31) + byte) >>> 0, 0)

/** A qcow2 image whose clusters are compressed. */
async function compressed(): Promise<Buffer> {
  const path = join(folder, 'compressed.qcow2')
  const storage = await FileStorage.create(path)
  await createQcow2(storage, { bytes: BYTES, clusterBytes: 4096 })
  await storage.close()
  const image = await openQcow2(path)
  for (let at = 0; at < BYTES; at += 4096) await image.writeCompressed(at, content.subarray(at, at + 4096))
  expect((await image.extentAt(0)).kind).toBe('compressed')
  await image.close()
  return readFileSync(path)
}

if (noBrowser !== undefined) console.warn(`SKIPPED: images in a page: ${noBrowser}`)

test.skipIf(noBrowser !== undefined)(
  'a page reads images from its server, from files and from storage of its own',
  { timeout: 90_000 },
  async () => {
    const script = await bundleScript(fileURLToPath(new URL('support/in-page.ts', import.meta.url)), 'images')
    const server = await servePages(
      new Map<string, string | Uint8Array>([
        ['index.html', '<!doctype html><script src="/images.js"></script>'],
        ['images.js', script],
        ['disk.img', content],
        ['disk.qcow2', await compressed()],
      ]),
    )
    const browser = await launchBrowser()
    try {
      const page = await browser.newPage()
      await page.goto(server.origin)
      const written = content.slice(0, 8192).fill(1, 0, 512)
      expect(await page.evaluate("images.readByHttp('/disk.img')")).toEqual({
        bytes: BYTES,
        sum: sum(written),
        fetched: BYTES,
      })
      expect(await page.evaluate("fetch('/disk.qcow2').then((file) => file.blob()).then(images.readBlob)")).toBe(
        sum(content),
      )
      const inWorker = `new Promise((resolve, reject) => {
      const code = "importScripts('" + location.origin + "/images.js'); images.keepInOpfs().then(postMessage, (error) => postMessage(String(error)))"
      const worker = new Worker(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })))
      worker.onmessage = ({ data }) => resolve(data)
      worker.onerror = ({ message }) => reject(new Error(message))
    })`
      expect(await page.evaluate(inWorker)).toEqual({ first: 5, second: 6, corruptions: 0, isLocked: true })
    } finally {
      await browser.close()
      server.close()
    }
  },
)
