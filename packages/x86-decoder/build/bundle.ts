/**
 * The last step of `pnpm run build`: all modules as one, `dist/index.js`, which loads several times as fast as thirty. In the
 * place of `tables.ts`, which compiles the opcode tables when it is loaded, it has a module with them compiled, as text;
 * `src/packed-tables.ts` says how. What a program does not import its own bundler leaves out: `test/bundle.test.ts`.
 */
import { fileURLToPath } from 'node:url'
import { build, type Plugin } from 'vite'
import { packTables } from '../src/packed-tables.ts'
import { commonTable, loadRowCodes, loadTables } from '../src/tables.ts'

const source = fileURLToPath(new URL('../src/', import.meta.url))
const PACKED = '\0tables'

/** The module that stands for `tables.ts`. */
function packedModule(): string {
  const { common, rowCodes, ...trees } = packTables(loadTables(), commonTable, loadRowCodes())
  return [
    `import { unpackCommonTable, unpackRowCodes, unpackTables } from ${JSON.stringify(`${source}packed-tables.ts`)}`,
    `export const commonTable = /*#__PURE__*/ unpackCommonTable('${common}')`,
    'let tables',
    'export const loadTables = () => (tables ??= unpackTables({',
    ...Object.entries(trees).map(([name, text]) => `  ${name}: '${text}',`),
    '}))',
    'let rowCodes',
    `export const loadRowCodes = () => (rowCodes ??= unpackRowCodes('${rowCodes}'))`,
  ].join('\n')
}

const packedTables: Plugin = {
  name: 'packed-tables',
  enforce: 'pre',
  resolveId: (id) => (id === './tables.ts' ? { id: PACKED, moduleSideEffects: false } : null),
  load: (id) => (id === PACKED ? packedModule() : null),
}

/**
 * Bundles the package.
 *
 * @param write - whether to write it to `dist`
 * @returns the module
 */
export async function bundlePackage(write: boolean): Promise<string> {
  const result = await build({
    configFile: false,
    publicDir: false,
    logLevel: 'error',
    plugins: [packedTables],
    build: {
      write,
      outDir: fileURLToPath(new URL('../dist', import.meta.url)),
      // The declarations are there already.
      emptyOutDir: false,
      target: 'es2024',
      minify: false,
      sourcemap: true,
      lib: { entry: `${source}index.ts`, formats: ['es'], fileName: 'index' },
    },
  })
  const [bundle] = [result].flat()
  if (bundle === undefined || !('output' in bundle)) throw new Error('vite gave no bundle')
  return bundle.output[0].code
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundlePackage(true)
