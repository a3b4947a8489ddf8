/**
 * Time travel in a page, in Chromium and in Firefox: `RETRAP_DEBIAN_SITE=FOLDER npm run -s bench -- travel-page [--seed N] [--only NAME]
 * [--pairs N]`. The site is one that `retrap web --debian --out FOLDER --no-open` has made.
 *
 * The cost: the processor time of the whole browser, all of its processes, for a command in Debian, in a machine that is recorded and in
 * one that is not, in pairs; ratios are speed against speed, the median of each counts. Then the way back in the run of such a command:
 * 20 steps back from the end, `goto` of 100 random instants, 20 steps back from the last of them, and who wrote the first byte of 5 frames.
 * Time from the call to its end in the page, median and worst; and the memory of the browser.
 * @programs: chromium-headless-shell firefox-esr
 */
import { globSync, readFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { launchBrowser, noBrowser } from '@retrap/tooling/browser'
import { bundlePage } from '@retrap/tooling/bundle'
import { launchFirefox, noFirefox } from '@retrap/tooling/firefox'
import { servePages } from '@retrap/tooling/page-server'
import { numbers } from '@retrap/tooling/random'
import type { createMachine, Machine, MachineOptions } from '@retrap/web'
import type { Browser, Page } from 'puppeteer-core'
import { family, memoryOf, processorTime } from './figures/processes.ts'

interface Globals {
  readonly createMachine: typeof createMachine
  machine: Machine
}

const ENGINES = [
  { name: 'chromium', lacks: noBrowser, launch: launchBrowser },
  { name: 'firefox', lacks: noFirefox, launch: launchFirefox },
] as const
const COMMAND =
  'i=0; while [ $i -lt 6 ]; do i=$((i+1)); find /sys /proc/sys | md5sum; done; dd if=/dev/zero of=/x bs=1M count=16'
const MEMORY_BYTES = 512 * 2 ** 20
const MOST_BYTES = 1.5 * 2 ** 30
const [STEPS, JUMPS, QUESTIONS] = [20, 100, 5]
/** A recording takes at most a tenth more, and at worst a fifth. */
const [GOAL, FLOOR] = [1 / 1.1, 1 / 1.2]
/** Milliseconds: median and worst. */
const LAST_MINUTE = { median: 500, worst: 2000 }
const ANYWHERE = { median: Infinity, worst: 5000 }

/** Boots a machine, and has its guest execute the command. @returns milliseconds of the command */
const work = (page: Page, options: MachineOptions, record: boolean): Promise<number> =>
  page.evaluate(
    async (given, isRecorded, command) => {
      const globals = globalThis as unknown as Globals
      const machine = (globals.machine = await globals.createMachine(given))
      let text = ''
      const says = async (expected: string): Promise<void> => {
        while (!text.includes(expected)) await new Promise((resolve) => setTimeout(resolve, 20))
      }
      machine.on('serial', (bytes) => (text += new TextDecoder().decode(bytes)))
      void machine.run().catch(() => {})
      await says('/ # ')
      await machine.pause()
      if (isRecorded) await machine.debugger.record()
      const began = performance.now()
      void machine.run().catch(() => {})
      machine.write(`${command}; echo do''ne\n`)
      await says('done\r\n')
      const ms = performance.now() - began
      await machine.pause()
      return ms
    },
    options,
    record,
    COMMAND,
  )

/** Goes by a way in the page, again and again. @returns milliseconds of each */
const times = (page: Page, way: 'goto' | 'stepBack' | 'whoWrote', places: readonly number[]): Promise<number[]> =>
  page.evaluate(
    async (name, all) => {
      const { debugger: debug } = (globalThis as unknown as Globals).machine
      const found: number[] = []
      for (const place of all) {
        const began = performance.now()
        if (name === 'goto') await debug.goto(place)
        else if (name === 'stepBack') await debug.stepBack()
        else await debug.whoWrote({ address: BigInt(place), physical: true })
        found.push(performance.now() - began)
      }
      return found
    },
    way,
    places,
  )

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN

function report(name: string, what: string, found: readonly number[], goal: typeof ANYWHERE): void {
  const [middle, worst] = [median(found), Math.max(...found)]
  const isThere = middle <= goal.median && worst <= goal.worst
  console.log(
    `travel-page-${name}: median ${middle.toFixed(0)} ms, worst ${worst.toFixed(0)} ms (${found.length} ${what}; load ` +
      `${loadavg()[0]!.toFixed(0)}; ${isThere ? 'reaches the goal' : 'ABOVE THE GOAL'}: median ${goal.median}, worst ${goal.worst})`,
  )
}

/** Measures one browser. */
async function measure(browser: Browser, name: string, url: string, pairs: number, random: (below: number) => number) {
  const systems = JSON.parse(readFileSync(join(site(), 'systems/systems.json'), 'utf8')) as {
    options: MachineOptions
  }[]
  const { snapshot: _snapshot, ...system } = systems[0]!.options
  const options: MachineOptions = { ...system, memoryBytes: MEMORY_BYTES }
  const open = async (): Promise<Page> => {
    const page = await browser.newPage()
    await page.goto(url, { waitUntil: 'load' })
    return page
  }
  const pid = browser.process()?.pid ?? 0
  const empty = memoryOf(family(pid))
  const costs: { plain: number[]; recorded: number[] } = { plain: [], recorded: [] }
  let page = await open()
  for (let pair = 0; pair < 2 * pairs; pair++) {
    const isRecorded = pair % 2 === 1
    await page.close()
    page = await open()
    const began = processorTime(family(pid))
    const ms = await work(page, options, isRecorded)
    const seconds = processorTime(family(pid)) - began
    costs[isRecorded ? 'recorded' : 'plain'].push(seconds)
    console.log(
      `${name}: ${isRecorded ? 'recorded' : 'plain'}: ${seconds.toFixed(2)} s of processor time, ${(ms / 1000).toFixed(2)} s`,
    )
  }
  const [plain, recorded] = [median(costs.plain), median(costs.recorded)]
  const ratio = plain / recorded
  const verdict = ratio >= GOAL ? 'reaches the goal' : ratio >= FLOOR ? 'above the floor' : 'BELOW THE FLOOR'
  console.log(
    `travel-page-${name}-cost: ${ratio.toFixed(2)} x the same run without (${((recorded / plain - 1) * 100).toFixed(1)} % more ` +
      `processor time of the browser; load ${loadavg()[0]!.toFixed(0)}; ${verdict}: at most 10 % more, floor 20)`,
  )
  const { now, begin } = await page.evaluate(() => (globalThis as unknown as Globals).machine.debugger.position())
  const instants = (count: number): number[] => Array.from({ length: count }, () => begin + random(now - begin))
  const [first, ...steps] = await times(page, 'stepBack', Array<number>(STEPS + 1).fill(0))
  report(`${name}-first`, 'the first step back', [first!], ANYWHERE)
  report(`${name}-step`, 'steps back from the end', steps, LAST_MINUTE)
  report(
    `${name}-goto`,
    `random instants of ${((now - begin) / 1e6).toFixed(0)} million instructions`,
    await times(page, 'goto', instants(JUMPS)),
    ANYWHERE,
  )
  report(
    `${name}-there`,
    'steps back from there',
    await times(page, 'stepBack', Array<number>(STEPS).fill(0)),
    ANYWHERE,
  )
  const frames = Array.from({ length: QUESTIONS }, () => 4096 * random(MEMORY_BYTES / 4096))
  report(`${name}-who`, 'questions who wrote a byte', await times(page, 'whoWrote', frames), ANYWHERE)
  const more = memoryOf(family(pid)) - empty
  console.log(
    `travel-page-${name}-memory: ${(more / 2 ** 20).toFixed(0)} MiB more than an empty browser; ` +
      `${more <= MOST_BYTES ? 'reaches the goal' : 'ABOVE THE GOAL'}: ${MOST_BYTES / 2 ** 20} for a guest of ${MEMORY_BYTES / 2 ** 20}`,
  )
  await page.close()
}

function site(): string {
  const folder = process.env['RETRAP_DEBIAN_SITE']
  if (folder === undefined) throw new Error('RETRAP_DEBIAN_SITE: expected the folder of a site with Debian')
  return folder
}

/** @param args - see the head of this file */
export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: { seed: { type: 'string' }, only: { type: 'string' }, pairs: { type: 'string', default: '3' } },
  })
  const seed = Number(values.seed ?? Date.now() % 1e6)
  console.log(`seed ${seed}`)
  const files = new Map<string, string | Uint8Array>(
    await bundlePage(fileURLToPath(new URL('figures/page.ts', import.meta.url))),
  )
  files.set('index.html', '<!doctype html><script type="module" src="page.js"></script>')
  for (const path of globSync('systems/debian-amd64/*', { cwd: site() }))
    files.set(path, readFileSync(join(site(), path)))
  const server = await servePages(files)
  try {
    for (const { name, lacks, launch } of ENGINES) {
      if (lacks !== undefined) console.warn(`SKIPPED: ${name}: ${lacks}`)
      if (lacks !== undefined || (values.only ?? name) !== name) continue
      const browser = await launch()
      try {
        await measure(browser, name, server.origin, Number(values.pairs), numbers(seed))
      } finally {
        await browser.close()
      }
    }
  } finally {
    server.close()
  }
}
