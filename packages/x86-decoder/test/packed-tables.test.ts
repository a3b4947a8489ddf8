import { describe, expect, test } from 'vitest'
import { packTables, unpackRowCodes, unpackTables } from '../src/packed-tables.ts'
import { rowCodes, tables } from '../src/tables.ts'

describe('tables as text', () => {
  const packed = packTables(tables, rowCodes)

  test.each(['roots', 'hasModrm', 'nodes', 'leaves', 'evexLeaves'] as const)(
    '%s are the same when they are read again',
    (name) => {
      expect(unpackTables(packed)[name]).toEqual(tables[name])
    },
  )

  test('the first codes of rows are the same when they are read again', () => {
    expect(unpackRowCodes(packed.rowCodes)).toEqual(rowCodes)
  })

  test('a JavaScript string holds it as it is', () => {
    for (const text of Object.values(packed)) expect(text).toMatch(/^[A-Za-z0-9+/]+$/)
  })
})
