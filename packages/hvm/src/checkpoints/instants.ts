import type { DomainCheckpoint } from './checkpoint.ts'
import type { Domain } from '../domain.ts'
import type { DomainRest } from '../domain-rest.ts'
import type { ForkedMemory } from './forked-memory.ts'
import type { DirtyFrames } from './dirty-frames.ts'
import { type DomainState, type SavedDomain, saveDomainState } from './saved-domain.ts'

/**
 * Notes the present instant of a domain for a later restore. Each frame of RAM is copied before its first write.
 *
 * @param rest - of the domain
 * @throws as {@link saveDomainState}
 */
export async function checkpointDomain<S extends DomainState>(
  domain: SavedDomain<S>,
  rest: DomainRest,
): Promise<DomainCheckpoint<S>> {
  // Loaded on demand, because few machines take checkpoints.
  const { DomainCheckpoint } = await import('./checkpoint.ts')
  return new DomainCheckpoint(domain, await saveDomainState(domain, rest))
}

/**
 * Saves a domain as {@link saveDomainState} does, and has its RAM be shared from that instant on.
 *
 * @param written - log of the guest's writes, in which sharing does not count
 * @throws as {@link saveDomainState}; P2mError `ERR_NO_MEMORY`
 */
export async function forkDomain<S extends DomainState>(
  domain: SavedDomain<S>,
  rest: DomainRest,
  written: DirtyFrames | null = null,
): Promise<{ readonly state: S; readonly memory: ForkedMemory }> {
  const { ForkedMemory } = await import('./forked-memory.ts')
  const state = await saveDomainState(domain, rest)
  const share = (): ForkedMemory => new ForkedMemory(domain, state.frames)
  return { state, memory: written === null ? share() : written.unwritten(0, Infinity, share) }
}

/**
 * Begins to track writes to a domain's RAM, so that less has to be restored later.
 *
 * @returns null if writes cannot be tracked, as the map lacks memory
 */
export async function noteWrites(domain: Domain): Promise<DirtyFrames | null> {
  const { DirtyFrames } = await import('./dirty-frames.ts')
  return DirtyFrames.begin(domain)
}
