/**
 * The package's own part of its bundle. In the place of `tables.ts`, which compiles the opcode tables when it is loaded, it
 * has a module with them compiled, as text; `src/packed-tables.ts` says how. What a program does not import its own bundler
 * leaves out: `test/bundle.test.ts`.
 */
import { basename, dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Plugin } from 'rolldown'
import { makeCommonTable } from '../src/common-table.ts'
import { readAllRows, TABLES } from '../src/forms.ts'
import { packRows, packTables } from '../src/packed-tables.ts'
import type { Form } from '../src/rows.ts'
import { commonTable, loadRowCodes, loadTables } from '../src/tables.ts'
import { accessRows, flowRows } from '../src/table/info.ts'
import { compileTables, type DecodeTables } from '../src/tree.ts'

const PACKED = '\0x86-decoder-tables'
const NO_ROWS = '\0x86-decoder-no-rows'
const NO_EVEX = '\0x86-decoder-no-evex'
const LATER = '\0x86-decoder-later'
const LEFT_OUT = '\0x86-decoder-left-out'
const NO_NAMES = '\0x86-decoder-no-names'
const SOURCES = resolve(fileURLToPath(new URL('../src', import.meta.url)))

/** The module that stands for `tables.ts`. */
function packedModule(decodeTables: DecodeTables, codesOfRows: Int32Array): string {
  const { common, rowCodes, leaves, ...trees } = packTables(decodeTables, makeCommonTable(decodeTables), codesOfRows)
  const unpacking = fileURLToPath(new URL('../src/packed-tables.ts', import.meta.url))
  return [
    `import { unpackCommonTable, unpackLeaves, unpackRowCodes, unpackTables } from ${JSON.stringify(unpacking)}`,
    `const leaves = /*#__PURE__*/ unpackLeaves('${leaves}')`,
    `export const commonTable = /*#__PURE__*/ unpackCommonTable('${common}', leaves)`,
    'let tables',
    `export const loadTables = () => (tables ??= unpackTables(${JSON.stringify(trees)}, leaves))`,
    'let rowCodes',
    `export const loadRowCodes = () => (rowCodes ??= unpackRowCodes('${rowCodes}'))`,
  ].join('\n')
}

/** The same module without the tables of EVEX and APX, until they are loaded. */
function packedWithoutExtended(): string {
  const rows = rowsOfMachines()
  return [
    packedModule(compileTables(rows.flat()), loadRowCodes().slice(0, rows.length + 1)),
    'export const replaceTables = (all, codes) => { tables = all; rowCodes = codes }',
  ].join('\n')
}

/** The module that a build for machines loads when a processor has what the build leaves out: see `left-out.ts`. */
function leftOutModule(): string {
  const { common: _, rowCodes, leaves, ...trees } = packTables(loadTables(), commonTable, loadRowCodes())
  const use = (names: string, from: string): string => `import { ${names} } from ${JSON.stringify(from)}`
  const source = (name: string): string => resolve(SOURCES, name)
  return [
    use('replaceTables', PACKED),
    use('replaceEvex', NO_EVEX),
    use('finishEvex', source('evex.ts')),
    use('unpackLeaves, unpackRowCodes, unpackTables', source('packed-tables.ts')),
    use('takeTables', source('decode-into.ts')),
    use('replaceRows', source('forms.ts')),
    use('forgetCodes', source('codes.ts')),
    use('readInfoTables', source('describe-code.ts')),
    'let isThere = false',
    'export function addLeftOut() {',
    '  if (isThere) return',
    '  isThere = true',
    `  replaceTables(unpackTables(${JSON.stringify(trees)}, unpackLeaves('${leaves}')), unpackRowCodes('${rowCodes}'))`,
    '  replaceEvex(finishEvex)',
    `  replaceRows(${JSON.stringify(TABLES.map((table) => packRows(narrowed(table))))})`,
    `  readInfoTables(${JSON.stringify(narrowed(accessRows))}, ${JSON.stringify(flowRows)})`,
    '  takeTables()',
    '  forgetCodes()',
    '}',
  ].join('\n')
}

/** A module in the place of one of the package's; other packages have modules of the same names. */
function replaced(name: string, id: string, code: () => string): Plugin {
  return {
    name: id.slice(1),
    resolveId: (source, importer) =>
      source === id || (source === name && importer !== undefined && resolve(dirname(importer)) === SOURCES)
        ? { id, moduleSideEffects: false }
        : null,
    load: (loaded) => (loaded === id ? code() : null),
  }
}

/**
 * Features of instructions that no processor model offers, so that they are #UD. A build for machines decodes them as any
 * other, and has no facts about them: `codeInfo` calls them `INVALID`.
 */
