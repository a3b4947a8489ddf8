import { Signal, type TargetCode, x86Registers } from '@retrap/gdb'
import type { X86Domain } from '@retrap/hvm'
import { MODE_32, MODE_64 } from '@retrap/x86-cpu'
import { MachineError } from '../errors.ts'
import { unwind } from '../lifecycle/unwind.ts'
import { linearAddress } from '../lifecycle/crash.ts'
import type { MachineDebugger } from './machine-debugger.ts'
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

/** Bits of instructions, by mode. */
const SETS: Readonly<Record<number, TargetCode['set']>> = { [MODE_32]: 'x86-32', [MODE_64]: 'x86-64' }

function codeOf({ vcpus }: X86Domain, cpu: number): TargetCode {
  const vcpu = vcpus[cpu]
  if (vcpu === undefined) throw new MachineError('ERR_OPTION', `there is no vCPU ${cpu}`)
  return {
    address: linearAddress(vcpu),
    get callers() {
      return unwind(vcpu)
    },
    set: SETS[vcpu.cpu.registers.mode] ?? 'x86-16',
  }
}

/** gdb assumes frame pointers without a file with unwind tables. */
function backtrace(domain: X86Domain, { nameOf }: PcGdbOptions): MonitorCommand {
  const line = (address: bigint, i: number): string => `#${i} ${hex(address)} ${nameOf?.(address) ?? ''}`.trimEnd()
  return {
    usage: 'backtrace',
    help: 'the callers of the code that this vCPU executes, without frame pointers too',
    run: (cpu) => {
      const { address, callers } = codeOf(domain, cpu)
      return `${[address, ...callers].map(line).join('\n')}\n`
    },
  }
}

/** Shows a PC to gdb. @param additions - of its kind of run */
export function pcGdbMachine(
  domain: X86Domain,
  debug: MachineDebugger,
  options: PcGdbOptions,
  { commands, stops }: MonitorAdditions,
): GdbMachine {
  const processor = domain.vcpus[0]?.cpu.processor
  return {
    registers: x86Registers(options.architecture === 'i386' ? 32 : 64, {
      avx512: processor?.has('AVX512F') === true,
      apx: processor?.has('APX_F') === true,
      amx: processor?.has('AMX_TILE') === true,
    }),
    monitor: monitorWith(domain, debug, stops, [backtrace(domain, options), ...commands, ...(options.commands ?? [])]),
    exceptionName: vectorName,
    signalOf: (vector) => SIGNALS[vectorName(vector)] ?? Signal.SEGV,
    // gdb looks for the breakpoint at the program counter, which is another address where CS has a base.
    isAtBreakpoint: (cpu) => debug.register(CS_BASE, cpu) === 0n,
    code: (cpu) => codeOf(domain, cpu),
    attached: (isAttached) => {
      // A client sees a triple fault before it ends the machine.
      debug.catchesShutdown = isAttached
    },
    watchesBefore: false,
  }
}
