/** Bundles code that uses the decoder as its author would: with vite, which is rolldown and oxc. */
import { fileURLToPath } from 'node:url'
import { build, type Plugin } from 'vite'
import { packedModule } from '../../build/pack-tables.ts'

const ENTRY = '\0entry'
const PACKED = '\0tables'
const source = fileURLToPath(new URL('../../src/', import.meta.url))

/** Gives the sources for the built package, with the tables as the build leaves them. */
const packagePlugin = (code: string): Plugin => ({
  name: 'x86-decoder',
  enforce: 'pre',
  resolveId(id, importer) {
    if (id === ENTRY) return ENTRY
    if (id === '@retrap/x86-decoder') return `${source}index.ts`
    if (importer === PACKED) return `${source}${id.replace(/\.js$/, '.ts')}`
    // The package has no side effects; a module that is no file has no manifest to say so.
    if (importer?.startsWith(source) === true && id === './tables.ts') return { id: PACKED, moduleSideEffects: false }
    return null
  },
  load(id) {
    if (id === ENTRY) return code
    return id === PACKED ? packedModule() : null
  },
})

/**
 * The text of a module and all that it imports, minified.
 *
 * @param code - JavaScript that may import from `@retrap/x86-decoder` and from files
 */
export async function bundle(code: string): Promise<string> {
  const result = await build({
    configFile: false,
    logLevel: 'error',
    plugins: [packagePlugin(code)],
    build: {
      write: false,
      minify: true,
      target: 'es2024',
      modulePreload: false,
      rolldownOptions: { input: ENTRY, preserveEntrySignatures: 'strict', output: { format: 'es' } },
    },
  })
  if (!('output' in result)) throw new Error('vite gave no bundle')
  return result.output[0].code
}
