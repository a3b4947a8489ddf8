/** A person in front of the site, in any browser: sees labels, clicks where they are, and types. */
import type { Page } from 'puppeteer-core'
import { setTimeout as sleep } from 'node:timers/promises'
import { PATIENCE_MS } from '@retrap/tooling/patience'

/** A browser's window. */
export interface Visitor {
  goto(url: string): Promise<void>
  /** Runs a function in the page. */
  evaluate<T>(run: (...given: never[]) => T | Promise<T>, ...given: readonly unknown[]): Promise<T>
  /** Clicks at a place in the window, in CSS pixels. */
  clickAt(x: number, y: number): Promise<void>
  /** Presses keys. */
  type(text: string): Promise<void>
  resize(width: number, height: number): Promise<void>
  close(): Promise<void>
}

/** The visitor of a page that puppeteer drives. */
export const visitorOf = (page: Page): Visitor => ({
  async goto(url) {
    await page.goto(url, { waitUntil: 'load' })
  },
  evaluate: (run, ...given) => page.evaluate(run as never, ...(given as never[])),
  clickAt: (x, y) => page.mouse.click(x, y),
  type: (text) => page.keyboard.type(text),
  resize: (width, height) => page.setViewport({ width, height }),
  close: () => page.close(),
})

/**
 * Clicks what has a label: the first that is seen.
 *
 * @returns whether there was one, at rest, and nothing over it
 */
export async function clickLabel(visitor: Visitor, label: string): Promise<boolean> {
  const place = await visitor.evaluate(async (wanted: string) => {
    const found = [...document.querySelectorAll<HTMLElement>('button, a, summary, label, [role=tab], input')].find(
      (one) =>
        (one.ariaLabel ?? one.innerText).trim() === wanted &&
        one.getClientRects().length > 0 &&
        !(one as HTMLButtonElement).disabled &&
        one.ariaDisabled !== 'true',
    )
    if (found === undefined) return null
    found.scrollIntoView({ block: 'nearest' })
    const { x, y, width, height } = found.getBoundingClientRect()
    // A page that is still being laid out moves it away.
    await new Promise((resolve) => setTimeout(resolve, 50))
    const later = found.getBoundingClientRect()
    if (later.x !== x || later.y !== y) return null
    const heard = globalThis as { clicked?: boolean }
    heard.clicked = false
    // A button that is off by its attribute alone hears it, too, and does nothing.
    const hear = (): unknown => (heard.clicked = found.ariaDisabled !== 'true')
    found.addEventListener('click', hear, { once: true, capture: true })
    return { x: x + width / 2, y: y + height / 2 }
  }, label)
  if (place === null) return false
  await visitor.clickAt(place.x, place.y)
  // A link leads to a page that knows nothing of it.
  return visitor.evaluate(() => (globalThis as { clicked?: boolean }).clicked ?? true)
}

/** The most presses of Tab from one end of the page to the other. */
const MOST_TABS = 300

/**
 * Goes to what has a label, by Tab and arrow keys alone.
 *
 * @returns whether the focus came there
 */
async function focusLabel(page: Page, label: string): Promise<boolean> {
  for (let tabs = 0; tabs < MOST_TABS; tabs++) {
    const next = await page.evaluate((wanted) => {
      const nameOf = (one: Element): string => ((one as HTMLInputElement).labels?.[0] ?? (one as HTMLElement)).innerText
      const is = (one: Element): boolean =>
        (one.ariaLabel ?? nameOf(one)).split('\n')[0]!.trim() === wanted ||
        one.closest('[role=radiogroup]')?.ariaLabel === wanted
      const one = document.activeElement
      if (one === null || one === document.body) return 'Tab'
      if (is(one)) return null
      // The tabs of a list are one stop.
      if ([...(one.closest('[role=tablist]')?.children ?? [])].some(is)) return 'ArrowRight'
      const target = [...document.querySelectorAll('button:enabled, a, summary, input:enabled')].find(
        (other) => is(other) && other.getClientRects().length > 0,
      )
      // Behind the last element come those of the browser, from which a driven one does not return.
      const isBefore = target && (one.compareDocumentPosition(target) & Node.DOCUMENT_POSITION_PRECEDING) !== 0
      return isBefore === true ? 'Shift' : target && 'Tab'
    }, label)
    if (next === null) return true
    if (next === undefined) return false
    if (next === 'Shift') await page.keyboard.down('Shift')
    await page.keyboard.press(next === 'Shift' ? 'Tab' : next)
    if (next === 'Shift') await page.keyboard.up('Shift')
  }
  return false
}

/** Waits until the focus can come to what has a label, by keys alone, and presses a key there. */
export async function pressByKeys(page: Page, label: string, key: 'Enter' | null = 'Enter'): Promise<void> {
  await until(label, () => focusLabel(page, label))
  if (key !== null) await page.keyboard.press(key)
}

/** Waits until there is something to click by this label, and clicks it. */
export async function press(visitor: Visitor, label: string): Promise<void> {
  await until(label, () => clickLabel(visitor, label))
}

/** Waits for a text. @returns the part of it that was expected */
export async function seen(look: () => Promise<string>, expected: RegExp): Promise<string> {
  let text = ''
  await until(
    () => `${expected} in:\n${text}`,
    async () => expected.test((text = await look())),
  )
  return expected.exec(text)![0]
}

/** Waits until something is so. A page that is being loaded fails to answer. @throws Error with what was awaited */
async function until(what: string | (() => string), look: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (!(await look().catch(() => false))) {
    if (performance.now() > end) throw new Error(`not seen: ${typeof what === 'string' ? what : what()}`)
    await sleep(100)
  }
}

/** What the terminal shows once the playground's device is read, and what the playground says to a mistake. */
export async function tryPlayground(visitor: Visitor): Promise<{ readonly read: string; readonly mistake: string }> {
  const panel = (): Promise<string> =>
    visitor.evaluate(() => document.querySelector<HTMLElement>('#panel-playground')?.innerText ?? '')
  await press(visitor, 'Playground')
  await press(visitor, 'Attach')
  await seen(panel, /Attached: greeter\./)
  await press(visitor, 'Type in the terminal')
  await visitor.type('memory fed90000\n')
  const read = await seen(() => terminalOf(visitor), /fed90000( +[\da-f]{8}){3}/)
  await visitor.evaluate(() => document.querySelector<HTMLTextAreaElement>('.editor textarea')!.select())
  await visitor.type('let one\none.x\n')
  await press(visitor, 'Attach')
  return { read, mistake: await seen(panel, /^Line .*/m) }
}

/** What the terminal shows. */
export const terminalOf = (visitor: Visitor): Promise<string> =>
  visitor.evaluate(() => [...document.querySelectorAll('.xterm-rows > div')].map((row) => row.textContent).join('\n'))
