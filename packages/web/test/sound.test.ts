/** The sound of machines in Chromium: what an analyser of the browser's own finds in it. */
import { noBrowser } from '@retrap/tooling/browser'
import type { PageServer } from '@retrap/tooling/page-server'
import { sliceTests } from '@retrap/tooling/slice'
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest'
import { soundCardGuest, speakerGuest, TONE_HZ } from './support/guests.ts'
import { type PageGlobals, Pages, POLICY } from './support/pages.ts'

const test = sliceTests(3)

if (noBrowser !== undefined) console.warn(`SKIPPED: sound in pages: ${noBrowser}`)

describe.skipIf(noBrowser !== undefined)('the sound of a machine', () => {
  let pages: Pages
  let isolated: PageServer
  let plain: PageServer

  beforeAll(async () => {
    pages = await Pages.start()
    pages.files.set('speaker.bin', speakerGuest())
    pages.files.set('card.bin', soundCardGuest())
    isolated = await pages.serve({ headers: { 'content-security-policy': POLICY } })
    plain = await pages.serve({ isolated: false })
  })
  afterAll(() => pages?.close())
  afterEach(() => pages.closePages())

  test.each([
    { name: 'PC speaker', firmware: 'speaker.bin', channels: [true, true], isIsolated: true },
    { name: 'sound card', firmware: 'card.bin', channels: [true, false], isIsolated: true },
    { name: 'sound card', firmware: 'card.bin', channels: [true, false], isIsolated: false },
  ])('is heard: of the $name, in an isolated page: $isIsolated', async ({ firmware, channels, isIsolated }) => {
    const page = await pages.open(isIsolated ? isolated : plain)
    const heard = await page.evaluate(async (firmware) => {
      const { createMachine } = globalThis as unknown as PageGlobals
      const machine = await createMachine({ firmware, memoryBytes: 16 << 20, sound: true })
      void machine.run().catch(() => {})
      // At another rate than the guest's.
      const context = new AudioContext({ sampleRate: 44_100 })
      const splitter = context.createChannelSplitter(2)
      const analysers = [0, 1].map((channel) => {
        const analyser = context.createAnalyser()
        analyser.fftSize = 8192
        splitter.connect(analyser, channel)
        analyser.connect(context.destination)
        return analyser
      })
      const loudest = (analyser: AnalyserNode): { hz: number; db: number } => {
        const bins = new Float32Array(analyser.frequencyBinCount)
        analyser.getFloatFrequencyData(bins)
        const db = Math.max(...bins)
        return { hz: (bins.indexOf(db) * context.sampleRate) / analyser.fftSize, db }
      }
      const before = analysers.map(loudest)
      const detach = await machine.attachSound(splitter)
      const LOUD = -30
      while (loudest(analysers[0]!).db < LOUD) await new Promise((resolve) => setTimeout(resolve, 50))
      const after = analysers.map(loudest)
      detach()
      // The analyser's window and its smoothing are past.
      while (loudest(analysers[0]!).db > LOUD) await new Promise((resolve) => setTimeout(resolve, 50))
      machine.dispose()
      return { before, after, isolated: crossOriginIsolated }
    }, firmware)
    expect(heard.isolated).toBe(isIsolated)
    for (const { db } of heard.before) expect(db ?? -Infinity).toBeLessThan(-100)
    for (const [i, { hz, db }] of heard.after.entries())
      if (channels[i]) expect(Math.abs(hz - TONE_HZ)).toBeLessThan(12)
      else expect(db ?? -Infinity).toBeLessThan(-100)
  })
})
