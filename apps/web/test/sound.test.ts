/** The button for sound: off until it is pressed, by keys as well, and what is heard then. */
import type { Page } from 'puppeteer-core'
import { beforeAll, expect, test } from 'vitest'
import { describeSite } from './support/describe-site.ts'
import { newPage } from './support/page.ts'

/** Counter 2 of the timer at 1,193,182 / 1,193 Hz, and the speaker on it; then it waits. */
const CODE = [0xb0, 0xb6, 0xe6, 0x43, 0xb0, 0xa9, 0xe6, 0x42, 0xb0, 0x04, 0xe6, 0x42, 0xb0, 3, 0xe6, 0x61, 0xeb, 0xfe]
const TONE_HZ = 1000

/** Firmware that plays a tone on the PC speaker. */
function speakerGuest(): Uint8Array {
  const image = new Uint8Array(0x1_0000)
  image.set(CODE)
  // jmp 0
  image.set([0xe9, 0x0d, 0x00], 0xfff0)
  return image
}

describeSite('sound', (site) => {
  let page: Page
  const said: string[] = []

  beforeAll(async () => {
    site.files.set('speaker.bin', speakerGuest())
    page = await newPage(site.browser, said)
    // All that goes to the loudspeakers goes to an analyser as well.
    await page.evaluateOnNewDocument(() => {
      const connect = Reflect.get(AudioNode.prototype, 'connect') as (to: AudioNode) => AudioNode
      const own = globalThis as unknown as { analyser?: AnalyserNode }
      AudioNode.prototype.connect = function (this: AudioNode, to: AudioNode) {
        own.analyser = this.context.createAnalyser()
        own.analyser.fftSize = 8192
        connect.call(this, own.analyser)
        return connect.call(this, to)
      } as typeof AudioNode.prototype.connect
    })
    await page.goto(`${site.server.origin}/#memory=64&firmware=speaker.bin`, { waitUntil: 'load' })
    await page.locator('::-p-aria(Start[role="button"])').click()
  })

  const heard = (): Promise<{ hz: number; db: number } | null> =>
    page.evaluate(() => {
      const { analyser } = globalThis as unknown as { analyser?: AnalyserNode }
      if (analyser === undefined) return null
      const bins = new Float32Array(analyser.frequencyBinCount)
      analyser.getFloatFrequencyData(bins)
      const db = Math.max(...bins)
      // JSON has no infinities.
      return { hz: (bins.indexOf(db) * analyser.context.sampleRate) / analyser.fftSize, db: Math.max(db, -1000) }
    })

  test('is off until its button is pressed, is heard then, and is off again', async () => {
    const more = (): Promise<void> => page.locator('::-p-aria(More[role="button"])').click()
    await more()
    const button = (await page.waitForSelector('::-p-aria(Sound[role="button"])'))!
    const pressed = (): Promise<string | null> => button.evaluate((one) => one.getAttribute('aria-pressed'))
    await expect.poll(() => button.evaluate((one) => (one as HTMLButtonElement).disabled)).toBe(false)
    expect([await pressed(), await heard()]).toEqual(['false', null])
    await button.focus()
    await page.keyboard.press('Space')
    await expect.poll(pressed).toBe('true')
    await expect.poll(async () => (await heard())?.db ?? -1000).toBeGreaterThan(-30)
    expect(Math.abs((await heard())!.hz - TONE_HZ)).toBeLessThan(12)
    await page.waitForSelector('::-p-text(Sound is on)')
    await more()
    await button.focus()
    await page.keyboard.press('Space')
    await expect.poll(pressed).toBe('false')
    const { state } = await page.evaluate(() => {
      const { analyser } = globalThis as unknown as { analyser: AnalyserNode }
      return { state: analyser.context.state }
    })
    expect(state).toBe('suspended')
    expect(said).toEqual([])
  })
})
