import type { JitCounts } from '@retrap/x86-cpu'
import type { X86Domain, DomainVapic, VapicStatistics } from '@retrap/hvm'
import type { MachineMemory } from '@retrap/memory'
import type { P2mStatistics } from '@retrap/p2m'

/** Counts since power-on, over all vCPUs. */
export interface PcStatistics {
  /** Instructions retired by all vCPUs. */
  readonly instructions: number
  /** Number of exits of vCPUs, by reason. */
  readonly exits: Readonly<Record<string, number>>
  /** Memory accesses that generated code could not finish: TLB misses, devices, page-crossing accesses. */
  readonly tlbMisses: number
  /** Page walks. */
  readonly walks: number
  /** Table entries that those walks have read. */
  readonly tableReads: number
  /** The cost of compiling hot code; absent without {@link PcOptions.jit}. */
  readonly jit?: JitCounts
  /** Instructions decoded. */
  readonly decodedInstructions: number
  /** Number of pages whose decoded instructions were dropped after a write. */
  readonly codeInvalidations: number
  /** Instructions executed by TypeScript handlers. */
  readonly systemInstructions: number
  /** External interrupts delivered. */
  readonly interrupts: number
  /** Exceptions delivered. */
  readonly exceptions: number
  /** Locked instructions for which vCPUs in other threads have stood still. */
  readonly exclusiveInstructions: number
  /** Accesses to I/O ports. */
  readonly portAccesses: number
  /** Accesses to device memory. */
  readonly mmioAccesses: number
  /** Accesses to a local APIC’s page that trapped; reads without effects often do not. */
  readonly apicAccesses: number
  /** Accesses to task priority registers that trapped; `apicAccesses` has them too. */
  readonly tprTraps: number
  /** Statistics of the TPR patcher, if the machine has one. */
  readonly vapic: VapicStatistics | undefined
  /** The map of guest frames. */
  readonly p2m: P2mStatistics
  /** Machine memory in all: guest RAM, decoded code, vCPU state. */
  readonly machineBytes: number
}

interface Measured {
  readonly domain: X86Domain
  readonly memory: MachineMemory
  readonly vapic: DomainVapic | undefined
}

/** Reads a PC's counters. */
export function measurePc({ domain, memory, vapic }: Measured): PcStatistics {
  const { vcpus, exits, instructions, engine } = domain
  const sum = (count: (vcpu: (typeof vcpus)[number]) => number): number =>
    vcpus.reduce((total, v) => total + count(v), 0)
  return {
    instructions,
    exits: { ...exits },
    tlbMisses: sum((v) => v.cpu.slowAccesses),
    walks: sum((v) => v.counts.walks),
    tableReads: sum((v) => v.counts.tableReads),
    ...(engine.jitCounts !== undefined && { jit: engine.jitCounts }),
    decodedInstructions: engine.codeCache.decoded,
    codeInvalidations: engine.codeCache.invalidations,
    systemInstructions: sum((v) => v.cpu.counts.systemCalls),
    interrupts: sum((v) => v.cpu.counts.interrupts),
    exceptions: sum((v) => v.cpu.counts.faults),
    exclusiveInstructions: sum((v) => v.cpu.counts.exclusive),
    portAccesses: sum((v) => v.counts.portAccesses),
    mmioAccesses: sum((v) => v.counts.mmioAccesses),
    apicAccesses: sum((v) => v.counts.apicAccesses),
    tprTraps: sum((v) => v.counts.taskPriorityAccesses),
    vapic: vapic?.statistics(),
    p2m: domain.p2m.statistics(),
    machineBytes: memory.byteLength,
  }
}
