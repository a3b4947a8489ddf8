import { globSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { format } from 'node:util'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { compile, runProgram, shown } from '../.vitepress/theme/program.ts'

const root = dirname(import.meta.dirname)
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const anywhere = globSync('code/anywhere/*.ts', { cwd: root }).sort()
const node = globSync('code/node/*.ts', { cwd: root }).sort()
const pages = globSync('pages/**/*.md', { cwd: root }).sort()

/** The lines that a program says it prints, in its closing comment. */
function promised(source: string): string {
  const comment = /\n\/\/ Output:\n((?:\/\/.*\n)*)$/.exec(source)?.[1]
  if (comment === undefined) throw new Error('expected a closing comment that begins with "// Output:"')
  return comment.replaceAll(/^\/\/ ?/gm, '').trimEnd()
}

afterEach(() => {
  vi.restoreAllMocks()
})

describe('a program of the pages prints what its closing comment says', () => {
  test.each(anywhere)('%s, run as a page runs it', async (file) => {
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

  test.each(node)('%s, run by Node', async (file) => {
    const lines: string[] = []
    vi.spyOn(console, 'log').mockImplementation((...values: unknown[]) => void lines.push(format(...values)))
    await import(join(root, file))
    expect(lines.join('\n')).toBe(promised(read(file)))
  })
})

describe('TypeScript in a page comes from a file that is run', () => {
  /** Where such files are: programs of ours, tests of ours, and examples of packages, which the gate runs. */
  const RUN = /^(?:code\/(?:anywhere|node)|test|\.\.\/\.\.\/packages\/[\w-]+\/examples)\/[\w.-]+\.tsx?$/

  test.each(pages)('%s', (page) => {
    const text = read(page)
    expect(text.match(/^ *```(?:ts|typescript|tsx|js|javascript)\b.*/gm) ?? []).toEqual([])
    for (const [, path = ''] of text.matchAll(/^<<< @\/([^\s{#]+)/gm)) {
      const file = join('pages', path).replaceAll('\\', '/')
      if (!/\.(?:html|css|json|sh)$/.test(file)) expect(file).toMatch(RUN)
      expect(read(file).length).toBeGreaterThan(0)
    }
    const programs = anywhere.map((file) => basename(file, '.ts'))
    for (const [, name = ''] of text.matchAll(/<Run code="([^"]*)"/g)) expect(programs).toContain(name)
  })

  test('every program is on a page', () => {
    const text = pages.map(read).join('\n')
    for (const file of [...anywhere, ...node]) expect(text).toContain(`<<< @/../${file.replaceAll('\\', '/')}`)
  })
})
