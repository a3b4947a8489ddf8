/** Tests on several kernels: a table of their outcomes. */
import { printable } from '@retrap/basics'
import type { TestOutcome, TestSuites } from './reports.ts'

/** Whether all tests of all suites have passed. */
export const allPassed = (suites: TestSuites): boolean =>
  [...suites.values()].flat().every(({ failure }) => failure === undefined)

const MOST_NAME = 60

/** Writes a table with a line for each test, and a column for each kernel; `-`: the kernel's machine has not come to the test. */
export function matrixLines(outcomes: TestSuites): readonly string[] {
  const names = [...new Set([...outcomes.values()].flat().map(({ name }) => name))]
  const cellOf = (all: readonly TestOutcome[], name: string): string => {
    const one = all.find((outcome) => outcome.name === name)
    return one === undefined ? '-' : one.isSkipped === true ? 'skipped' : one.failure === undefined ? 'ok' : 'FAILED'
  }
  const rows = names.map((name) => [
    printable(name).replaceAll('\n', ' ').slice(0, MOST_NAME),
    ...[...outcomes.values()].map((all) => cellOf(all, name)),
  ])
  return tableLines([['', ...outcomes.keys()], ...rows])
}

/** Writes rows of texts as lines whose columns are aligned. */
export function tableLines(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const lineOf = (row: readonly string[]): string => row.map((text, column) => text.padEnd(widths[column]!)).join('  ')
  return rows.map((row) => lineOf(row).trimEnd())
}
