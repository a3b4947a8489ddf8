/** `retrap web --recording`: recordings in a browser, at their ends. */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildGuestImage } from '@retrap/embedded-guest'
import { armEcho } from '@retrap/tooling/arm-image'
import { launchBrowser, noBrowser, type Page } from '@retrap/tooling/browser'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { siteFolder } from '../../src/commands/web/server.ts'
import { runHere } from '../support/in-process.ts'
import { terminalText } from '../support/offered-debian.ts'

const folder = temporaryFolder('opened')
const plan = join(folder, 'tests.json')
const failed = join(folder, 'out', 'tests-json', 'echo-lies')
const firmware = join(folder, 'guest.bin')
writeFileSync(firmware, buildGuestImage())
const kernel = join(folder, 'echo.Image')
writeFileSync(kernel, armEcho())
const machine = { firmware: 'guest.bin', memory: '16M', nic: 'user' }
const tests = [{ name: 'echo lies', type: 'echo two', expect: 'three' }]
writeFileSync(plan, JSON.stringify({ machine, ready: 'retrap> ', tests }))
/** The host may be busy. */
const LIMIT = { deadlineMs: 300_000 }
const SLOW = { timeout: 600_000 }

const missing = existsSync(join(siteFolder(), 'index.html'))
  ? noBrowser
  : 'the site is not built: npx turbo run build --filter=@retrap/site'
if (missing !== undefined) console.warn(`SKIPPED: a recording that is opened in a page: ${missing}`)

/** Puts a file of the site into the start page, as a visitor does. */
const PUT = `async (address, isDropped) => {
  const [dataTransfer, area] = [new DataTransfer(), document.querySelector('.drop')]
  dataTransfer.items.add(new File([await (await fetch(address)).blob()], 'a.recording'))
  if (isDropped) return area.dispatchEvent(new DragEvent('drop', { bubbles: true, dataTransfer }))
  area.querySelector('input').files = dataTransfer.files
  area.querySelector('input').dispatchEvent(new Event('change', { bubbles: true }))
}`

/** Opens it, and goes through it. @param shown - what its terminal shows @param isWhole - its images are inside */
async function openedBy(command: readonly string[], shown: RegExp, isWhole: boolean): Promise<void> {
  const look = async (address: string): Promise<void> => {
    const browser = await launchBrowser()
    try {
      const said: string[] = []
      const open = async (end: string): Promise<Page> => {
        const page = await browser.newPage()
        page.on('console', (message) => said.push(message.text()))
        await page.goto(address.replace(/#.*/, end), { waitUntil: 'load' })
        return page
      }
      const press = (page: Page, label: string): Promise<void> =>
        page.locator(`::-p-xpath(//button[normalize-space(.)="${label}" or @aria-label="${label}"])`).click()
      const panelOf = (page: Page) => (): Promise<string> =>
        page.evaluate('document.querySelector(".instrument")?.innerText ?? ""') as Promise<string>
      const recording = decodeURIComponent(address.replace(/.*#open=/, ''))
      const page = await open(`#open=${encodeURIComponent(recording)}`)
      await expect.poll(panelOf(page)).toMatch(/^Now/m)
      await expect.poll(() => terminalText(page)).toMatch(shown)
      await press(page, 'Step back')
      await expect.poll(panelOf(page)).toContain('In the past')
      await page.locator('::-p-xpath(//*[@role="tab" and normalize-space(.)="Debugger"])').click()
      await page.waitForSelector('#panel-debugger [aria-label="Instructions"] [aria-current="step"]')
      await press(page, 'Play from here')
      await expect.poll(panelOf(page)).toMatch(/^Now/m)
      // The same file, as an address in the form, and as a file of the visitor's.
      for (const way of ['address', ...(isWhole ? ['dropped', 'chosen'] : [])]) {
        const other = await open(way === 'address' ? `#recording=${encodeURIComponent(recording)}` : '')
        if (way !== 'address') await other.evaluate(`(${PUT})(${JSON.stringify(recording)}, ${way === 'dropped'})`)
        await press(other, 'Start')
        await expect.poll(panelOf(other)).toMatch(/^Now/m)
        await other.close()
      }
      expect(said).toEqual([])
    } finally {
      await browser.close()
    }
  }
  let looked: Promise<void> | undefined
  const run = await runHere([...command, '--port', '0', '--no-open'], {
    ...LIMIT,
    onOutput: (output, signal) => {
      const address = /http:\/\/\S+/.exec(output)?.[0]
      if (address !== undefined) looked ??= look(address).finally(() => signal('SIGINT'))
    },
  })
  expect([run.code, run.stderr]).toEqual([0, expect.not.stringContaining('recording')])
  await looked
}

describe.skipIf(missing !== undefined)('in the page opens', () => {
  test('the recording of a failing test, by the command that the failure prints', SLOW, async () => {
    const run = await runHere(['test', plan, '--out', join(folder, 'out')], LIMIT)
    const command = `retrap web --recording ${failed}`
    expect(run.stdout).toContain(command)
    await openedBy(command.split(' ').slice(1), /echo two\s+two\s+retrap>/, true)
  })

  const [isNamed, off] = [['--firmware', firmware, '--record-images', 'named'], { to: 'retrap> ', type: 'off\n' }]
  test.each([
    ['a PC, which names its image', isNamed, { answers: [off] }, /Power off/],
    ['an Arm board', ['--arch', 'arm64', '--kernel', kernel], { input: 'hello q' }, /hello q/],
  ] as const)('the recording of %s', SLOW, async (what, args, typed, shown) => {
    const file = join(folder, `${what}.recording`)
    const all = ['run', ...args, '--record', file, '--record-bundle']
    // Without checkpoints the page goes through all of the run, and has seen what was printed.
    const run = await runHere([...all, '--record-checkpoints', 'off'], { ...LIMIT, ...typed })
    expect((await runHere(['replay', file], LIMIT)).stdout).toBe(run.stdout)
    await openedBy(['web', '--recording', file], shown, args !== isNamed)
  })
})

test('a recording without its machine is refused, and so is a file that is none', async () => {
  for (const [args, message] of [
    [['--recording', join(folder, 'guest.bin')], 'guest.bin'],
    [['--recording', folder], join(folder, 'run.recording')],
    [['--recording', folder, '--out', join(folder, 'site')], '--recording is opened in a site that is served'],
  ] as const) {
    const run = await runHere(['web', ...args], LIMIT)
    expect([run.code === 0, run.stderr]).toEqual([false, expect.stringContaining(message)])
  }
})
