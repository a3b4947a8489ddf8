import { globSync } from 'node:fs'
import { join } from 'node:path'
import { format } from 'node:util'
import { sliced } from '@retrap/tooling/slice'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { compile, runProgram, shown } from '../.vitepress/theme/program.ts'
import { fileOf, pages, promised, read, root, runsOf } from './support/programs.ts'

const ours = globSync('code/*.ts', { cwd: root }).sort()
const runs = [...new Set(pages.flatMap(runsOf))]

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
      if (!/\.(?:html|css|json|sh|c|cpp|py)$/.test(file)) expect(file).toMatch(RUN)
      expect(read(file).length).toBeGreaterThan(0)
    }
    // A reader sees the program that the button runs.
    for (const name of runsOf(page)) expect(text).toContain(`<<< @/../${fileOf(name)}`)
  })

  test('every program is on a page', () => {
    expect(runs.map(fileOf)).toEqual(expect.arrayContaining(ours.map((file) => file.replaceAll('\\', '/'))))
  })
})
