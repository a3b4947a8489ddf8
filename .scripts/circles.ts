// Circles of imports within a package. The linter finds those of `import` declarations, types counted; here `import()`
// counts too, so that what is loaded when it is used does not lean on what loads it.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import type { Member } from './workspace.ts'

/** Files that import each other in circles, and files between two circles; empty where there is none. */
export function inCircles(imports: ReadonlyMap<string, readonly string[]>): string[] {
  let left = new Set(imports.keys())
  for (;;) {
    const imported = new Set([...left].flatMap((file) => imports.get(file)!))
    const next = [...left].filter((file) => imported.has(file) && imports.get(file)!.some((other) => left.has(other)))
    if (next.length === left.size) return next.sort()
    left = new Set(next)
  }
}

/** The files of a package's `src`, each with those that it imports. */
function importsOf({ folder }: Member): Map<string, readonly string[]> {
  const imports = new Map<string, readonly string[]>()
  for (const path of globSync('src/**/*.{ts,tsx}', { cwd: folder })) {
    const file = join(folder, path)
    const found = readFileSync(file, 'utf8').matchAll(/(?:\bfrom|\bimport|\bimport\()\s*'(\.[^']+)'/g)
    imports.set(
      file,
      [...found].map(([, name]) => join(dirname(file), name!)).filter((other) => existsSync(other)),
    )
  }
  return imports
}

/** Returns one line per package that has files in a circle. */
export function checkCircles(all: readonly Member[]): string[] {
  return all.flatMap((member) => {
    const files = inCircles(importsOf(member)).map((file) => relative(member.folder, file))
    return files.length === 0 ? [] : [`${member.path}: imports, import() counted, go in a circle: ${files.join(', ')}`]
  })
}
