// The site as files for any web server, with SeaBIOS and Debian: all of it is fetched, booted and written, and what licences
// require is checked. Each step serves it from a plain server, starts a system of it in a Chromium that has nothing kept, and has
// the shell compute. The time from the click to the prompt is of the wall clock.
// @programs: chromium-headless-shell
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { launchBrowser } from '@retrap/tooling/browser'
import { type PageServer, servePages } from '@retrap/tooling/page-server'
import type { Soak } from '@retrap/tooling/soak'
import { checkLicences } from '../../src/web/licence-check.ts'
import { runRetrap } from '../support/processes.ts'

const DEADLINE_MS = 1_800_000
const SYSTEMS = ['Debian amd64', 'Debian arm64'] as const

let folder = ''
let server: PageServer | undefined
let browser: Awaited<ReturnType<typeof launchBrowser>> | undefined
const times = new Map<string, number[]>()

export const soak: Soak = {
  name: 'site',
  count: 6,
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
      const start = await page.waitForSelector(`::-p-aria(Start ${name})`)
      const rows = "[...document.querySelectorAll('.xterm-rows > div')].map((row) => row.textContent).join('\\n')"
      const begun = performance.now()
      await start!.click()
      await page.waitForFunction(`/ # \\s*$/.test(${rows})`)
      times.set(name, [...(times.get(name) ?? []), performance.now() - begun])
      await page.focus('.xterm-helper-textarea')
      await page.keyboard.type(`echo is $((${a}*${b}))\n`)
      await page.waitForFunction(`/^is ${a * b}\\s*$/m.test(${rows})`)
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
      .map(([name, all]) => `${name} at its prompt in ${all.map((ms) => ms.toFixed(0)).join(', ')} ms`)
      .join('; '),
}
