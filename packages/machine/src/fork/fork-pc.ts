import { describeThrown } from '@retrap/device/host'
import { type ForkedMemory, forkDomain, type WrittenFrames } from '@retrap/hvm'
import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { MachineError } from '../errors.ts'
import { checkOptionValues } from '../option-values.ts'
import { SAVE_DEADLINE_MS } from '../life/machine-life.ts'
import { cloneBytes } from '../memory-size.ts'
import type { PcOptions } from '../pc/pc-options.ts'
import type { PcSnapshotState } from '../snapshot/pc-snapshot.ts'
import { type SnapshotParts, stateOf } from '../snapshot/snapshot.ts'
import { refuse } from '../snapshot/snapshot-rules.ts'
import type { Snapshots } from '../snapshot/snapshots.ts'
import { checkForkable, type CloneMedia, cloneOptions, freezeMedia } from './clone-options.ts'
import type { ForkFamily, ForkOrigin } from './fork-family.ts'
import { FORK_OPTIONS, type PcForkOptions } from './fork-options.ts'

/** A PC that is forked. */
export interface ForkedPc<Clone> {
  readonly options: PcOptions
  readonly isRecorded: boolean
  readonly family: ForkFamily | undefined
  readonly snapshots: Snapshots
  parts(): SnapshotParts
  /** Makes a PC that goes on from there. */
  create(options: PcOptions, origin: ForkOrigin): Promise<Clone>
}

/** See `Pc.fork`. @throws also MachineError `ERR_OPTION` for what is no option */
export async function forkPc<Clone>(source: ForkedPc<Clone>, changes: PcForkOptions): Promise<Clone> {
  const unknown = Object.keys(changes).find((name) => !FORK_OPTIONS.includes(name))
  if (unknown !== undefined)
    throw new MachineError('ERR_OPTION', `a clone has no ${unknown} of its own: expected ${FORK_OPTIONS.join(', ')}`)
  checkOptionValues({ ...source.options, ...changes })
  checkForkable(source.options, changes, source.isRecorded)
  const family = source.family!
  return family.forks.do(() => forkInTurn(source, family, changes))
}

async function forkInTurn<Clone>(source: ForkedPc<Clone>, family: ForkFamily, changes: PcForkOptions): Promise<Clone> {
  const { options } = source
  await family.settled()
  const { domain } = source.parts()
  const checkRoom = (): void => checkRoomFor(options, domain.memory)
  checkRoom()
  const begun = await source.snapshots.fork((written) => begin(source.parts(), changes.deadlineMs, written))
  const { state, memory, media } = begun
  const closeMedia = (): void => media.close()
  const origin: ForkOrigin = { family, domain, state, memory, clone: undefined, checkRoom, closeMedia }
  try {
    return await source.create(cloneOptions(options, changes, media), origin)
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

/** @throws MachineError `ERR_FORK` */
function checkRoomFor(options: PcOptions, { frames, spareBytes }: MachineMemory): void {
  const needed = cloneBytes(options)
  const freeBytes = frames.freeFrames * PAGE_BYTES + spareBytes
  if (freeBytes < needed)
    throw new MachineError('ERR_FORK', `no room for a clone: ${freeBytes} bytes are free, expected ${needed}; ${ROOM}`)
}

const ROOM = 'close other clones, or make the machine with more forks.clones or forks.writtenBytes'

/** A PC at the instant that a clone goes on from. */
interface BegunFork {
  readonly state: PcSnapshotState
  readonly memory: ForkedMemory
  readonly media: CloneMedia
}

/** Not while the machine runs. @param written - logs what the guest writes: sharing is no writing */
async function begin(
  parts: SnapshotParts,
  deadlineMs: number = SAVE_DEADLINE_MS,
  written: WrittenFrames | null,
): Promise<BegunFork> {
  try {
    const rest = await parts.domain.rest(deadlineMs)
    try {
      const { state, memory } = await forkDomain(parts.domain, rest, written)
      return { state: { ...stateOf(parts), domain: state }, memory, media: freezeMedia(parts.options) }
    } finally {
      rest.end()
    }
  } catch (error) {
    refuse('this machine cannot be forked', error)
  }
}
