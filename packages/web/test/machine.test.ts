/** A machine in pages of Chromium: isolated and not, with its Worker, terminal, screen, images and end. */
import { gzipSync } from 'node:zlib'
import { sliceTests } from '@retrap/tooling/slice'
import { noBrowser } from '@retrap/tooling/browser'
import type { MachineExit } from '@retrap/machine'
import type { PageServer } from '@retrap/tooling/page-server'
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest'
import type { Machine } from '../src/index.ts'
import { pairGuest } from './support/guests.ts'
import { type PageGlobals, Pages, POLICY } from './support/pages.ts'

const test = sliceTests(4)

if (noBrowser !== undefined) console.warn(`SKIPPED: machines in pages: ${noBrowser}`)

describe.skipIf(noBrowser !== undefined)('a machine in a page', () => {
  let pages: Pages
  let isolated: PageServer
  let plain: PageServer

  beforeAll(async () => {
    pages = await Pages.start()
    pages.files.set('pair.bin.gz', gzipSync(pairGuest()))
    isolated = await pages.serve({ headers: { 'content-security-policy': POLICY } })
    plain = await pages.serve({ isolated: false })
  })
  afterAll(() => pages?.close())
  afterEach(() => pages.closePages())

  const NOT_ISOLATED = 'The processors take turns: this page is not cross-origin isolated.'
  for (const [kind, pair, turns] of [
    ['isolated', /^n?t.*x$/, null],
    ['not isolated', /^nx$/, NOT_ISOLATED],
  ] as const)
    test(`boots the embedded guest, and talks to it, in a page that is ${kind}`, async () => {
      const said: string[] = []
      const page = await pages.open(kind === 'isolated' ? isolated : plain, said)
      const got = await page.evaluate(async () => {
        const { createMachine, guestImage, listen } = globalThis as unknown as PageGlobals
        const states: string[] = []
        const machine = await createMachine({ firmware: guestImage, memoryBytes: 16 << 20 })
        machine.on('state', (state) => states.push(state))
        const until = listen(machine)
        const ended = machine.run()
        const text = await until('retrap> ')
        machine.write('echo it works\r')
        await until('\nit works')
        await machine.pause()
        const paused = machine.state
        const { instructions } = await machine.statistics()
        const same = (await machine.statistics()).instructions === instructions
        const again = machine.run()
        machine.write('off\r')
        const exit = await ended
        const exitAgain = await again
        machine.dispose()
        const two = await createMachine({ firmware: '/pair.bin.gz#gzip', memoryBytes: 16 << 20, cpus: 2 })
        const hear = listen(two)
        void two.run().catch(() => {})
        const first = await hear(crossOriginIsolated ? 't' : 'n')
        two.write('x')
        const said = first + (await hear('x'))
        const began = performance.now()
        await two.pause()
        const pair = said + (performance.now() - began < 20_000 ? '' : ' stops slowly')
        return { isolated: crossOriginIsolated, text, states, paused, same, exit, exitAgain, pair, turns: two.turns }
      })
      expect(got).toMatchObject({
        pair: expect.stringMatching(pair) as string,
        turns,
        isolated: kind === 'isolated',
        text: expect.stringContaining('a 64-bit guest') as string,
        states: ['running', 'paused', 'running', 'off'],
        paused: 'paused',
        same: true,
        exit: { reason: 'power-off' },
        exitAgain: { reason: 'power-off' },
      })
      // The machine's own and its compiler, or those of two vCPUs as well.
      expect(page.workers().length > 2).toBe(kind === 'isolated')
      expect(said.filter((line) => !line.startsWith('retrap: this page is not cross-origin isolated'))).toEqual([])
      expect(said.length).toBe(kind === 'isolated' ? 0 : 1)
    })

  test('leaves no Worker behind, wherever it is disposed; several live beside each other', async () => {
    const page = await pages.open(isolated)
    const result = await page.evaluate(async () => {
      const { createMachine, guestImage } = globalThis as unknown as PageGlobals
      const options = { firmware: guestImage, memoryBytes: 16 << 20 }
      const [one, two] = await Promise.all([createMachine(options), createMachine(options)])
      const words = await Promise.all(
        [one, two].map((machine) => {
          const said = new Promise<string>((resolve) =>
            machine.on('serial', (bytes) => resolve(String(bytes.length > 0))),
          )
          void machine.run().catch(() => {})
          return said
        }),
      )
      const running = one.run().catch((error: { code: string }) => error.code)
      one.dispose()
      const call = await one.statistics().catch((error: { code: string }) => error.code)
      const alive = (await two.statistics()).instructions > 0
      two.dispose()
      const control = new AbortController()
      const third = createMachine({ ...options, signal: control.signal }).catch((error: Error) => error.name)
      control.abort()
      return { words, running: await running, call, alive, third: await third }
    })
    expect(result).toEqual({
      words: ['true', 'true'],
      running: 'ERR_DISPOSED',
      call: 'ERR_DISPOSED',
      alive: true,
      third: 'AbortError',
    })
    await expect.poll(() => page.workers().length).toBe(0)
  })

  test.each([
    { what: 'the browser ends', end: () => self.close(), why: 'the browser has ended the Worker of the machine' },
    {
      what: 'has lost an error',
      // Rejections of a debugger's scripts are nobody's: the browser tells of those of the Worker's own.
      end: () => {
        const reason = new Error('lost')
        self.dispatchEvent(new PromiseRejectionEvent('unhandledrejection', { reason, promise: Promise.resolve() }))
      },
      why: /has failed: .*lost/,
    },
  ])('is off when its Worker is one that $what', async ({ end, why }) => {
    const page = await pages.open(isolated)
    await page.evaluate(async () => {
      const { createMachine, guestImage } = globalThis as unknown as PageGlobals
      const machine = await createMachine({ firmware: guestImage, memoryBytes: 16 << 20 })
      const printed = new Promise((resolve) => machine.on('serial', resolve))
      Object.assign(globalThis, { machine, exit: machine.run() })
      await printed
    })
    await page.workers()[0]!.evaluate(end)
    const result = await page.evaluate(async () => {
      const { machine, exit } = globalThis as unknown as { machine: Machine; exit: Promise<MachineExit> }
      const { reason, detail } = await exit
      return { state: machine.state, reason, why: detail?.message }
    })
    expect(result).toEqual({ state: 'off', reason: 'internal-error', why: expect.stringMatching(why) as string })
  })

  test('is switched on again after its end, and starts anew by its reset button', async () => {
    const page = await pages.open(isolated)
    const banners = await page.evaluate(async () => {
      const { createMachine, guestImage, listen } = globalThis as unknown as PageGlobals
      const machine = await createMachine({ firmware: guestImage, memoryBytes: 16 << 20 })
      const until = listen(machine)
      const ended = machine.run()
      let text = await until('retrap> ')
      await machine.reset()
      text += await until('retrap> ')
      machine.write('off\r')
      await ended
      void machine.run().catch(() => {})
      text += await until('retrap> ')
      machine.dispose()
      return text.split('a 64-bit guest').length - 1
    })
    expect(banners).toBe(3)
  })

  test('says what is wrong with its options and images', async () => {
    const page = await pages.open(isolated)
    const errors = await page.evaluate(async () => {
      const { createMachine, guestImage } = globalThis as unknown as PageGlobals
      const attempts: Parameters<typeof createMachine>[0][] = [
        {},
        { firmware: guestImage, memoryBytes: 1000 },
        { kernel: 'no-such-kernel' },
        { kernel: new Uint8Array(100) },
        { kernel: 'http://[' },
        { firmware: guestImage, createWorker: () => new Worker('/no-such-worker.js', { type: 'module' }) },
      ]
      return Promise.all(
        attempts.map((options) =>
          createMachine(options).then(
            () => 'no error',
            (error: { name: string; code: string; message: string }) => `${error.name} ${error.code}: ${error.message}`,
          ),
        ),
      )
    })
    expect(errors.map((error) => error.replace(/http:\/\/127[^/]*/, 'ORIGIN'))).toMatchInlineSnapshot(`
      [
        "WebError ERR_OPTION: neither a kernel nor a firmware image was given",
        "WebError ERR_OPTION: memory size: 1000 bytes, expected whole 4 KiB pages, at least 1 MiB",
        "WebError ERR_SOURCE: kernel: ORIGIN/no-such-kernel: the server answers with status 404",
        "WebError ERR_OPTION: kernel: a file of 100 bytes of no known format, expected a Linux bzImage, an ELF file with a PVH note, or a multiboot image",
        "WebError ERR_OPTION: kernel 'http://[': expected an address",
        "WebError ERR_WORKER: the machine's Worker has failed: its program cannot be loaded",
      ]
    `)
  })
})
