/** What `npm test` keeps of packages that have passed, and how it reads its command line. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'

const SCRIPTS = new URL('../../../.scripts/', import.meta.url)
const cache = temporaryFolder('kept')

/** Runs code with what a script exports as `script`. @returns what it gives to `tell`, or the text of an error */
function evaluate(script: string, code: string): unknown {
  const begin = `import * as script from '${new URL(script, SCRIPTS).href}'; const tell = (x) => console.log(JSON.stringify(x))`
  const { stdout } = spawnSync(
    process.execPath,
    ['--input-type=module', '--eval', `${begin}; try { ${code} } catch (error) { tell(error.message) }`],
    { encoding: 'utf8', env: { ...process.env, XDG_CACHE_HOME: cache } },
  )
  return JSON.parse(stdout)
}

const passed = { path: 'packages/a/test/a.test.ts', seconds: 1, passed: 3, failed: [], skipped: [] }

test('results are kept where all has passed, and not where something was skipped', () => {
  const files = [passed, { ...passed, failed: ['x'] }, { ...passed, skipped: ['x'] }]
  const code = files.map((file, i) => `script.keepResults('key${i}', [${JSON.stringify(file)}])`).join(';')
  expect(
    evaluate('test/kept-results.ts', `${code}; tell([0, 1, 2].map((i) => script.keptResults('key' + i) ?? null))`),
  ).toEqual([[passed], null, null])
})

test('the key is of the sources, of the host, and of the slice where a package has slices', () => {
  const package_ = (name: string, text: string): string => {
    mkdirSync(join(cache, name, 'test'), { recursive: true })
    writeFileSync(join(cache, name, 'test/a.test.ts'), text)
    return JSON.stringify({ folder: join(cache, name) })
  }
  const [plain, sliced] = [package_('plain', ''), package_('sliced', "import { sliced } from '@retrap/tooling/slice'")]
  const keys = evaluate(
    'test/kept-results.ts',
    `const key = (...all) => script.resultKey(...all)
    tell([key(${plain}, 'a', 1), key(${plain}, 'a', 2), key(${plain}, 'b', 1), key(${sliced}, 'a', 1), key(${sliced}, 'a', 2)])`,
  ) as string[]
  expect(keys[0]).toBe(keys[1])
  expect(new Set(keys).size).toBe(4)
})

test('what is old goes', () => {
  const tests = join(cache, 'retrap/turbo/tests')
  mkdirSync(tests, { recursive: true })
  const old = Date.now() / 1000 - 15 * 24 * 3600
  for (const name of ['old', 'new']) writeFileSync(join(tests, `${name}.json`), '[]')
  utimesSync(join(tests, 'old.json'), old, old)
  const code = `script.removeOld(); tell(['old', 'new'].map((key) => script.keptResults(key) ?? null))`
  expect(evaluate('test/kept-results.ts', code)).toEqual([null, []])
})

const ALL = JSON.stringify(['memory', 'engine'].map((name) => ({ path: `packages/${name}`, folder: '', manifest: {} })))
const plan = (...args: readonly string[]): unknown =>
  evaluate('test/command-line.ts', `tell(script.planOf(${JSON.stringify(args)}, ${ALL}))`)

test.each([
  ['no package named memor; there are memory, engine', ['memor']],
  ['there is no test file packages/memory/test/none.test.ts', ['packages/memory/test/none.test.ts']],
  ['name packages or test files, not both', ['memory', 'packages/memory/test/misuse.test.ts']],
  ['--slice takes a whole number from 0 to 4294967295, not 1.5', ['--slice', '1.5']],
])('it is said that %s', (message, args) => expect(plan(...args)).toBe(message))

test('packages are named by their folders, and without a name all are tested', () => {
  expect(plan('engine', '--slice', '7')).toMatchObject({
    selected: [{ path: 'packages/engine' }],
    everything: false,
    slice: 7,
  })
  expect(plan('--fresh')).toMatchObject({ selected: [{}, {}], everything: true, fresh: true, files: [] })
  expect(plan('packages/memory/test/misuse.test.ts')).toMatchObject({
    selected: [{ path: 'packages/memory' }],
    files: ['packages/memory/test/misuse.test.ts'],
  })
})
