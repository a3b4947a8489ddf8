import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Page } from '@retrap/tooling/browser'

const AXE = readFileSync(
  createRequire(new URL('../../../web/package.json', import.meta.url)).resolve('axe-core'),
  'utf8',
)

/** What axe finds in a part of a page: the rule, and where it is broken. */
export async function axeFinds(page: Page, within = 'html'): Promise<readonly string[]> {
  await page.evaluate(AXE)
  return page.evaluate(async (part) => {
    const { axe } = globalThis as unknown as {
      axe: { run(within: string): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> }
    }
    const { violations } = await axe.run(part)
    return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`))
  }, within)
}
