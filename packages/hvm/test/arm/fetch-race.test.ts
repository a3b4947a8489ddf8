import { runSoak } from '@retrap/tooling/soak'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { afterEach, expect, test, vi } from 'vitest'

const { mutation } = vi.hoisted(() => ({ mutation: { unguarded: false, acted: false, ipa: 0 } }))

vi.mock(import('@retrap/paging'), async (original) => {
  const module = await original()
  return {
    ...module,
    walkArm(context, tables, lo, hi, access, into) {
      const outcome = module.walkArm(context, tables, lo, hi, access, into)
      if ((access & module.ARM_FETCH) === 0) return outcome
      if (mutation.unguarded && mutation.acted) {
        // The look back at the page, after it was read, finds what was there before.
        into.ipa = mutation.ipa
        mutation.acted = false
        return module.ARM_WALK_OK
      }
      mutation.ipa = into.ipa
      return outcome
    },
  }
})

const { shown, soak } = await import('../soak/arm-fetch-race.soak.ts')
const { POINTS } = await import('./fetch-race.ts')

const ROUNDS = slicedCount(2000, 4)

afterEach(() => {
  mutation.unguarded = false
})

test('bytes of a recycled frame are not executed in place of an instruction that has trapped', async () => {
  const { violations, smallest } = await runSoak(soak, { count: ROUNDS, seed: slicedSeed(1) })
  expect(smallest, SLICE_REPEAT).toBeUndefined()
  expect(violations).toBe(0)
  const { acted, ends } = shown()
  for (const point of POINTS) expect(acted.get(point), point).toBeGreaterThan(ROUNDS / 10)
  for (const end of ['x10', 'x11', 'aborted']) expect(ends.get(end), end).toBeGreaterThan(ROUNDS / 10)
})

test('without the guard they are', async () => {
  mutation.unguarded = true
  shown().race.onActed = () => {
    mutation.acted = true
  }
  const { violations } = await runSoak(soak, { count: ROUNDS / 4, seed: 1, shrinkMs: 0 })
  expect(violations).toBeGreaterThan(ROUNDS / 200)
})
