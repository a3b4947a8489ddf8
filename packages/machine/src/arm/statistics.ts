import type { JitCounts } from '@retrap/arm-cpu'
import type { ArmDomain } from '@retrap/hvm/arm'
import type { P2mStatistics } from '@retrap/p2m'

/** Counts since power-on, over all vCPUs. */
export interface ArmStatistics {
  /** Retired by all vCPUs. */
  readonly instructions: number
  /** How often vCPUs came back, by reason. */
  readonly exits: Readonly<Record<string, number>>
  /** Memory accesses that generated code could not finish: TLB misses, devices, page-crossing accesses. */
  readonly tlbMisses: number
  /** The cost of compiling hot code; absent without {@link ArmMachineOptions.jit}. */
  readonly jit?: JitCounts
  /** Instructions decoded. */
  readonly decodedInstructions: number
  /** Hypercalls of a guest of Xen, parts of long ones counted. */
  readonly hypercalls: number
  /** Pages whose decoded instructions were dropped because they were written. */
  readonly codeInvalidations: number
  /** The map of guest frames. */
  readonly p2m: P2mStatistics
  /** Machine memory in all: guest RAM, decoded code, vCPU state. */
  readonly machineBytes: number
}

/** Reads a machine's counters. */
export function measureArm(domain: ArmDomain): ArmStatistics {
  const { vcpus, exits, instructions, memory, p2m } = domain
  const { codeCache, jit } = domain.architecture.engine
  return {
    instructions,
    exits: { ...exits },
    tlbMisses: vcpus.reduce((sum, { processor }) => sum + processor.slowAccesses, 0),
    ...(jit !== undefined && { jit: jit.counts }),
    decodedInstructions: codeCache.decoded,
    hypercalls: vcpus.reduce((sum, { hypercalls }) => sum + hypercalls, 0),
    codeInvalidations: codeCache.invalidations,
    p2m: p2m.statistics(),
    machineBytes: memory.byteLength,
  }
}
