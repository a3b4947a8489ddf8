import { describe, expect, test, vi } from 'vitest'
import { type Rng, runSoak, type Soak, unreached } from '../src/soak.ts'

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

  test('has seed 1 and 1000 steps unless it is told others', async () => {
    const drawn: number[] = []
    await runSoak({ name: 'draws', step: (rng) => void drawn.push(rng.u32()) })
    expect(drawn).toEqual(await draws(1000, 1, (rng) => rng.u32()))
    expect(await runSoak({ name: 'few', count: 3, step: () => {} })).toMatchObject({ steps: 3 })
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

  test('removes what does not matter, from anywhere in the case, and lowers the rest', async () => {
    // Fails where two neighbours are 20 apart at least, the later one above.
    const step = (rng: Rng): string | void => {
      const all = Array.from({ length: rng.between(2, 40) }, () => rng.below(1000))
      rng.note('all', all.join(' '))
      return all.some((value, i) => i > 0 && value - all[i - 1]! >= 20) ? 'apart' : undefined
    }
    const { smallest } = await runSoak({ name: 'apart', step }, { count: 3, seed: 1 })
    expect(smallest).toMatchObject({ notes: ['all: 0 20'], draws: 3 })
  })

  test('makes the first five smaller, and tells of each as it was found', async () => {
    const found: number[] = []
    const soak: Soak = { name: 'always', step: (rng) => (rng.bytes(8).length > 0 ? 'always' : undefined) }
    let steps = 0
    const step: Soak['step'] = (rng, index) => (steps++, soak.step(rng, index))
    const options = { count: 10, found: ({ draws: drawn }: { readonly draws: number }) => void found.push(drawn) }
    const result = await runSoak({ ...soak, step }, options)
    expect([result.violations, found]).toEqual([10, Array.from({ length: 10 }, () => 8)])
    // Five of them are run again and again, on numbers that are lower.
    const again = (steps - 10) / 5
    expect([Number.isInteger(again), again > 0]).toEqual([true, true])
  })

  test('stops making a case of many draws smaller when the time for it is up', async () => {
    const step = (rng: Rng): string => (rng.bytes(100_000).length > 0 ? 'always' : '')
    const { smallest } = await runSoak({ name: 'long', step }, { count: 1, shrinkMs: 50 })
    expect(smallest!.draws).toBeGreaterThan(0)
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

describe('a soak with a time', () => {
  test('begins steps until the time is over, however many a count would allow', async () => {
    let now = 1e6
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now)
    try {
      const soak: Soak = { name: 'slow', count: 2, setup: () => void (now += 1000), step: () => void (now += 10) }
      expect(await runSoak(soak, { forMs: 35, count: 1 })).toMatchObject({ steps: 4 })
      expect(await runSoak(soak, { forMs: 40, from: 7 })).toMatchObject({ steps: 4 })
    } finally {
      clock.mockRestore()
    }
  })

  test('names the kinds of cases, or else the steps, that it did not reach', () => {
    const ten: Soak = { name: 'ten', count: 10, step: () => {} }
    const ended = [3, 9, 10, 12].map((end) => unreached(ten, end))
    expect(ended).toEqual([['steps 3 to 9 of its usual 10'], ['steps 9 to 9 of its usual 10'], [], []])
    expect(unreached({ ...ten, unreached: () => ['c'] }, 12)).toEqual(['c'])
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
    [undefined, undefined, 1 / 2],
    [1, 4, 1 / 4],
    [3, 4, 3 / 4],
    [9, 10, 9 / 10],
  ])('chance(%j, %j) is true in %d of the steps', async (numerator, denominator, expected) => {
    const drawn = await draws(4000, 1, (rng) => rng.chance(numerator, denominator))
    expect(Math.abs(drawn.filter(Boolean).length / 4000 - expected)).toBeLessThan(0.03)
  })

  test('has 64 bits, each of them set in about half of the steps', async () => {
    const drawn = await draws(1000, 1, (rng) => rng.u64())
    for (let bit = 0n; bit < 64n; bit++) {
      const set = drawn.filter((value) => ((value >> bit) & 1n) === 1n).length
      expect(Math.abs(set - 500), `bit ${bit}`).toBeLessThan(100)
    }
    expect(drawn.every((value) => value >= 0n && value < 1n << 64n)).toBe(true)
  })

  test('is that of the reference: xoshiro128** of Blackman and Vigna', async () => {
    // In integers without limits. The state comes from seed and index by two rounds of a mixing function.
    const M = (1n << 32n) - 1n
    const mixed = (x: bigint): bigint => {
      let z = ((x ^ (x >> 16n)) * 0x21f0_aaadn) & M
      z = ((z ^ (z >> 15n)) * 0x735a_2d97n) & M
      return z ^ (z >> 15n)
    }
    const rotate = (x: bigint, by: bigint): bigint => ((x << by) | (x >> (32n - by))) & M
    const reference = (seed: bigint, index: bigint): (() => bigint) => {
      let x = ((seed * 0x9e37_79b1n) & M) ^ (((index + 1n) * 0x85eb_ca6bn) & M)
      const [a, b, c, d] = [1, 2, 3, 4].map(() => mixed((x = (x + 0x9e37_79b9n) & M))) as [
        bigint,
        bigint,
        bigint,
        bigint,
      ]
      let [s0, s1, s2, s3] = [a, b, c, d]
      return () => {
        const result = (rotate((s1 * 5n) & M, 7n) * 9n) & M
        const shifted = (s1 << 9n) & M
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= shifted
        s3 = rotate(s3, 11n)
        return result
      }
    }
    for (const seed of [1, 2 ** 31 + 5]) {
      const found: number[][] = []
      const step = (rng: Rng): void => void found.push(Array.from({ length: 20 }, () => rng.below(2 ** 53)))
      await runSoak({ name: 'reference', step }, { count: 3, seed, from: 7 })
      const expected = [7n, 8n, 9n].map((index) => {
        const next = reference(BigInt(seed), index)
        return Array.from({ length: 20 }, () => Number((next() << 21n) + (next() >> 11n)))
      })
      expect(found).toEqual(expected)
    }
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
