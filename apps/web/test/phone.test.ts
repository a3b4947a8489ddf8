/** A machine's page on a phone: one bar, the terminal, and a sheet with all else. */
import type { Page } from 'puppeteer-core'
import { expect, test } from 'vitest'
import { describeSite } from './support/describe-site.ts'
import { newPage, terminalText, violations } from './support/page.ts'

/** Lines of the terminal that are in sight, in any state. */
const LEAST_LINES = 12
/** Source: WCAG 2.2, 2.5.8, "Target Size (Minimum)". */
const LEAST_TARGET = 24

/** What a finger finds in the page. */
const layout = (page: Page) =>
  page.evaluate((least) => {
    const boxOf = (selector: string) => document.querySelector(selector)?.getBoundingClientRect()
    const terminal = boxOf('.serial')!
    const rows = [...document.querySelectorAll('.xterm-rows > div')].map((row) => row.getBoundingClientRect())
    const seen = rows.filter(({ top, bottom }) => top >= terminal.top && bottom <= terminal.bottom)
    const past = boxOf('.past')
    const controls = [...document.querySelectorAll<HTMLElement>('button, select, .button, [role=tab], summary')].filter(
      (one) => one.checkVisibility({ visibilityProperty: true }) && one.closest('.xterm') === null,
    )
    const nameOf = (one: HTMLElement): string => one.ariaLabel ?? one.textContent
    /** Whether it can be scrolled into sight, and nothing lies over it there. */
    const isReached = (one: HTMLElement): boolean => {
      one.scrollIntoView({ block: 'nearest', inline: 'nearest' })
      const { left, top, width, height } = one.getBoundingClientRect()
      const hit = document.elementFromPoint(left + width / 2, top + height / 2)
      return hit !== null && (one.contains(hit) || hit.closest(':popover-open') !== null)
    }
    return {
      lines: seen.length,
      share: terminal.height / innerHeight,
      bars: [...document.querySelectorAll('header, .instrument, .tabs')].filter(
        (one) => one.checkVisibility() && one.closest('.side:not(.folded), main:has(> .side:not(.folded))') === null,
      ).length,
      covered: past === undefined ? 0 : seen.filter(({ bottom }) => bottom > past.top).length,
      unreached: controls.filter((one) => !isReached(one)).map(nameOf),
      small: controls.filter((one) => Math.min(one.offsetWidth, one.offsetHeight) < least).map(nameOf),
      size: [document.documentElement.scrollWidth - innerWidth, document.documentElement.scrollHeight - innerHeight],
    }
  }, LEAST_TARGET)

const GOOD = { bars: 1, covered: 0, unreached: [], small: [], size: [0, 0] }

describeSite('a phone', (site) => {
  test.each([
    [390, 844],
    [360, 740],
    [844, 390],
  ])('has the terminal, one bar, and a sheet at %i × %i', { timeout: 120_000 }, async (width, height) => {
    const said: string[] = []
    const page = await newPage(site.browser, said)
    await page.setViewport({ width, height, hasTouch: true, isMobile: true })
    /** Checks the page in a state. */
    const check = async (state: string): Promise<void> => {
      const folder = process.env['RETRAP_PICTURES']
      if (folder !== undefined) await page.screenshot({ path: `${folder}/${width}x${height} ${state}.png` })
      const { lines, share, ...rest } = await layout(page)
      expect.soft(rest, state).toEqual(GOOD)
      expect.soft(lines, state).toBeGreaterThanOrEqual(LEAST_LINES)
      expect.soft(share, state).toBeGreaterThanOrEqual(0.5)
      expect.soft(await violations(page), state).toEqual([])
    }
    const focused = (): Promise<string | undefined> => page.evaluate(() => document.activeElement?.className)
    await page.goto(site.server.origin, { waitUntil: 'load' })
    await page.locator('::-p-aria(Start the embedded guest)').click()
    await expect.poll(() => terminalText(page)).toMatch(/retrap> \s*$/)
    // Fingers have the keys from the beginning.
    await page.waitForSelector('.keys')
    await check('keys')
    await page.click('.fold')
    await page.waitForSelector('.side.folded')
    expect(await focused()).toContain('opener')
    await check('folded')
    await page.click('.tool.more')
    await page.waitForSelector('#more:popover-open')
    await check('menu')
    await page.keyboard.press('Escape')
    await page.waitForSelector('#more:not(:popover-open)')
    expect(await focused()).toContain('more')
    await page.click('.opener')
    for (const name of ['devices', 'snapshots', 'inspector', 'debugger']) {
      await page.locator(`#tab-${name}`).click()
      await page.waitForFunction(
        (id) => !/Loading|^$/.test(document.getElementById(id)!.innerText),
        {},
        `panel-${name}`,
      )
      await check(name)
    }
    await page.locator('::-p-aria(Record this machine)').click()
    await page.waitForSelector('.track')
    // A guest that waits at its prompt has no past.
    await page.type('.xterm-helper-textarea', 'x')
    await expect.poll(() => terminalText(page)).toMatch(/> x/)
    await page.locator('::-p-aria(Step back)').click()
    await page.waitForSelector('.past')
    await check('past')
    await page.focus('#tab-debugger')
    await page.keyboard.press('Escape')
    await page.waitForSelector('.side.folded')
    expect(await focused()).toContain('opener')
    await check('past without the sheet')
    expect(said).toEqual([])
    await page.close()
  })
})
