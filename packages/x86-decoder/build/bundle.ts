/**
 * The last step of `pnpm run build`: all modules as one, as in every package. In the place of `tables.ts`, which compiles
 * the opcode tables when it is loaded, it has a module with them compiled, as text; `src/packed-tables.ts` says how. What
 * a program does not import its own bundler leaves out: `test/bundle.test.ts`.
 */
import { fileURLToPath } from 'node:url'
import { bundleOptions } from '@retrap/tooling/rolldown'
import { build, type Plugin } from 'rolldown'
import { packTables } from '../src/packed-tables.ts'
import { commonTable, loadRowCodes, loadTables } from '../src/tables.ts'

const folder = fileURLToPath(new URL('..', import.meta.url))
const PACKED = '\0tables'

/** The module that stands for `tables.ts`. */
function packedModule(): string {
  const { common, rowCodes, ...trees } = packTables(loadTables(), commonTable, loadRowCodes())
  return [
    `import { unpackCommonTable, unpackRowCodes, unpackTables } from ${JSON.stringify(`${folder}src/packed-tables.ts`)}`,
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
  const options = bundleOptions(folder)
  const { output } = await build({ ...options, plugins: [packedTables, options.plugins], write })
  return output[0].code
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundlePackage(true)
