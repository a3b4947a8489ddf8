import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { AxeResults } from 'axe-core'
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

/**
 * Drops a file on the start page, as the browser does.
 *
 * @param content - of the file, or, as a text, the address of a file that the page fetches
 */
export const dropOn = (page: Page, name: string, content: Uint8Array | string): Promise<void> =>
  page.evaluate(
    async (file, given) => {
      const bytes = typeof given === 'string' ? await (await fetch(given)).arrayBuffer() : Uint8Array.from(given)
      const dataTransfer = new DataTransfer()
      dataTransfer.items.add(new File([bytes], file))
      const event = new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true })
      document.querySelector('.drop')!.dispatchEvent(event)
    },
    name,
    typeof content === 'string' ? content : [...content],
  )

/** The next file that the page gives to be saved. */
export async function savedFile(page: Page): Promise<Uint8Array> {
  const saved = (): Promise<string> =>
    new Promise((resolve) => {
      const original = URL.createObjectURL.bind(URL)
      URL.createObjectURL = (file: Blob) => {
        const reader = new FileReader()
        reader.addEventListener('load', () => resolve(reader.result as string))
        reader.readAsDataURL(file)
        return original(file)
      }
    })
  return Buffer.from((await page.evaluate(saved)).replace(/^.*,/, ''), 'base64')
}

const AXE = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8')

/** What axe finds: the rule, and where it is broken. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE)
  const { violations: found } = await page.evaluate(
    () => (globalThis as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run() as Promise<AxeResults>,
  )
  return found.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`))
}
