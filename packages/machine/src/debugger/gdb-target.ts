import { Signal, x86Registers } from '@retrap/gdb'
import type { X86Domain } from '@retrap/hvm'
import type { MachineDebugger } from './machine-debugger.ts'
import { extendedOf } from './pc-debugger.ts'
import type { GdbMachine, MachineGdbOptions, MonitorAdditions } from './machine-gdb-target.ts'
import { hex, type MonitorCommand } from './monitor.ts'
import { monitorWith, vectorName } from './pc-monitor.ts'

export { machineGdbTarget } from './machine-gdb-target.ts'

/** Options of `gdbTarget` on a PC. */
export interface PcGdbOptions extends MachineGdbOptions {
  /** The registers of this architecture are described; default `x86-64`, for a guest in any mode. */
  readonly architecture?: 'x86-64' | 'i386'
}

const CS_BASE = 'cs_base'

/** The signals that systems make of exceptions. */
const SIGNALS: Readonly<Record<string, number>> = {
  '#DE': Signal.FPE,
  '#MF': Signal.FPE,
  '#XM': Signal.FPE,
  '#DB': Signal.TRAP,
  '#BP': Signal.TRAP,
  '#UD': Signal.ILL,
  '#AC': Signal.BUS,
}

/** gdb assumes frame pointers without a file with unwind tables. */
function backtrace(debug: MachineDebugger, { nameOf }: PcGdbOptions): MonitorCommand {
  const line = (address: bigint, i: number): string => `#${i} ${hex(address)} ${nameOf?.(address) ?? ''}`.trimEnd()
  return {
    usage: 'backtrace',
    help: 'the callers of the code that this vCPU executes, without frame pointers too',
    run: (cpu) => {
      const { address, callers } = debug.code(cpu)
      return `${[address, ...callers].map(line).join('\n')}\n`
    },
  }
}

/** Shows a PC to gdb. @param additions - commands of its kind of run */
export function pcGdbMachine(
  domain: X86Domain,
  debug: MachineDebugger,
  options: PcGdbOptions,
  { commands, stops }: MonitorAdditions,
): GdbMachine {
  return {
    registers: options.architecture === 'i386' ? x86Registers(32, extendedOf(domain)) : debug.registers,
    monitor: monitorWith(domain, debug, stops, [backtrace(debug, options), ...commands, ...(options.commands ?? [])]),
    exceptionName: vectorName,
    signalOf: (vector) => SIGNALS[vectorName(vector)] ?? Signal.SEGV,
    // gdb looks for the breakpoint at the program counter, which is another address where CS has a base.
    isAtBreakpoint: (cpu) => debug.register(CS_BASE, cpu) === 0n,
    attached: (isAttached) => {
      // A client sees a triple fault before it ends the machine.
      debug.catchesShutdown = isAttached
    },
    watchesBefore: false,
  }
}
