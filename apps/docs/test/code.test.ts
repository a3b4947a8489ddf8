import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { format } from 'node:util'
import { sliced } from '@retrap/tooling/slice'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { compile, runProgram, shown } from '../.vitepress/theme/program.ts'

const root = dirname(import.meta.dirname)
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const ours = globSync('code/*.ts', { cwd: root }).sort()
const pages = globSync('pages/**/*.md', { cwd: root }).sort()
/** The programs that pages run, as `<Run code="name" />` or, for an example of a package, `<Run code="package/name" />`. */
const runs = [
  ...new Set(pages.flatMap((page) => [...read(page).matchAll(/<Run code="([^"]*)"/g)].map(([, name]) => name!))),
]

/** The file of a program that a page runs. */
function fileOf(name: string): string {
  const [program, owner] = name.split('/').toReversed()
  return owner === undefined ? `code/${program}.ts` : `../../packages/${owner}/examples/${program}.ts`
}

/** The lines that a program says it prints, in its closing comment. */
function promised(source: string): string {
  const comment = /\n\/\/ Output:\n((?:\/\/.*\n)*)$/.exec(source)?.[1]
  if (comment === undefined) throw new Error('expected a closing comment that begins with "// Output:"')
  return comment.replaceAll(/^\/\/ ?/gm, '').trimEnd()
}

afterEach(() => {
  vi.restoreAllMocks()
})

/** A busy host takes long for the first machine of a process. */
const LIMIT_MS = 400_000

/** The gate runs the examples of packages in Node; as a page runs them, a part in each run. */
const taken = [
  ...runs.filter((name) => !name.includes('/')),
  ...sliced(
    runs.filter((name) => name.includes('/')),
    4,
  ),
]

describe('a program of the pages prints what its closing comment says', () => {
  test.each(taken.map(fileOf))('%s, run as a page runs it', { timeout: LIMIT_MS }, async (file) => {
    const [inPage, inNode]: [string[], string[]] = [[], []]
    vi.spyOn(console, 'log').mockImplementation((...values: unknown[]) => {
      inPage.push(values.map(shown).join(' '))
      inNode.push(format(...values))
    })
    await runProgram(compile(read(file)))
    expect(inPage.join('\n')).toBe(promised(read(file)))
    // A reader who copies the program sees the same in a terminal.
    expect(inNode).toEqual(inPage)
  })
})

describe('TypeScript in a page comes from a file that is run', () => {
  /** Where such files are: programs of ours, tests of ours, and examples of packages, which the gate runs. */
  const RUN = /^(?:code|test\/tutorial|\.\.\/\.\.\/packages\/[\w-]+\/examples)\/[\w.-]+\.tsx?$/

  test.each(pages)('%s', (page) => {
    const text = read(page)
    expect(text.match(/^ *```(?:ts|typescript|tsx|js|javascript)\b.*/gm) ?? []).toEqual([])
    for (const [, path = ''] of text.matchAll(/^<<< @\/([^\s{#]+)/gm)) {
      const file = join('pages', path).replaceAll('\\', '/')
      if (!/\.(?:html|css|json|sh)$/.test(file)) expect(file).toMatch(RUN)
      expect(read(file).length).toBeGreaterThan(0)
    }
    // A reader sees the program that the button runs.
    for (const [, name = ''] of text.matchAll(/<Run code="([^"]*)"/g))
      expect(text).toContain(`<<< @/../${fileOf(name)}`)
  })

  test('every program is on a page', () => {
    expect(runs.map(fileOf)).toEqual(expect.arrayContaining(ours.map((file) => file.replaceAll('\\', '/'))))
  })
})
