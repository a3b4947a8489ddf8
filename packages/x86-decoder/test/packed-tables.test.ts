import { describe, expect, test } from 'vitest'
import * as packing from '../src/packed-tables.ts'
import { TABLES } from '../src/forms.ts'
import { commonTable, loadRowCodes, loadTables } from '../src/tables.ts'

describe('tables as text', () => {
  const tables = loadTables()
  const packed = packing.packTables(tables, commonTable, loadRowCodes())

  test('are the same when they are read again', () => {
    expect(packing.unpackTables(packed, packing.unpackLeaves(packed.leaves))).toEqual(tables)
    expect(packing.unpackCommonTable(packed.common, tables.leaves)).toEqual(commonTable)
    expect(packing.unpackRowCodes(packed.rowCodes)).toEqual(loadRowCodes())
  })

  test('a JavaScript string holds it as it is', () => {
    for (const text of Object.values(packed)) expect(text).toMatch(/^[-0-9a-f,]+$/)
  })
})

test('the rows of a packed table are those that people write, with two spaces between columns', () => {
  for (const table of TABLES) {
    const narrow = table.replaceAll(/ {3,}/g, '  ')
    expect(packing.unpackRows(packing.packRows(narrow))).toEqual(packing.unpackRows(narrow))
  }
})
