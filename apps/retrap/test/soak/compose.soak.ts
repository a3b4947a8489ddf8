/**
 * Guests that misuse every device of their board at once, on deterministic time, with input at random instants. What a guest
 * must not notice (it is saved, goes on elsewhere, goes back, is cloned, is recorded) happens to it at random instants: output,
 * instructions, RAM and state are those of the run that nothing disturbs, interpreted or compiled. In every third case the
 * machine is in a drawn state when that happens: it has not run, is stopped, waits for a device, runs, is held by a debugger, is paused
 * by its user, sleeps, or has ended. What cannot be done to it then is refused. `compose-states` has such cases alone. They need
 * python3: in some, a device is a program.
 */
import type { Soak } from '@retrap/tooling/soak'
import { COMPOSED } from '../support/compose/boards.ts'
import { closeCards } from '../support/compose/cards.ts'
import { Subject } from '../support/compose/machines.ts'
import { hasState, type State, STATES } from '../support/compose/states.ts'
import { disturbed, drawCase, recordedAndReplayed } from '../support/compose/case.ts'

/** Of so many cases the first has its machine in a drawn state, and the last is recorded, and run again. */
const KINDS = 3

/**
 * A soak of composed machines. Each board comes in turn, and then each kind of case.
 *
 * @param kindOf - what the cases of a round of all boards are; a number: those of a state, which come in turn
 */
export function composed(name: string, count: number, kindOf: (round: number) => 'plain' | 'recorded' | number): Soak {
  /** Cases of each board, and of each state on a family of boards: how many could be compared. */
  const compared = new Map<string, number>()
  let stale = 0
  const family = ({ name }: { readonly name: string }): string => name.replace(/,.*/, '')
  const statesOf = ({ arm, options }: (typeof COMPOSED)[number]): readonly State[] =>
    STATES.filter((each) => hasState(each, arm, options.hypervisor === 'xen'))
  const compare = (what: string): void => void compared.set(what, (compared.get(what) ?? 0) + 1)
  return {
    name,
    count,
    async step(rng, index) {
      const board = COMPOSED[index % COMPOSED.length]!
      const kind = kindOf(Math.floor(index / COMPOSED.length))
      const isRecorded = kind === 'recorded'
      const states = statesOf(board)
      const state = typeof kind === 'number' ? states[kind % states.length] : undefined
      const one = await drawCase(rng, board, isRecorded ? 'recorded' : 'plain', state)
      rng.note('kind', isRecorded ? 'recorded, and run again' : `disturbed, ${state ?? 'in no state of its own'}`)
      const outcome = await (isRecorded ? recordedAndReplayed(one) : disturbed(one))
      if (outcome.kind === 'different') return outcome.how
      if (outcome.kind === 'stale') stale++
      else {
        compare(board.name)
        if (state !== undefined) compare(`${family(board)} ${state}`)
        if (one.making.card === 'program') compare('with a program')
      }
      return undefined
    },
    teardown: closeCards,
    unreached: () => {
      const all = COMPOSED.flatMap((board) => [
        board.name,
        ...statesOf(board).map((state) => `${family(board)} ${state}`),
      ])
      return [...new Set([...all, 'with a program'])].filter((what) => !compared.has(what))
    },
    summary: () =>
      `${[...compared].map(([what, times]) => `${what}: ${times}`).join(', ')}; not compared, as their page tables change: ${stale}; ${Subject.resets} resets by guests; an instruction waited for a device in ${Subject.waited} machines`,
  }
}

/** See the file's comment. */
export const soak: Soak = composed('compose', 5000, (round) => {
  if (round % KINDS === 0) return round / KINDS
  return round % KINDS === KINDS - 1 ? 'recorded' : 'plain'
})
