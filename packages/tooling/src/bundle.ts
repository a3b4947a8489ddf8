import { build, defaultClientConditions, type InlineConfig } from 'vite'

/** The options of all bundles of tests: sources, and no module that pages lack. */
const COMMON = {
  configFile: false,
  logLevel: 'error',
  // Pages lack Node's variables.
  define: { 'process.env': '{}' },
  resolve: { conditions: ['retrap-source', ...defaultClientConditions] },
} satisfies InlineConfig

/**
 * Bundles a module and all that it imports, from sources, as a script for any host: a page, a Web Worker, a Worker of Node.
 *
 * @param file - path of the module
 * @param name - of the variable that has the module's exports
 */
export async function bundleScript(file: string, name: string): Promise<string> {
  const result = await build({
    ...COMMON,
    build: {
      write: false,
      target: 'es2024',
      modulePreload: false,
      lib: { entry: file, name, formats: ['iife'] },
    },
  })
  const [output] = Array.isArray(result) ? result : []
  if (output === undefined) throw new Error('vite gave no bundle')
  return output.output[0].code
}

/**
 * Bundles a module for a page, from sources, with the programs of its Workers and the chunks that it asks for later.
 *
 * @param file - path of the module
 * @returns contents of files by name; the module itself is `page.js`
 */
export async function bundlePage(file: string): Promise<ReadonlyMap<string, string | Uint8Array>> {
  const result = await build({
    ...COMMON,
    worker: { format: 'es' },
    base: './',
    build: {
      write: false,
      target: 'es2024',
      modulePreload: false,
      rolldownOptions: { input: { page: file }, output: { format: 'es', entryFileNames: '[name].js' } },
    },
  })
  if (!('output' in result)) throw new Error('vite gave no bundle')
  return new Map(result.output.map((one) => [one.fileName, one.type === 'chunk' ? one.code : one.source]))
}
