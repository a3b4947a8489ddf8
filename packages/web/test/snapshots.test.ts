/** Snapshots in pages of Chromium: back in time, in another page, from a server by ranges, and to and from Node. */
import { sliceTests } from '@retrap/tooling/slice'
import { buildGuestImage } from '@retrap/embedded-guest'
import { createPc, type PcSnapshotSource } from '@retrap/machine'
import { bytesSource, readSnapshot, readSnapshotDescription, writeSnapshot } from '@retrap/snapshot'
import { noBrowser } from '@retrap/tooling/browser'
import type { PageServer } from '@retrap/tooling/page-server'
import type { Page } from 'puppeteer-core'
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest'
import type { Machine, MachineOptions } from '../src/index.ts'
import { diskGuest } from './support/guests.ts'
import { ask, type PageGlobals, Pages, POLICY } from './support/pages.ts'

const test = sliceTests(4)

if (noBrowser !== undefined) console.warn(`SKIPPED: snapshots in pages: ${noBrowser}`)

const MEMORY_BYTES = 16 << 20

/** What expressions of these tests keep in their page. */
interface Kept {
  machine: Machine
  /** Waits for a text at the serial port, after what it was asked for before. */
  until: (word: string) => Promise<string>
}

describe.skipIf(noBrowser !== undefined)('a snapshot in a page', () => {
  let pages: Pages
  let server: PageServer
  const asked: string[] = []
  /** Whether the server of far.snapshot is out of reach. */
  let isOffline = false

  beforeAll(async () => {
    pages = await Pages.start()
    pages.files.set('guest.bin', buildGuestImage())
    pages.files.set('disk.bin', diskGuest())
    server = await pages.serve({
      headers: { 'content-security-policy': POLICY },
      answer: (request) => {
        if (request.url !== '/far.snapshot') return false
        asked.push(String(request.headers.range))
        // What the snapshot says of itself is there, and its RAM is to come.
        if (!isOffline || request.headers.range?.startsWith('bytes=0-') === true) return false
        request.socket.destroy()
        return true
      },
    })
  })
  afterAll(async () => {
    await pages?.close()
  })
  afterEach(() => pages.closePages())

  /** Makes a machine in a page. */
  async function start(page: Page, options: MachineOptions): Promise<void> {
    await page.evaluate(async (given) => {
      const { createMachine, listen } = globalThis as unknown as PageGlobals
      const machine = await createMachine(given)
      Object.assign(globalThis, { machine, until: listen(machine) })
    }, options)
  }

  /** Takes a file out of a page. */
  const take = async (page: Page): Promise<Uint8Array> => {
    const text = await page.evaluate(async () => {
      const { machine } = globalThis as unknown as Kept
      const bytes = new Uint8Array(await (await machine.save()).arrayBuffer())
      let text = ''
      for (const byte of bytes) text += String.fromCharCode(byte)
      return btoa(text)
    })
    return new Uint8Array(Buffer.from(text, 'base64'))
  }

  test('takes a machine back in time, again and again, while it runs and while it is paused', async () => {
    const page = await pages.open(server)
    await start(page, { firmware: 'guest.bin', memoryBytes: MEMORY_BYTES })
    const got = await page.evaluate(async () => {
      const { machine, until } = globalThis as unknown as Kept
      const states: string[] = []
      machine.on('state', (state) => states.push(state))
      const printed: string[] = []
      machine.on('console', (bytes) => printed.push(new TextDecoder().decode(bytes)))
      void machine.run().catch(() => {})
      await until('retrap> ')
      machine.write('echo one\r')
      await until('\none\r\nretrap> ')
      const saved = await machine.save()
      machine.write('echo two\r')
      await until('\ntwo\r\nretrap> ')
      // Made of parts of the first one's file.
      const later = await machine.save()
      await machine.restore(saved)
      machine.write('echo three\r')
      const third = await until('\nthree\r\nretrap> ')
      await machine.pause()
      await machine.restore(saved)
      const still = await machine.statistics()
      const same = (await machine.statistics()).instructions === still.instructions
      void machine.run()
      machine.write('echo four\r')
      const fourth = await until('\nfour\r\nretrap> ')
      const bad = await machine.restore(new Uint8Array(100)).catch((error: Error) => error.message)
      machine.write('echo five\r')
      await until('\nfive\r\nretrap> ')
      await machine.restore(later)
      machine.write('echo six\r')
      await until('\nsix\r\nretrap> ')
      return { states, printed, third, fourth, same, bad, console: machine.console }
    })
    expect(got).toMatchObject({ states: ['running', 'paused', 'running'], same: true, console: null })
    expect(got.printed).toHaveLength(3)
    expect(got.printed[2]).toMatch(/\ntwo\r\nretrap> $/)
    expect(got.printed[0]).toMatch(/\none\r\nretrap> $/)
    expect(got.printed[0]).not.toContain('two')
    expect(got.third).not.toContain('one')
    expect(got.bad).toBe('snapshot: this is no snapshot file: it does not begin as one')
    // The machine's Worker, and one that has made both files; the browser tells a little later that others have ended.
    await expect.poll(() => page.workers().length).toBe(2)
  })

  test('goes on in another page, with its options, from a server that is asked for what the guest needs', async () => {
    const first = await pages.open(server)
    await start(first, { firmware: 'guest.bin', memoryBytes: 64 << 20, cpus: 2 })
    await first.evaluate(async () => {
      const { machine, until } = globalThis as unknown as Kept
      void machine.run().catch(() => {})
      await until('retrap> ')
      machine.write('echo before\r')
      await until('\nbefore\r\nretrap> ')
    })
    pages.files.set('far.snapshot', await take(first))
    const second = await pages.open(server)
    await start(second, { firmware: 'guest.bin', snapshot: 'far.snapshot' })
    const got = await second.evaluate(async () => {
      const { machine, until } = globalThis as unknown as Kept
      const shown = new TextDecoder().decode(machine.console!)
      void machine.run().catch(() => {})
      machine.write('echo after\r')
      const text = await until('\nafter\r\nretrap> ')
      const { vcpus } = await machine.inspect()
      await machine.reset()
      await until('retrap> ')
      return { shown, text, vcpus: vcpus.length }
    })
    expect(got).toMatchObject({ vcpus: 2, text: expect.not.stringContaining('a 64-bit guest') as string })
    expect(got.shown).toMatch(/\nbefore\r\nretrap> $/)
    expect(asked.every((range) => /^bytes=\d+-\d+$/.test(range))).toBe(true)
  })

  test('waits for a server that is out of reach while its RAM comes, says so, and goes on with it', async () => {
    pages.files.set('far.snapshot', await snapshotAtPrompt())
    const page = await pages.open(server)
    isOffline = true
    await page.evaluate(() => {
      const { createMachine } = globalThis as unknown as PageGlobals
      const told: boolean[] = []
      const onProgress = ({ waits = false }): void => void (waits !== told.at(-1) && told.push(waits))
      const options = { firmware: 'guest.bin', snapshot: 'far.snapshot', keepFetched: false, onProgress }
      const making = createMachine(options).catch((error: Error) => error.message)
      Object.assign(globalThis, { told, making })
    })
    const told = (): Promise<unknown> => page.evaluate(() => (globalThis as unknown as { told: boolean[] }).told)
    try {
      await expect.poll(told).toEqual([false, true])
      const before = asked.length
      await expect.poll(() => asked.length).toBeGreaterThan(before)
    } finally {
      isOffline = false
    }
    const printed = await page.evaluate(async () => {
      const machine = await (globalThis as unknown as { making: Promise<Machine | string> }).making
      if (typeof machine === 'string') return machine
      void machine.run().catch(() => {})
      machine.write('echo on\r')
      return new Promise<string>((resolve) => {
        let text = ''
        machine.on('serial', (bytes) => {
          text += new TextDecoder().decode(bytes)
          if (text.includes('\non\r\n')) resolve(text)
        })
      })
    })
    expect(printed).toContain('\non\r\n')
    expect(await told()).toEqual([false, true, false])
  })

  test('has what the guest has written to its disk', async () => {
    const page = await pages.open(server)
    const disk = new Uint8Array(1 << 20).fill(0x41, 0, 512)
    pages.files.set('small.img', disk)
    const drives = [{ source: 'small.img', id: 'root' }]
    await start(page, { firmware: 'disk.bin', vga: 'none', memoryBytes: MEMORY_BYTES, drives })
    await page.evaluate(() => {
      void (globalThis as unknown as Kept).machine.run().catch(() => {})
    })
    expect(await ask(page, '0')).toBe('A')
    expect(await ask(page, 'B')).toBe('.')
    expect(await ask(page, '0')).toBe('B')
    const file = await take(page)
    expect(await readSnapshotDescription(bytesSource(file))).toMatchObject({ writes: ['root'] })
    pages.files.set('written.snapshot', file)
    expect(await ask(page, 'C')).toBe('.')
    expect(await ask(page, '0')).toBe('C')
    await page.evaluate(() => (globalThis as unknown as Kept).machine.restore('written.snapshot'))
    expect(await ask(page, '0')).toBe('B')
    const other = await pages.open(server)
    await start(other, { firmware: 'disk.bin', snapshot: 'written.snapshot', drives })
    const got = await other.evaluate(async () => {
      const { machine, until } = globalThis as unknown as Kept
      void machine.run().catch(() => {})
      machine.write('0')
      return until('B')
    })
    expect(got).toBe('B')
    const refused = await page.evaluate(async () => {
      const { createMachine } = globalThis as unknown as PageGlobals
      const options = { firmware: 'disk.bin', snapshot: 'written.snapshot', drives: [] }
      return createMachine(options).then(
        () => 'made',
        (error: Error) => error.message,
      )
    })
    expect(refused).toBe("snapshot: it has writes to a disk 'root', which this machine has not")
  })

  test('is what Node reads, and goes on with', async () => {
    const page = await pages.open(server)
    await start(page, { firmware: 'guest.bin', memoryBytes: MEMORY_BYTES })
    await page.evaluate(async () => {
      const { machine, until } = globalThis as unknown as Kept
      void machine.run().catch(() => {})
      await until('retrap> ')
    })
    const file = await take(page)
    expect(await readSnapshotDescription(bytesSource(file))).toMatchObject({
      version: 1,
      arguments: ['run', '--memory', '16384K', '--firmware', 'guest.bin'],
    })
    const snapshot = (await readSnapshot(bytesSource(file))) as unknown as PcSnapshotSource
    const options = { memoryBytes: MEMORY_BYTES, firmware: buildGuestImage(), generation: {} }
    const pc = await createPc({ ...options, jit: true, snapshot })
    let text = ''
    pc.serial.onTransmit((bytes) => (text += new TextDecoder().decode(bytes)))
    pc.serial.receive(new TextEncoder().encode('echo in Node\roff\r'))
    expect(await pc.run()).toEqual({ reason: 'power-off' })
    pc.close()
    expect(text).toContain('\nin Node')
  })

  test('may be one of Node', async () => {
    pages.files.set('node.snapshot', await snapshotAtPrompt())
    const page = await pages.open(server)
    await start(page, { firmware: 'guest.bin', snapshot: 'node.snapshot' })
    const text = await page.evaluate(async () => {
      const { machine, until } = globalThis as unknown as Kept
      const ended = machine.run()
      machine.write('echo in a page\roff\r')
      const found = await until('\nin a page')
      return found + (await ended).reason
    })
    expect(text).toMatch(/power-off$/)
  })

  /** The file of a machine of Node at its prompt. */
  async function snapshotAtPrompt(): Promise<Uint8Array> {
    const pc = await createPc({ memoryBytes: MEMORY_BYTES, firmware: buildGuestImage(), jit: true })
    const stop = new AbortController()
    let printed = ''
    pc.serial.onTransmit((bytes) => {
      printed += new TextDecoder().decode(bytes)
      if (printed.includes('retrap> ')) stop.abort()
    })
    await pc.run({ signal: stop.signal })
    const parts: Uint8Array[] = []
    const description = { version: 1, arguments: ['run'], savedAt: '' }
    await writeSnapshot({ description, ...(await pc.save()) }, (bytes) => parts.push(bytes.slice()))
    pc.close()
    return Buffer.concat(parts)
  }

  /** The file of a machine that has not begun, and what the file has beside. */
  async function snapshotOf(memoryBytes: number, about: object = {}, beside: object = {}): Promise<Uint8Array> {
    const pc = await createPc({ memoryBytes, firmware: buildGuestImage(), jit: true })
    const { state, pages: ram } = await pc.save()
    pc.close()
    const parts: Uint8Array[] = []
    const description = { version: 1, arguments: ['run'], savedAt: '', ...about }
    await writeSnapshot({ description, state: { ...state, ...beside }, pages: ram }, (bytes) =>
      parts.push(bytes.slice()),
    )
    return new Uint8Array(Buffer.concat(parts))
  }

  test('of a machine with other memory is refused, and the machine runs on', async () => {
    pages.files.set('other.snapshot', await snapshotOf(2 * MEMORY_BYTES))
    const page = await pages.open(server)
    await start(page, { firmware: 'guest.bin', memoryBytes: MEMORY_BYTES })
    const refused = await page.evaluate(async () => {
      const { machine, until } = globalThis as unknown as Kept
      void machine.run().catch(() => {})
      await until('retrap> ')
      const error = await machine.restore('other.snapshot').then(
        () => 'restored',
        ({ message }: Error) => message,
      )
      machine.write('echo still here\r')
      await until('\nstill here\r\nretrap> ')
      return error
    })
    expect(refused).toBe(
      "snapshot: it is of a machine with 32 MiB, board 'pc', vCPUs: 1; this one has 16 MiB, board 'pc', vCPUs: 1",
    )
  })

  test('that says what no page has written begins all the same', async () => {
    const about = { page: { layout: 'none', images: 1, commandLine: 'kept' } }
    pages.files.set('odd.snapshot', await snapshotOf(MEMORY_BYTES, about, { console: 'text' }))
    const page = await pages.open(server)
    await start(page, { firmware: 'guest.bin', snapshot: 'odd.snapshot' })
    const got = await page.evaluate(async () => {
      const { machine, until } = globalThis as unknown as Kept
      void machine.run().catch(() => {})
      await until('retrap> ')
      return (await machine.save()).size > 0
    })
    expect(got).toBe(true)
  })
})
