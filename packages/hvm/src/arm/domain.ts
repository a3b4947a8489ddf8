import { Domain } from '../domain.ts'
import { ArmArchitecture, type ArmDomainOptions } from './architecture.ts'
import type { ArmVcpu } from './vcpu.ts'

/** A domain whose vCPUs are Arm processors, with a GIC. */
export class ArmDomain extends Domain<ArmVcpu, ArmArchitecture> {
  /** @throws MemoryError where `memory` has no room */
  constructor(options: ArmDomainOptions) {
    super({ stage2: {}, ...options }, (domain) => new ArmArchitecture(domain, options))
  }
}
