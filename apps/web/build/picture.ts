/**
 * Draws the start page's pictures: `src/travel.svg` by `travel-picture.ts`, and `src/picture.svg`, a guest whose serial port is slow.
 * Both are read off a run in Chromium. `npm run -s picture -- FOLDER`, where `FOLDER` has the site with its systems, as `retrap web --debian` serves them.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { launchBrowser } from '@retrap/tooling/browser'
import { servePages } from '@retrap/tooling/page-server'
import type { Page } from 'puppeteer-core'
import { drawTravel, travel } from './travel-picture.ts'

const DEVICE = 'serial-3f8'
const DELAY_MS = 3000
/** Devices whose strips are drawn. */
const MOST_STRIPS = 5
/** Of the picture. */
const [WIDTH, HEIGHT] = [916, 560]
/** Columns of the terminal that are not under the panel, and all of them. */
const [FREE_COLUMNS, COLUMNS] = [46, 80]
const SHOWN = ['i8254', 'hpet', DEVICE, 'i8042', 'virtio-net-3']

/** What is read off the page. */
interface Seen {
  readonly rows: readonly string[]
  readonly title: string
  readonly code: readonly string[]
  readonly wait: string
  readonly registers: readonly string[]
  readonly strips: readonly { readonly name: string; readonly flight: string }[]
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const terminal = (page: Page): Promise<string[]> =>
  page.$$eval('.xterm-rows > div', (rows) => rows.map((row) => row.textContent.trimEnd()))

/** Waits until the last row is a prompt, of so many. */
async function untilPrompt(page: Page, prompts: number): Promise<void> {
  const isThere = async (): Promise<boolean> => {
    const rows = (await terminal(page)).filter((row) => row !== '')
    return /[#>]$/.test(rows.at(-1) ?? '') && rows.filter((row) => /^(\/ #|retrap>)/.test(row)).length >= prompts
  }
  while (!(await isThere())) await pause(100)
}

async function look(page: Page): Promise<Seen> {
  const open = (name: string): Promise<void> => page.locator(`::-p-aria(${name}[role="tab"])`).click()
  await page.locator('button.primary').click()
  await page.waitForSelector('.xterm-rows')
  await untilPrompt(page, 1)
  await page.keyboard.type('uname -srm; uptime\n')
  await untilPrompt(page, 2)
  await open('Devices')
  await page.waitForSelector('.strips')
  await page.click(`[aria-label="Delay of ${DEVICE}"] input[value="${DELAY_MS}"]`)
  await page.focus('.xterm-helper-textarea')
  await page.keyboard.type('ls /')
  await page.waitForSelector('.wait.on')
  const strips = await page.$$eval('.strips li', (all) =>
    all.map((one) => ({
      name: one.querySelector('.name')!.textContent,
      flight: one.querySelector('.flight')!.textContent,
    })),
  )
  await open('Inspector')
  await page.waitForFunction(() => (document.querySelector('pre.next')?.textContent ?? '') !== '')
  await page.waitForSelector('section .wait.on')
  return {
    rows: await terminal(page),
    strips: SHOWN.flatMap((name) => strips.find((one) => one.name === name) ?? []).slice(0, MOST_STRIPS),
    title: await page.$eval('[role=tabpanel] h3', (one) => one.textContent),
    code: await page.$eval('pre.next', (one) => one.textContent.split('\n')),
    wait: await page.$eval('section .wait.on', (one) => one.textContent),
    registers: await page.$$eval('.registers dl:first-child div', (all) =>
      all.map((one) => [...one.children].map((part) => part.textContent).join(' ')),
    ),
  }
}

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

/** Colours of the dark theme. */
const [PAPER, PANEL, INK, SOFT, ACCENT, SLOW, SLOWED, LINE] = [
  '#14181a',
  '#1c2124',
  '#e8ebe9',
  '#a9b2b0',
  '#5fd0a8',
  '#ffbf66',
  '#3a2c12',
  '#394145',
] as const

function draw({ rows, title, code, wait, registers, strips }: Seen): string {
  const parts: string[] = []
  const text = (x: number, y: number, content: string, colour: string = INK, more = ''): void => {
    if (content !== '') parts.push(`<text x="${x}" y="${y}" fill="${colour}"${more}>${escape(content)}</text>`)
  }
  const box = (x: number, y: number, width: number, height: number, colour: string): void => {
    parts.push(`<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="5" fill="${colour}"/>`)
  }
  const lines = rows
    .map((row) => (row.length === COLUMNS ? row : `${row}\n`))
    .join('')
    .trimEnd()
    .split('\n')
  const shown = lines
    .filter((row, i, all) => row !== '' || all[i - 1] !== '')
    .flatMap((row) => row.match(new RegExp(`.{1,${FREE_COLUMNS}}`, 'g')) ?? [''])
    .slice(-20)
  for (const [i, row] of shown.entries()) text(20, 80 + 24 * i, row)
  const x = 436
  parts.push(`<rect x="${x - 16}" y="16" width="480" height="${HEIGHT - 32}" rx="8" fill="${PANEL}" stroke="${LINE}"/>`)
  for (const [i, name] of ['Debugger', 'Inspector', 'Devices', 'Snapshots'].entries())
    text(x + 112 * i, 48, name, i === 1 ? ACCENT : SOFT, ' class="s"')
  text(x, 90, title, INK, ' class="s" font-weight="700"')
  for (const [i, row] of code.slice(0, 4).entries()) text(x, 120 + 23 * i, row, i === 0 ? INK : SOFT)
  box(x - 4, 206, 456, 34, SLOWED)
  text(x + 6, 229, wait, SLOW, ' class="s"')
  for (const [i, row] of registers.slice(0, 6).entries()) {
    const [name = '', value = ''] = row.split(' ')
    text(x + 228 * (i % 2), 270 + 23 * (i >> 1), name, SOFT)
    text(x + 228 * (i % 2) + 36, 270 + 23 * (i >> 1), value)
  }
  for (const [i, { name, flight }] of strips.entries()) {
    const y = 362 + 38 * i
    const isSlow = flight !== ''
    if (isSlow) box(x - 4, y - 23, 456, 34, SLOWED)
    text(x + 4, y, name, INK, ' class="s"')
    for (const [at, ms] of [0, 50, 300, 3000].entries()) {
      const isOn = ms === (isSlow ? DELAY_MS : 0)
      if (isOn) box(x + 152 + 46 * at, y - 19, 44, 26, isSlow ? SLOW : LINE)
      text(
        x + 174 + 46 * at,
        y - 1,
        String(ms),
        isOn ? (isSlow ? PAPER : INK) : SOFT,
        ' class="s" text-anchor="middle"',
      )
    }
    if (!isSlow) continue
    text(x + 350, y - 2, flight, SLOW, ' class="s"')
    box(x + 350, y + 4, Math.max(8, (95 * Number.parseInt(flight, 10)) / DELAY_MS), 4, SLOW)
  }
  box(20, 18, 84, 26, ACCENT)
  text(62, 36, 'Running', PAPER, ' class="s" text-anchor="middle" font-weight="700"')
  text(120, 36, `${DEVICE} +${DELAY_MS} ms`, SLOW, ' class="s"')
  const style =
    'text{font:14px ui-monospace,Menlo,Consolas,monospace;white-space:pre}.s{font-family:system-ui,sans-serif}'
  return `<!-- build/picture.ts -->\n<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}"><style>${style}</style><rect width="${WIDTH}" height="${HEIGHT}" fill="${PAPER}"/>${parts.join('\n')}</svg>\n`
}

const [folder] = process.argv.slice(2)
if (folder === undefined) throw new Error('usage: npm run -s picture -- FOLDER')
const site = fileURLToPath(new URL('../dist', import.meta.url))
const files = new Map(
  [site, folder].flatMap((from) =>
    globSync('**/*.*', { cwd: from }).map(
      (name) => [name.replaceAll('\\', '/'), readFileSync(`${from}/${name}`)] as const,
    ),
  ),
)
const server = await servePages(files)
const browser = await launchBrowser()
try {
  const page = await browser.newPage()
  await page.setViewport({ width: 1400, height: 900 })
  await page.goto(server.origin, { waitUntil: 'networkidle0' })
  writeFileSync(fileURLToPath(new URL('../src/picture.svg', import.meta.url)), draw(await look(page)))
  const other = await browser.newPage()
  await other.setViewport({ width: 1400, height: 1000 })
  await other.goto(server.origin, { waitUntil: 'networkidle0' })
  writeFileSync(fileURLToPath(new URL('../src/travel.svg', import.meta.url)), drawTravel(await travel(other)))
} finally {
  await browser.close()
  server.close()
}
