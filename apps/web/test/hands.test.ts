/** A machine's page in a person's hands: keys on the screen, pasted text, fingers, mouse. The guest prints what it is sent. */
import type { Page } from 'puppeteer-core'
import { beforeAll, expect, test } from 'vitest'
import { describeSite } from './support/describe-site.ts'
import { inputGuest } from './support/input-guest.ts'
import { newPage, replaceText, terminalRows } from './support/page.ts'

/** So long a finger stays for the right button. */
const LONG_PRESS_MS = 500

describeSite('a machine that prints what it is sent, on a phone', (site) => {
  let page: Page
  const said: string[] = []

  beforeAll(async () => {
    site.files.set('input.bin', inputGuest())
    page = await newPage(site.browser, said)
    // Taller than a phone: the terminal, which is read here, is in sight below the screen while the keys are open.
    await page.setViewport({ width: 390, height: 1200, hasTouch: true, isMobile: true })
    // A host that is busy takes its time between two events of a finger: it is no long press, unless it is to be one.
    await page.evaluateOnNewDocument((pressMs) => {
      const own = globalThis as unknown as { isLongPress?: boolean }
      const wait = globalThis.setTimeout
      const later = (done: () => void, ms: number): ReturnType<typeof wait> =>
        wait(done, ms === pressMs && !own.isLongPress ? 1e9 : ms)
      globalThis.setTimeout = later as typeof wait
    }, LONG_PRESS_MS)
    await page.evaluateOnNewDocument(() => {
      const { keyboard } = navigator as unknown as { keyboard: { lock(codes: readonly string[]): Promise<void> } }
      const lock = keyboard.lock.bind(keyboard)
      const own = globalThis as unknown as { locked: (readonly string[])[] }
      own.locked = []
      keyboard.lock = (codes) => (own.locked.push(codes), lock(codes))
    })
    await page.goto(`${site.server.origin}/#memory=64&firmware=input.bin&vga=std`, { waitUntil: 'load' })
    await page.locator('::-p-aria(Start[role="button"])').click()
  })

  /** All that the guest has printed: few rows of the terminal, which may end anywhere. */
  const printed = async (): Promise<string> => (await terminalRows(page)).join('').replaceAll(/\s/g, '')
  const click = (name: string): Promise<void> => page.locator(`::-p-aria(${name}[role="button"])`).click()

  /** Expects the guest to print so much more by an action. */
  async function prints(action: () => Promise<unknown>, expected: string): Promise<void> {
    const before = await printed()
    await action()
    await expect.poll(printed).toBe(before + expected.replaceAll(' ', ''))
  }

  test('starts with its keys open, as there are fingers', async () => {
    // Keyboard and mouse have acknowledged.
    await expect.poll(printed).toBe('famfa')
    await page.waitForSelector('.keys')
    await page.select('::-p-aria(Keys go to)', 'keyboard')
  })

  test('keys are pressed, and modifiers hold until the next one', async () => {
    await prints(() => click('Esc'), '01 81')
    await prints(() => click('F12'), '58 d8')
    await prints(() => click('Up arrow'), 'e0 48 e0 c8')
    await prints(async () => {
      await click('Ctrl')
      expect(await page.$eval('::-p-aria(Ctrl[role="button"])', (one) => one.ariaPressed)).toBe('true')
      await click('Tab')
      await click('Tab')
    }, '1d 0f 8f 9d 0f 8f')
    await prints(async () => {
      await click('Alt')
      await click('Alt')
    }, '38 b8')
    await prints(() => click('Ctrl-Alt-Del'), '1d 38 e0 53 e0 d3 b8 9d')
  })

  test('Ctrl-Alt-G leaves the screen, and the guest has no G and no key that stays down', async () => {
    await prints(async () => {
      await page.focus('canvas')
      await page.keyboard.down('Control')
      await page.keyboard.down('Alt')
      await page.keyboard.press('g')
      await page.keyboard.up('Alt')
      await page.keyboard.up('Control')
    }, '1d 38 9d b8')
    expect(await page.evaluate(() => document.activeElement!.tagName)).toBe('BODY')
  })

  test('text is typed as the layout of the guest has it; what it lacks is said', async () => {
    const type = async (text: string): Promise<void> => {
      await replaceText(page, '::-p-aria(Text to type)', text)
      await click('Type it')
    }
    await prints(() => type('z@'), '2c ac 2a 03 83 aa')
    await page.select("::-p-aria(The guest's keyboard layout)", 'de')
    await prints(() => type('z@'), '15 95 e0 38 10 90 e0 b8')
    await page.select("::-p-aria(The guest's keyboard layout)", 'us')
    await prints(() => type('ü'), '')
    const note = (): Promise<string> => page.$eval('#panel-keys .actions [role=status]', (one) => one.textContent ?? '')
    await expect.poll(note).toContain("'ü' is not on a keyboard of layout us")
    // Control holds for what is typed, too.
    await prints(async () => {
      await click('Ctrl')
      await type('c')
    }, '1d 2e ae 9d')
  })

  test('fingers are the mouse: a tap, a long press, a movement', async () => {
    await page.$eval('canvas', (canvas) => canvas.scrollIntoView({ block: 'center' }))
    const box = (await (await page.$('canvas'))!.boundingBox())!
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2]
    await prints(() => page.touchscreen.tap(x, y), 'm09 m00 m00 m08 m00 m00')
    const longPress = (on: boolean): Promise<void> =>
      page.evaluate((is) => void ((globalThis as unknown as { isLongPress?: boolean }).isLongPress = is), on)
    await longPress(true)
    await prints(async () => {
      const finger = await page.touchscreen.touchStart(x, y)
      await expect.poll(printed).toMatch(/m0am00m00m08m00m00$/)
      await finger.end()
    }, 'm0a m00 m00 m08 m00 m00')
    await longPress(false)
    await prints(async () => {
      const finger = await page.touchscreen.touchStart(x, y)
      await finger.move(x + 20, y)
      await finger.end()
    }, 'm08 m14 m00')
    expect(said).toEqual([])
  })

  test('keys go to the serial port where there is no screen to type on', async () => {
    await page.select('::-p-aria(Keys go to)', 'serial')
    expect(await page.$$eval('.keys button', (all) => all.map((one) => one.textContent))).not.toContain('Ctrl-Alt-Del')
    await page.select('::-p-aria(Keys go to)', 'keyboard')
  })

  test('the screen is full, and its pixels are whole', async () => {
    await click('Full screen')
    const full = (): Promise<boolean> => page.evaluate(() => document.fullscreenElement?.className === 'screen')
    await expect.poll(full).toBe(true)
    // Escape is the guest's as long.
    const locked = (): Promise<unknown> => page.evaluate(() => (globalThis as unknown as { locked: unknown }).locked)
    await expect.poll(locked).toEqual([['Escape']])
    await prints(() => page.keyboard.press('Escape'), '01 81')
    expect(await full()).toBe(true)
    expect(said).toEqual([])
    const factor = (): Promise<number> =>
      page.$eval('canvas', (canvas) => (canvas.clientWidth * devicePixelRatio) / canvas.width)
    await expect.poll(factor).toBe(1)
    await page.evaluate(() => document.exitFullscreen())
    await expect.poll(full).toBe(false)
  })

  test('a machine that stands still is kept once, however often its page is hidden', async () => {
    /** Names of what is kept: each save has one of its own. */
    const kept = (): Promise<string[]> =>
      page.evaluate(async () => {
        const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('snapshots', { create: true })
        const names: string[] = []
        for await (const name of folder.keys()) names.push(name)
        return names.filter((name) => name.endsWith('.json'))
      })
    const hide = (): Promise<void> =>
      page.evaluate(() => {
        Object.defineProperty(document, 'hidden', { value: true, configurable: true })
        document.dispatchEvent(new Event('visibilitychange'))
      })
    const savedAnew = async (before: readonly string[]): Promise<boolean> => {
      const now = await kept()
      return now.length === 1 && !before.includes(now[0]!)
    }
    await page.click('#tab-debugger')
    await click('Pause')
    await expect.poll(() => page.$eval('.status', (one) => one.textContent)).toContain('Paused')
    const before = await kept()
    await hide()
    await expect.poll(() => savedAnew(before)).toBe(true)
    const first = await kept()
    await page.evaluate(() => {
      const own = globalThis as unknown as { saves: number }
      own.saves = 0
      const post = Object.getOwnPropertyDescriptor(Worker.prototype, 'postMessage')!.value as typeof postMessage
      Worker.prototype.postMessage = function (...given: unknown[]) {
        if ((given[0] as { call?: string }).call === 'save') own.saves++
        Reflect.apply(post, this, given)
      }
    })
    await hide()
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 400)))
    expect(await page.evaluate(() => (globalThis as unknown as { saves: number }).saves)).toBe(0)
    await click('Continue')
    await hide()
    await expect.poll(() => savedAnew(first)).toBe(true)
  })
})
