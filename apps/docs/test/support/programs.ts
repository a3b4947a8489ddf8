// The programs that pages run, as `<Run code="name" />` or, for an example of a package, `<Run code="package/name" />`.
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The folder of the package. */
export const root: string = dirname(dirname(import.meta.dirname))

export const read = (file: string): string => readFileSync(join(root, file), 'utf8')

/** The Markdown files of all pages, below {@link root}. */
export const pages: readonly string[] = globSync('pages/**/*.md', { cwd: root })
  .map((file) => file.replaceAll('\\', '/'))
  .sort()

/** The names of the programs that a page runs, in their order. */
export function runsOf(page: string): string[] {
  return [...read(page).matchAll(/<Run code="([^"]*)"/g)].map(([, name]) => name!)
}

/** The file of a program that a page runs. */
export function fileOf(name: string): string {
  const [program, owner] = name.split('/').toReversed()
  return owner === undefined ? `code/${program}.ts` : `../../packages/${owner}/examples/${program}.ts`
}

/** The lines that a program says it prints, in its closing comment. @throws Error where there is none */
export function promised(source: string): string {
  const comment = /\n\/\/ Output:\n((?:\/\/.*\n)*)$/.exec(source)?.[1]
  if (comment === undefined) throw new Error('expected a closing comment that begins with "// Output:"')
  return comment.replaceAll(/^\/\/ ?/gm, '').trimEnd()
}
