import { numbers } from '@retrap/tooling/random'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { RandomCaller } from './support/random-hypercalls.ts'
import { MODES } from './support/xen-guest.ts'

const SEED = slicedSeed(517)
const CALLS = slicedCount(2000, 5)

describe.each(MODES)(`${CALLS} random hypercalls of a %s caller, seed ${SEED}`, (mode) => {
  test('nothing throws, nothing hangs, no frame is lost', async () => {
    const random = numbers(SEED + mode.length)
    let caller = new RandomCaller(mode)
    const total = caller.frames
    let guests = 1
    for (let i = 0; i < CALLS; i++) {
      if (!caller.usable) {
        caller = new RandomCaller(mode)
        guests++
      }
      expect(await caller.call(random), `call ${i}; ${SLICE_REPEAT}`).toBeUndefined()
    }
    // Most calls do no harm.
    expect(guests).toBeLessThan(CALLS / 4)
    const { guest } = caller
    guest.domain.reset()
    await guest.call(99)
    expect(caller.frames).toBe(total)
  }, 120_000)
})
