/**
 * The package's own part of its bundle: the server of the Model Context Protocol and that of the site are in it, so that nobody
 * installs the packages that they stand on. Their licences go with them.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Plugin } from 'rolldown'

/** Where the server of the protocol has what depends on the host: a validator that it never asks here, and the process. */
const SHIMS = '@modelcontextprotocol/server/_shims'
/** Its form for pages, whose validator has 42 KB, where Node's has 295. */
const PAGE_SHIMS = new URL('../node_modules/@modelcontextprotocol/server/dist/shimsBrowser.mjs', import.meta.url)

/** The command is for Node. A package that is part of the bundle brings its own dependencies with it, CommonJS among them. */
const forNode: Plugin = {
  name: 'for-node',
  options: ({ external, ...options }) => ({
    ...options,
    platform: 'node',
    resolve: { ...options.resolve, alias: { [SHIMS]: fileURLToPath(PAGE_SHIMS) } },
    external: (id, importer, isResolved) =>
      importer?.includes('node_modules') !== true &&
      typeof external === 'function' &&
      external(id, importer, isResolved) === true,
  }),
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

export const plugins: readonly Plugin[] = [forNode, complete, licences]
