import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const MODULE = /(?<!\.d)\.[jt]s$/

/** Digests of this process. */
const known = new Map<string, Uint8Array>()

/**
 * Digests all modules that generate an interpreter and compile code: modules of its package and its dependencies.
 *
 * @param cpu - the name of the package
 * @param from - URL of a module that finds it
 */
export function digestOfGenerator(cpu: string, from: string = import.meta.url): Uint8Array {
  let digest = known.get(cpu)
  if (digest === undefined) known.set(cpu, (digest = digestModules(cpu, from)))
  return digest
}

function digestModules(cpu: string, from: string): Uint8Array {
  const hash = createHash('sha256')
  const seen = new Set<string>()
  const add = (name: string, require: NodeJS.Require): void => {
    const module = require.resolve(name)
    if (seen.has(module)) return
    seen.add(module)
    const folder = dirname(module)
    // When the program runs from source, these files are the sources.
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => MODULE.test(file))
    for (const file of files.sort()) hash.update(readFileSync(join(folder, file)))
    const { dependencies = {} } = require(`${name}/package.json`) as { dependencies?: Readonly<Record<string, string>> }
    for (const next of Object.keys(dependencies)) add(next, createRequire(module))
  }
  add(cpu, createRequire(from))
  return hash.digest()
}
