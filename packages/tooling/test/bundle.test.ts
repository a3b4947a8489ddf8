/** Bundles, as pages and Workers get them. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { bundlePage, bundleScript } from '../src/bundle.ts'

const folder = temporaryFolder('bundle')
mkdirSync(join(folder, 'src'))
const file = (name: string, text: string): string => {
  const path = join(folder, 'src', name)
  writeFileSync(path, text)
  return path
}
file('parts.ts', 'export const add = (a: number, b: number): number => a + b\nexport const late = "in a chunk"\n')

test('a script leaves the module’s exports in a variable, and needs nothing else', async () => {
  const entry = file(
    'script.ts',
    'export { add } from "./parts.ts"\nexport const node = process.env["NODE"] ?? "none"\n',
  )
  const code = await bundleScript(entry, 'parts')
  expect(runInNewContext(`${code}; [parts.add(2, 3), parts.node]`)).toEqual([5, 'none'])
})

test('a page has its module as page.js, the programs of its Workers, and chunks', async () => {
  file('worker.ts', 'postMessage("from a Worker")\n')
  const entry = file(
    'entry.ts',
    `globalThis.start = () => new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' })
globalThis.load = () => import('./parts.ts')
`,
  )
  const files = await bundlePage(entry)
  const names = [...files.keys()]
  expect(names).toContain('page.js')
  const holding = (text: string): string[] => names.filter((name) => String(files.get(name)).includes(text))
  expect([holding('from a Worker').length, holding('in a chunk').length]).toEqual([1, 1])
  const [worker, chunk] = [holding('from a Worker')[0]!, holding('in a chunk')[0]!]
  expect(new Set(['page.js', worker, chunk]).size).toBe(3)
  // They are asked for relative to the page's module, wherever a server has it.
  for (const name of [worker, chunk]) expect(String(files.get('page.js'))).toContain(name)
})
