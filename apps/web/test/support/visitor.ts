/** A person in front of the site, in any browser: sees labels, clicks where they are, and types. */
import type { Page } from 'puppeteer-core'

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
 * Clicks what has a label: the first that is seen. Where something lies over it, that is clicked.
 *
 * @returns whether there was one, at rest
 */
export async function clickLabel(visitor: Visitor, label: string): Promise<boolean> {
  const place = await visitor.evaluate(async (wanted: string) => {
    const found = [...document.querySelectorAll<HTMLElement>('button, a, summary, label, [role=tab], input')].find(
      (one) =>
        (one.ariaLabel ?? one.innerText).trim() === wanted &&
        one.getClientRects().length > 0 &&
        !(one as HTMLButtonElement).disabled,
    )
    if (found === undefined) return null
    found.scrollIntoView({ block: 'nearest' })
    const { x, y, width, height } = found.getBoundingClientRect()
    // A page that is still being laid out moves it away.
    await new Promise((resolve) => setTimeout(resolve, 50))
    const later = found.getBoundingClientRect()
    return later.x === x && later.y === y ? { x: x + width / 2, y: y + height / 2 } : null
  }, label)
  if (place !== null) await visitor.clickAt(place.x, place.y)
  return place !== null
}

/** What the terminal shows. */
export const terminalOf = (visitor: Visitor): Promise<string> =>
  visitor.evaluate(() => [...document.querySelectorAll('.xterm-rows > div')].map((row) => row.textContent).join('\n'))
