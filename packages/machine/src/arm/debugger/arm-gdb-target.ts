import { arm64Registers, type TargetCode } from '@retrap/gdb'
import type { ArmDomain } from '@retrap/hvm/arm'
import type { GdbMachine, MachineGdbOptions, MonitorAdditions } from '../../debugger/machine-gdb-target.ts'
export { machineGdbTarget } from '../../debugger/machine-gdb-target.ts'
import type { MachineDebugger } from '../../debugger/machine-debugger.ts'
import { MachineError } from '../../errors.ts'
import { armCallersOf } from '../call-stack.ts'
import { armMonitor, exceptionClassName, exceptionClassSignal } from './arm-monitor.ts'
import { ARM_SYSTEM_NAMES } from './arm-registers.ts'

/** How an Arm machine is shown to gdb. */
export type ArmGdbOptions = MachineGdbOptions

/** PSTATE.nRW and PSTATE.T: AArch32, and Thumb code in it. */
const [PSTATE_NRW, PSTATE_T] = [0x10, 0x20]

function codeOf({ vcpus }: ArmDomain, cpu: number): TargetCode {
  const vcpu = vcpus[cpu]
  if (vcpu === undefined) throw new MachineError('ERR_OPTION', `there is no vCPU ${cpu}`)
  const { pc, pstate } = vcpu.processor.registers
  const set = (pstate & PSTATE_NRW) === 0 ? 'a64' : (pstate & PSTATE_T) === 0 ? 'a32' : 'thumb'
  return { address: pc, callers: armCallersOf(vcpu), set }
}

/** Shows an Arm machine to gdb. @param additions - of its kind of run */
export function armGdbMachine(
  domain: ArmDomain,
  debug: MachineDebugger,
  options: ArmGdbOptions,
  { commands, stops }: MonitorAdditions,
): GdbMachine {
  return {
    registers: arm64Registers(ARM_SYSTEM_NAMES),
    monitor: armMonitor(domain, debug, stops, [...commands, ...(options.commands ?? [])]),
    signalOf: exceptionClassSignal,
    exceptionName: exceptionClassName,
    isAtBreakpoint: () => true,
    code: (cpu) => codeOf(domain, cpu),
    watchesBefore: true,
  }
}
