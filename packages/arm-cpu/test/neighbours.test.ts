/** Two processors that execute at the same time, each in a Worker with translations and code of its own. */
import { afterAll, expect, test } from 'vitest'
import { ADDED, DATA, SEEN } from '../bench/neighbours/scenarios.ts'
import { endNeighbours, OTHER_ROUNDS, ROUNDS, together, WRONG } from '../bench/neighbours/threads.ts'

afterAll(endNeighbours)

const ENDS = ['exception', 'exception']

test.each(SEEN)('%s', { timeout: 60_000 }, async (_name, ...programs) => {
  for (const jit of [false, true]) {
    const { ends, read } = await together(programs, { jit, ms: 400 })
    expect([ends, read(WRONG)]).toEqual([ENDS, 0])
    expect(Math.min(read(ROUNDS), read(OTHER_ROUNDS))).toBeGreaterThan(50)
  }
})

test.each(ADDED)('%s lose nothing', { timeout: 60_000 }, async (_name, bytes, programs) => {
  for (const [i, turn] of [1e6, 1e6, 7].entries()) {
    const { ends, read } = await together(programs, { jit: i > 0, ms: 300, turn })
    const sum = (read(ROUNDS) + read(OTHER_ROUNDS)) >>> 0
    expect([ends, sum > 1000]).toEqual([ENDS, true])
    for (let at = 0; at < bytes; at += 8) expect(read(DATA + at)).toBe(sum)
  }
})
