/**
 * The package's own part of its bundle: what `retrap mcp` needs of the Model Context Protocol's SDK is in it, as the SDK's own
 * dependencies are some ninety packages for servers of HTTP, which nothing here is. Its licence goes with it.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Plugin } from 'rolldown'

/** The SDK's validator of JSON Schema checks what clients answer to questions of a server. There are none here. */
const VALIDATOR = /[\\/]sdk[\\/]dist[\\/]esm[\\/]validation[\\/]ajv-provider\.js$/
/** Schemas of zod's third version, which are not here, are translated by a package of its own. */
const TRANSLATION = /^import \{ zodToJsonSchema \} from 'zod-to-json-schema';$/m

/** The command is for Node. A package that is part of the bundle brings its own dependencies with it, CommonJS among them. */
const forNode: Plugin = {
  name: 'for-node',
  options: ({ external, ...options }) => ({
    ...options,
    platform: 'node',
    external: (id, importer, isResolved) =>
      importer?.includes('node_modules') !== true &&
      typeof external === 'function' &&
      external(id, importer, isResolved) === true,
  }),
}

const withoutUnused: Plugin = {
  name: 'without-unused',
  load: (id) => (VALIDATOR.test(id) ? 'export class AjvJsonSchemaValidator {}' : null),
  // One line stands for another: the map stays right.
  transform: (code) =>
    TRANSLATION.test(code)
      ? { code: code.replace(TRANSLATION, 'const zodToJsonSchema = () => ({});'), map: null }
      : null,
}

/**
 * A package that nobody would install is no import of the bundle. `npm start` in a checkout installs no development
 * dependencies: those that are not there stay imports, and `retrap mcp` installs them first. Optional
 * peers are imported when they are used, and an error asks for them.
 */
const complete: Plugin = {
  name: 'complete',
  generateBundle(_, bundle) {
    const { dependencies, devDependencies, peerDependencies } = JSON.parse(
      readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
    ) as Readonly<Record<'dependencies' | 'devDependencies' | 'peerDependencies', Readonly<Record<string, string>>>>
    const isInstalled = (name: string): boolean => existsSync(new URL(`../node_modules/${name}`, import.meta.url))
    const missing = Object.keys(devDependencies).filter((name) => !isInstalled(name))
    const installed = [...Object.keys(dependencies), ...Object.keys(peerDependencies)]
    const there = new Set([...Object.keys(bundle), ...installed, ...missing])
    for (const file of Object.values(bundle))
      if (file.type === 'chunk')
        for (const name of [...file.imports, ...file.dynamicImports]) {
          const [scope = '', rest = ''] = name.split('/')
          if (
            !name.startsWith('node:') &&
            !there.has(name) &&
            !there.has(scope.startsWith('@') ? `${scope}/${rest}` : scope)
          )
            this.error(`${file.fileName} imports ${name}, which is neither a dependency nor a part of the bundle`)
        }
  },
}

/** Writes the licences of all foreign packages whose code is in the bundle. */
const licences: Plugin = {
  name: 'licences',
  generateBundle(_, bundle) {
    const folders = new Set<string>()
    for (const file of Object.values(bundle))
      if (file.type === 'chunk')
        for (const [id, { renderedLength }] of Object.entries(file.modules))
          if (renderedLength > 0 && id.includes('node_modules')) folders.add(packageOf(id))
    const texts = [...folders].sort().map((folder) => {
      const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<string, string>
      const file = readdirSync(folder).find((one) => /^licen[cs]e(?:\.(?:md|txt))?$/i.test(one))
      if (file === undefined) this.error(`${name} has no licence in its folder, and is part of the bundle`)
      return `${name} ${version}\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`
    })
    this.emitFile({
      type: 'asset',
      fileName: 'third-party-licences.txt',
      source: texts.join(`\n${'-'.repeat(80)}\n\n`),
    })
  },
}

/** The folder of the package that a module is in. */
function packageOf(id: string): string {
  for (let folder = dirname(id); ; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json')
    // A folder of modules of one kind may have a manifest without a name.
    if (
      existsSync(manifest) &&
      (JSON.parse(readFileSync(manifest, 'utf8')) as { name?: string; version?: string }).version !== undefined
    )
      return folder
    if (dirname(folder) === folder) throw new Error(`${id} is in no package`)
  }
}

export const plugins: readonly Plugin[] = [forNode, withoutUnused, complete, licences]
