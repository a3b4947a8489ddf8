import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { withCoverage } from './support/coverage.ts'

test('README.md lists what the tables have (else: node --conditions=retrap-source test/generate-coverage.ts)', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  expect(withCoverage(readme)).toBe(readme)
})
