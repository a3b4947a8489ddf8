import { words } from '@retrap/tooling/random'
import { afterEach, describe, expect, test, vi } from 'vitest'

const { mutation } = vi.hoisted(() => ({ mutation: { skipsTheCheck: false } }))

vi.mock(import('../src/explain.ts'), async (original) => {
  const module = await original()
  return { ...module, explains: (...args) => mutation.skipsTheCheck || module.explains(...args) }
})

const { fetchRace } = await import('./support/fetch-race.ts')

const SEED = 3
const STEPS = 1500

/** Problems of so many races, and how often the guest had to try again. */
function races(): { problems: string[]; retries: number } {
  const next = words(SEED)
  const random = { u32: next, below: (limit: number): number => next() % limit }
  const problems: string[] = []
  let retries = 0
  for (let step = 0; step < STEPS; step++) {
    const race = fetchRace(random)
    if (race.problem !== undefined) problems.push(race.problem)
    retries += race.retries
  }
  return { problems, retries }
}

describe('the page of the instruction changes under the fetch', () => {
  afterEach(() => {
    mutation.skipsTheCheck = false
  })

  test(`nothing wrong is emulated, and there is progress (seed ${SEED})`, () => {
    const { problems, retries } = races()
    expect(problems).toEqual([])
    // The race was won by the other party often enough.
    expect(retries).toBeGreaterThan(STEPS / 4)
  })

  test('the race catches an emulator that does not check the syndrome', () => {
    mutation.skipsTheCheck = true
    expect(races().problems.length).toBeGreaterThan(20)
  })
})
