import type { ArmDomain } from '@retrap/hvm/arm'
import type { GdbMachine, MachineGdbOptions, MonitorAdditions } from '../../debugger/machine-gdb-target.ts'
export { machineGdbTarget } from '../../debugger/machine-gdb-target.ts'
import type { MachineDebugger } from '../../debugger/machine-debugger.ts'
import { armMonitor, exceptionClassName, exceptionClassSignal } from './arm-monitor.ts'

/** How an Arm machine is shown to gdb. */
export type ArmGdbOptions = MachineGdbOptions

/** Shows an Arm machine to gdb. @param additions - commands of its kind of run */
export function armGdbMachine(
  domain: ArmDomain,
  debug: MachineDebugger,
  options: ArmGdbOptions,
  { commands, stops }: MonitorAdditions,
): GdbMachine {
  return {
    registers: debug.registers,
    monitor: armMonitor(domain, debug, stops, [...commands, ...(options.commands ?? [])]),
    signalOf: exceptionClassSignal,
    exceptionName: exceptionClassName,
    isAtBreakpoint: () => true,
    watchesBefore: true,
  }
}
