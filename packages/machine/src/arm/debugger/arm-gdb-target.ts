import { arm64Registers, type GdbTarget, Signal } from '@retrap/gdb'
import type { ArmDomain } from '@retrap/hvm/arm'
import { machineGdbTarget, type MachineGdbOptions } from '../../debugger/machine-gdb-target.ts'
import type { MachineDebugger } from '../../debugger/machine-debugger.ts'
import { armMonitor, exceptionClassSignal } from './arm-monitor.ts'
import { ARM_SYSTEM_NAMES } from './arm-registers.ts'

/** How an Arm machine is shown to gdb. */
export type ArmGdbOptions = MachineGdbOptions

/** Shows an Arm machine to gdb. @returns what a `GdbSession` takes */
export function armGdbTarget(domain: ArmDomain, debug: MachineDebugger, options: ArmGdbOptions): GdbTarget {
  return machineGdbTarget(debug, {
    registers: arm64Registers(ARM_SYSTEM_NAMES),
    monitor: armMonitor(domain, debug, options.commands),
    signalOf: (stop) => (stop.kind === 'exception' ? exceptionClassSignal(stop.syndrome >>> 26) : Signal.TRAP),
    isAtBreakpoint: () => true,
    attached: (isAttached) => {
      // As on hardware: gdb steps over the access by itself.
      debug.watchesBefore = isAttached
    },
    kill: () => options.kill(),
  })
}
