/** The debugger in the page, as a visitor uses it: by labels alone. */
import type { Machine } from '@retrap/web'
import type { Page } from 'puppeteer-core'
import { beforeAll, expect, test } from 'vitest'
import { placeOf } from '../src/debugger/addresses.ts'
import { axisOf } from '../src/debugger/run-axis.ts'
import { describeSite } from './support/describe-site.ts'
import { dropOn, newPage, replaceText, savedFile } from './support/page.ts'
import { press, seen, terminalOf, type Visitor, visitorOf } from './support/visitor.ts'

const named = { addressOf: async (name: string) => (name === 'schedule' ? 0xffff_ffff_8110_0000n : null) }

test.each([
  ['f0000', 0xf_0000n, false],
  ['0xF0000@p', 0xf_0000n, true],
  [' f_0000 @p ', 0xf_0000n, true],
  ['schedule', 0xffff_ffff_8110_0000n, false],
  ['schedule+10', 0xffff_ffff_8110_0010n, false],
  ['1000+0x10', 0x1010n, false],
  ['f000+10@p', 0xf010n, true],
  ['schedule@p', 0xffff_ffff_8110_0000n, true],
])('%j is a place in memory', async (text, address, physical) => {
  expect(await placeOf({ debugger: named } as unknown as Machine, text)).toEqual({ address, physical })
})

test.each(['@p', 'f0000@q', 'f0000@p@p', 'schedul@p'])('%j is no place in memory', async (text) => {
  await expect(placeOf({ debugger: named } as unknown as Machine, text)).rejects.toThrow(/is no address: expected/)
})

test('a mark is where it was printed, though the guest has waited until the next sample', () => {
  const sample = (instruction: number, guestMs: number) => ({
    ...{ instruction, guestMs, interrupts: 0, exceptions: 0, deviceAccesses: 0 },
  })
  // 1000 instructions take a millisecond. The guest executes 500 and waits for a second.
  const axis = axisOf({ samples: [sample(0, 0), sample(1000, 1), sample(1500, 1001), sample(2500, 1002)] })
  expect([0, 500, 1250, 1499, 1500, 2000].map((one) => axis.msOf(one))).toEqual([0, 0.5, 1.25, 1.499, 1001, 1001.5])
  expect([0.5, 1.25, 900, 1001.5].map((one) => axis.instructionAt(one))).toEqual([500, 1250, 1500, 2000])
})

