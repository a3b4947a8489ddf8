import { ArmDebugControl } from '@retrap/arm-cpu'
import { arm64Registers, type TargetCode } from '@retrap/gdb'
import { type ArmDomain, type ArmVcpu, PowerState } from '@retrap/hvm/arm'
import type { DebuggedCpu, PlaceRules } from '../../debugger/debugged-cpu.ts'
import { attachDebugger, type DebuggedMachine, type MachineDebugger } from '../../debugger/machine-debugger.ts'
import { StopList } from '../../debugger/break-commands.ts'
import { armCallersOf } from '../call-stack.ts'
import { armMonitor, exceptionClassName } from './arm-monitor.ts'
import { ARM_SYSTEM_NAMES, readArmRegister, writeArmRegister } from './arm-registers.ts'

/** Ports of PCI are device memory; system registers are no stops. */
export const ARM_PLACES: PlaceRules = { kinds: ['mmio'], exceptions: 64 }

/** Attaches a debugger to an Arm machine. */
export function attachArmDebugger(
  domain: ArmDomain,
  life: DebuggedMachine['life'],
  isRecorded: boolean,
): MachineDebugger {
  return attachDebugger({
    ...{ domain, life, isRecorded },
    cpus: domain.vcpus.map((vcpu) => new ArmDebuggedCpu(vcpu)),
    registers: arm64Registers(ARM_SYSTEM_NAMES),
    monitor: (debug, further) => {
      const list = new StopList((place) => debug.stopAt(place), exceptionClassName)
      return armMonitor(domain, debug, { list, catching: debug }, further)
    },
  })
}

/** PSTATE.nRW and PSTATE.T: AArch32, and Thumb code in it. */
const [PSTATE_NRW, PSTATE_T] = [0x10, 0x20]

/** A vCPU of an Arm machine. */
class ArmDebuggedCpu extends ArmDebugControl implements DebuggedCpu {
  readonly #vcpu: ArmVcpu
  readonly memory: ArmVcpu['translation']
  readonly places = ARM_PLACES
  readonly state: DebuggedCpu['state']

  constructor(vcpu: ArmVcpu) {
    super(vcpu.processor)
    this.#vcpu = vcpu
    this.memory = vcpu.translation
    const { cpu, processor } = vcpu
    this.state = {
      read: (name) => readArmRegister(processor.registers, name),
      write: (name, value) => !cpu.busy && writeArmRegister(processor.registers, name, value),
    }
  }

  get activity(): string {
    const { cpu, dormant, power } = this.#vcpu
    if (cpu.busy) return 'waits for a device'
    if (power !== PowerState.ON) return 'off'
    return dormant ? 'waits' : 'executes'
  }

  get code(): TargetCode {
    const vcpu = this.#vcpu
    const { pc, pstate } = vcpu.processor.registers
    const set = (pstate & PSTATE_NRW) === 0 ? 'a64' : (pstate & PSTATE_T) === 0 ? 'a32' : 'thumb'
    return {
      address: pc,
      get callers() {
        return armCallersOf(vcpu)
      },
      set,
    }
  }
}
