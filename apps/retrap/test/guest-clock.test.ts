import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Machine } from '@retrap/linux-guest/machine/machine-contract'
import { GuestClock } from '../src/machine/snapshots/session-snapshots.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function guest(listens: boolean | Error | undefined) {
  const said: string[] = []
  const woken = vi.fn(async () => true)
  const machine = {
    powerButton: woken,
    ...(listens !== undefined && {
      async sleepButton() {
        if (listens instanceof Error) throw listens
        return listens
      },
    }),
  } as unknown as Machine
  return { clock: new GuestClock((text) => said.push(text)), machine, woken, said }
}

test('a guest that sleeps is woken at once, and what it does later is its own', async () => {
  const { clock, machine, woken, said } = guest(true)
  expect(clock.slept(true)).toBe(false)
  await clock.ask(machine)
  expect([clock.slept(true), woken.mock.calls.length, said]).toEqual([true, 1, []])
  expect([clock.slept(false), said]).toEqual([true, ['the guest has slept for a moment, and has the time now']])
  expect([clock.slept(true), woken.mock.calls.length]).toEqual([false, 1])
  vi.advanceTimersByTime(120_000)
  expect(said.length).toBe(1)
})

test.each([
  ['has no driver', false, 0, 'the guest has no driver for the sleep button'],
  ['has no button', undefined, 0, 'the guest has no driver for the sleep button'],
  ['is recorded', new Error('the button is not pressed'), 0, 'the button is not pressed'],
  ['does not sleep', true, 60_000, 'the guest has not gone to sleep'],
])('a guest that %s is left as it is', async (_what, listens, ms, why) => {
  const { clock, machine, woken, said } = guest(listens)
  await clock.ask(machine)
  vi.advanceTimersByTime(ms)
  expect(said).toEqual([`${why}: its clock catches up by itself, by 7 days at most; hwclock --hctosys there sets it`])
  expect([clock.slept(true), woken.mock.calls.length]).toEqual([false, 0])
})
