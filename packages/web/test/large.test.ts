/** Images of more than 4 GiB in Chromium: a guest reads a disk and a CD far back, from a server that has no such file. */
import { noBrowser } from '@retrap/tooling/browser'
import type { PageServer } from '@retrap/tooling/page-server'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { farGuest } from './support/guests.ts'
import { type PageGlobals, Pages } from './support/pages.ts'

if (noBrowser !== undefined) console.warn(`SKIPPED: large images in pages: ${noBrowser}`)

const GIB = 2 ** 30
const IMAGE_BYTES = 20 * GIB
/** Each word of 8 bytes of the image is its own offset. */
const wordsFrom = (start: number, end: number): Buffer => {
  const words = Buffer.alloc(end - start)
  for (let at = 0; at < words.length; at += 8) words.writeBigUInt64LE(BigInt(start + at), at)
  return words
}

describe.skipIf(noBrowser !== undefined)('an image of 20 GiB at an address', () => {
  const asked: string[] = []
  let pages: Pages
  let server: PageServer

  beforeAll(async () => {
    pages = await Pages.start()
    pages.files.set('disk.bin', farGuest({ media: 'disk', block: (19 * GIB) / 512 }))
    pages.files.set('cd.bin', farGuest({ media: 'cdrom', block: (5 * GIB) / 2048 }))
    server = await pages.serve({
      answer: ({ url, headers }, response) => {
        if (url !== '/large.iso') return false
        const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? []
        if (first === undefined) return false
        asked.push(`${first}-${last}`)
        // Chromium's own cache would ask anew for parts of what it has.
        response.setHeader('cache-control', 'no-store')
        response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${IMAGE_BYTES}`, etag: '"one"' })
        // The first answer is one byte, for the size.
        response.end(last === first ? 'x' : wordsFrom(Number(first), Number(last) + 1))
        return true
      },
    })
  })
  afterAll(() => pages?.close())

  test.each([
    { media: 'disk', offset: 19 * GIB },
    { media: 'cdrom', offset: 5 * GIB },
  ] as const)('is read as a $media where the guest wants it, and nowhere else', async ({ media, offset }) => {
    asked.length = 0
    const page = await pages.open(server)
    const firmware = media === 'disk' ? 'disk.bin' : 'cd.bin'
    const read = await page.evaluate(
      async (firmware, media) => {
        const { createMachine } = globalThis as unknown as PageGlobals
        const drives = [{ source: 'large.iso', media }]
        const machine = await createMachine({
          firmware,
          memoryBytes: 16 << 20,
          drives,
          vga: 'none',
          keepFetched: false,
        })
        const bytes: number[] = []
        machine.on('serial', (some) => bytes.push(...some))
        await machine.run()
        machine.dispose()
        return bytes
      },
      firmware,
      media,
    )
    expect(Number(Buffer.from(read).readBigUInt64LE(0))).toBe(offset)
    // The size, the head, which may be of another format, and the part that the guest reads.
    expect(asked).toEqual(['0-0', '0-262143', `${offset}-${offset + 262_143}`])
    await page.close()
  })
})
