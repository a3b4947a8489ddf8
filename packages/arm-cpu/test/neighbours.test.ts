/** Two processors that execute at the same time, each in a Worker with translations and code of its own. */
import { afterAll, expect, test } from 'vitest'
import { ADDED, DATA, SEEN } from './support/neighbours/scenarios.ts'
import { endNeighbours, OTHER_ROUNDS, ROUNDS, together, WRONG } from './support/neighbours/threads.ts'

afterAll(endNeighbours)

const ENDS = ['exception', 'exception']

test.each(SEEN)('%s', { timeout: 60_000 }, async (_name, ...programs) => {
  for (const jit of [false, true]) {
    const isEnough = (rounds: number, others: number): boolean => Math.min(rounds, others) > 50
    const { ends, read } = await together(programs, { jit, ms: 400, isEnough })
    expect([ends, read(WRONG), isEnough(read(ROUNDS), read(OTHER_ROUNDS))]).toEqual([ENDS, 0, true])
  }
})

test.each(ADDED)('%s lose nothing', { timeout: 60_000 }, async (_name, bytes, programs) => {
  for (const [i, turn] of [1e6, 1e6, 7].entries()) {
    const isEnough = (rounds: number, others: number): boolean => rounds + others > 1000
    const { ends, read } = await together(programs, { jit: i > 0, ms: 300, turn, isEnough })
    const sum = (read(ROUNDS) + read(OTHER_ROUNDS)) >>> 0
    expect([ends, sum > 1000]).toEqual([ENDS, true])
    for (let at = 0; at < bytes; at += 8) expect(read(DATA + at)).toBe(sum)
  }
})
