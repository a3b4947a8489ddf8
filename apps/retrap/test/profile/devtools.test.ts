/** Profiles as Chrome's DevTools open them: Chromium has them with it. */
import { type Browser, launchBrowser, noBrowser, type Page } from '@retrap/tooling/browser'
import { expect, test } from 'vitest'
import type { CpuProfile } from '../../src/machine/profile/guest-profile.ts'
import { sampleProfile } from '../support/sample-profile.ts'

if (noBrowser !== undefined) console.warn(`SKIPPED: opening a profile in DevTools: ${noBrowser}`)

/** All text of the page, shadow trees included, with bars between its pieces and plain spaces. */
const TEXT = `(() => {
  const pieces = []
  const visit = (node) => {
    if (node.nodeType === Node.TEXT_NODE) pieces.push(node.textContent.trim().replaceAll(/\\s/g, ' '))
    else if (!/^(STYLE|SCRIPT)$/.test(node.nodeName))
      for (const child of [...(node.shadowRoot ? [node.shadowRoot] : []), ...node.childNodes]) visit(child)
  }
  visit(document.body)
  return pieces.filter(Boolean).join('|')
})()`

/** Opens the table of functions, by self time. */
const BOTTOM_UP = `(() => {
  const find = (node) => {
    if (node.id === 'tab-bottom-up') return node
    for (const child of [...(node.shadowRoot ? [node.shadowRoot] : []), ...node.childNodes]) {
      const found = find(child)
      if (found) return found
    }
  }
  const tab = find(document.body)
  tab?.dispatchEvent(new MouseEvent('mousedown', { bubbles: true, button: 0 }))
  return tab !== undefined
})()`

/** Evaluates an expression again and again until its value is accepted. */
async function until(page: Page, expression: string, accept: (value: unknown) => boolean): Promise<unknown> {
  for (let left = 300; ; left--) {
    const value: unknown = await page.evaluate(expression).catch((error: unknown) => String(error))
    if (accept(value) || left === 0) return value
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

/** Loads a profile into the panel "Performance". @returns the text of DevTools, with the table of functions */
async function open(browser: Browser, profile: CpuProfile): Promise<string> {
  const session = await (await browser.newPage()).createCDPSession()
  const { targetId } = (await session.send('Target.getTargetInfo')).targetInfo
  const { host } = new URL(browser.wsEndpoint())
  const devtools = await browser.newPage()
  await devtools.goto(`http://${host}/devtools/devtools_app.html?ws=${host}/devtools/page/${targetId}&panel=timeline`)
  // The panel is there: its landing page has a button to record.
  await until(devtools, TEXT, (text) => String(text).includes('|Record|'))
  await devtools.evaluate(`import('/devtools/panels/timeline/timeline.js').then(({ TimelinePanel }) => {
    const file = new File([${JSON.stringify(JSON.stringify(profile))}], 'guest.cpuprofile')
    return TimelinePanel.TimelinePanel.instance().loadFromFile(file)
  })`)
  await until(devtools, TEXT, (text) => String(text).includes('|Bottom-up|'))
  await until(devtools, BOTTOM_UP, (found) => found === true)
  return String(await until(devtools, TEXT, (text) => String(text).includes('start_kernel')))
}

test.skipIf(noBrowser !== undefined)('DevTools show functions with their times', { timeout: 180_000 }, async () => {
  const browser = await launchBrowser(['--remote-allow-origins=*'])
  try {
    const text = await open(browser, sampleProfile())
    expect(text).toContain('|Full range (400.00 ms)|')
    // Self and total time of each function.
    expect(text).toMatch(/\|200\.0 ms\|[\d.]+ %\|350\.0 ms\|[\d.]+ %\|start_kernel\|/)
    expect(text).toMatch(/\|150\.0 ms\|[\d.]+ %\|150\.0 ms\|[\d.]+ %\|memset_erms\|/)
  } finally {
    await browser.close()
  }
})
