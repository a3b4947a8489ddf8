// Runs the examples of all packages as a stranger would, and compares what they print with what they say they print.
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { execaSync } from 'execa'
import { printed, promised } from './release/readme.ts'
import type { Member } from './workspace.ts'

/**
 * Runs `examples/*.ts`. Returns one line per problem; none means that all of them hold.
 *
 * @param isIn - whether an example is run now, by its position
 */
export function checkExamples(all: readonly Member[], isIn: (index: number) => boolean): string[] {
  const problems: string[] = []
  let index = 0
  for (const { folder, path, manifest } of all) {
    const files = globSync('examples/*.ts', { cwd: folder }).sort()
    const sources = files.map((file) => readFileSync(join(folder, file), 'utf8'))
    if (path.startsWith('packages/') && manifest.private !== true) {
      const readme = readFileSync(join(folder, 'README.md'), 'utf8')
      if (files.length === 0) problems.push(`${path}: there is no example`)
      else if (!sources.some((source) => readme.includes(source.trim())))
        problems.push(`${path}: README.md shows none of its examples word for word`)
    }
    for (const [i, file] of files.entries()) {
      const source = sources[i] as string
      const expected = promised(source)
      if (expected === undefined) {
        problems.push(`${path}/${file}: no closing "// Output:" comment`)
        continue
      }
      if (!isIn(index++)) continue
      const { stdout, message } = execaSync(process.execPath, ['--conditions=retrap-source', join(folder, file)], {
        cwd: folder,
        stdin: 'ignore',
        timeout: 60_000,
        reject: false,
      })
      const found = printed(stdout)
      if (message !== undefined) problems.push(`${path}/${file}: ${message}`)
      else if (found !== expected) problems.push(`${path}/${file}: it prints\n${found}\nand promises\n${expected}`)
    }
  }
  return problems
}
