/** The run of a cluster in the page: lanes, and the way into its machines. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Page } from 'puppeteer-core'
import { beforeAll, expect, test } from 'vitest'
import { wordsOf } from '../src/cluster/run-view.ts'
import { describeSite } from './support/describe-site.ts'
import { clusterRun } from './support/cluster-run.ts'
import { dropOn, newPage, replaceText, savedFile } from './support/page.ts'
import { press, seen, terminalOf, type Visitor, visitorOf } from './support/visitor.ts'

const both = (one: string, ...others: string[]): string[] =>
  others.flatMap((other) => [`${one}>${other}`, `${other}>${one}`])

test.each([
  [{ cut: both('north', 'east', 'west') }, 'north is cut off from east and west'],
  [{ cut: [...both('a', 'c', 'd'), ...both('b', 'c', 'd')] }, 'a and b are cut off from c and d'],
  [{ cut: ['a>b', 'a>c'] }, 'a does not reach b and c'],
  [{ cut: [...both('a', 'c'), ...both('b', 'd')] }, 'a is cut off from c; b is cut off from d'],
  [{ kind: 'loss', amount: 0.05 }, '5 % of the frames is lost'],
  [{ kind: 'delay', amount: 2e6, machines: ['a'] }, 'frames come later at a (2 ms)'],
  [{ kind: 'hang', machines: ['a'] }, 'a stands still'],
  [{ kind: 'full', machines: ['a'] }, "a's disk is full"],
] as const)('the fault %j is a sentence', (fault, text) => {
  expect(wordsOf({ kind: 'partition', at: 0, for: 2e9, ...fault })).toBe(`${text}, for 2 s`)
})

describeSite('the lanes of a cluster', (site) => {
  let page: Page
  let visitor: Visitor
  /** Instants of the recording, in seconds: between two lines, and its end. */
  let [between, end] = [0, 0]
  const said: string[] = []

  const textOf = (selector: string): Promise<string> =>
    page.evaluate((one) => document.querySelector<HTMLElement>(one)?.innerText ?? '', selector)
  const instant = async (): Promise<number> => Number.parseFloat(await textOf('.instrument output'))
  const all = (selector: string): Promise<string[]> =>
    page.$$eval(selector, (found) => found.map((one) => one.textContent))
  /** The numbers of drawn paths. */
  const places = async (selector: string): Promise<number[]> => {
    const paths = await page.$$eval(selector, (found) => found.map((one) => one.getAttribute('d')))
    return (paths.join(' ').match(/(?<![\d.])-?[\d.]+/g) ?? []).map(Number)
  }

  beforeAll(async () => {
    page = await newPage(site.browser, said)
    await page.setViewport({ width: 1400, height: 1000 })
    visitor = visitorOf(page)
    await visitor.goto(site.server.origin)
    await press(visitor, 'Start the embedded guest')
    await seen(() => terminalOf(visitor), /retrap> \s*$/)
    await press(visitor, 'Debugger')
    await press(visitor, 'Record')
    await seen(() => textOf('.instrument'), /^Now/m)
    await press(visitor, 'Type in the terminal')
    for (const word of ['one', 'two', 'three']) {
      await visitor.type(`echo ${word}\n`)
      await seen(() => terminalOf(visitor), new RegExp(`\\n${word}\\s[^]*> \\s*$`))
      // The bar is drawn from time to time, and has milliseconds.
      await sleep(1200)
      ;[between, end] = [end, (await instant()) + 0.001]
    }
    const saved = savedFile(page)
    await press(visitor, 'Save the recording')
    site.files.set('three.run', await clusterRun(end * 1e9, between * 1e9, await saved))
    await page.close()
    page = await newPage(site.browser, said)
    visitor = visitorOf(page)
    await page.setViewport({ width: 1400, height: 1000 })
  }, 120_000)

  test('show what failed, carry what is clicked, and open a machine at its instant', { timeout: 60_000 }, async () => {
    await visitor.goto(`${site.server.origin}/#lanes=three.run`)
    await seen(() => textOf('.outcome'), /^Failed\s+check ended with 1\s+seed 7, branch 2/)
    await page.waitForSelector('.frame.lost')
    expect(await all('.lanes-box .name')).toEqual(['node-1', 'node-2', 'node-3'])
    const faults = await page.$$eval('.shade', (shades) => shades.map((one) => (one as SVGElement).dataset['fault']))
    const lives = await page.$$eval('.life', (bars) => bars.map((one) => one.querySelectorAll('rect').length))
    expect([faults, lives]).toEqual([
      ['partition', 'crash'],
      [1, 1, 2],
    ])
    // 6001 frames are fewer arrows.
    const strokes = (await places('.frame')).length / 4
    expect([strokes > 100, strokes < 2500]).toEqual([true, true])
    await press(visitor, 'node-3')
    expect(await all('.lanes-box .name')).toEqual(['node-1', 'node-2'])
    await press(visitor, 'node-3')
    expect((await all('.shade text')).join()).toContain('node-1 does not reach node-2, for ')
    await page.type('.filter .text input', '(lost)')
    await page.waitForFunction(() => [...document.querySelectorAll('.frame')].every((one) => one.matches('.lost')))
    await replaceText(page, '.filter .text input', 'VOTE of')
    await page.waitForFunction(() => document.querySelectorAll('.frame').length === 1)
    const box = (await (await page.$('.lanes-box'))!.boundingBox())!
    const [x, y] = await places('.frame')
    await page.mouse.click(box.x + x!, box.y + y! + 20)
    await seen(() => textOf('aside'), /UDP 10\.83\.0\.1:7 > 10\.83\.0\.2:7, 18 bytes[^]*the vote of term 2/)
    expect(await textOf('aside')).toMatch(/0000 {2}74 68 65 20 76 6f 74 65 {2}the vote/)
    // The second lane, at a line between two that its guest has printed.
    await replaceText(page, '.filter .text input', 'two leaders')
    await page.click('.items .line')
    await page.focus('.lanes-box')
    for (let i = 0; i < 10; i++) await page.keyboard.press('+')
    const [at] = await places('.cursor')
    const bar = (await (await page.$('.life[data-machine="node-2"] rect'))!.boundingBox())!
    await page.mouse.click(box.x + at!, bar.y + 4)
    await seen(() => textOf('.bench:not([hidden]) h2'), /^node-2 at /)
    await seen(() => textOf('.instrument'), /^In the past/m)
    await seen(() => terminalOf(visitor), /\ntwo\s+retrap> (?![^]*\nthree)/)
    // It is a document of the cluster's, and Back and Forward lead out of it and in again.
    const head = (): Promise<string> => textOf('.bench:not([hidden]) .recorded')
    await seen(head, /^Failed check ended with 1/)
    await seen(() => textOf('.instrument output'), /^cluster [\d.]+ s node-2 [\d.]+ s$/)
    for (const step of [-1, 1, -1, 1]) {
      await page.evaluate((by) => history.go(by), step)
      await page.waitForFunction((by) => Boolean(history.state.place) === by > 0, {}, step)
      await page.waitForSelector(step < 0 ? '.bench.cluster:not([hidden])' : '.bench.cluster[hidden]')
      if (step > 0) await seen(head, /^Failed/)
    }
    await press(visitor, 'Back to the cluster')
    await page.waitForSelector('.bench.cluster:not([hidden])')
    expect(await page.$eval('.filter .text input', (one) => (one as HTMLInputElement).value)).toBe('two leaders')
    expect(said).toEqual([])
  })

  test('go by keys alone, on a phone, from a file that is dropped', { timeout: 60_000 }, async () => {
    await page.setViewport({ width: 390, height: 844 })
    await visitor.goto('about:blank')
    await visitor.goto(site.server.origin)
    await dropOn(page, 'three.run', 'three.run')
    await press(visitor, 'Start')
    await page.waitForSelector('.lanes-box')
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390)
    await page.focus('.lanes-box')
    for (const key of ['End', 'ArrowDown', '+', ','] as const) await page.keyboard.press(key)
    await seen(() => textOf('aside .here'), /^node-2 at [\d.]+ s\s*: UDP 10\.83\.0\.2:53 > 10\.83\.0\.3:53/)
    for (const key of ['ArrowDown', 'Enter'] as const) await page.keyboard.press(key)
    await seen(() => textOf('.bench:not([hidden]) h2'), /^node-3 at /)
    await seen(() => textOf('.instrument'), /^(Its end|In the past)/m)
    await page.evaluate(() => history.back())
    await page.waitForSelector('.bench.cluster:not([hidden])')
    expect(said).toEqual([])
  })
})
