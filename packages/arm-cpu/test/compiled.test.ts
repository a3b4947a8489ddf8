import { words } from '@retrap/tooling/random'
import { expect, test } from 'vitest'
import { compareExecutions } from './support/compare-executions.ts'
import { randomProgram } from './support/random-program.ts'

const PROGRAMS = 25

test('compiled and interpreted programs agree at the end of every turn', { timeout: 60_000 }, () => {
  const random = words(20_261_122)
  let executed = 0
  for (let i = 0; i < PROGRAMS; i++) {
    const found = compareExecutions(randomProgram(random), random)
    expect(found.difference, `program ${i}`).toBeUndefined()
    executed += found.executed
  }
  expect(executed).toBeGreaterThan(PROGRAMS * 500)
})
