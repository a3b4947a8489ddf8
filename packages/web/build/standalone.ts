/**
 * The last step of the build: the package for pages without a bundler, in `dist/standalone`. The page's module and the program
 * of its Worker are one file each, with all packages in them; what a machine asks for by `import()` is in chunks beside them.
 * They import each other by relative names: a page's import map does not reach its Workers.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { NOTICES, noticesOf } from '@retrap/tooling/notices'
import { pageModules } from '@retrap/tooling/page-modules'
import { pluginsForMachines } from '@retrap/x86-decoder/build'
import { build, type OutputChunk } from 'rolldown'

const folder = fileURLToPath(new URL('..', import.meta.url))
const BANNER = `/*! @retrap/web: MIT, https://github.com/retrap/retrap; ${NOTICES} lies beside this file */`

const WORKER = 'machine-worker'
/** Bundled one by one: what both have in common would be files of its own, which both would wait for at their start. */
const PROGRAMS = ['index', WORKER]

/**
 * Bundles the package, from sources: more is left out than from bundles of packages.
 *
 * @returns contents of files by name
 * @throws Error for an import that is no file of the bundle
 */
export async function bundleStandalone(): Promise<ReadonlyMap<string, string>> {
  const bundles = await Promise.all(PROGRAMS.map(bundle))
  const chunks = bundles.flat()
  const files = new Map(chunks.map(({ fileName, code }) => [fileName, code]))
  if (files.size < chunks.length) throw new Error('two chunks of the programs have one name')
  for (const { fileName, imports, dynamicImports } of chunks)
    for (const name of [...imports, ...dynamicImports])
      if (!files.has(name)) throw new Error(`${fileName} imports ${name}, which no page can`)
  return files.set(NOTICES, noticesOf(chunks.flatMap(({ moduleIds }) => moduleIds)))
}

async function bundle(name: string): Promise<OutputChunk[]> {
  const { output } = await build({
    cwd: folder,
    input: { [name]: `src/${name}.ts` },
    platform: 'browser',
    logLevel: 'warn',
    // A page would compile the opcode tables at each start, for 0.1 s and longer.
    plugins: [...pluginsForMachines, ...(name === WORKER ? [pageModules()] : [])],
    resolve: { conditionNames: ['retrap-source', 'import', 'browser', 'default'] },
    // Pages have none of Node's variables.
    transform: { target: 'es2024', define: { 'process.env': '{}' } },
    write: false,
    output: {
      minify: true,
      chunkFileNames: 'chunk-[name].js',
      // What the Worker loads at its start is one file, whatever of it chunks use as well. The page's module has no chunks.
      codeSplitting: { groups: name === WORKER ? [{ name, tags: ['$initial'] }] : [] },
      comments: { legal: true, annotation: false, jsdoc: false },
      postBanner: (chunk) => (chunk.isEntry ? BANNER : ''),
    },
  })
  return output.filter((file) => file.type === 'chunk')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const to = join(folder, 'dist/standalone')
  mkdirSync(to, { recursive: true })
  for (const [name, text] of await bundleStandalone()) writeFileSync(join(to, name), text)
}
