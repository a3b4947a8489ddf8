import { expect, test } from 'vitest'
import { readmeTable, supportTable } from './generate-support-table.ts'

/** The formatter aligns columns as it likes. */
const cells = (table: string): string[] =>
  table
    .split('\n')
    .filter((line) => !/^\|[-| ]+\|$/.test(line))
    .map((line) => line.replaceAll(/ *\| */g, '|').trim())

test('the table of extensions in README.md is that of the rows (else run test/generate-support-table.ts)', () => {
  expect(cells(readmeTable().now)).toEqual(cells(supportTable()))
})
