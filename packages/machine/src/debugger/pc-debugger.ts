import type { X86Domain, X86Vcpu } from '@retrap/hvm'
import { DebugControl } from '@retrap/x86-cpu'
import type { CpuStart, DebuggedCpu } from './debugged-cpu.ts'
import { attachDebugger, type DebuggedMachine, type MachineDebugger } from './machine-debugger.ts'
import { PC_PLACES } from './stop-places.ts'
import { X86State } from './x86-state.ts'

/** A vCPU of a PC. */
class PcCpu extends DebugControl implements DebuggedCpu {
  readonly #vcpu: X86Vcpu
  readonly places = PC_PLACES
  readonly state: X86State
  readonly memory: X86Vcpu['translation']

  constructor(vcpu: X86Vcpu) {
    super(vcpu.cpu)
    this.#vcpu = vcpu
    this.state = new X86State(vcpu)
    this.memory = vcpu.translation
  }

  get activity(): string {
    const { cpu, dormant } = this.#vcpu
    const { halted, waitsForStartup, busy } = cpu
    if (busy) return 'waits for a device'
    if (waitsForStartup) return 'waits for start-up'
    return halted ? 'halted' : dormant ? 'waits for an event' : 'executes'
  }

  override resume(how: CpuStart): void {
    super.resume(how)
    this.state.forget()
  }
}

/** Attaches a debugger to a PC. */
export function attachPcDebugger(
  domain: X86Domain,
  life: DebuggedMachine['life'],
  isRecorded: boolean,
): MachineDebugger {
  return attachDebugger({ domain, life, isRecorded, cpus: domain.vcpus.map((vcpu) => new PcCpu(vcpu)) })
}
