/**
 * Guests that misuse every device of their board at once, on deterministic time, with input at random instants. What a guest
 * must not notice (it is saved, goes on elsewhere, goes back, is cloned, is recorded) happens to it at random instants: output,
 * instructions, RAM and state are those of the run that nothing disturbs, interpreted or compiled.
 */
import type { Soak } from '@retrap/tooling/soak'
import { COMPOSED } from '../support/compose/boards.ts'
import { closeCards } from '../support/compose/cards.ts'
import { disturbed, drawCase, recordedAndReplayed } from '../support/compose/case.ts'

/** One of so many cases is recorded, and run again. */
const RECORDED = 3

/** Cases of each board: how many could be compared. */
const compared = new Map<string, number>()
let stale = 0

/** See the file's comment. */
export const soak: Soak = {
  name: 'compose',
  count: 5000,
  async step(rng, index) {
    // Each board in turn.
    const board = COMPOSED[index % COMPOSED.length]!
    const isRecorded = Math.floor(index / COMPOSED.length) % RECORDED === RECORDED - 1
    const one = await drawCase(rng, board, isRecorded ? 'recorded' : 'plain')
    rng.note('kind', isRecorded ? 'recorded, and run again' : 'disturbed')
    const outcome = await (isRecorded ? recordedAndReplayed(one) : disturbed(one))
    if (outcome.kind === 'different') return outcome.how
    if (outcome.kind === 'stale') stale++
    else compared.set(board.name, (compared.get(board.name) ?? 0) + 1)
    return undefined
  },
  teardown: closeCards,
  summary: () =>
    `${[...compared].map(([name, count]) => `${name}: ${count}`).join(', ')}; not compared, as their page tables change: ${stale}`,
}
