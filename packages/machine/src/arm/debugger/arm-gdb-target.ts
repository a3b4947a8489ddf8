import { arm64Registers, type GdbTarget, Signal, type TargetCode } from '@retrap/gdb'
import type { ArmDomain } from '@retrap/hvm/arm'
import { machineGdbTarget, type MachineGdbOptions } from '../../debugger/machine-gdb-target.ts'
import type { MachineDebugger } from '../../debugger/machine-debugger.ts'
import { MachineError } from '../../errors.ts'
import { armCallersOf } from '../call-stack.ts'
import { armMonitor, exceptionClassSignal } from './arm-monitor.ts'
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

/** Makes an Arm machine's target for a `GdbSession`. */
export function armGdbTarget(domain: ArmDomain, debug: MachineDebugger, options: ArmGdbOptions): GdbTarget {
  return machineGdbTarget(debug, {
    registers: arm64Registers(ARM_SYSTEM_NAMES),
    monitor: armMonitor(domain, debug, options.commands),
    signalOf: (stop) => (stop.kind === 'exception' ? exceptionClassSignal(stop.syndrome >>> 26) : Signal.TRAP),
    isAtBreakpoint: () => true,
    code: (cpu) => codeOf(domain, cpu),
    attached: (isAttached) => {
      // As on hardware: gdb itself steps over the access.
      debug.watchesBefore = isAttached
    },
    kill: () => options.kill(),
  })
}
