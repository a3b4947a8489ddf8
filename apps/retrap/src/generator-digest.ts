import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/**
 * Digests all modules that generate an interpreter: those of its package, and of all that this depends on.
 *
 * @param cpu - the name of the package
 */
export function digestOfGenerator(cpu: string): Uint8Array {
  const hash = createHash('sha256')
  const seen = new Set<string>()
  const add = (name: string, require: NodeJS.Require): void => {
    const module = require.resolve(name)
    if (seen.has(module)) return
    seen.add(module)
    const folder = dirname(module)
    const files = readdirSync(folder).filter((file) => file.endsWith('.js'))
    for (const file of files.sort()) hash.update(readFileSync(join(folder, file)))
    const { dependencies = {} } = require(`${name}/package.json`) as { dependencies?: Readonly<Record<string, string>> }
    for (const next of Object.keys(dependencies)) add(next, createRequire(module))
  }
  add(cpu, createRequire(import.meta.url))
  return hash.digest()
}