describeSite('the debugger', (site) => {
  let page: Page
  let visitor: Visitor
  const said: string[] = []

  beforeAll(async () => {
    page = await newPage(site.browser, said)
    await page.setViewport({ width: 1400, height: 1000 })
    visitor = visitorOf(page)
    await visitor.goto(site.server.origin)
    await press(visitor, 'Start the embedded guest')
    await seen(() => terminalOf(visitor), /retrap> \s*$/)
  })

  const panel = (): Promise<string> =>
    page.evaluate(() => document.querySelector<HTMLElement>('#panel-debugger')!.innerText)
  /** The debugger's bar. */
  const bar = (): Promise<string> =>
    page.evaluate(() => document.querySelector<HTMLElement>('.instrument')?.innerText ?? '')
  const shot = async (name: string): Promise<void> => {
    const folder = process.env['RETRAP_SCREENSHOTS']
    if (folder !== undefined) await page.screenshot({ path: `${folder}/${name}.png` as `${string}.png` })
  }

  test('a panic is told, and the debugger opens before it', { timeout: 120_000 }, async () => {
    const own = await newPage(site.browser, said)
    const at = visitorOf(own)
    await at.goto(site.server.origin)
    await press(at, 'Start the embedded guest')
    await seen(() => terminalOf(at), /retrap> \s*$/)
    const text = (where: string) => (): Promise<string> =>
      own.evaluate((what) => document.querySelector<HTMLElement>(what)?.innerText ?? '', where)
    const say = async (): Promise<void> => {
      await press(at, 'Type in the terminal')
      await at.type('echo Kernel panic - not syncing: of a test\n')
      await seen(text('.alerts'), /^The kernel has panicked: of a test/)
      await press(at, 'Open the debugger before it')
    }
    await say()
    // What is not recorded stands where it is.
    await seen(text('.status'), /It is not recorded/)
    await press(at, 'Continue')
    await press(at, 'Record')
    await seen(text('.instrument'), /^Now/m)
    await say()
    await seen(text('.instrument'), /^In the past/m)
    await expect.poll(async () => (await terminalOf(at)).match(/^Kernel panic/gm), { timeout: 20_000 }).toHaveLength(1)
    await own.close()
  })

  test('records, goes back, finds a writer, and goes on', { timeout: 120_000 }, async () => {
    await press(visitor, 'Debugger')
    await shot('debugger-off')
    await press(visitor, 'Record')
    await seen(bar, /^Now/m)
    await press(visitor, 'Type in the terminal')
    await visitor.type('echo one\n')
    await seen(() => terminalOf(visitor), /\none\s/)
    // The menu of a word in the terminal asks who printed it.
    const word = await page.evaluate(() => {
      const row = [...document.querySelectorAll('.xterm-rows > div')].findLast(
        (one) => one.textContent.trim() === 'one',
      )
      const { left, top, height } = row!.getBoundingClientRect()
      return { x: left + 4, y: top + height / 2 }
    })
    await page.mouse.click(word.x, word.y, { button: 'right' })
    await page.waitForSelector('.menu button:focus')
    await page.keyboard.press('Enter')
    await seen(bar, /“one”: the instruction at 0x\w+ of vCPU 0 wrote it/)
    await press(visitor, 'Step back')
    const before = await seen(bar, /In the past/)
    expect(before).toBe('In the past')
    for (let i = 0; i < 9; i++) await press(visitor, 'Step back')
    await seen(bar, /^In the past/m)
    // Code is listed as far as one scrolls, by keys alone; the row of the next instruction is marked, and comes into sight.
    const code = '#panel-debugger [aria-label="Instructions"]'
    const next = (): Promise<string | undefined> =>
      page.evaluate((region) => {
        const row = document.querySelector(`${region} [aria-current="step"]`)
        const [inside, outside] = [row, document.querySelector(region)].map((one) => one?.getBoundingClientRect())
        const isSeen = inside && outside && inside.top >= outside.top && inside.bottom <= outside.bottom
        return isSeen ? row?.querySelector('span')?.innerText : undefined
      }, code)
    const pointer = (): Promise<string> => page.$eval('#panel-debugger .registers dd', (one) => one.innerText)
    await expect.poll(next, { timeout: 20_000 }).toBe(await pointer())
    const begin = await pointer()
    await page.focus(code)
    const end = async (): Promise<number> => {
      await page.keyboard.press('End')
      return page.$$eval(`${code} li span`, (all) => Number.parseInt((all.at(-1) as HTMLElement).innerText, 16))
    }
    await expect.poll(end, { timeout: 20_000 }).toBeGreaterThan(Number.parseInt(begin, 16) + 4096)
    expect(await next()).toBeUndefined()
    // The browser glides to the end.
    const glides = (): Promise<boolean> =>
      page.$eval(code, async (one) => {
        const before = one.scrollTop
        await new Promise((resolve) => setTimeout(resolve, 200))
        return one.scrollTop !== before
      })
    await expect.poll(glides, { timeout: 20_000 }).toBe(false)
    await press(visitor, 'Step on')
    await seen(bar, /^In the past/m)
    await expect.poll(pointer, { timeout: 20_000 }).not.toBe(begin)
    await expect.poll(next, { timeout: 20_000 }).toBe(await pointer())
    // The terminal is at the serial port.
    await page.select('section[aria-label="Stops"] select', 'port')
    await page.type('section[aria-label="Stops"] input', '3f8')
    await press(visitor, 'Add a stop')
    await press(visitor, 'Back to the last stop')
    await seen(bar, /Port 0x3f8 is (read|written) by vCPU 0: 0x/)
    await press(visitor, 'Remove: When a port is accessed: 0x3f8')
    // By keys: the first register is the instruction pointer, the next but one RCX; vectors unfold.
    await page.focus('#panel-debugger summary')
    await page.keyboard.press('Enter')
    await seen(panel, /\nYMM15\s/)
    await page.focus('#panel-debugger .registers')
    for (const key of ['ArrowDown', 'ArrowDown', 'Enter'] as const) await page.keyboard.press(key)
    await page.waitForSelector('.menu button:focus')
    await page.keyboard.press('Enter')
    await seen(bar, /RCX: (the instruction at 0x\w+ of vCPU 0 wrote it|that is not known)/)
    await page.type('section[aria-label="Search"] input', 'echo one')
    await press(visitor, 'Find in memory')
    await seen(panel, /(One place|\d+ places), guest-physical/)
    await press(visitor, 'Who wrote this?')
    await seen(bar, /wrote it|nobody has written it/)
    const memory = '#panel-debugger section[aria-label="Memory"]'
    const isPhysical = (): Promise<boolean> =>
      page.$eval(`${memory} [type="checkbox"]`, (one) => (one as HTMLInputElement).checked)
    expect(await isPhysical()).toBe(false)
    await replaceText(page, `${memory} [type="text"]`, 'f0000@p')
    await press(visitor, 'Show')
    await page.waitForSelector(`${memory} [aria-label="Memory from 0xf0000"]`)
    expect(await isPhysical()).toBe(true)
    await shot('debugger-past')
    // By keys: over a call and back is the same place; so is a request of a device, on and back.
    const instant = (): Promise<string> =>
      page.evaluate(() => document.querySelector('.instrument input[type="range"]')!.getAttribute('aria-valuetext')!)
    const moved = (from: string): Promise<unknown> => expect.poll(instant, { timeout: 20_000 }).not.toBe(from)
    const stopped = await instant()
    await page.focus('.instrument input[type="range"]')
    await page.keyboard.down('Shift')
    await page.keyboard.press('F4')
    await page.keyboard.up('Shift')
    await moved(stopped)
    await seen(bar, /^In the past (Port|Device memory) 0x\S+ is (read|written) by vCPU 0/m)
    const here = await instant()
    await press(visitor, 'On over a call')
    await moved(here)
    await press(visitor, 'Back over a call')
    await expect.poll(instant, { timeout: 20_000 }).toBe(here)
    await press(visitor, 'On out of the function')
    await moved(here)
    const outside = await instant()
    await press(visitor, 'Back over a call')
    await moved(outside)
    await press(visitor, 'Play from here')
    await seen(bar, /This is where the machine is/)
    await press(visitor, 'Continue')
    await press(visitor, 'Type in the terminal')
    await visitor.type('echo two\n')
    await seen(() => terminalOf(visitor), /\ntwo\s/)
    // Before the last line was printed there is no such line in the terminal, and a branch goes on from there.
    await page.evaluate(() => (document.querySelector<HTMLDetailsElement>('.debugger > details')!.open = true))
    await press(visitor, 'echo one')
    await seen(bar, /In the past/)
    expect(await terminalOf(visitor)).not.toMatch(/\ntwo\s/)
    await shot('debugger-line')
    await press(visitor, 'Go on from here')
    await press(visitor, 'Go on from here, and give up the rest')
    // It ran before: it runs on.
    await seen(bar, /^Now The machine goes on from here/m)
    await press(visitor, 'Type in the terminal')
    await visitor.type('echo three\n')
    await seen(() => terminalOf(visitor), /\none\s[^]*\nthree\s/)
    expect(await terminalOf(visitor)).not.toMatch(/\ntwo\s/)
    await press(visitor, 'Step back')
    await seen(bar, /In the past/)
    // A change branches as well.
    await page.type('section[aria-label="Change"] input', 'r15')
    await page.type('section[aria-label="Change"] input.code', '5eed')
    await press(visitor, 'Change …')
    await press(visitor, 'Go on from here, and give up the rest')
    await seen(bar, /^Now The machine is here now, with the change/m)
    await seen(panel, /R15\s+0*5eed/i)
    await press(visitor, 'Continue')
    await press(visitor, 'Type in the terminal')
    await visitor.type('echo five\n')
    await seen(() => terminalOf(visitor), /\nfive\s/)
    await press(visitor, 'Step back')
    await seen(bar, /In the past/)
    await shot('debugger-branch')
    // An address's way to memory at this instant, in the monitor's words and in the inspector.
    await page.type('section[aria-label="Looks"] input', '0xf0000')
    await press(visitor, 'Page walk')
    await seen(panel, /PML4E 0, 0x\S+: [^]*page\npaging-structure cache: [^]*is guest-physical 0xf0000\n[^]*epoch \d+/)
    await press(visitor, 'Inspector')
    await page.waitForSelector('#panel-inspector form input')
    await page.evaluate(() => document.querySelectorAll('details').forEach((one) => (one.open = true)))
    await page.type('#panel-inspector form input', 'f0000')
    await press(visitor, 'Follow it')
    await seen(
      () => page.$eval('#panel-inspector', (one) => (one as HTMLElement).innerText),
      /PML4E 0\s[^]*f0000 is guest-physical f0000\s+ram_ro, read execute, in an entry of 4 KiB/,
    )
    await shot('inspector-past')
    await press(visitor, 'Debugger')
    expect(said).toEqual([])
  })

  test('a recording that is saved is opened in another tab, and is at the same instant', async () => {
    const hashOf = async (from: Page): Promise<string> => {
      const text = (): Promise<string> =>
        from.evaluate(() => document.querySelector<HTMLElement>('.instrument')!.innerText)
      await press(visitorOf(from), 'State hash')
      return seen(text, /State hash: [\da-f]{64}/)
    }
    const saved = savedFile(page)
    await press(visitor, 'Now')
    await seen(bar, /^Now/m)
    const hash = await hashOf(page)
    await press(visitor, 'Save the recording')
    const file = await saved
    const other = await newPage(site.browser, said)
    await other.setViewport({ width: 1400, height: 1000 })
    await other.goto(site.server.origin, { waitUntil: 'load' })
    await dropOn(other, 'mine.recording', file)
    await press(visitorOf(other), 'Start')
    expect(await hashOf(other)).toBe(hash)
    // A document: what it is, and nothing that acts on a machine.
    const body = (): Promise<string> => other.evaluate(() => document.body.innerText)
    expect(await body()).toMatch(/Recording[^]*No failure\s+.+ · made by retrap run .*[^]*nobody takes keys[^]*Its end/)
    expect(await body()).not.toMatch(/Power|Reset|Sound|Type in the terminal|Keys\b/)
    // So is the terminal.
    await seen(() => terminalOf(visitorOf(other)), /\none\s[^]*\nthree\s/)
    await press(visitorOf(other), 'Continue')
    // Keys before that are those of a machine that has ended.
    await seen(() => other.evaluate(() => document.querySelector<HTMLElement>('.status')!.innerText), /^Running/)
    await press(visitorOf(other), 'Type in the terminal')
    await visitorOf(other).type('echo four\n')
    await seen(() => terminalOf(visitorOf(other)), /\nfour\s/)
    await other.close()
    expect(said).toEqual([])
  })
})
