/** Facts of the built site that no browser is needed for. */
import { expect, test } from 'vitest'
import { buildSite } from './support/site.ts'

test('no module imports the entry of a Worker: WebKit would evaluate it once more, and make two machines', async () => {
  const scripts = [...(await buildSite())]
    .filter(([name]) => name.endsWith('.js'))
    .map(([name, bytes]) => ({ name: name.replace(/^.*\//, ''), text: Buffer.from(bytes).toString() }))
  const entries = scripts.flatMap(({ text }) =>
    [...text.matchAll(/new URL\([`"']([^`"']+\.js)[`"'], ?import\.meta\.url\)/g)].map(([, name]) => name!),
  )
  expect(entries).toEqual([expect.stringMatching(/^machine-worker-/)])
  const importers = scripts.filter(({ text }) =>
    [...text.matchAll(/\b(?:from|import) ?\(?[`"'](?:\.\/)?([^`"']+)[`"']/g)].some(([, name]) =>
      entries.includes(name!),
    ),
  )
  expect(importers.map(({ name }) => name)).toEqual([])
})
