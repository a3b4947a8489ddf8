import type { IoDispatch } from '@retrap/ioreq'
import type { P2m } from '@retrap/p2m'
import { beginRest } from './domain-rest.ts'
import type { DeviceParties } from './domain-rest.ts'
import type { Architecture } from './architecture.ts'
import type { OwnedMemories } from './memory/owned-memories.ts'
import type { VirtualCpu } from './virtual-cpu.ts'

/** The parts of a domain that have machine memory. */
interface EndingDomain {
  readonly dispatch: Pick<IoDispatch, 'servers'>
  readonly ownedMemories: Pick<OwnedMemories, 'free'>
  readonly p2m: Pick<P2m, 'destroy'>
  readonly architecture: Pick<Architecture<VirtualCpu>, 'free'>
  forgetMappings(): void
}

/** See `Domain.free`. */
export async function freeDomain(domain: EndingDomain, parties: DeviceParties, deadlineMs: number): Promise<void> {
  const { dispatch, ownedMemories, p2m, architecture } = domain
  const isAtRest = await beginRest(parties, deadlineMs).then(
    () => true,
    () => false,
  )
  // A model that is still at work may write what it holds: that stays as it is.
  if (isAtRest) {
    ownedMemories.free()
    for (const server of dispatch.servers) server.destroy()
  }
  domain.forgetMappings()
  p2m.destroy()
  architecture.free?.()
}
