import { describeThrown } from '@retrap/device/host'
import { type Domain, type ForkedMemory, forkDomain, RealClock, type DirtyFrames } from '@retrap/hvm'
import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { MachineError } from '../errors.ts'
import { checkForkable, type CloneChanges, type CloneMedia, cloneOptions, freezeMedia } from '../fork/clone-options.ts'
import type { ForkFamily, ForkOrigin } from '../fork/fork-family.ts'
import { FORK_OPTIONS } from '../fork/fork-options.ts'
import { type MachineLife, SAVE_DEADLINE_MS } from '../lifecycle/machine-life.ts'
import { refuse } from '../snapshot/snapshot-rules.ts'
import type { Snapshots } from '../snapshot/snapshots.ts'
import type { Board, MachineKind } from './board.ts'

/** A machine that is forked, of any board. */
export interface ForkedMachine<K extends MachineKind, Clone> {
  readonly options: K['options']
  readonly domain: K['domain']
  readonly family: ForkFamily | undefined
  readonly board: Pick<Board<K>, 'cloneBytes' | 'name'>
  readonly life: Pick<MachineLife, 'rest'>
  readonly snapshots: Snapshots<K['state']['domain'], K['state']>
  /** Checks options. @throws MachineError `ERR_OPTION` */
  check(options: K['options']): void
  /** Refuses a machine that is not forked. @throws MachineError `ERR_FORK` */
  require(): void
  /** Makes a machine that continues from the fork. */
  create(options: K['options'], origin: ForkOrigin<K['domain'], K['state']>): Promise<Clone>
}

/** See `Machine.fork`. @throws also MachineError `ERR_OPTION` for an unknown option */
export async function forkMachine<K extends MachineKind, Clone>(
  source: ForkedMachine<K, Clone>,
  changes: CloneChanges,
): Promise<Clone> {
  const { options } = source
  const changeable = FORK_OPTIONS[source.board.name === 'virt' ? 'virt' : 'pc']
  const unknown = Object.keys(changes).find((name) => !changeable.includes(name))
  if (unknown !== undefined)
    throw new MachineError('ERR_OPTION', `a clone has no ${unknown} of its own: expected ${changeable.join(', ')}`)
  source.check({ ...options, ...changes })
  source.require()
  checkForkable(options, changes)
  const family = source.family!
  return family.forks.do(() => forkInTurn(source, family, changes))
}

async function forkInTurn<K extends MachineKind, Clone>(
  source: ForkedMachine<K, Clone>,
  family: ForkFamily,
  changes: CloneChanges,
): Promise<Clone> {
  const { options, domain } = source
  await family.settled()
  const checkRoom = (): void => checkRoomFor(source.board.cloneBytes, domain.memory)
  checkRoom()
  const begun = await source.snapshots.fork((written) => begin(source, changes, written))
  const { state, memory, media } = begun
  const closeMedia = (): void => media.close()
  const origin: ForkOrigin<K['domain'], K['state']> = {
    family,
    domain,
    state,
    memory,
    clone: undefined,
    checkRoom,
    closeMedia,
  }
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
 * that a guest sets for certain ticks are due at the same instants in all of a family, and machines that are idle wake one after
 * another: their code is then in the caches of the host's processor, and costs half.
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
interface BegunFork<K extends MachineKind> {
  readonly state: K['state']
  readonly memory: ForkedMemory
  readonly media: CloneMedia
}

/** Must not be called while the machine runs. @param written - logs the guest's writes: sharing is no writing */
async function begin<K extends MachineKind>(
  { domain, life, options, snapshots }: ForkedMachine<K, unknown>,
  changes: CloneChanges,
  written: DirtyFrames | null,
): Promise<BegunFork<K>> {
  const { deadlineMs = SAVE_DEADLINE_MS } = changes
  try {
    const rest = await life.rest(deadlineMs)
    try {
      const { state, memory } = await forkDomain<K['state']['domain']>(domain, rest, written)
      return { state: await snapshots.whole(state, deadlineMs), memory, media: freezeMedia(options, changes) }
    } finally {
      rest.end()
    }
  } catch (error) {
    refuse('this machine cannot be forked', error, 'ERR_FORK')
  }
}
