/** The time in which others had the processor, as /proc tells it, does not count. */
import { setTimeout } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { ProcessorDelay, resolvesWithin } from '../src/processor-time.ts'

/** Nanoseconds that the one thread has waited, as the mocked /proc says. */
const proc = vi.hoisted(() => ({ waited: 0 }))
vi.mock('node:fs', () => ({
  existsSync: () => true,
  readdirSync: () => ['1'],
  readFileSync: () => `5 ${proc.waited} 1`,
}))

test('a delay is what a thread has waited since its beginning', () => {
  proc.waited = 7e9
  const delay = new ProcessorDelay()
  expect(delay.seconds()).toBe(0)
  proc.waited += 25e8
  expect(delay.seconds()).toBe(2.5)
})

test('a promise may resolve later by the time for which there was no processor, and no more', async () => {
  const within = async (seconds: number, milliseconds: number, waited: number): Promise<boolean> => {
    proc.waited = 0
    const resolved = resolvesWithin(seconds, setTimeout(milliseconds))
    proc.waited = waited
    return resolved
  }
  expect(await within(0.05, 150, 10e9)).toBe(true)
  expect(await within(0.05, 400, 1e8)).toBe(false)
  expect(await within(0.05, 400, 0)).toBe(false)
})
