/**
 * The decoder's tables, compiled from the rows when this module loads.
 *
 * The built package has another module in the place of this one, with the result as text: see `build/plugins.ts`.
 */
import { makeCommonTable } from './common-table.ts'
import { readAllRows } from './forms.ts'
import { compileTables, type DecodeTables } from './tree.ts'

const tables: DecodeTables = /*#__PURE__*/ compileTables(/*#__PURE__*/ readAllRows().flat())

/** The decision trees. */
export const loadTables = (): DecodeTables => tables

/** The short way to the codes of common instructions. */
export const commonTable: Int32Array = /*#__PURE__*/ makeCommonTable(tables)

const rowCodes: Int32Array = /*#__PURE__*/ firstCodes()

/** The first code of each row; after the last row, the number of codes. */
export const loadRowCodes = (): Int32Array => rowCodes

function firstCodes(): Int32Array {
  let code = 0
  return Int32Array.of(
    0,
    ...readAllRows().map((forms) => {
      code += forms.length
      return code
    }),
  )
}