export const UNOFFERED: ReadonlySet<string> = new Set(
  (
    'XOP TBM LWP 3DNOW 3DNOWEXT FMA4 SSE4A CMPCCXADD AVX512F AVX512BW AVX512DQ AVX_NE_CONVERT AVX_VNNI_INT8 AVX_VNNI_INT16 ' +
    'AVX_IFMA SM3 SM4 SHA512 AMX_TILE AMX_INT8 AMX_FP8 AMX_FP16 AMX_BF16 AMX_TF32 AMX_COMPLEX AMX_MOVRS MPX CET_SS RAO_INT ' +
    'ENQCMD AESKLE WIDE_KL KL RTM TSXLDTRK UINTR MOVRS MOVDIRI MOVDIR64B WAITPKG TDX SEV_SNP SEV_ES SGX MSRLIST FRED MONITORX ' +
    'INVLPGB RDPRU PTWRITE TSE SMX PCONFIG WRMSRNS SERIALIZE MCOMMIT CLZERO RMPQUERY WBNOINVD ' +
    'PREFETCHWT1 PREFETCHI CLDEMOTE HRESET LKGS PADLOCK_ACE PADLOCK_PHE PADLOCK_GMI PADLOCK_PMM PADLOCK_RNG'
  ).split(' '),
)

/** What stands for a row of such a feature. */
const NO_FACTS = '00  INVALID  -'

/** Opcode tables are text, aligned for people. In a bundle two spaces are between columns, as few as `rows.ts` splits at. */
const narrowed = (code: string): string => code.replace(/(?<=\S) {3,}(?=\S)/g, '  ')

const isOffered = (feature: string): boolean => feature.split('+').every((name) => !UNOFFERED.has(name))

/** All rows but those of EVEX and APX, which come last. */
function rowsOfMachines(): readonly (readonly Form[])[] {
  const rows = readAllRows()
  return rows.slice(
    0,
    rows.findIndex(([form]) => form!.evex),
  )
}

/** Leaves the instructions out that no model offers: their rows of opcodes, or their names in the tables by mnemonic. */
function withoutUnoffered(code: string, file: string): string {
  if (file !== 'info.ts')
    return code.replace(/^(\S.*? {2}(?:\S+ {2}){2}(\S+)(?: \S+)*).*$/gm, (_, row: string, feature: string) =>
      isOffered(feature) ? row : NO_FACTS,
    )
  code = code.replace(/(?<=flagRows: string = `)[^`]*/, '')
  const offered = rowsOfMachines().flatMap((forms) => forms.filter(({ feature }) => isOffered(feature)))
  const names = new Set(offered.map(({ mnemonic }) => mnemonic))
  return code.replace(/^(\S+(?: \S+)*? {2})([A-Z][A-Z0-9/* ]*)\n/gm, (_, head: string, words: string) => {
    const kept = words.split(' ').filter((word) => names.has(word.replace(/[/*].*/, '')))
    return kept.length === 0 ? '' : `${head}${kept.join(' ')}\n`
  })
}

const tableText = (name: string, change: (code: string, file: string) => string): Plugin => ({
  name,
  transform: (code, id) =>
    resolve(dirname(id)) === resolve(SOURCES, 'table') ? { code: change(code, basename(id)), map: null } : null,
})

/** What bundles have in the place of a table for people: rows of opcodes are told by those before. */
const packed = (code: string, file: string): string =>
  /^(?:info|implied|writing)\.ts$/.test(file) ? code : code.replace(/(?<=: string = `)[^`]*/g, packRows)

const narrowTables: Plugin = tableText('x86-decoder-narrow-tables', (code, file) => packed(narrowed(code), file))

export const plugins: readonly Plugin[] = [
  narrowTables,
  replaced('./tables.ts', PACKED, () => packedModule(loadTables(), loadRowCodes())),
]

/**
 * For builds from the sources of all packages, of programs that decode for machines alone: no processor model offers EVEX or
 * APX, so that `decodeInto` never looks their instructions up. They are invalid in such a build, whatever the options
 * say, and `codes` ends before theirs. See {@link UNOFFERED} for others. Facts that only people and assemblers want are left
 * out of `codes`: names of operands, and flags.
 */
export const pluginsForMachines: readonly Plugin[] = [
  tableText('x86-decoder-offered-tables', (code, file) => packed(withoutUnoffered(narrowed(code), file), file)),
  replaced('./tables.ts', PACKED, packedWithoutExtended),
  replaced('./table/extended.ts', NO_ROWS, () => 'export const extendedRows = []'),
  replaced(
    './evex.ts',
    NO_EVEX,
    () => 'export let finishEvex = () => 0\nexport const replaceEvex = (finish) => { finishEvex = finish }',
  ),
  replaced(
    './left-out.ts',
    LATER,
    () => `export const loadLeftOut = async () => (await import(${JSON.stringify(LEFT_OUT)})).addLeftOut()`,
  ),
  replaced(LEFT_OUT, LEFT_OUT, leftOutModule),
  replaced('./operand-names.ts', NO_NAMES, () => "export const operandName = () => ''"),
]
