// The site as files for any web server, with SeaBIOS and Debian: all of it is fetched, booted and written, and what licences
// require is checked. Each step serves it from a plain server, starts a system of it in a Chromium that has nothing kept, and has
// the shell compute: at the prompt at once, as a visitor would. The guest has the time of day soon, and random numbers that no other
// visitor had. Times are of the wall clock: from the click to the prompt, and of the first key to what it shows.
// @programs: chromium-headless-shell
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { launchBrowser } from '@retrap/tooling/browser'
import { type PageServer, servePages } from '@retrap/tooling/page-server'
import type { Soak } from '@retrap/tooling/soak'
import { checkLicences } from '../../src/commands/web/static-site.ts'
import { runRetrap } from '../support/processes.ts'

const DEADLINE_MS = 1_800_000
/** A guest goes through pauses for the time that it was a file at first: `catchUp` of `@retrap/machine`. */
const CATCH_UP_MS = 6000
/** On a busy host what the shell said is read later. */
const MOST_LATE_SECONDS = 10
const SYSTEMS = ['Debian amd64', 'Debian arm64'] as const

let folder = ''
let server: PageServer | undefined
let browser: Awaited<ReturnType<typeof launchBrowser>> | undefined
const times = new Map<string, { readonly prompt: number; readonly key: number }[]>()
/** What guests drew. */
const drawn = new Set<string>()

export const soak: Soak = {
  name: 'site',
  count: 20,
  async setup() {
    folder = mkdtempSync(join(tmpdir(), 'retrap-site-soak-'))
    const site = join(folder, 'site')
    const { code, stdout, stderr } = await runRetrap(['web', '--debian', '--out', site], { deadlineMs: DEADLINE_MS })
    if (code !== 0 || /NO BIOS|has no Debian/.test(stderr)) throw new Error(`it ended with ${code}: ${stderr}`)
    console.error(stdout.trimEnd())
    await checkLicences(site)
    const entries = readdirSync(site, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    const paths = entries.map((entry) => join(entry.parentPath, entry.name))
    // Sources are not asked for by machines.
    const served = paths.filter((path) => !path.includes('/debian/sources/'))
    const files = new Map(served.map((path) => [relative(site, path).replaceAll('\\', '/'), readFileSync(path)]))
    server = await servePages(files, { isolated: false })
    browser = await launchBrowser()
  },
  async step(rng, index) {
    const name = SYSTEMS[index % SYSTEMS.length]!
    const [a, b] = [rng.below(1 << 20), rng.below(1 << 10)]
    rng.note('system', name)
    const context = await browser!.createBrowserContext()
    try {
      const page = await context.newPage()
      page.setDefaultTimeout(DEADLINE_MS)
      await page.goto(server!.origin, { waitUntil: 'networkidle0' })
      // A server that does not isolate has the page loaded once more.
      await page.waitForFunction('crossOriginIsolated')
      const start = await page.waitForSelector(`::-p-aria(Start ${name})`)
      const rows = "[...document.querySelectorAll('.xterm-rows > div')].map((row) => row.textContent).join('\\n')"
      const begun = performance.now()
      await start!.click()
      await page.waitForFunction(`/ # \\s*$/.test(${rows})`)
      const prompted = performance.now()
      await page.focus('.xterm-helper-textarea')
      await page.keyboard.type('e')
      await page.waitForFunction(`/ # e\\s*$/.test(${rows})`)
      const time = { prompt: prompted - begun, key: performance.now() - prompted }
      times.set(name, [...(times.get(name) ?? []), time])
      await sleep(CATCH_UP_MS)
      await page.keyboard.type(`cho is $((${a}*${b})) $(date +%s) $(od -An -tx4 -N16 /dev/urandom)\n`)
      const said = await page.waitForFunction(`/^is ${a * b} (\\d+) ([ \\da-f]{35})\\s*$/m.exec(${rows})`)
      const [, seconds, random] = (await said.jsonValue()) as [string, string, string]
      const late = Math.abs(Date.now() / 1000 - Number(seconds))
      if (late > MOST_LATE_SECONDS) throw new Error(`the guest's date is ${late} s off`)
      if (drawn.has(random)) throw new Error(`another visitor's guest drew ${random}, too`)
      drawn.add(random)
    } finally {
      await context.close()
    }
  },
  async teardown() {
    await browser?.close()
    server?.close()
    if (folder !== '') rmSync(folder, { recursive: true })
  },
  summary: () =>
    [...times]
      .map(([name, all]) => {
        const list = (of: 'prompt' | 'key'): string => all.map((time) => time[of].toFixed(0)).join(', ')
        return `${name} at its prompt in ${list('prompt')} ms; first key ${list('key')} ms`
      })
      .join('; '),
}
