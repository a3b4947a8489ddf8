/** What the page takes of what the playground's Worker says. */
import { expect, test } from 'vitest'
import { readReport } from '../src/playground/report.ts'

test('what the sandbox says is taken for what it is', () => {
  expect(readReport({ kind: 'log', text: 'x' })).toEqual({ kind: 'log', text: 'x' })
  expect(readReport({ kind: 'error', message: 'x', line: 'y' })).toEqual({ kind: 'error', message: 'x', line: null })
  expect(readReport({ kind: 'error', message: 'x', line: 3 })).toEqual({ kind: 'error', message: 'x', line: 3 })
  const long = 'x'.repeat(1_000_000)
  expect(readReport({ kind: 'log', text: long })).toEqual({ kind: 'log', text: long.slice(0, 2000) })
  // Each level has the one below it twice: as text it would be without end.
  let nested: unknown = []
  for (let i = 0; i < 60; i++) nested = [nested, nested]
  expect(readReport({ kind: 'attached', names: ['a', nested, long] })).toEqual({
    kind: 'attached',
    names: ['a', long.slice(0, 2000)],
  })
  for (const nonsense of [null, 1, 'log', {}, { kind: 'log' }, { kind: 'error' }, { kind: 'attached' }])
    expect(readReport(nonsense)).toBe(null)
  const many = Array.from({ length: 51 }, (_, i) => String(i))
  expect(readReport({ kind: 'attached', names: many })).toEqual({ kind: 'attached', names: many.slice(0, 50) })
})
