import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PROGRAMS } from './programs.ts'

const TOOLING = fileURLToPath(new URL('.', import.meta.url))
/** Files with the names of all programs. */
const NEUTRAL: ReadonlySet<string> = new Set(['programs.ts', 'programs-of-tests.ts'].map((name) => join(TOOLING, name)))
const IMPORT = /(?:from|import)\s*\(?\s*'((?:\.{1,2}\/|@retrap\/tooling\/)[^']+)'/g
const QUOTED = /'([\w-]+)'/g
const ALL: ReadonlySet<string> = new Set(PROGRAMS.flatMap(({ programs }) => programs))

/**
 * The programs of Debian's that files, and their imports by relative paths and of this package, name: tests of a package
 * need no others to be fetched.
 *
 * @param files - their paths
 */
export function programsOfTests(files: readonly string[]): string[] {
  const found = new Set<string>()
  const seen = new Set(NEUTRAL)
  const left = [...files]
  for (let file = left.pop(); file !== undefined; file = left.pop()) {
    if (seen.has(file) || !existsSync(file)) continue
    seen.add(file)
    const text = readFileSync(file, 'utf8')
    for (const [, name = ''] of text.matchAll(QUOTED)) if (ALL.has(name)) found.add(name)
    for (const [, from = ''] of text.matchAll(IMPORT)) {
      const own = from.replace(/^@retrap\/tooling\//, '')
      left.push(own === from ? join(dirname(file), from) : join(TOOLING, `${own}.ts`))
    }
  }
  return [...found].sort()
}
