import { describeThrown } from '@retrap/device/host'
import {
  type Domain,
  type DomainState,
  type ForkedMemory,
  forkDomain,
  RealClock,
  type SavedDomain,
  type WrittenFrames,
} from '@retrap/hvm'
import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { MachineError } from '../errors.ts'
import { SAVE_DEADLINE_MS } from '../life/machine-life.ts'
import { refuse } from '../snapshot/snapshot-rules.ts'
import {
  checkForkable,
  type CloneChanges,
  type CloneMedia,
  cloneOptions,
  type ForkableOptions,
  freezeMedia,
} from './clone-options.ts'
import type { ForkFamily, ForkOrigin } from './fork-family.ts'

/** A machine that is forked, of any processor. */
export interface ForkedMachine<
  S extends DomainState,
  D extends Domain & SavedDomain<S>,
  State,
  Options extends ForkableOptions,
  Clone,
> {
  readonly options: Options
  readonly domain: D
  readonly family: ForkFamily | undefined
  /** The names of what a clone has of its own. */
  readonly changeable: readonly string[]
  /** Bytes of machine memory that a clone takes beside the RAM that it writes. */
  readonly cloneBytes: number
  /** Checks options. @throws MachineError `ERR_OPTION` */
  check(options: Options): void
  /** Refuses a machine that is not forked. @throws MachineError `ERR_FORK` */
  require(): void
  /** Does something while the machine stands still. */
  still<T>(action: (written: WrittenFrames | null) => Promise<T>): Promise<T>
  /** Takes all of it but its RAM, at rest. */
  stateOf(domain: S): State
  /** Makes a machine that goes on from there. */
  create(options: Options, origin: ForkOrigin<D, State>): Promise<Clone>
}

/** See `Pc.fork`. @throws also MachineError `ERR_OPTION` for what is no option */
export async function forkMachine<
  S extends DomainState,
  D extends Domain & SavedDomain<S>,
  State,
  Options extends ForkableOptions,
  Clone,
>(source: ForkedMachine<S, D, State, Options, Clone>, changes: CloneChanges): Promise<Clone> {
  const { options, changeable } = source
  const unknown = Object.keys(changes).find((name) => !changeable.includes(name))
  if (unknown !== undefined)
    throw new MachineError('ERR_OPTION', `a clone has no ${unknown} of its own: expected ${changeable.join(', ')}`)
  source.check({ ...options, ...changes })
  source.require()
  checkForkable(options, changes)
  const family = source.family!
  return family.forks.do(() => forkInTurn(source, family, changes))
}

async function forkInTurn<
  S extends DomainState,
  D extends Domain & SavedDomain<S>,
  State,
  Options extends ForkableOptions,
  Clone,
>(source: ForkedMachine<S, D, State, Options, Clone>, family: ForkFamily, changes: CloneChanges): Promise<Clone> {
  const { options, domain } = source
  await family.settled()
  const checkRoom = (): void => checkRoomFor(source.cloneBytes, domain.memory)
  checkRoom()
  const begun = await source.still((written) => begin(source, changes.deadlineMs, written))
  const { state, memory, media } = begun
  const closeMedia = (): void => media.close()
  const origin: ForkOrigin<D, State> = { family, domain, state, memory, clone: undefined, checkRoom, closeMedia }
  try {
    const clone = await source.create(cloneOptions(options, changes, media), origin)
    followClock(origin.clone!, domain)
    return clone
  } catch (error) {
    // Parts of a machine that could not be made are free again.
    if (origin.clone !== undefined) family.leave(origin.clone, () => undefined)
    media.close()
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code !== 'ERR_NO_MEMORY' && code !== 'ERR_NO_SPACE') throw error
    throw new MachineError('ERR_FORK', `no room for a clone: ${describeThrown(error)}; ${ROOM}`, { cause: error })
  } finally {
    memory.close()
  }
}

/**
 * Has a clone the time of the machine that it was forked from, for which the milliseconds of the fork have passed too. So timers
 * that a guest sets for certain ticks are due at the same instants in all of a family, and machines that are idle wake one
 * after another: what they execute is then in the caches of the host's processor, and costs half.
 */
function followClock({ clock }: Pick<Domain, 'clock'>, { clock: original }: Pick<Domain, 'clock'>): void {
  if (clock instanceof RealClock && original instanceof RealClock) clock.follow(original)
}

/** @throws MachineError `ERR_FORK` */
function checkRoomFor(needed: number, { frames, spareBytes }: MachineMemory): void {
  const freeBytes = frames.freeFrames * PAGE_BYTES + spareBytes
  if (freeBytes < needed)
    throw new MachineError('ERR_FORK', `no room for a clone: ${freeBytes} bytes are free, expected ${needed}; ${ROOM}`)
}

const ROOM = 'close other clones, or make the machine with more forks.clones or forks.writtenBytes'

/** A machine at the instant that a clone goes on from. */
interface BegunFork<State> {
  readonly state: State
  readonly memory: ForkedMemory
  readonly media: CloneMedia
}

/** Not while the machine runs. @param written - logs what the guest writes: sharing is no writing */
async function begin<S extends DomainState, D extends Domain & SavedDomain<S>, State>(
  {
    domain,
    options,
    stateOf,
  }: Pick<ForkedMachine<S, D, State, ForkableOptions, unknown>, 'domain' | 'options' | 'stateOf'>,
  deadlineMs: number = SAVE_DEADLINE_MS,
  written: WrittenFrames | null,
): Promise<BegunFork<State>> {
  try {
    const rest = await domain.rest(deadlineMs)
    try {
      const { state, memory } = await forkDomain<S>(domain, rest, written)
      return { state: stateOf(state), memory, media: freezeMedia(options) }
    } finally {
      rest.end()
    }
  } catch (error) {
    refuse('this machine cannot be forked', error, 'ERR_FORK')
  }
}
