/** Bundles code that uses the decoder as its author would: with vite, which is rolldown and oxc, from the built package. */
import { fileURLToPath } from 'node:url'
import { packageOptions } from '@retrap/tooling/rolldown'
import { build as bundleWith } from 'rolldown'
import { build, type Plugin } from 'vite'

const ENTRY = '\0entry'
const PACKAGE = '\0package'
const index = fileURLToPath(new URL('../../src/index.ts', import.meta.url))

let packageCode: Promise<string> | undefined

/** The built package's module. */
async function bundlePackage(): Promise<string> {
  const folder = fileURLToPath(new URL('../..', import.meta.url))
  const { output } = await bundleWith({ ...(await packageOptions(folder)), write: false })
  return output[0].code
}

const plugin = (code: string): Plugin => ({
  name: 'x86-decoder',
  enforce: 'pre',
  async resolveId(id, importer, options) {
    if (id === ENTRY) return ENTRY
    const isPackage =
      id === '@retrap/x86-decoder' ||
      (id.endsWith('/src/index.ts') && (await this.resolve(id, importer, { ...options, skipSelf: true }))?.id === index)
    // `package.json` says that it has no side effects.
    return isPackage ? { id: PACKAGE, moduleSideEffects: false } : null
  },
  load(id) {
    if (id === ENTRY) return code
    return id === PACKAGE ? (packageCode ??= bundlePackage()) : null
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
    plugins: [plugin(code)],
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
