/** Which test files a run has: those that take long are in turn. */
import { afterEach, expect, test, vi } from 'vitest'

const FILES = {
  'apps/retrap/test/system/linux.test.ts': 100,
  'packages/one/test/short.test.ts': 3,
  'packages/one/test/a.test.ts': 6,
  'packages/one/test/b.test.ts': 6,
  'packages/one/test/c.test.ts': 6,
  'packages/one/test/d.test.ts': 6,
  'packages/one/test/e.test.ts': 6,
  'packages/one/test/f.test.ts': 6,
  'packages/one/test/long.test.ts': 30,
  'packages/oneself/test/long.test.ts': 30,
}
vi.mock('../src/run/durations.ts', () => ({ readDurations: () => FILES }))
const { filesInOtherRuns } = await import('../src/run/turns.ts')

const { argv } = process
afterEach(() => {
  vi.unstubAllEnvs()
  process.argv = argv
})

/** The files that so many runs have left out, and how often. */
function leftOut(runs: number, folder: string): Record<string, number> {
  vi.stubEnv('RETRAP_TEST_LONG', '')
  vi.stubEnv('RETRAP_EVERY_TEST', '')
  process.argv = ['node', 'vitest', 'run']
  const counts: Record<string, number> = {}
  for (let slice = 0; slice < runs; slice++) {
    vi.stubEnv('RETRAP_SLICE', `${slice}`)
    for (const file of filesInOtherRuns('', folder)) counts[file] = (counts[file] ?? 0) + 1
  }
  return counts
}

test('a run has one of ten files of 30 seconds, one of two of 6, and all that take 3', () => {
  expect(leftOut(20, 'packages/one')).toEqual({
    'test/a.test.ts': 10,
    'test/b.test.ts': 10,
    'test/c.test.ts': 10,
    'test/d.test.ts': 10,
    'test/e.test.ts': 10,
    'test/f.test.ts': 10,
    'test/long.test.ts': 18,
  })
})

test('files of equal length are not all in the same runs', () => {
  const left = Object.keys(leftOut(1, 'packages/one')).filter((file) => file !== 'test/long.test.ts')
  expect(left.length).toBeGreaterThan(0)
  expect(left.length).toBeLessThan(6)
})

test('a PC boots to its prompt in each run', () => {
  expect(leftOut(30, 'apps/retrap')).toEqual({})
})

test.each(['RETRAP_TEST_LONG', 'RETRAP_EVERY_TEST'])('%s has all files run', (name) => {
  leftOut(0, '')
  vi.stubEnv('RETRAP_SLICE', '1')
  vi.stubEnv(name, '1')
  expect(filesInOtherRuns('', 'packages/one')).toEqual([])
})

test('a run that is asked for files by their names leaves none out', () => {
  leftOut(0, '')
  process.argv = ['node', 'vitest', 'run', 'test/a.test.ts']
  expect(filesInOtherRuns('', 'packages/one')).toEqual([])
})
