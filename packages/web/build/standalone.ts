/**
 * The last step of the build: `dist/standalone`. The page's module and the program of its Worker are one file each, with all
 * packages in them; parts that a machine loads when it has them lie beside. A page without a bundler loads these files as they
 * are. The package's own entry starts the same program for pages with a bundler.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { NOTICES, noticesOf } from '@retrap/tooling/notices'
import { pageModules } from '@retrap/tooling/page-modules'
import { pluginsForMachines } from '@retrap/x86-decoder/build'
import { build, type BuildOptions, type OutputChunk } from 'rolldown'
import { programFiles } from './parts.ts'

const folder = fileURLToPath(new URL('..', import.meta.url))
const BANNER = `/*! @retrap/web: MIT, https://github.com/retrap/retrap; ${NOTICES} lies beside this file */`

const PAGE = 'index'
const WORKER = 'machine-worker'

/**
 * Bundles the package, from sources: more is left out than from bundles of packages.
 *
 * @returns contents of files by name
 * @throws Error for an import that is no file of the bundle
 */
export async function bundleStandalone(): Promise<ReadonlyMap<string, string>> {
  // One by one: what both have in common would be files of its own, which both would wait for at their start.
  const [page, worker] = await Promise.all([
    bundle(PAGE, { output: { format: 'es' } }),
    bundle(WORKER, {
      // A page would compile the opcode tables at each start, for 0.1 s and longer.
      plugins: [...pluginsForMachines, pageModules()],
      output: {
        format: 'cjs',
        // What the Worker loads at its start is one file, whatever of it chunks use as well.
        codeSplitting: { groups: [{ name: WORKER, tags: ['$initial'] }] },
      },
    }),
  ])
  const files = programFiles(worker)
  for (const { fileName, code, isEntry, imports } of page) {
    // The module of sound is a program as well: what it imports would run in the thread of sound.
    if (files.has(fileName) || (!isEntry && imports.length > 0))
      throw new Error(`${fileName} of the page has the name of a part of the Worker, or imports ${imports.join(', ')}`)
    files.set(fileName, code)
  }
  for (const name of [PAGE, WORKER]) files.set(`${name}.js`, `${BANNER}\n${files.get(`${name}.js`)}`)
  return files.set(NOTICES, noticesOf([...page, ...worker].flatMap(({ moduleIds }) => moduleIds)))
}

async function bundle(name: string, { plugins, output }: BuildOptions): Promise<OutputChunk[]> {
  const { output: files } = await build({
    cwd: folder,
    input: { [name]: `src/${name}.ts` },
    platform: 'browser',
    logLevel: 'warn',
    plugins,
    resolve: { conditionNames: ['retrap-source', 'import', 'browser', 'default'] },
    // Pages have none of Node's variables.
    transform: { target: 'es2024', define: { 'process.env': '{}' } },
    write: false,
    // A page loads these programs whole: names of constants are only weight.
    optimization: { inlineConst: { mode: 'all', pass: 3 } },
    output: {
      ...output,
      minify: true,
      chunkFileNames: 'chunk-[name].js',
      comments: { legal: true, annotation: false, jsdoc: false },
    },
  })
  return files.filter((file) => file.type === 'chunk')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const to = join(folder, 'dist/standalone')
  rmSync(to, { recursive: true, force: true })
  mkdirSync(to, { recursive: true })
  for (const [name, text] of await bundleStandalone()) writeFileSync(join(to, name), text)
}
