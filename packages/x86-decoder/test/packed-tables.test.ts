import { describe, expect, test } from 'vitest'
import { packTables, unpackCommonTable, unpackLeaves, unpackRowCodes, unpackTables } from '../src/packed-tables.ts'
import { commonTable, loadRowCodes, loadTables } from '../src/tables.ts'

describe('tables as text', () => {
  const tables = loadTables()
  const packed = packTables(tables, commonTable, loadRowCodes())

  test.each(['roots', 'hasModrm', 'nodes', 'leaves', 'evexLeaves'] as const)(
    '%s are the same when they are read again',
    (name) => {
      expect(unpackTables(packed, unpackLeaves(packed.leaves))[name]).toEqual(tables[name])
    },
  )

  test('the table of common instructions is the same when it is read again', () => {
    expect(unpackCommonTable(packed.common, tables.leaves)).toEqual(commonTable)
  })

  test('the first codes of rows are the same when they are read again', () => {
    expect(unpackRowCodes(packed.rowCodes)).toEqual(loadRowCodes())
  })

  test('a JavaScript string holds it as it is', () => {
    for (const text of Object.values(packed)) expect(text).toMatch(/^[-0-9a-f,]+$/)
  })
})
