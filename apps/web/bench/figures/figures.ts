import { fileURLToPath } from 'node:url'
import { buildGuestImage } from '@retrap/embedded-guest'
import { createPc } from '@retrap/machine'
import { bundlePage } from '@retrap/tooling/bundle'
import { servePages } from '@retrap/tooling/page-server'
import type { createMachine, Machine, startMachineWorker } from '@retrap/web'
import type { Browser, Page } from 'puppeteer-core'
import { family, memoryOf, processorTime } from './processes.ts'
import { computingGuest, redrawingGuest } from './guests.ts'
import { speedOfV86, v86Files } from './v86.ts'

interface Globals {
  readonly createMachine: typeof createMachine
  readonly startMachineWorker: typeof startMachineWorker
  machine: Machine
}

/** How long each figure is measured. */
const MEASURE_MS = 4000
const ROUNDS = 3
const KEYS = 30
const MEMORY_BYTES = 256 << 20
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Instructions a second of the computing guest in Node. */
async function speedInNode(): Promise<number> {
  const pc = await createPc({ memoryBytes: 16 << 20, firmware: computingGuest(), jit: true })
  try {
    await pc.run({ timeoutMs: 1000 })
    const [began, from] = [performance.now(), pc.statistics().instructions]
    await pc.run({ timeoutMs: MEASURE_MS })
    return ((pc.statistics().instructions - from) / (performance.now() - began)) * 1000
  } finally {
    pc.close()
  }
}

/** The same in a page. */
const speedInPage = (page: Page): Promise<number> =>
  page.evaluate(async (ms) => {
    const { createMachine: create } = globalThis as unknown as Globals
    const machine = await create({ firmware: 'computing.bin', memoryBytes: 16 << 20, vga: 'none' })
    void machine.run().catch(() => {})
    const wait = (some: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, some))
    await wait(1000)
    const [from, began] = [(await machine.statistics()).instructions, performance.now()]
    await wait(ms)
    const [to, ended] = [(await machine.statistics()).instructions, performance.now()]
    machine.dispose()
    return ((to - from) / (ended - began)) * 1000
  }, MEASURE_MS)

/** Frames a second that the page is given of the redrawing guest, and the longest task of its main thread. */
const redraw = (page: Page): Promise<{ frames: number; longest: number }> =>
  page.evaluate(async (ms) => {
    const { createMachine: create, startMachineWorker: start } = globalThis as unknown as Globals
    let frames = 0
    const createWorker = (): Worker => {
      const worker = start()
      worker.addEventListener('message', ({ data }) => {
        if ((data as { event?: string }).event === 'frame') frames++
      })
      return worker
    }
    const machine = await create({ firmware: 'redrawing.bin', memoryBytes: 16 << 20, vga: 'std', createWorker })
    const canvas = document.body.appendChild(document.createElement('canvas'))
    machine.attachCanvas(canvas)
    void machine.run().catch(() => {})
    const wait = (some: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, some))
    await wait(2000)
    let longest = 0
    const observer = new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) longest = Math.max(longest, duration)
    })
    observer.observe({ type: 'longtask' })
    frames = 0
    const began = performance.now()
    await wait(ms)
    const seconds = (performance.now() - began) / 1000
    observer.disconnect()
    if (canvas.width !== 1024) throw new Error(`the screen has ${canvas.width} columns: expected 1024`)
    machine.dispose()
    canvas.remove()
    return { frames: frames / seconds, longest }
  }, MEASURE_MS)

/** Brings the embedded guest to its prompt, and leaves it there. */
const startEmbedded = (page: Page): Promise<void> =>
  page.evaluate(async (memoryBytes) => {
    const globals = globalThis as unknown as Globals
    const machine = await globals.createMachine({ firmware: 'guest.bin', memoryBytes, vga: 'none' })
    globals.machine = machine
    let text = ''
    const prompt = new Promise<void>((resolve) => {
      machine.on('serial', (bytes) => {
        text += new TextDecoder().decode(bytes)
        if (text.includes('retrap> ')) resolve()
      })
    })
    void machine.run().catch(() => {})
    await prompt
  }, MEMORY_BYTES)

