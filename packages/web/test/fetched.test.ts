/** What machines read of images at addresses is kept by the browser: for the next tab, and for times without a network. */
import { sliceTests } from '@retrap/tooling/slice'
import { buildGuestImage } from '@retrap/embedded-guest'
import { noBrowser } from '@retrap/tooling/browser'
import type { PageServer } from '@retrap/tooling/page-server'
import type { Page } from 'puppeteer-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from 'vitest'
import type { Machine, MachineOptions } from '../src/index.ts'
import { diskGuest } from './support/guests.ts'
import { ask, type PageGlobals, Pages, POLICY } from './support/pages.ts'

const test = sliceTests(3)

if (noBrowser !== undefined) console.warn(`SKIPPED: fetched images in pages: ${noBrowser}`)

/** The guest reads at multiples of 128 KiB; two of these are in one chunk of 256 KiB. */
const DISK = new Uint8Array(2 << 20).map((_, at) => 0x41 + (at >> 17))

/** What expressions of these tests keep in their page. */
interface Kept {
  machine: Machine
  until: (word: string) => Promise<string>
}

describe.skipIf(noBrowser !== undefined)('an image at an address', () => {
  let pages: Pages
  let server: PageServer
  let tag = '"one"'
  let isAway = false
  /** Ranges that were asked for, but for the first byte, which tells of the file. */
  let asked: string[] = []

  beforeAll(async () => {
    pages = await Pages.start()
    pages.files.set('disk.bin', diskGuest())
    pages.files.set('guest.bin', buildGuestImage())
    server = await pages.serve({
      headers: { 'content-security-policy': POLICY },
      answer: (request, response) => {
        const range = String(request.headers.range)
        if (/^\/(disk\.img|far\.snapshot)/.test(request.url ?? '')) {
          if (range !== 'bytes=0-0') asked.push(range)
          if (isAway) response.destroy()
          if (isAway) return true
        }
        if (!request.url!.startsWith('/disk.img')) return false
        const [, first, last] = /bytes=(\d+)-(\d+)/.exec(range) ?? []
        response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${DISK.length}`, etag: tag })
        response.end(DISK.subarray(Number(first), Number(last) + 1))
        return true
      },
    })
  })
  afterAll(() => pages?.close())
  beforeEach(() => {
    isAway = false
    asked = []
  })
  afterEach(() => pages.closePages())

  /** Makes a machine in a page, and runs it. */
  const start = (page: Page, options: MachineOptions): Promise<void> =>
    page.evaluate(async (given) => {
      const kept = globalThis as unknown as PageGlobals & Kept
      kept.machine = await kept.createMachine(given)
      kept.until = kept.listen(kept.machine)
      void kept.machine.run().catch(() => {})
    }, options)
  const withDisk = (source: string, more: MachineOptions = {}): MachineOptions => ({
    firmware: '/disk.bin',
    vga: 'none',
    memoryBytes: 16 << 20,
    drives: [{ source }],
    ...more,
  })
  /** Types something, and waits for an answer. */
  const type = (page: Page, text: string, answer: string): Promise<string> =>
    page.evaluate(
      (...[typed, word]) => {
        const { machine, until } = globalThis as unknown as Kept
        machine.write(typed)
        return until(word)
      },
      ...([text, answer] as const),
    )
  const bytes = (page: Page): Promise<number> =>
    page.evaluate(() => (globalThis as unknown as PageGlobals).fetchedBytes())
  const dispose = (page: Page): Promise<void> => page.evaluate(() => (globalThis as unknown as Kept).machine.dispose())
  /** Whether nobody has a file of those that are kept. */
  const isFree = (page: Page): Promise<boolean> =>
    page.evaluate(async () => {
      const root = await navigator.storage.getDirectory()
      const folder = await root.getDirectoryHandle('retrap-fetched')
      try {
        for await (const file of folder.values()) await (await (file as FileSystemFileHandle).createWritable()).abort()
        return true
      } catch {
        return false
      }
    })
  /** The browser gives up the files of a machine that has ended a little later. */
  const released = async (page: Page): Promise<void> => {
    await dispose(page)
    await expect.poll(() => isFree(page)).toBe(true)
  }

  test('is read once: another machine has it without a network; a tab beside it reads for itself', async () => {
    const first = await pages.open(server)
    await start(first, withDisk('/disk.img'))
    expect([await ask(first, '0'), await ask(first, '5')]).toEqual(['A', 'F'])
    expect(await isFree(first)).toBe(false)
    expect(asked).toEqual(['bytes=0-262143', 'bytes=524288-786431'])
    const second = await pages.open(server)
    await start(second, withDisk('/disk.img'))
    expect(await ask(second, '5')).toBe('F')
    expect(asked).toHaveLength(4)
    await second.close()
    await released(first)
    asked = []
    isAway = true
    await start(first, withDisk('/disk.img'))
    expect([await ask(first, '1'), await ask(first, '4'), await ask(first, '2')]).toEqual(['B', 'E', '!'])
    isAway = false
    expect(await ask(first, '3')).toBe('D')
    expect(await bytes(first)).toBeGreaterThan(3 * 262_144)
  })

  test('that has changed is read anew; none is kept where the page says so, or the browser has no room', async () => {
    const page = await pages.open(server)
    await start(page, withDisk('/disk.img'))
    expect(await ask(page, '0')).toBe('A')
    await released(page)
    tag = '"two"'
    asked = []
    await start(page, withDisk('/disk.img'))
    expect(await ask(page, '0')).toBe('A')
    expect(asked).toEqual(['bytes=0-262143'])
    expect(await bytes(page)).toBeLessThan(300_000)
    await released(page)
    asked = []
    // The query may choose another file.
    await start(page, withDisk('/disk.img?2'))
    expect(await ask(page, '0')).toBe('A')
    expect(asked).toEqual(['bytes=0-262143'])
    await released(page)
    await page.evaluate(() => (globalThis as unknown as PageGlobals).deleteFetched())
    expect(await bytes(page)).toBe(0)
    await start(page, withDisk('/disk.img?3', { keepFetched: false }))
    expect(await ask(page, '0')).toBe('A')
    expect(await bytes(page)).toBe(0)
    await dispose(page)
    const session = await page.createCDPSession()
    await session.send('Storage.overrideQuotaForOrigin', { origin: server.origin, quotaSize: 300_000 })
    await start(page, withDisk('/disk.img?4'))
    expect([await ask(page, '0'), await ask(page, '3'), await ask(page, '7')]).toEqual(['A', 'D', 'H'])
    await session.send('Storage.overrideQuotaForOrigin', { origin: server.origin })
    expect(await bytes(page)).toBeLessThan(300_000)
  })

  test('may be a snapshot: it goes on without its server', async () => {
    const page = await pages.open(server)
    await start(page, { firmware: '/guest.bin', memoryBytes: 16 << 20, vga: 'none' })
    await type(page, '', 'retrap> ')
    const text = await page.evaluate(async () => {
      const { machine } = globalThis as unknown as Kept
      const file = new Uint8Array(await (await machine.save()).arrayBuffer())
      machine.dispose()
      return btoa(Array.from(file, (byte) => String.fromCharCode(byte)).join(''))
    })
    pages.files.set('far.snapshot', new Uint8Array(Buffer.from(text, 'base64')))
    const options = { snapshot: '/far.snapshot', firmware: '/guest.bin' }
    await start(page, options)
    await type(page, 'echo one\r', '\none\r\nretrap> ')
    const { size } = new Blob([Buffer.from(text, 'base64')])
    // What the guest does not touch comes by and by.
    await expect.poll(() => bytes(page)).toBeGreaterThan(size)
    await released(page)
    isAway = true
    asked = []
    await start(page, options)
    await type(page, 'echo two\r', '\ntwo\r\nretrap> ')
    expect(asked).toEqual([])
  })
})
