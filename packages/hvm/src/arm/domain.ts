import { Domain } from '../domain.ts'
import { ArmArchitecture, type ArmDomainOptions } from './architecture.ts'
import type { ArmParavirtual } from './surroundings.ts'
import type { ArmVcpu } from './vcpu.ts'

/** A domain whose vCPUs are Arm processors, with a GIC. */
export class ArmDomain extends Domain<ArmVcpu, ArmArchitecture> {
  /** @throws MemoryError where `memory` has no room */
  constructor(options: ArmDomainOptions) {
    super({ stage2: {}, ...options }, (domain) => new ArmArchitecture(domain, options))
  }

  /** Has the guest see a hypervisor's own interface: its hypercalls and events. */
  override plug(paravirtual: ArmParavirtual): void {
    super.plug(paravirtual)
    this.architecture.paravirtual = paravirtual
  }

  /** Drives a vCPU's private interrupt, 16 to 31. */
  setPrivateInterrupt(vcpu: number, intid: number, level: boolean): void {
    this.architecture.gic.setPpi(vcpu, intid, level)
  }
}
