/**
 * The forms of the opcode tables, expanded from the rows when they are asked for: any party that wants to know about a few
 * instructions reads a few rows.
 */
import { unpackRows } from './packed-tables.ts'
import { type Form, invalidForm, RowReader, SOURCE_CONDITIONS } from './rows.ts'
import { amdRows } from './table/amd.ts'
import { avxRows } from './table/avx.ts'
import { extendedRows } from './table/extended.ts'
import { maskTileRows } from './table/mask-tile.ts'
import { oneByteRows } from './table/one-byte.ts'
import { twoByteRows } from './table/two-byte.ts'
import { vectorRows } from './table/vector.ts'
import { x87Rows } from './table/x87.ts'

/**
 * VEX-encoded general-purpose instructions: BMI1 and BMI2, and model-specific registers by immediate.
 *
 * Source: Intel SDM vol. 2D, Appendix A, "Three-byte Opcode Map", rows with superscript (v).
 */
const vexRows: string = `
VEX.NP 0F 38 F2     ANDN        Gy,By,Ey    BMI1 l0                 APX_F+BMI1 o64 nf
VEX.NP 0F 38 F3 /1  BLSR        By,Ey       BMI1 l0                 APX_F+BMI1 o64 nf
VEX.NP 0F 38 F3 /2  BLSMSK      By,Ey       BMI1 l0                 APX_F+BMI1 o64 nf
VEX.NP 0F 38 F3 /3  BLSI        By,Ey       BMI1 l0                 APX_F+BMI1 o64 nf
VEX.NP 0F 38 F5     BZHI        Gy,Ey,By    BMI2 l0                 APX_F+BMI2 o64 nf
VEX.F3 0F 38 F5     PEXT        Gy,By,Ey    BMI2 l0                 APX_F+BMI2 o64
VEX.F2 0F 38 F5     PDEP        Gy,By,Ey    BMI2 l0                 APX_F+BMI2 o64
VEX.F2 0F 38 F6     MULX        Gy,By,Ey    BMI2 l0                 APX_F+BMI2 o64
VEX.NP 0F 38 F7     BEXTR       Gy,Ey,By    BMI1 l0                 APX_F+BMI1 o64 nf
VEX.66 0F 38 F7     SHLX        Gy,Ey,By    BMI2 l0                 APX_F+BMI2 o64
VEX.F3 0F 38 F7     SARX        Gy,Ey,By    BMI2 l0                 APX_F+BMI2 o64
VEX.F2 0F 38 F7     SHRX        Gy,Ey,By    BMI2 l0                 APX_F+BMI2 o64
VEX.F2 0F 3A F0     RORX        Gy,Ey,Ib    BMI2 l0                 APX_F+BMI2 o64
VEX.F2 M7 F6 /0     RDMSR       Rq,uId      MSR_IMM o64 w0 l0 cpl0  APX_F+MSR_IMM w0 o64 cpl0
VEX.F3 M7 F6 /0     WRMSRNS     uId,Rq      MSR_IMM o64 w0 l0 cpl0  APX_F+MSR_IMM w0 o64 cpl0
VEX.F2 M7 F8 /0     URDMSR      Rq,uId      USER_MSR o64 w0 l0      APX_F+USER_MSR w0 o64
VEX.F3 M7 F8 /0     UWRMSR      uId,Rq      USER_MSR o64 w0 l0      APX_F+USER_MSR w0 o64
`

/** In the order of the codes. */
export const TABLES: string[] = [
  oneByteRows,
  twoByteRows,
  vectorRows,
  x87Rows,
  vexRows,
  avxRows,
  amdRows,
  maskTileRows,
  ...extendedRows,
]

const reader: RowReader = /*#__PURE__*/ new RowReader()

/** The rows of the first tables, in order; the first row, which is empty, stands for the invalid instruction. */
const lines: string[] = ['']
/** Number of tables. */
let tableCount = 0

/** Number of tables before `extendedRows`: bundlers leave this module out where nothing reads a row, so that it computes nothing. */
const BASE_TABLES = 8

/**
 * The rows of EVEX that others have in their last column. Legacy instructions are in map 4, where a mandatory prefix 66 of
 * words and doublewords is the operand size. Of VEX the operation, and that VEX has the row too, are the same.
 */
function evexRowsOf(rows: readonly string[]): string[] {
  return rows.flatMap((row) => {
    const [opcode, mnemonic, operands, attributes, evex] = row.split(/ {2,}/)
    if (evex === undefined) return []
    // General registers have no other form that assemblers take.
    const isVector = !evex.startsWith('APX')
    const operation = isVector ? /(?<= )as=\S+/.exec(attributes!) : null
    const own = opcode!.startsWith('VEX.') ? `E${opcode}` : `EVEX.${operands![1] === 'b' ? 'NP' : 'NFx'} M4 ${opcode}`
    return `${own}  ${mnemonic}  ${operands}  ${evex}${isVector ? ' vex' : ''} ${operation?.[0] ?? ''}`.trimEnd()
  })
}

/** Reads one more table. The first table has the forms of most code. */
function readTable(): void {
  lines.push(...unpackRows(TABLES[tableCount++]!))
  if (tableCount === BASE_TABLES) lines.push(...evexRowsOf(lines))
}

/** Parsed forms by row. */
const known: (readonly Form[] | undefined)[] = [[invalidForm]]

/**
 * Has other tables from now on.
 * @public module text of build/plugins.ts calls it
 */
export function replaceRows(tables: readonly string[]): void {
  TABLES.splice(0, TABLES.length, ...tables)
  lines.length = known.length = 1
  tableCount = 0
}

function lineOf(row: number): string {
  while (lines.length <= row) readTable()
  return lines[row]!
}

export function readRow(row: number): readonly Form[] {
  return (known[row] ??= reader.read(lineOf(row)))
}

/**
 * The mnemonics of a row's forms, in their order and over again from the first. The row is read only if its names alone do
 * not tell.
 *
 * @param forms - number of forms of the row
 */
export function mnemonicsOf(row: number, forms: number): readonly string[] {
  const line = lineOf(row)
  // The first run of two or more spaces precedes the second column.
  let start = line.indexOf('  ')
  while (line[start] === ' ') start++
  const end = line.indexOf(' ', start)
  const name = end < 0 ? line.slice(start) : line.slice(start, end)
  if (name.includes('cc')) return readRow(row).map(({ mnemonic }) => mnemonic)
  if (line.includes(' scc')) return SOURCE_CONDITIONS.map((suffix) => name + suffix)
  if (!name.includes('/')) return [name]
  const names = name.split('/')
  return names.length === forms ? names : readRow(row).map(({ mnemonic }) => mnemonic)
}

/** Returns the forms of all rows. The position of a form in their concatenation is its code. */
export function readAllRows(): readonly (readonly Form[])[] {
  while (tableCount < TABLES.length) readTable()
  return lines.map((_, row) => readRow(row))
}
