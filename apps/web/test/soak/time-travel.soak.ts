/**
 * A visitor goes back in Debian, by labels alone, in Chromium and Firefox, with the mouse and then by the keyboard alone: records it, slows its disk, stops at a kernel symbol, steps back,
 * asks who wrote a byte, goes on from there, saves the recording and opens it in a fresh profile.
 *
 * The site is one that `npm run build -- --debian` has made, in the folder RETRAP_DEBIAN_SITE.
 *
 * @programs: chromium-headless-shell firefox-esr
 */
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { launchBrowser, noBrowser } from '@retrap/tooling/browser'
import { launchFirefox, noFirefox } from '@retrap/tooling/firefox'
import { type PageServer, servePages } from '@retrap/tooling/page-server'
import type { Soak } from '@retrap/tooling/soak'
import type { Browser, ElementHandle, Page } from 'puppeteer-core'
import { savedFile } from '../support/page.ts'
import { press, pressByKeys, seen, terminalOf, visitorOf } from '../support/visitor.ts'

const SITE = process.env['RETRAP_DEBIAN_SITE']
const ENGINES = [
  { name: 'Chromium', lacks: noBrowser, launch: launchBrowser },
  { name: 'Firefox', lacks: noFirefox, launch: launchFirefox },
] as const
const SIZES = [
  { width: 1400, height: 1000 },
  { width: 900, height: 1100 },
  { width: 420, height: 900 },
] as const

let server: PageServer
const visits: string[] = []

/** Takes pictures of the debugger in three sizes and both themes, where somebody wants them. */
async function pictures(page: Page, name: string): Promise<void> {
  const folder = process.env['RETRAP_SCREENSHOTS']
  if (folder === undefined) return
  for (const size of SIZES)
    for (const value of ['light', 'dark']) {
      await page.setViewport(size)
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value }]).catch(() => undefined)
      await page.screenshot({ path: join(folder, `${name}-${size.width}-${value}.png`) as `${string}.png` })
    }
  await page.setViewport(SIZES[0])
}

/** Leaves the terminal, which has Tab otherwise. */
async function leaveTerminal(page: Page): Promise<void> {
  for (const key of ['Control', 'Alt'] as const) await page.keyboard.down(key)
  await page.keyboard.press('g')
  for (const key of ['Alt', 'Control'] as const) await page.keyboard.up(key)
}

