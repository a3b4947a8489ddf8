import { DeterministicClock, RealClock, type X86Domain, type X86DomainOptions } from '@retrap/hvm'
import type { MachineMemory } from '@retrap/memory'
import { CODE_CACHE_BYTES } from '@retrap/x86-cpu'
import { type HostSleeper, hostClock, laterTurn } from '../life/host.ts'
import { type PcOptions, processorOf } from './pc-options.ts'
import { XEN_IOAPIC_PINS } from './xen.ts'

/** What a domain is made of beside options. */
interface PcDomainParts {
  readonly memory: MachineMemory
  /** Returns 32 random bits. */
  readonly random: () => number
  readonly sleeper: HostSleeper
  /** The domain that this one was forked from. */
  readonly forked?: X86Domain | undefined
}

/** How the domain of a PC is made. */
export function pcDomainOptions(options: PcOptions, { forked, ...parts }: PcDomainParts): X86DomainOptions {
  return {
    ...parts,
    ...(forked && { frameCounts: forked.frameCounts, engine: forked.engine }),
    vcpus: options.cpus ?? 1,
    clock: options.clock === 'deterministic' ? new DeterministicClock() : new RealClock(hostClock),
    codeCacheBytes: options.codeCacheBytes ?? CODE_CACHE_BYTES,
    profile: options.profile ?? false,
    ...(options.jit !== undefined && { jit: options.jit }),
    ...(options.hypervisor === 'xen' && { ioApicPins: XEN_IOAPIC_PINS }),
    cpu: processorOf(options),
    ...(options.devicePlacement === 'deferred' && { deferDevices: laterTurn() }),
    ...(options.devicePolicy !== undefined && { policy: options.devicePolicy }),
    ...(options.deviceDeadlineMs !== undefined && { deviceDeadlineMs: options.deviceDeadlineMs }),
    checkMappings: options.checkMappings ?? false,
    ...(options.trace && { trace: options.trace }),
  }
}
