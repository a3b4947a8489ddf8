// The entry points of the published packages, and their pages in the reference.
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The top folder of the checkout. */
export const workspace: string = dirname(dirname(dirname(import.meta.dirname)))

interface Manifest {
  readonly name: string
  readonly private?: boolean
  readonly exports?: Readonly<Record<string, string | { readonly 'retrap-source'?: string }>>
}

/** An entry point: the name by which programs import it, and its source. */
interface EntryPoint {
  readonly name: string
  readonly source: string
}

/** The entry points of the published packages. A source that has two names is there by its first one. */
export function entryPoints(): EntryPoint[] {
  const found = new Map<string, string>()
  for (const file of globSync('packages/*/package.json', { cwd: workspace }).sort()) {
    const manifest = JSON.parse(readFileSync(join(workspace, file), 'utf8')) as Manifest
    if (manifest.private === true) continue
    for (const [path, entry] of Object.entries(manifest.exports ?? {})) {
      const source = typeof entry === 'string' ? undefined : entry['retrap-source']
      if (source?.endsWith('.ts') !== true) continue
      const absolute = join(workspace, dirname(file), source)
      if (!found.has(absolute)) found.set(absolute, join(manifest.name, path).replaceAll('\\', '/'))
    }
  }
  return [...found].map(([source, name]) => ({ name, source }))
}

/** The page of an entry point, as an address in the site. */
export function referencePage(name: string): string {
  return `/reference/modules/${name.replaceAll(/[^\w.-]/g, '_')}.html`
}
