import { describe, expect, test } from 'vitest'
import { packTables, unpackCommonTable, unpackLeaves, unpackRowCodes, unpackTables } from '../src/packed-tables.ts'
import { commonTable, loadRowCodes, loadTables } from '../src/tables.ts'

describe('tables as text', () => {
  const tables = loadTables()
  const packed = packTables(tables, commonTable, loadRowCodes())

  test('are the same when they are read again', () => {
    expect(unpackTables(packed, unpackLeaves(packed.leaves))).toEqual(tables)
    expect(unpackCommonTable(packed.common, tables.leaves)).toEqual(commonTable)
    expect(unpackRowCodes(packed.rowCodes)).toEqual(loadRowCodes())
  })

  test('a JavaScript string holds it as it is', () => {
    for (const text of Object.values(packed)) expect(text).toMatch(/^[-0-9a-f,]+$/)
  })
})
