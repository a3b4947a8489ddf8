// Explains an address's translation. Loaded on demand.
import type { X86Domain } from '@retrap/hvm'
import { Pc } from '@retrap/machine'
import { PAGE_BYTES } from '@retrap/memory'
import { P2M_EXECUTE, P2M_READ, P2M_WRITE, P2mEntry, P2mType, ArmP2mType } from '@retrap/p2m'
import { explain, explainArm } from '@retrap/paging'
import type { AddressView, FrameView } from '../inspection.ts'
import type { BoardMachine } from './boards.ts'
import { typeNames } from './inspect.ts'

/** Follows a linear address to memory. */
export function inspectAddress(machine: BoardMachine, address: bigint, cpu: number): AddressView {
  const { domain } = machine
  const walk =
    machine instanceof Pc
      ? (machine.domain.vcpus[cpu]?.translation.explainBy(explain, address) ?? null)
      : (machine.domain.vcpus[cpu]?.translation.explainBy(explainArm, address) ?? null)
  const gpa = walk?.outcome.kind === 'mapped' ? walk.outcome.gpa : null
  const types = machine instanceof Pc ? P2mType : ArmP2mType
  return { walk, gpa, frame: gpa === null ? null : frameOf(domain, types, gpa) }
}

/** The page of the guest's map at a guest-physical address. @param types - numbers of the map's types, by name */
function frameOf(
  { p2m, secondLevel, mappings }: Pick<X86Domain, 'p2m' | 'secondLevel' | 'mappings'>,
  types: Readonly<Record<string, number>>,
  gpa: number,
): FrameView {
  const gfn = Math.floor(gpa / PAGE_BYTES)
  const entry = new P2mEntry()
  const type = p2m.lookup(gfn, entry)
  const ma = secondLevel.peek(gpa)
  return {
    type: typeNames(types).get(type) ?? `${type}`,
    leafBytes: PAGE_BYTES * 2 ** entry.order,
    rights: RIGHTS.filter(([bit]) => (entry.rights & bit) !== 0)
      .map(([, name]) => name)
      .join(' '),
    machineAddress: ma < 0 ? null : ma,
    users: mappings.usersOf(gfn),
  }
}

const RIGHTS = [
  [P2M_READ, 'read'],
  [P2M_WRITE, 'write'],
  [P2M_EXECUTE, 'execute'],
] as const
