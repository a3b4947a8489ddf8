/**
 * The package's own part of its bundle. In the place of `tables.ts`, which compiles the opcode tables when it is loaded, it
 * has a module with them compiled, as text; `src/packed-tables.ts` says how. What a program does not import its own bundler
 * leaves out: `test/bundle.test.ts`.
 */
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Plugin } from 'rolldown'
import { makeCommonTable } from '../src/common-table.ts'
import { readAllRows } from '../src/forms.ts'
import { packTables } from '../src/packed-tables.ts'
import { loadRowCodes, loadTables } from '../src/tables.ts'
import { extendedRows } from '../src/table/extended.ts'
import { compileTables, type DecodeTables } from '../src/tree.ts'

const PACKED = '\0x86-decoder-tables'
const NO_ROWS = '\0x86-decoder-no-rows'
const SOURCES = resolve(fileURLToPath(new URL('../src', import.meta.url)))

/** The module that stands for `tables.ts`. */
function packedModule(decodeTables: DecodeTables, codesOfRows: Int32Array): string {
  const { common, rowCodes, ...trees } = packTables(decodeTables, makeCommonTable(decodeTables), codesOfRows)
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

/** The same module without the tables of EVEX and APX. */
function packedWithoutExtended(): string {
  const lines = extendedRows.flatMap((table) => table.split('\n')).filter((line) => line !== '').length
  const rows = readAllRows().slice(0, -lines)
  return packedModule(compileTables(rows.flat()), loadRowCodes().slice(0, rows.length + 1))
}

/** A module in the place of one of the package's; other packages have modules of the same names. */
function replaced(name: string, id: string, code: () => string): Plugin {
  return {
    name: id.slice(1),
    resolveId: (source, importer) =>
      source === name && importer !== undefined && resolve(dirname(importer)) === SOURCES
        ? { id, moduleSideEffects: false }
        : null,
    load: (loaded) => (loaded === id ? code() : null),
  }
}

/** Opcode tables are text, aligned for people. In a bundle two spaces are between columns, as few as `rows.ts` splits at. */
const narrowTables: Plugin = {
  name: 'x86-decoder-narrow-tables',
  transform: (code, id) =>
    resolve(dirname(id)) === resolve(SOURCES, 'table')
      ? { code: code.replace(/(?<=\S) {3,}(?=\S)/g, '  '), map: null }
      : null,
}

export const plugins: readonly Plugin[] = [
  narrowTables,
  replaced('./tables.ts', PACKED, () => packedModule(loadTables(), loadRowCodes())),
]

/**
 * For builds from the sources of all packages, of programs that decode for machines alone: no processor model offers EVEX or
 * APX, so that `decodeInto` never looks their instructions up. They are invalid in such a build, whatever the options
 * say, and `codes` ends before theirs.
 */
export const pluginsForMachines: readonly Plugin[] = [
  narrowTables,
  replaced('./tables.ts', PACKED, packedWithoutExtended),
  replaced('./table/extended.ts', NO_ROWS, () => 'export const extendedRows = []'),
]