/** Milliseconds from a key to the frame after its echo, of the embedded guest: sorted. */
const echoes = (page: Page): Promise<number[]> =>
  page.evaluate(async (count) => {
    const { machine } = globalThis as unknown as Globals
    const found: number[] = []
    for (let i = 0; i < count; i++) {
      const began = performance.now()
      await new Promise<void>((resolve) => {
        const stop = machine.on('serial', () => {
          stop()
          requestAnimationFrame(() => resolve())
        })
        machine.write('x')
      })
      found.push(performance.now() - began)
    }
    return found.toSorted((a, b) => a - b)
  }, KEYS)

/** Measures machines in pages, beside one in Node; prints a line for each goal. */
export async function measureMachines(browser: Browser): Promise<void> {
  const files = new Map(await bundlePage(fileURLToPath(new URL('page.ts', import.meta.url))))
  files.set('index.html', '<!doctype html><script type="module" src="page.js"></script>')
  files.set('computing.bin', computingGuest())
  files.set('redrawing.bin', redrawingGuest())
  files.set('guest.bin', buildGuestImage())
  for (const [name, content] of v86Files()) files.set(name, content)
  const isolated = await servePages(files)
  const plain = await servePages(files, { isolated: false })
  const open = async (url: string): Promise<Page> => {
    const page = await browser.newPage()
    await page.goto(url, { waitUntil: 'load' })
    return page
  }
  try {
    const best = { node: 0, page: 0, plain: 0, v86: 0 }
    const [page, plainPage] = [await open(isolated.origin), await open(plain.origin)]
    const v86Page = await open(`${isolated.origin}/v86.html`)
    for (let round = 0; round < ROUNDS; round++) {
      best.node = Math.max(best.node, await speedInNode())
      best.page = Math.max(best.page, await speedInPage(page))
      best.plain = Math.max(best.plain, await speedInPage(plainPage))
      best.v86 = Math.max(best.v86, await speedOfV86(v86Page, MEASURE_MS))
    }
    const million = (value: number): string => `${(value / 1e6).toFixed(0)} million instructions a second`
    console.log(
      `web: ${(best.page / best.node).toFixed(2)} x Node (${million(best.page)}, ${million(best.node)} in Node; goal 0.9)`,
    )
    console.log(`web: ${(best.page / best.v86).toFixed(2)} x v86 in a page (${million(best.v86)})`)
    console.log(`web: ${(best.plain / best.page).toFixed(2)} x isolated, without isolation (goal 0.8)`)
    const { frames, longest } = await redraw(page)
    console.log(`web: ${(frames / 60).toFixed(2)} x 60 frames a second of 1024×768 (${frames.toFixed(1)}; goal 1)`)
    console.log(
      `web: ${(longest / 50).toFixed(2)} x 50 ms: the longest task of the main thread meanwhile (${longest.toFixed(0)} ms; goal 1)`,
    )
    await page.close()
    await plainPage.close()
    await v86Page.close()
    const pid = browser.process()?.pid ?? 0
    const empty = await open(isolated.origin)
    const before = memoryOf(family(pid))
    await startEmbedded(empty)
    await pause(MEASURE_MS)
    const pids = family(pid)
    const [from, began] = [processorTime(pids), performance.now()]
    await pause(MEASURE_MS)
    const share = (processorTime(pids) - from) / ((performance.now() - began) / 1000)
    console.log(
      `web: ${(share / 0.02).toFixed(2)} x 2 % of a core, idle (${(share * 100).toFixed(2)} %, all of the browser)`,
    )
    const more = memoryOf(pids) - before
    console.log(
      `web: ${(more / (MEMORY_BYTES + 200e6)).toFixed(2)} x guest RAM and 200 MB (${(more / 1e6).toFixed(0)} MB more with a guest of ${MEMORY_BYTES / 2 ** 20} MiB, of which it touches little)`,
    )
    const times = await echoes(empty)
    const middle = times[times.length >> 1]!
    console.log(
      `web: ${(middle / 50).toFixed(2)} x 50 ms from key to frame (median ${middle.toFixed(1)}, worst ${times.at(-1)!.toFixed(1)})`,
    )
    await empty.close()
  } finally {
    isolated.close()
    plain.close()
  }
}
