import { describe, expect, test } from 'vitest'
import { type Rng, runSoak, type Soak } from '../src/soak.ts'

/** Fails if some word above a million stands in a list of more than four. */
const lists: Soak = {
  name: 'lists',
  step(rng) {
    const words = Array.from({ length: rng.between(0, 30) }, () => rng.u32())
    rng.note('words', () => words.join(' '))
    return words.length > 4 && words.some((word) => word > 1_000_000) ? 'too big' : undefined
  },
}

/** All that `draw` returned in a run of `count` steps. */
async function draws<T>(count: number, seed: number, draw: (rng: Rng) => T): Promise<T[]> {
  const drawn: T[] = []
  await runSoak({ name: 'draws', step: (rng) => void drawn.push(draw(rng)) }, { count, seed })
  return drawn
}

describe('a soak', () => {
  test('draws the same from a seed for ever, since reports name seeds', async () => {
    const drawn = [8_008_955_510_504_306, 5_510_692_449_768_532, 5_619_511_668_867_427]
    expect(await draws(3, 5, (rng) => rng.below(2 ** 53))).toEqual(drawn)
  })

  test('draws from the whole of a range of 53 bits, and from nothing else', async () => {
    const drawn = await draws(2000, 5, (rng) => rng.below(2 ** 53))
    expect(drawn.every((value) => Number.isSafeInteger(value) && value >= 0)).toBe(true)
    // Each bit of the lower half, and of the upper one, is set in about half of them.
    for (let bit = 0; bit < 53; bit++) {
      const set = drawn.filter((value) => Math.floor(value / 2 ** bit) % 2 === 1).length
      expect(Math.abs(set - 1000), `bit ${bit}`).toBeLessThan(150)
    }
  })

  test('counts its steps and finds nothing where nothing is wrong', async () => {
    const result = await runSoak({ name: 'calm', step: () => {} }, { count: 50 })
    expect(result).toEqual({ steps: 50, violations: 0, smallest: undefined })
  })

  test('makes the failing case as small as it gets', async () => {
    const result = await runSoak(lists, { count: 20, seed: 3 })
    expect(result.violations).toBeGreaterThan(10)
    expect(result.smallest).toMatchObject({ message: 'too big', notes: ['words: 1000001 0 0 0 0'], draws: 6 })
  })

  test('repeats a failing step alone, from its seed and index', async () => {
    const whole = await runSoak(lists, { count: 20, seed: 3, shrinkMs: 0 })
    const index = whole.smallest?.index as number
    const alone = await runSoak(lists, { count: 1, seed: 3, from: index, shrinkMs: 0 })
    expect(alone.smallest).toEqual(whole.smallest)
  })

  test('takes an exception for a violation', async () => {
    const step = (rng: Rng): void => {
      if (rng.below(10) === 7) throw new RangeError('seven')
    }
    const result = await runSoak({ name: 'throws', step }, { count: 200 })
    expect(result.violations).toBeGreaterThan(0)
    expect(result.smallest?.message).toContain('RangeError: seven')
  })

  test('sets up before its first step and tears down after its last', async () => {
    const seen: string[] = []
    const soak: Soak = {
      name: 'order',
      setup: () => void seen.push('setup'),
      step: (_rng, index) => void seen.push(`step ${index}`),
      teardown: () => void seen.push('teardown'),
    }
    await runSoak(soak, { count: 2, from: 5 })
    expect(seen).toEqual(['setup', 'step 5', 'step 6', 'teardown'])
  })
})

describe('a soak that is stopped', () => {
  test('has reported what it found until then', async () => {
    const stop = new AbortController()
    const found: number[] = []
    const step = (_rng: Rng, index: number): string | void => {
      if (index === 5) stop.abort()
      if (index % 2 === 1) return 'odd'
    }
    const result = await runSoak(
      { name: 'odd', step },
      { count: 100, signal: stop.signal, found: ({ index }) => void found.push(index) },
    )
    expect(found).toEqual([1, 3])
    expect(result).toMatchObject({ steps: 5, violations: 2, smallest: { message: 'odd' } })
  })

  test('does not wait for a step that never ends', async () => {
    const stop = new AbortController()
    setTimeout(() => stop.abort(), 50)
    const step = (_rng: Rng, index: number): Promise<void> | void => {
      if (index === 3) return new Promise(() => {})
    }
    const result = await runSoak({ name: 'stuck', step }, { signal: stop.signal })
    expect(result).toEqual({ steps: 3, violations: 0, smallest: undefined })
  })

  test.each([
    ['between steps', () => {}],
    ['while a case is made smaller', (rng: Rng) => (rng.bytes(1000).length > 0 ? 'always' : '')],
  ])('hears of it although no step waits: %s', async (_when, step: (rng: Rng) => string | void) => {
    const stop = new AbortController()
    setTimeout(() => stop.abort(), 50)
    const count = 2 ** 40
    const result = await runSoak({ name: 'busy', step }, { count, shrinkMs: 2 ** 40, signal: stop.signal })
    expect(result.steps).toBeLessThan(count)
  })
})

describe("a step's generator", () => {
  test('gives the same numbers for the same seed, and others for another', async () => {
    const words = (seed: number): Promise<number[]> => draws(10, seed, (rng) => rng.u32())
    expect(await words(1)).toEqual(await words(1))
    expect(await words(1)).not.toEqual(await words(2))
  })

  test.each([1, 2, 3])('is even over the steps of seed %i', async (seed) => {
    const counts = Array.from({ length: 16 }, () => 0)
    for (const value of await draws(32_000, seed, (rng) => rng.below(16))) counts[value] = (counts[value] as number) + 1
    // Chi-squared with 15 degrees of freedom exceeds 37.7 once in a thousand.
    expect(counts.reduce((sum, count) => sum + (count - 2000) ** 2 / 2000, 0)).toBeLessThan(37.7)
  })

  test.each([
    ['between', (rng: Rng) => rng.between(3, 5), [3, 4, 5]],
    ['pick', (rng: Rng) => rng.pick(['a', 'b']), ['a', 'b']],
    ['chance', (rng: Rng) => rng.chance(), [false, true]],
    ['bytes', (rng: Rng) => rng.bytes(4).length, [4]],
  ])('%s returns all of its values and nothing else', async (_name, draw: (rng: Rng) => unknown, values) => {
    expect([...new Set(await draws(200, 1, draw))].sort()).toEqual(values)
  })
})
