/** Which test files a run has: those that take long are in turn. */
import { afterEach, expect, test, vi } from 'vitest'

const FILES = {
  'apps/retrap/test/system/linux.test.ts': 100,
  'packages/one/test/short.test.ts': 1.5,
  'packages/one/test/a.test.ts': 3,
  'packages/one/test/b.test.ts': 3,
  'packages/one/test/c.test.ts': 3,
  'packages/one/test/d.test.ts': 3,
  'packages/one/test/e.test.ts': 3,
  'packages/one/test/f.test.ts': 3,
  'packages/one/test/long.test.ts': 15,
  'packages/oneself/test/long.test.ts': 15,
}
vi.mock('../src/run/durations.ts', () => ({ readDurations: () => FILES }))
const { filesInOtherRuns } = await import('../src/run/turns.ts')

/** Each file but that of 100 seconds, which is in each run, has 1.5 seconds of a run. */
const RUN_SECONDS = 1.5 * 9

const { argv } = process
afterEach(() => {
  vi.unstubAllEnvs()
  process.argv = argv
})

/** The files of a folder that the run of a slice leaves out. */
function leftOutBy(slice: number, folder: string): string[] {
  vi.stubEnv('RETRAP_TEST_LONG', '')
  vi.stubEnv('RETRAP_EVERY_TEST', '')
  vi.stubEnv('RETRAP_SLICE', `${slice}`)
  process.argv = ['node', 'vitest', 'run']
  return filesInOtherRuns('', folder, RUN_SECONDS)
}

/** The files that so many runs have left out, and how often. */
function leftOut(runs: number, folder: string): Record<string, number> {
  const counts: Record<string, number> = {}
  for (let slice = 0; slice < runs; slice++)
    for (const file of leftOutBy(slice, folder)) counts[file] = (counts[file] ?? 0) + 1
  return counts
}

test('a file of 15 seconds is in one of ten runs, one of 3 in one of two, and one of 1.5 in each', () => {
  const counts = leftOut(1000, 'packages/one')
  expect(counts['test/long.test.ts']).toBeGreaterThan(890)
  expect(counts['test/long.test.ts']).toBeLessThan(910)
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) {
    expect(counts[`test/${name}.test.ts`]).toBeGreaterThan(490)
    expect(counts[`test/${name}.test.ts`]).toBeLessThan(510)
  }
  expect(counts['test/short.test.ts']).toBeUndefined()
})

test('each run has three of six files of one length, and of two long ones at most one', () => {
  for (let slice = 0; slice < 50; slice++) {
    const left = leftOutBy(slice, 'packages/one')
    expect(left.filter((file) => !file.endsWith('long.test.ts'))).toHaveLength(3)
    expect(
      [...left, ...leftOutBy(slice, 'packages/oneself')].filter((file) => file.endsWith('long.test.ts')).length,
    ).toBeGreaterThan(0)
  }
})

test('runs that have the time for all files leave none out', () => {
  leftOutBy(1, '')
  expect(filesInOtherRuns('', 'packages/one')).toEqual([])
})

test('a PC boots to its prompt in each run', () => {
  expect(leftOut(30, 'apps/retrap')).toEqual({})
})

test.each(['RETRAP_TEST_LONG', 'RETRAP_EVERY_TEST'])('%s has all files run', (name) => {
  leftOutBy(1, '')
  vi.stubEnv(name, '1')
  expect(filesInOtherRuns('', 'packages/one', RUN_SECONDS)).toEqual([])
})

test('a run that is asked for files by their names leaves none out', () => {
  leftOutBy(1, '')
  process.argv = ['node', 'vitest', 'run', 'test/a.test.ts']
  expect(filesInOtherRuns('', 'packages/one', RUN_SECONDS)).toEqual([])
})
