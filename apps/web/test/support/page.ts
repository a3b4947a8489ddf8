import type { Browser, Page } from 'puppeteer-core'

/** Opens a tab. @param said - gets what it writes to its console, and its errors */
export async function newPage(browser: Browser, said: string[] = []): Promise<Page> {
  const page = await browser.newPage()
  page.on('console', (message) => said.push(message.text()))
  page.on('pageerror', (error) => said.push(String(error)))
  return page
}

/** The rows of the terminal that are seen. */
export const terminalRows = (page: Page): Promise<string[]> =>
  page.evaluate(() => [...document.querySelectorAll('.xterm-rows > div')].map((row) => row.textContent))

/** What the terminal shows. */
export const terminalText = async (page: Page): Promise<string> => (await terminalRows(page)).join('\n')

/** Writes a text in place of a field's own, at once: a page that draws itself anew in between would put the old one back. */
export async function replaceText(page: Page, selector: string, text: string): Promise<void> {
  const field = (await page.waitForSelector(selector))!
  await field.evaluate((one) => {
    const input = one as HTMLInputElement | HTMLTextAreaElement
    input.focus()
    input.select()
  })
  await page.keyboard.sendCharacter(text)
}
