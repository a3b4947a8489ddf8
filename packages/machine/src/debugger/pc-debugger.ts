import { type TargetCode, x86Registers } from '@retrap/gdb'
import type { X86Domain, X86Vcpu } from '@retrap/hvm'
import { DebugControl, MODE_32, MODE_64 } from '@retrap/x86-cpu'
import { linearAddress } from '../lifecycle/crash.ts'
import { unwind } from '../lifecycle/unwind.ts'
import type { CpuStart, DebuggedCpu } from './debugged-cpu.ts'
import { attachDebugger, type DebuggedMachine, type MachineDebugger } from './machine-debugger.ts'
import { pcMonitor } from './pc-monitor.ts'
import { PC_PLACES } from './stop-places.ts'
import { X86State } from './x86-state.ts'

/** Bits of instructions, by mode. */
const SETS: Readonly<Record<number, TargetCode['set']>> = { [MODE_32]: 'x86-32', [MODE_64]: 'x86-64' }

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

  get code(): TargetCode {
    const vcpu = this.#vcpu
    return {
      address: linearAddress(vcpu),
      get callers() {
        return unwind(vcpu)
      },
      set: SETS[vcpu.cpu.registers.mode] ?? 'x86-16',
    }
  }

  override resume(how: CpuStart): void {
    super.resume(how)
    this.state.forget()
  }
}

/** Further registers of the processors, by their model. */
export function extendedOf({ vcpus }: X86Domain): Parameters<typeof x86Registers>[1] {
  const processor = vcpus[0]?.cpu.processor
  return {
    avx512: processor?.has('AVX512F') === true,
    apx: processor?.has('APX_F') === true,
    amx: processor?.has('AMX_TILE') === true,
  }
}

export function attachPcDebugger(
  domain: X86Domain,
  life: DebuggedMachine['life'],
  isRecorded: boolean,
): MachineDebugger {
  return attachDebugger({
    ...{ domain, life, isRecorded },
    cpus: domain.vcpus.map((vcpu) => new PcCpu(vcpu)),
    registers: x86Registers(64, extendedOf(domain)),
    monitor: (debug, further) => pcMonitor(domain, debug, further),
  })
}
