import { build, defaultClientConditions } from 'vite'

/**
 * Bundles a module and all that it imports, from sources, as a script for any host: a page, a Web Worker, a Worker of Node.
 *
 * @param file - path of the module
 * @param name - of the variable that has the module's exports
 */
export async function bundleScript(file: string, name: string): Promise<string> {
  const result = await build({
    configFile: false,
    logLevel: 'error',
    // Pages have none of Node's variables.
    define: { 'process.env': '{}' },
    resolve: { conditions: ['retrap-source', ...defaultClientConditions] },
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
