import type { ClockState, DeterministicClockState } from '@retrap/hvm'
import { MachineError } from '../errors.ts'
import type { PcOptions } from '../options/pc-options.ts'
import type { PcSnapshotState } from '../options/pc-snapshot.ts'

/** The part of a state that is looked at here, before it is checked: it may come from anywhere. */
interface GivenState {
  readonly machine?: { readonly clock?: unknown } | null
  readonly domain?: { readonly clock?: { readonly time?: unknown } | null } | null
}

/** The clock of each machine on deterministic time, but for its time. */
const EXACT: Omit<DeterministicClockState, 'time'> = { version: 1, nsPerInstruction: 1, fraction: 0 }

/**
 * Returns the state of a PC for one whose time passes in another way, such as for a machine that is recorded. Guest time goes on
 * from where it was. A state that is on the clock already is returned as it is; what is no state is, too, and the machine refuses it.
 *
 * @param seed - begins the random numbers of a machine on deterministic time, as `PcOptions.entropySeed`; those of a machine on the
 *   real clock are the host's
 * @throws MachineError `ERR_OPTION` for another clock, and for a seed that is not of 32 bits
 */
export function stateOnClock(
  state: PcSnapshotState,
  clock: NonNullable<PcOptions['clock']>,
  seed: number,
): PcSnapshotState {
  if (clock !== 'real' && clock !== 'deterministic')
    throw new MachineError('ERR_OPTION', `clock ${String(clock)}: expected real or deterministic`)
  if (seed !== seed >>> 0) throw new MachineError('ERR_OPTION', `seed ${seed}: expected a whole number of 32 bits`)
  const { machine, domain } = (state ?? {}) as GivenState
  if (machine?.clock === undefined || machine.clock === clock || domain?.clock?.time === undefined) return state
  const { time } = state.domain.clock
  const isExact = clock === 'deterministic'
  const taken: ClockState = isExact ? { ...EXACT, time } : { version: 1, time }
  return {
    ...state,
    machine: { ...state.machine, clock },
    random: isExact ? seed | 1 : null,
    domain: { ...state.domain, clock: taken },
  }
}
