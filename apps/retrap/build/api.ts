// node build/api.ts, in the folder of the package, after rolldown
//
// Writes the modules of the subpaths that have another package's name: `retrap/machine` is `dist/api/machine.js`, which
// exports all of `@retrap/machine`, and `dist/api/machine.d.ts`, which says the same to TypeScript.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The folder of the modules, in the package. */
export const API = 'dist/api'

/** The beginning of a package's name, which subpaths do not have. */
export const NAME = /^@retrap/

/**
 * The package, and its entry point, that a subpath stands for.
 *
 * @param target - what `exports` has for the subpath
 * @returns a specifier such as `@retrap/machine/arm`; undefined for the package's own files
 */
export function packageOf(target: unknown): string | undefined {
  const { default: file } = target as { readonly default?: string }
  return file?.startsWith(`./${API}/`) ? `@retrap${file.slice(`./${API}`.length, -'.js'.length)}` : undefined
}

function write(folder: string): void {
  const { exports } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    readonly exports: Readonly<Record<string, unknown>>
  }
  rmSync(join(folder, API), { recursive: true, force: true })
  for (const target of Object.values(exports)) {
    const specifier = packageOf(target)
    if (specifier === undefined) continue
    for (const file of Object.values(target as Readonly<Record<string, string>>)) {
      mkdirSync(dirname(join(folder, file)), { recursive: true })
      writeFileSync(join(folder, file), `export * from '${specifier}'\n`)
    }
  }
}

if (import.meta.main) write(process.cwd())
