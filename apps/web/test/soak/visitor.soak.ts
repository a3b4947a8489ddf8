/**
 * A visitor's session by labels alone, in the three engines; in Safari's also in a private window without shared memory.
 *
 * @programs: chromium-headless-shell firefox-esr WebKitWebDriver Xvfb
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { launchBrowser, noBrowser } from '@retrap/tooling/browser'
import { launchFirefox, noFirefox } from '@retrap/tooling/firefox'
import { type PageServer, servePages } from '@retrap/tooling/page-server'
import type { Soak } from '@retrap/tooling/soak'
import type { Browser } from 'puppeteer-core'
import { bundleSite } from '../support/bundle-site.ts'
import { inputGuest } from '../support/input-guest.ts'
import { offeredGuest } from '../support/offered-guest.ts'
import { press, seen, terminalOf, tryPlayground, type Visitor, visitorOf } from '../support/visitor.ts'
import { launchWebKit, noWebKit } from '../support/webkit.ts'

/** Starts a browser, or says why there is none. @returns a visitor who closes it, too */
interface Engine {
  readonly name: string
  readonly lacks: string | undefined
  readonly isPrivate?: boolean
  readonly open: () => Promise<Visitor>
}

async function openPage(launch: () => Promise<Browser>): Promise<Visitor> {
  const browser = await launch()
  return { ...visitorOf(await browser.newPage()), close: () => browser.close() }
}

async function openWebKit(): Promise<Visitor> {
  const data = mkdtempSync(join(tmpdir(), 'retrap-webkit-'))
  const visitor = await launchWebKit({ data })
  const close = async (): Promise<void> => {
    await visitor.close()
    rmSync(data, { recursive: true, force: true, maxRetries: 10 })
  }
  return { ...visitor, close }
}

const ENGINES: readonly Engine[] = [
  { name: 'Chromium', lacks: noBrowser, open: () => openPage(launchBrowser) },
  { name: 'Firefox', lacks: noFirefox, open: () => openPage(launchFirefox) },
  { name: 'WebKit', lacks: noWebKit, open: openWebKit },
  {
    name: 'a private window of WebKit, without shared memory',
    lacks: noWebKit,
    isPrivate: true,
    open: () => launchWebKit({ sharesMemory: false }),
  },
]

let server: PageServer
let plain: PageServer
const visits = new Map<string, number>()

async function visit(visitor: Visitor, origin: string, isPrivate: boolean): Promise<void> {
  const terminal = (): Promise<string> => terminalOf(visitor)
  const text = (selector: string) => (): Promise<string> =>
    visitor.evaluate((where: string) => document.querySelector<HTMLElement>(where)?.innerText ?? '', selector)
  const click = (label: string): Promise<void> => press(visitor, label)
  const say = async (words: string): Promise<void> => {
    await click('Type in the terminal')
    await visitor.type(`echo ${words}\n`)
    await seen(terminal, new RegExp(`^${words}\\s*\\n\\s*retrap> \\s*$`, 'm'))
  }
  await visitor.goto(origin)
  // A server that does not isolate has the page loaded once more.
  await seen(() => visitor.evaluate(() => String(crossOriginIsolated)), /true/)
  await click('Start the embedded guest')
  await seen(terminal, /retrap> \s*$/)
  await say('one line')
  await click('Inspector')
  await seen(text('#panel-inspector'), /vCPU 0: 64-bit/)
  const { read, mistake } = await tryPlayground(visitor)
  if (!read.includes('6c6c6548') || !mistake.startsWith('Line 2: TypeError')) throw new Error(`${read}; ${mistake}`)
  await click('Snapshots')
  await click('Save now')
  if (isPrivate) await seen(text('.alert [role=alert]'), /keeps nothing for this page/)
  else {
    await seen(text('.time'), /Go back/)
    await say('another line')
    await click('Go back')
    await seen(terminal, /^(?![^]*another)[^]*retrap> \s*$/)
  }
  await click('Pause')
  await seen(text('.status'), /^Paused/)
  await click('Continue')
  await click('More')
  await click('Reset')
  await click('Reset it')
  await seen(text('.status'), /^Running/)
  await seen(terminal, /retrap> \s*$/)
  // Back in time, and on again.
  await click('Debugger')
  await click('Record')
  const bar = text('.instrument')
  await seen(bar, /^Now/m)
  await say('seen twice')
  await click('Step back')
  await seen(bar, /^In the past/m)
  await visitor.evaluate(() => document.querySelector<HTMLElement>('section[aria-label="Search"] input')!.focus())
  await visitor.type('seen twice')
  await click('Who printed it?')
  await seen(bar, /the instruction at 0x[\da-f]+ of vCPU 0 wrote it/)
  await click('Go there')
  await seen(terminal, /retrap> echo seen twice\s*$/)
  await click('Back to now')
  await seen(bar, /^Now/m)
  await click('Continue')
  await say('after that')
  await click('Close')
  await click('Close it')
  await click('Start Small guest')
  await seen(terminal, /saved here\s*\n\s*retrap> \s*$/)
  await say('from a snapshot')
  await click('Close')
  await click('Close it')
  await seen(text('h1'), /^Slow down any device/)
  // Firmware that switches its screen on. With the same query the page would not be loaded again.
  await visitor.goto(`${origin}/?screen#firmware=input.bin&memory=32&vga=std`)
  await click('Start')
  await seen(() => visitor.evaluate(() => String(document.querySelector('canvas')?.width)), /^320$/)
  await seen(text('.status'), /^Running/)
}

export const soak: Soak = {
  name: 'visitor',
  count: 8,
  async setup() {
    const files = new Map([...(await bundleSite()), ...(await offeredGuest())])
    files.set('input.bin', inputGuest())
    server = await servePages(files)
    plain = await servePages(files, { isolated: false })
    for (const { name, lacks } of ENGINES) if (lacks !== undefined) console.warn(`SKIPPED: ${name}: ${lacks}`)
  },
  async step(rng, index) {
    const { name, lacks, isPrivate = false, open } = ENGINES[index % ENGINES.length]!
    if (lacks !== undefined) return
    const { origin } = rng.below(2) === 0 ? server : plain
    const width = rng.between(1100, 1500)
    rng.note('engine', `${name}, ${width} pixels wide, ${origin === plain.origin ? 'not ' : ''}isolated by the server`)
    const visitor = await open()
    try {
      await visitor.resize(width, 900)
      await visit(visitor, origin, isPrivate)
      visits.set(name, (visits.get(name) ?? 0) + 1)
    } finally {
      await visitor.close()
    }
  },
  teardown() {
    server?.close()
    plain?.close()
  },
  summary: () => [...visits].map(([name, count]) => `${name}: ${count}`).join('; '),
}
