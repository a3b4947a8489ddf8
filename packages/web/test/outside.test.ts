/** What a machine in a page meets the outside by: its screen, keys, disks from elsewhere, terminal and element. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { buildGuestImage } from '@retrap/embedded-guest'
import { noBrowser } from '@retrap/tooling/browser'
import { sliceTests } from '@retrap/tooling/slice'
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest'
import { diskGuest, drawingGuest } from './support/guests.ts'
import type { Machine, MachineElement } from '../src/index.ts'
import { ask, type PageGlobals, Pages, POLICY } from './support/pages.ts'

const test = sliceTests(4)

const DISK_BYTES = 2 << 20
/** Each 128 KiB of it are a letter: `A`, `B` and so on. */
const DISK = Uint8Array.from({ length: DISK_BYTES }, (_, i) => 0x41 + (i >> 17))
const headers = { 'content-security-policy': POLICY }

describe.skipIf(noBrowser !== undefined)('outside a machine in a page', () => {
  let pages: Pages

  beforeAll(async () => {
    pages = await Pages.start()
    pages.files.set('drawing.bin', drawingGuest()).set('disk.bin', diskGuest()).set('disk.img', DISK)
    pages.files.set('guest.bin', buildGuestImage())
  })
  afterAll(() => pages?.close())
  afterEach(() => pages.closePages())

  for (const transport of ['shared', 'messages'] as const)
    test(`a canvas shows the picture, and its keys reach the guest, by ${transport}`, async () => {
      const said: string[] = []
      const page = await pages.open(await pages.serve({ headers }), said)
      await page.evaluate(async (by) => {
        const { createMachine } = globalThis as unknown as PageGlobals
        const canvas = document.createElement('canvas')
        canvas.tabIndex = 0
        document.body.append(canvas)
        const machine = await createMachine({
          firmware: '/drawing.bin',
          vga: 'std',
          memoryBytes: 16 << 20,
          transport: by,
        })
        machine.attachCanvas(canvas)
        const codes: number[] = []
        machine.on('serial', (bytes) => codes.push(...bytes))
        void machine.run().catch(() => {})
        Object.assign(globalThis, { codes, canvas, machine })
      }, transport)
      const picture = (): Promise<unknown> =>
        page.evaluate(() => {
          const { canvas } = globalThis as unknown as { canvas: HTMLCanvasElement }
          const at = (x: number, y: number): string =>
            [...canvas.getContext('2d')!.getImageData(x, y, 1, 1).data].join(' ')
          return [canvas.width, canvas.height, at(99, 0), at(100, 0), at(0, 1)]
        })
      await expect.poll(picture).toEqual([320, 240, '255 255 255 255', '0 0 0 255', '0 0 0 255'])
      await page.focus('canvas')
      await page.keyboard.press('a')
      // Set 1: A goes down, and up.
      await expect
        .poll(() => page.evaluate(() => (globalThis as unknown as { codes: number[] }).codes))
        .toEqual([0x64, 0x1e, 0x9e])
      await expect.poll(picture).toEqual([320, 240, '255 255 255 255', '0 0 0 255', '0 0 255 255'])
      // The test itself reads pixels back.
      expect(said.filter((line) => !line.startsWith('Canvas2D:'))).toEqual([])
    })

  /** Opens a page whose machine has the disk from a server that answers in its own way. */
  async function withDisk(answer: (request: IncomingMessage, response: ServerResponse) => boolean) {
    const server = await pages.serve({
      headers,
      answer: (request, response) => request.url === '/disk.img' && answer(request, response),
    })
    const page = await pages.open(server)
    const refused = await page.evaluate(async () => {
      const { createMachine } = globalThis as unknown as PageGlobals
      const warnings: string[] = []
      let told = 0
      const machine = await createMachine({
        firmware: '/disk.bin',
        vga: 'none',
        memoryBytes: 16 << 20,
        drives: [{ source: '/disk.img' }],
        onProgress: ({ image, loadedBytes }) => {
          if (image === 'disk0') told = loadedBytes
        },
      }).catch((error: Error) => error)
      if (machine instanceof Error) return machine.message
      machine.on('warning', (message) => warnings.push(message))
      void machine.run().catch(() => {})
      Object.assign(globalThis, { machine, warnings, told: () => told })
      return null
    })
    const read = (digit: string): Promise<string> => ask(page, digit)
    const told = () => page.evaluate(() => (globalThis as unknown as { told(): number }).told())
    const warnings = () => page.evaluate(() => (globalThis as unknown as { warnings: string[] }).warnings)
    return { page, refused: refused?.replace(/http:\/\/[^/]*/, ''), read, told, warnings }
  }

  test('a disk is read from its server by and by; a guest sees an I/O error where it is cut off, and the page why', async () => {
    let breaks = false
    const asked: string[] = []
    const { refused, read, told, warnings } = await withDisk((request, response) => {
      asked.push(String(request.headers.range))
      if (!breaks) return false
      const [, first, last] = /bytes=(\d+)-(\d+)/.exec(String(request.headers.range)) ?? []
      const range = `bytes ${first}-${last}/${DISK_BYTES}`
      response.writeHead(206, { 'content-range': range, 'content-length': 262_144, etag: `"${DISK_BYTES}"` })
      response.write(new Uint8Array(1000), () => response.destroy())
      return true
    })
    expect(refused).toBeUndefined()
    expect([await read('0'), await read('4')]).toEqual(['A', 'E'])
    // Chromium may ask for the first byte twice.
    expect([...new Set(asked)]).toEqual(['bytes=0-0', 'bytes=0-262143', 'bytes=524288-786431'])
    expect(await told()).toBe(2 * 262_144)
    breaks = true
    expect(await read('8')).toBe('!')
    expect(await warnings()).toEqual([expect.stringMatching(/^disk0: http.*\/disk\.img: TypeError: network error$/)])
    // Nothing is lost: once the server is well again, the guest's next attempt succeeds.
    breaks = false
    expect(await read('8')).toBe('I')
  })

  test('a slow disk holds up the guest alone: its request and the vCPU that waits for it are seen', async () => {
    const { page, read } = await withDisk(() => false)
    expect(await read('0')).toBe('A')
    await page.evaluate(() => (globalThis as unknown as { machine: Machine }).machine.setDiskDelay(1500))
    const slow = read('4')
    const inspect = () =>
      page.evaluate(async () => {
        const { vcpus, requests } = await (globalThis as unknown as { machine: Machine }).machine.inspect()
        return {
          vcpus: vcpus.map(({ mode, address, bytes, idle }) => [mode, String(address >> 16n), bytes.length, idle]),
          requests: requests.map(({ drive, offset, ms }) => [drive, offset, ms < 10_000]),
        }
      })
    // The guest polls the drive's status by 16-bit code below 4 GiB, where a processor starts.
    await expect.poll(inspect).toEqual({
      vcpus: [[16, String(0xffff), 64, false]],
      requests: [['disk0', 4 << 17, true]],
    })
    expect(await slow).toBe('E')
    expect((await inspect()).requests).toEqual([])
  })

  test('a disk that changes on its server is an I/O error of the guest, and never a mixture', async () => {
    let tag = '"one"'
    const { read, warnings } = await withDisk((request, response) => {
      const [, first, last] = /bytes=(\d+)-(\d+)/.exec(String(request.headers.range)) ?? []
      response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${DISK_BYTES}`, etag: tag })
      response.end(DISK.subarray(Number(first), Number(last) + 1))
      return true
    })
    expect(await read('0')).toBe('A')
    tag = '"two"'
    expect(await read('4')).toBe('!')
    expect(await warnings()).toEqual([expect.stringContaining('it has changed on the server')])
  })

  test('of a server that ignores ranges a small file is read whole, and a large one is refused', async () => {
    let bytes = DISK_BYTES
    const ignore = (_: unknown, response: ServerResponse): boolean => {
      response.writeHead(200, { 'content-length': bytes }).end(DISK)
      return true
    }
    const { read, refused: none } = await withDisk(ignore)
    expect([none, await read('0'), await read('4')]).toEqual([undefined, 'A', 'E'])
    bytes = (64 << 20) + 1
    const { refused } = await withDisk(ignore)
    expect(refused).toMatch(/does not answer requests for a range, and the file has 67108865 bytes: expected such a/)
  })

  test('a file that is cut off goes on where it stopped, if it is still the same', async () => {
    const asked: (string | undefined)[] = []
    const guest = drawingGuest()
    const server = await pages.serve({
      headers,
      answer: (request, response) => {
        if (request.url !== '/cut.bin') return false
        asked.push(request.headers.range)
        const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0)
        // The cache of a browser asks for parts by itself, and goes on where the answer broke.
        const length = { 'content-length': guest.length - from, etag: '"guest"', 'cache-control': 'no-store' }
        response.writeHead(from === 0 ? 200 : 206, length)
        response.write(guest.subarray(from, from + 30_000), () => {
          if (from + 30_000 >= guest.length) response.end()
          else setTimeout(() => response.destroy(), 500)
        })
        return true
      },
    })
    const page = await pages.open(server)
    const progress = await page.evaluate(async () => {
      const { createMachine } = globalThis as unknown as PageGlobals
      let last = {}
      const machine = await createMachine({
        firmware: '/cut.bin',
        memoryBytes: 16 << 20,
        onProgress: (now) => (last = now),
      })
      machine.dispose()
      return last
    })
    expect(progress).toEqual({ image: 'firmware', loadedBytes: guest.length, totalBytes: guest.length })
    // A busy page may not have read all that was sent when the connection broke: it asks once more, from where it is,
    // and from the start if it had nothing.
    expect(asked.length).toBeGreaterThanOrEqual(3)
    const [first, ...others] = asked
    expect(first).toBeUndefined()
    const places = others.map((range) => Number(/^bytes=(\d+)-$/.exec(range ?? 'bytes=0-')?.[1]))
    expect(places.at(-1)).toBeGreaterThan(0)
    for (const [i, place] of places.entries()) expect(place).toBeGreaterThanOrEqual(places[i - 1] ?? 0)
  })

  test('a disk of a File keeps in memory what is written; disks of bytes and files are read', async () => {
    const page = await pages.open(await pages.serve({ headers }))
    const got = await page.evaluate(async () => {
      const { createMachine, listen } = globalThis as unknown as PageGlobals
      const bytes = await fetch('/disk.img').then((response) => response.arrayBuffer())
      const sources = [new File([bytes], 'disk.img'), bytes, new Uint8Array(bytes)]
      return Promise.all(
        sources.map(async (source) => {
          const machine = await createMachine({
            firmware: '/disk.bin',
            vga: 'none',
            memoryBytes: 16 << 20,
            drives: [{ source }],
          })
          const said = listen(machine)('G')
          void machine.run().catch(() => {})
          machine.write('6')
          const text = await said
          machine.dispose()
          return text
        }),
      )
    })
    expect(got).toEqual(['rG', 'rG', 'rG'])
  })

  test('the element runs a machine, shows its text, takes keys, and ends it when it goes', async () => {
    const said: string[] = []
    const page = await pages.open(await pages.serve({ headers }), said)
    await page.evaluate(() => {
      document.body.innerHTML = '<retrap-machine firmware="guest.bin" memory="16M" autostart></retrap-machine>'
    })
    const text = (): Promise<string> =>
      page.evaluate(() => document.querySelector('retrap-machine')?.shadowRoot?.querySelector('pre')?.textContent ?? '')
    await expect.poll(text).toMatch(/retrap> $/)
    await page.evaluate(() => document.querySelector('retrap-machine')!.shadowRoot!.querySelector('pre')!.focus())
    await page.keyboard.type('echx')
    await page.keyboard.press('Backspace')
    await page.keyboard.type('o by hand\n')
    await expect.poll(text).toMatch(/retrap> echo by hand\nby hand\nretrap> $/)
    const state = (): Promise<string | undefined> =>
      page.evaluate(() => document.querySelector<MachineElement>('retrap-machine')!.machine?.state)
    await page.evaluate(() => document.querySelector<MachineElement>('retrap-machine')!.pause())
    await expect.poll(state).toBe('paused')
    const bytes = await page.evaluate(async () => {
      const file = await document.querySelector<MachineElement>('retrap-machine')!.machine!.save()
      return [...new Uint8Array(await file.arrayBuffer())]
    })
    await page.evaluate(() => document.querySelector<MachineElement>('retrap-machine')!.start())
    await expect.poll(state).toBe('running')
    // What was saved while it was paused is not started by itself.
    pages.files.set('paused.snapshot', Uint8Array.from(bytes))
    await page.evaluate(() => {
      document.body.innerHTML =
        '<retrap-machine firmware="guest.bin" memory="16M" snapshot="paused.snapshot" autostart></retrap-machine>'
    })
    await expect.poll(state).toBe('paused')
    await page.evaluate(() => document.querySelector<MachineElement>('retrap-machine')!.start())
    await expect.poll(state).toBe('running')
    await page.evaluate(() => document.querySelector('retrap-machine')!.remove())
    await expect.poll(() => page.workers().length).toBe(0)
    // One that is told to start before it is made runs as soon as it is.
    await page.evaluate(() => {
      document.body.innerHTML =
        '<retrap-machine firmware="guest.bin" memory="16M" vga="none" jit="off"></retrap-machine>'
      document.querySelector<MachineElement>('retrap-machine')!.start()
    })
    await expect.poll(text).toMatch(/retrap> $/)
    expect(said).toEqual([])
  })
})
