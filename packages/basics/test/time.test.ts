import { expect, test } from 'vitest'
import { nanosecondsOf, secondsIn } from '../src/index.ts'

test.each<[string, number | undefined]>([
  ['500ms', 500e6],
  ['1.5 s', 1.5e9],
  ['.5s', 0.5e9],
  ['10m', 600e9],
  ['2min', 120e9],
  ['1H', 3600e9],
  ['20µs', 20e3],
  ['7ns', 7],
  ...['10', '', 'm', '-1s', '1e3s', '1s2', '1d', '0x1s', 'NaNs'].map((text): [string, undefined] => [text, undefined]),
])('%j is %d nanoseconds', (text, nanoseconds) => {
  expect(nanosecondsOf(text)).toBe(nanoseconds)
  const seconds = text === '10' ? 10 : nanoseconds === undefined ? undefined : nanoseconds / 1e9
  expect(secondsIn(text)).toBe(seconds)
})
