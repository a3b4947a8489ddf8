/**
 * The package's own part of its bundle. In the place of `tables.ts`, which compiles the opcode tables when it is loaded, it
 * has a module with them compiled, as text; `src/packed-tables.ts` says how. What a program does not import its own bundler
 * leaves out: `test/bundle.test.ts`.
 */
import { fileURLToPath } from 'node:url'
import type { Plugin } from 'rolldown'
import { packTables } from '../src/packed-tables.ts'
import { commonTable, loadRowCodes, loadTables } from '../src/tables.ts'

const PACKED = '\0tables'

/** The module that stands for `tables.ts`. */
function packedModule(): string {
  const { common, rowCodes, ...trees } = packTables(loadTables(), commonTable, loadRowCodes())
  const unpacking = fileURLToPath(new URL('../src/packed-tables.ts', import.meta.url))
  return [
    `import { unpackCommonTable, unpackRowCodes, unpackTables } from ${JSON.stringify(unpacking)}`,
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

export const plugins: readonly Plugin[] = [packedTables]
