/** Disks whose writes the browser keeps: after the tab is closed, in one machine at a time, over one image, until it is full. */
import { sliceTests } from '@retrap/tooling/slice'
import { MemoryStorage, Qcow2Image, RawImage } from '@retrap/block'
import { noBrowser } from '@retrap/tooling/browser'
import type { PageServer } from '@retrap/tooling/page-server'
import type { Page } from 'puppeteer-core'
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest'
import type { Machine } from '../src/index.ts'
import { diskGuest } from './support/guests.ts'
import { ask, type PageGlobals, Pages, POLICY } from './support/pages.ts'

const test = sliceTests(3)

if (noBrowser !== undefined) console.warn(`SKIPPED: kept disks in pages: ${noBrowser}`)

const DISK_BYTES = 8 << 20
/** More than a qcow2 image has room for. */
const HUGE_BYTES = 2 ** 52
const DISK = new Uint8Array(DISK_BYTES).fill(0x41)

/** What expressions of these tests keep in their page. */
interface Kept {
  machine: Machine
  warnings: string[]
}

describe.skipIf(noBrowser !== undefined)('a disk that is kept', () => {
  let pages: Pages
  let server: PageServer
  let tag = '"one"'

  beforeAll(async () => {
    pages = await Pages.start()
    pages.files.set('disk.bin', diskGuest())
    server = await pages.serve({
      headers: { 'content-security-policy': POLICY },
      answer: (request, response) => {
        const [, name] = /^\/(disk|huge)\.img(\?.*)?$/.exec(request.url ?? '') ?? []
        if (name === undefined) return false
        const [, first, last] = /bytes=(\d+)-(\d+)/.exec(String(request.headers.range)) ?? []
        const bytes = name === 'huge' ? HUGE_BYTES : DISK_BYTES
        response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${bytes}`, etag: tag })
        response.end(DISK.subarray(Number(first), Number(last) + 1))
        return true
      },
    })
  })
  afterAll(() => pages?.close())
  afterEach(() => pages.closePages())

  /** Makes a machine in a page. @returns why there is none; null: it runs */
  const start = (page: Page, keep: string, snapshot?: string, source = '/disk.img'): Promise<string | null> =>
    page.evaluate(
      async (name, from, image) => {
        const { createMachine } = globalThis as unknown as PageGlobals
        const options = { firmware: '/disk.bin', vga: 'none', memoryBytes: 16 << 20 } as const
        const drives = [{ source: image, keep: name }]
        const machine = await createMachine({ ...options, drives, ...(from !== null && { snapshot: from }) }).catch(
          (error: Error) => error,
        )
        if (machine instanceof Error) return machine.message
        const warnings: string[] = []
        machine.on('warning', (message) => warnings.push(message))
        void machine.run().catch(() => {})
        Object.assign(globalThis, { machine, warnings })
        return null
      },
      keep,
      snapshot ?? null,
      source,
    )
  /** Does something with kept disks in a page. @returns the message of an error */
  const attempt = (page: Page, call: 'deleteKeptDisk' | 'exportKeptDisk', name: string): Promise<string> =>
    page.evaluate(
      (which, disk) =>
        (globalThis as unknown as PageGlobals)[which](disk).then(
          () => 'done',
          ({ message }: Error) => message,
        ),
      call,
      name,
    )
  const listed = (page: Page) =>
    page.evaluate(async () => {
      const all = await (globalThis as unknown as PageGlobals).keptDisks()
      return all.map(({ name, source }) => `${name} ${source?.replace(/^http:..[^/]*/, '')}`)
    })

  test('has what was written after its tab was closed; one machine at a time has it', async () => {
    const first = await pages.open(server)
    expect(await start(first, 'mine')).toBeNull()
    expect([await ask(first, '0'), await ask(first, 'B'), await ask(first, '0')]).toEqual(['A', '.', 'B'])
    const second = await pages.open(server)
    expect(await start(second, 'mine')).toBe(
      "disk0: the kept disk 'mine': another machine, of this or another tab, has it: close that machine, or do not keep this one",
    )
    await first.evaluate(() => void (document.title = 'Debian of mine'))
    expect(await start(second, 'mine')).toMatch(
      /^disk0: the kept disk 'mine': the machine of the tab 'Debian of mine' has it, since [^ ]*\d.*: close it, or do not keep this one$/,
    )
    expect(await attempt(second, 'deleteKeptDisk', 'mine')).toMatch(/a machine of this or another tab has it/)
    expect(await start(second, 'other')).toBeNull()
    expect(await ask(second, '0')).toBe('A')
    expect(await listed(second)).toEqual(['mine /disk.img', 'other /disk.img'])
    await first.close()
    await second.close()
    const third = await pages.open(server)
    // The browser gives up a closed tab's files a little later.
    await expect.poll(() => start(third, 'mine')).toBeNull()
    expect([await ask(third, '0'), await ask(third, '2')]).toEqual(['B', 'A'])
    expect(
      await third.evaluate(() => (globalThis as unknown as Kept).machine.save().catch(({ message }: Error) => message)),
    ).toMatch(/^disk0 is kept, and a machine with a kept disk has no snapshots/)
  })

  test('belongs to its image: another one on the server is refused', async () => {
    const page = await pages.open(server)
    expect(await start(page, 'over')).toBeNull()
    expect(await ask(page, 'B')).toBe('.')
    await page.evaluate(() => (globalThis as unknown as Kept).machine.dispose())
    tag = '"two"'
    const refused = "disk0: the kept disk 'over' has what was written to http"
    await expect.poll(() => start(page, 'over')).toContain(refused)
    tag = '"one"'
    expect(await start(page, 'over')).toBeNull()
    expect(await ask(page, '0')).toBe('B')
  })

  test('may have an address with a long signature; one that cannot be made leaves nothing', async () => {
    const page = await pages.open(server)
    expect(await start(page, 'long', undefined, `/disk.img?${'s'.repeat(1500)}`)).toBeNull()
    expect(await start(page, 'huge', undefined, '/huge.img')).toContain('too many for clusters')
    const names = (await listed(page)).map((text) => text.split(' ')[0])
    expect(names).toContain('long')
    expect(names).not.toContain('huge')
  })

  test('goes out as a qcow2 image, and comes in again by another name', async () => {
    const page = await pages.open(server)
    expect(await start(page, 'out')).toBeNull()
    expect(await ask(page, 'C')).toBe('.')
    await page.evaluate(() => (globalThis as unknown as Kept).machine.dispose())
    const text = await page.evaluate(async () => {
      const file = await (globalThis as unknown as PageGlobals).exportKeptDisk('out')
      await (globalThis as unknown as PageGlobals).importKeptDisk('Größe-日本', file)
      let bytes = ''
      for (const byte of new Uint8Array(await file.arrayBuffer())) bytes += String.fromCharCode(byte)
      return `${file.name} ${btoa(bytes)}`
    })
    const [name, content] = text.split(' ')
    expect(name).toBe('out.qcow2')
    const image = await Qcow2Image.open(new MemoryStorage(Buffer.from(content!, 'base64')), {
      openBacking: async ({ name: below }) => {
        expect(below).toBe(`${server.origin}/disk.img`)
        return new RawImage(new MemoryStorage(DISK, { readOnly: true }), { readOnly: true })
      },
    })
    const sectors = new Uint8Array(1024)
    await image.read(0, sectors)
    expect([sectors[0], sectors[511], sectors[512]]).toEqual([0x43, 0x43, 0x41])
    // Its file says what it lies over.
    expect(await listed(page)).toContain('Größe-日本 /disk.img')
    expect(await start(page, 'Größe-日本')).toBeNull()
    expect(await ask(page, '0')).toBe('C')
    await expect.poll(() => attempt(page, 'deleteKeptDisk', 'out')).toBe('done')
    expect(await listed(page)).not.toContain('out /disk.img')
    expect(await attempt(page, 'exportKeptDisk', 'out')).toMatch(/cannot be read: there is none of this name/)
    expect(await start(page, '../up')).toMatch(/^keep '..\/up': expected 1 to 100 letters/)
  })

  test('that finds no room is an I/O error of the guest; what was acknowledged stays', async () => {
    const page = await pages.open(server)
    expect(await start(page, 'full')).toBeNull()
    const session = await page.createCDPSession()
    const quota = async (quotaSize?: number): Promise<void> => {
      await session.send('Storage.overrideQuotaForOrigin', {
        origin: server.origin,
        ...(quotaSize !== undefined && { quotaSize }),
      })
    }
    expect(await ask(page, 'a')).toBe('.')
    await quota(1)
    // A browser lets a file grow by some more that it has set aside.
    const answers: string[] = []
    while (answers.length < 25 && answers.at(-1) !== '!')
      answers.push(await ask(page, String.fromCharCode(0x62 + answers.length)))
    expect(answers.at(-1)).toBe('!')
    expect(await page.evaluate(() => (globalThis as unknown as Kept).warnings)).toContainEqual(
      expect.stringMatching(/^disk0: what the guest has written is not kept: /),
    )
    for (const [i, answer] of ['.', ...answers].slice(0, 9).entries())
      expect(await ask(page, String(i + 1))).toBe(answer === '.' ? String.fromCharCode(0x61 + i) : 'A')
    await quota()
    expect(await ask(page, String.fromCharCode(0x61 + answers.length))).toBe('.')
  })
})
