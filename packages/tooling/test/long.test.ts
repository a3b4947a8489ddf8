import { afterEach, expect, test, vi } from 'vitest'

afterEach(() => {
  vi.unstubAllEnvs()
  vi.resetModules()
})

test.each([
  ['1', [1, 2, 3]],
  ['', [1]],
])('cases with RETRAP_TEST_LONG=%s', async (value, cases) => {
  vi.stubEnv('RETRAP_TEST_LONG', value)
  vi.resetModules()
  const { withLong } = await import('../src/long.ts')
  expect(withLong([1], [2, 3])).toEqual(cases)
})
