/**
 * The site in Chromium: `npm run -s bench -- web`. What a browser loads from the start page to the prompt of the embedded guest,
 * compressed; and how long it takes from the click to the first output in the terminal, for a user who has read the page, whose
 * Worker is ready then, and for one who clicks at once. Each start is a page of its own. Then the speed of guests, of the screen
 * and of keys, and what an idle guest takes. The host's load is printed first: nearly all figures are of the wall clock.
 * @programs: chromium-headless-shell firefox-esr
 */
import { globSync, readFileSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliCompressSync, constants } from 'node:zlib'
import { launchBrowser } from '@retrap/tooling/browser'
import { servePages } from '@retrap/tooling/page-server'
import type { Browser, HTTPRequest, Page } from 'puppeteer-core'
import { measureMachines } from './figures/figures.ts'
import { family, processorTime } from './figures/processes.ts'
import { v86Bytes } from './figures/v86.ts'

const ROUNDS = 9
/** Of starts by a user who clicks at once. */
const HASTY_ROUNDS = 5
const GOAL_BYTES = 400_000
const GOAL_MS = 500
/** For a user who clicks at once. */
const GOAL_HASTY_MS = 700
/** Of processor time a second, of all of the browser. */
const GOAL_IDLE_MS = 40
const [SETTLING_MS, IDLE_MS] = [15_000, 10_000]
const folder = fileURLToPath(new URL('../dist', import.meta.url))

/** Waits until the Worker of a page has done what it does at its start: by a timer behind its own. */
const ready = (page: Page): Promise<unknown> =>
  Promise.all(
    page.workers().map((worker) => worker.evaluate(() => new Promise<void>((resolve) => setTimeout(resolve)))),
  )

/** Starts the embedded guest. @param isRead - the user has read the page first @returns milliseconds from the click to the first output, and to the prompt */
async function start(
  browser: Browser,
  url: string,
  isRead: boolean,
  loaded: (path: string) => void,
): Promise<[number, number]> {
  const page = await browser.newPage()
  const onRequest = (request: HTTPRequest): void => loaded(new URL(request.url()).pathname)
  page.on('request', onRequest)
  await page.goto(url, { waitUntil: 'networkidle0' })
  if (isRead) await ready(page)
  const times = await page.evaluate(
    () =>
      new Promise<[number, number]>((resolve) => {
        const button = document.querySelector<HTMLButtonElement>('button.primary')!
        const began = performance.now()
        let first = 0
        const look = (): void => {
          const text = document.querySelector('.xterm-rows')?.textContent ?? ''
          if (first === 0 && text.trim() !== '') first = performance.now() - began
          if (text.includes('retrap> ')) resolve([first, performance.now() - began])
          else requestAnimationFrame(look)
        }
        button.click()
        look()
      }),
  )
  // A page that is closed saves its machine: that is no part of the start.
  page.off('request', onRequest)
  await page.close()
  return times
}

/** Milliseconds of processor time a second that the browser uses while the page of the embedded guest stands at its prompt. */
async function idle(browser: Browser, url: string): Promise<number> {
  const page = await browser.newPage()
  await page.setViewport({ width: 1366, height: 768 })
  await page.goto(url, { waitUntil: 'load' })
  await page.click('button.primary')
  await page.waitForSelector('.instrument .signs')
  // What is done once, such as keeping the machine, is over.
  await sleep(SETTLING_MS)
  const pids = family(browser.process()?.pid ?? 0)
  const [from, began] = [processorTime(pids), performance.now()]
  await sleep(IDLE_MS)
  const share = (processorTime(pids) - from) / ((performance.now() - began) / 1000)
  await page.close()
  return share * 1000
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!
const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(1)} KB`

export async function run(): Promise<void> {
  const names = globSync('**/*.*', { cwd: folder })
  const files = new Map(names.map((name) => [name.replaceAll('\\', '/'), readFileSync(`${folder}/${name}`)]))
  const server = await servePages(files)
  const browser = await launchBrowser()
  console.log(`load of the host: ${loadavg()[0]!.toFixed(1)} on ${availableParallelism()} processors`)
  try {
    const loaded = new Set<string>()
    const times: [number, number][] = []
    for (let round = 0; round <= ROUNDS; round++) {
      const found = await start(browser, server.origin, true, (path) => loaded.add(path.slice(1) || 'index.html'))
      // The first one compiles what the others have from the browser's cache of code.
      if (round > 0) times.push(found)
      else
        console.log(
          `the very first start: first output after ${found[0].toFixed(0)} ms, prompt after ${found[1].toFixed(0)} ms`,
        )
    }
    const hasty: number[] = []
    for (let round = 0; round < HASTY_ROUNDS; round++)
      hasty.push((await start(browser, server.origin, false, () => {}))[0])
    let all = 0
    for (const name of loaded) {
      const file = files.get(name)
      if (file === undefined) continue
      const params = { [constants.BROTLI_PARAM_LGWIN]: 24 }
      const bytes = brotliCompressSync(file, { params }).length
      // A system of the user's comes from elsewhere.
      if (name !== 'guest.bin') all += bytes
      console.log(`${name}: ${kilobytes(file.length)}, ${kilobytes(bytes)} compressed`)
    }
    const [first, prompt] = [median(times.map(([a]) => a)), median(times.map(([, b]) => b))]
    console.log(
      `web: ${(median(hasty) / GOAL_HASTY_MS).toFixed(3)} x ${GOAL_HASTY_MS} ms (${median(hasty).toFixed(0)} ms to the first output for a click at once, median of ${HASTY_ROUNDS}; goal 1)`,
    )
    console.log(`click to prompt: ${prompt.toFixed(0)} ms (median of ${ROUNDS})`)
    console.log(
      `web: ${(all / GOAL_BYTES).toFixed(3)} x 400 KB (${kilobytes(all)}: page, terminal, Worker, engine, JIT, board; goal 1)`,
    )
    console.log(
      `web: ${(first / GOAL_MS).toFixed(3)} x 500 ms (${first.toFixed(0)} ms from click to first output, median of ${ROUNDS}; goal 1)`,
    )
    console.log(
      `web: ${(all / v86Bytes()).toFixed(2)} x v86's engine and Wasm (${kilobytes(v86Bytes())}, without a page and a terminal)`,
    )
    const idleMs = await idle(browser, server.origin)
    console.log(
      `web: ${(idleMs / GOAL_IDLE_MS).toFixed(2)} x ${GOAL_IDLE_MS} ms of processor time a second, a page whose guest waits (${idleMs.toFixed(0)} ms; goal 1)`,
    )
    await measureMachines(browser)
  } finally {
    await browser.close()
    server.close()
  }
}
