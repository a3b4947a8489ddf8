/**
 * Guests that misuse every device of their board at once, on deterministic time, with input at random instants. What a guest
 * must not notice (it is saved, goes on elsewhere, goes back, is cloned, is recorded) happens to it at random instants: output,
 * instructions, RAM and state are those of the run that nothing disturbs, interpreted or compiled. In every third case the
 * machine is in a drawn state when that happens: it has not run, is stopped, waits for a device, runs, is held by a debugger, sleeps,
 * or has ended. What cannot be done to it then is refused.
 */
import type { Soak } from '@retrap/tooling/soak'
import { COMPOSED } from '../support/compose/boards.ts'
import { closeCards } from '../support/compose/cards.ts'
import { Subject } from '../support/compose/machines.ts'
import { hasState, STATES } from '../support/compose/states.ts'
import { disturbed, drawCase, recordedAndReplayed } from '../support/compose/case.ts'

/** Of so many cases the first has its machine in a drawn state, and the last is recorded, and run again. */
const KINDS = 3

/** Cases of each board, and of each state on a family of boards: how many could be compared. */
const compared = new Map<string, number>()
let stale = 0

const count = (what: string): void => void compared.set(what, (compared.get(what) ?? 0) + 1)

/** See the file's comment. */
export const soak: Soak = {
  name: 'compose',
  count: 5000,
  async step(rng, index) {
    // Each board in turn, then each kind of case, then each state.
    const board = COMPOSED[index % COMPOSED.length]!
    const round = Math.floor(index / COMPOSED.length)
    const isRecorded = round % KINDS === KINDS - 1
    const states = STATES.filter((each) => hasState(each, board.arm, board.options.hypervisor === 'xen'))
    const state = round % KINDS === 0 ? states[Math.floor(round / KINDS) % states.length] : undefined
    const one = await drawCase(rng, board, isRecorded ? 'recorded' : 'plain', state)
    rng.note('kind', isRecorded ? 'recorded, and run again' : `disturbed, ${state ?? 'in no state of its own'}`)
    const outcome = await (isRecorded ? recordedAndReplayed(one) : disturbed(one))
    if (outcome.kind === 'different') return outcome.how
    if (outcome.kind === 'stale') stale++
    else {
      count(board.name)
      if (state !== undefined) count(`${board.name.replace(/,.*/, '')} ${state}`)
    }
    return undefined
  },
  teardown: closeCards,
  summary: () =>
    `${[...compared].map(([name, count]) => `${name}: ${count}`).join(', ')}; not compared, as their page tables change: ${stale}; an instruction waited for a device in ${Subject.waited} machines`,
}