async function visit(browser: Browser, fresh: () => Promise<Browser>, engine: string, byKeys: boolean): Promise<void> {
  const page = await browser.newPage()
  await page.setViewport(SIZES[0])
  const visitor = visitorOf(page)
  const text =
    (selector: string, of: Page = page) =>
    (): Promise<string> =>
      of.evaluate((where: string) => document.querySelector<HTMLElement>(where)?.innerText ?? '', selector)
  const panel = text('#panel-debugger')
  const bar = text('.instrument')
  const click = (label: string): Promise<void> => (byKeys ? pressByKeys(page, label) : press(visitor, label))
  const fill = async (label: string, words: string): Promise<void> => {
    await pressByKeys(page, label, null)
    await visitor.type(words)
  }
  const leave = (): Promise<void> => leaveTerminal(page)
  const say = async (command: string, answer: RegExp): Promise<void> => {
    await click('Type in the terminal')
    await visitor.type(`${command}\n`)
    await seen(() => terminalOf(visitor), answer)
    await leave()
  }
  await visitor.goto(server.origin)
  await click('Start Debian amd64')
  await seen(() => terminalOf(visitor), /# \s*$/)
  await leave()
  await click('Debugger')
  if (byKeys) {
    await click('No more of this')
    await click('Record')
  } else {
    // The first session, as the page leads through it.
    for (const step of ['Record it', 'Type it', 'Find it', 'Ask']) await click(step)
    await seen(bar, /it was pid \d+, sh, in do_proc_dointvec_conv/)
    await click('Go there')
    await seen(panel, /Code: do_proc_dointvec_conv\+0x/)
    await click('Finish')
    await click('Now')
    await click('Continue')
  }
  await seen(bar, /^Now/m)
  await say('echo one', /\none\s/)
  await fill('Text, or a value such as 0x2a', 'one')
  await click('Who printed it?')
  await seen(bar, /“one”: it was pid \d+, sh, in uart_write, called by n_tty_write/)
  await click('Devices')
  if (byKeys) {
    await pressByKeys(page, 'Delay of contents of disks', null)
    for (const key of ['ArrowRight', 'ArrowRight'] as const) await page.keyboard.press(key)
  } else await page.click('[aria-label="Delay of contents of disks"] input[value="300"]')
  await seen(text('.impaired'), /contents of disks \+300 ms/)
  await click('Debugger')
  await say('echo $((6 * 7))', /\n42\s/)
  // A stop at a symbol of the kernel, which is hit by the next command.
  await fill('At', '__x64_sys_mkdir')
  await click('Add a stop')
  await seen(panel, /Before the instruction at 0xffffffff[\da-f]{8} \(__x64_sys_mkdir\)/)
  await click('Type in the terminal')
  await visitor.type('mkdir made\n')
  await leave()
  await seen(panel, /Code: __x64_sys_mkdir/)
  await pictures(page, `${engine}-stop`)
  for (let i = 0; i < 10; i++) {
    await click('Step back')
  }
  await seen(bar, /In the past/)
  await click('Who wrote this?')
  const wrote = await seen(bar, /it was pid \d+, .*|the device .* wrote it/)
  await click('Processes')
  await seen(panel, /NAME\n[^]* (?:init|sh|busybox)/)
  await fill('Linear address', 'init_task')
  await click('Page walk')
  await seen(panel, /level 4, [^]*is guest-physical 0x[\da-f]+\n0x[\da-f]+: RAM/)
  await pictures(page, `${engine}-past`)
  await click('Go on from here')
  await click('Go on from here, and give up the rest')
  await seen(bar, /^Now/m)
  await click('Continue')
  await seen(() => terminalOf(visitor), /# mkdir made[^]*# \s*$/)
  await say('echo branched', /\nbranched\s/)
  await click('Pause')
  await click('State hash')
  const hash = await seen(bar, /State hash: [\da-f]{64}/)
  const saved = savedFile(page)
  await click('Save the recording')
  const bytes = await saved
  const folder = mkdtempSync(join(tmpdir(), 'retrap-travel-'))
  const path = join(folder, 'mine.recording')
  writeFileSync(path, bytes)
  const other = await fresh()
  try {
    const second = await other.newPage()
    await second.goto(server.origin, { waitUntil: 'load' })
    const input = (await second.$('.drop input[type=file]')) as ElementHandle<HTMLInputElement>
    await input.uploadFile(path)
    await press(visitorOf(second), 'Start')
    await press(visitorOf(second), 'State hash')
    const found = await seen(text('.instrument', second), /State hash: [\da-f]{64}/)
    if (found !== hash) throw new Error(`${found}, expected ${hash}`)
    await press(visitorOf(second), 'Step back')
    await seen(text('.instrument', second), /In the past/)
  } finally {
    await other.close()
    rmSync(folder, { recursive: true })
  }
  visits.push(`${engine}, ${byKeys ? 'keyboard' : 'mouse'}: ${bytes.length >> 20} MiB of recording; ${wrote}`)
  await page.close()
}

export const soak: Soak = {
  name: 'time-travel',
  count: 4,
  async setup() {
    if (SITE === undefined) throw new Error('RETRAP_DEBIAN_SITE: expected the folder of a site with Debian')
    const files = globSync('**/*', { cwd: SITE, withFileTypes: true }).filter((one) => one.isFile())
    const paths = files.map((one) => join(one.parentPath, one.name))
    server = await servePages(new Map(paths.map((path) => [path.slice(SITE.length + 1), readFileSync(path)])))
    for (const { name, lacks } of ENGINES) if (lacks !== undefined) console.warn(`SKIPPED: ${name}: ${lacks}`)
  },
  async step(rng, index) {
    const { name, lacks, launch } = ENGINES[index % ENGINES.length]!
    if (lacks !== undefined) return
    const byKeys = index % (2 * ENGINES.length) >= ENGINES.length
    rng.note('engine', name)
    rng.note('hands', byKeys ? 'keyboard' : 'mouse')
    const browser = await launch()
    try {
      await visit(browser, launch, name, byKeys)
    } finally {
      await browser.close()
    }
  },
  teardown: () => server?.close(),
  summary: () => visits.join('\n'),
}
