import { type GdbTarget, Signal, type TargetStop, x86Registers } from '@retrap/gdb'
import type { X86Domain } from '@retrap/hvm'
import { VECTOR_NAMES } from './vectors.ts'
import { PcMonitor } from './monitor.ts'
import type { MachineStop, PcDebugger, Removable } from './debugger.ts'

/** How a machine is shown to gdb. */
export interface PcGdbOptions {
  /** The registers of this architecture are described; default `x86-64`, for a guest in any mode. */
  readonly architecture?: 'x86-64' | 'i386'
  /** Ends the machine for `kill`. */
  kill(): void
}

const CS_BASE = 'cs_base'

/** Shows a PC to gdb. @returns what a `GdbSession` takes */
export function pcGdbTarget(domain: X86Domain, debug: PcDebugger, options: PcGdbOptions): GdbTarget {
  const monitor = new PcMonitor(domain, debug, { reset: () => domain.stop({ reason: 'reset' }) })
  const bits = options.architecture === 'i386' ? 32 : 64
  const registers = x86Registers(bits)
  const set = new Map<string, Removable>()
  const describe = (stop: MachineStop): TargetStop => describeStop(stop, debug)
  const add = (key: string, make: () => Removable): boolean => {
    if (!set.has(key)) set.set(key, make())
    return true
  }
  const remove = (key: string): void => {
    set.get(key)?.remove()
    set.delete(key)
  }
  return {
    registers,
    cpus: debug.cpus,
    describeCpu: (cpu) => debug.describeCpu(cpu),
    stop: () => {
      debug.stop().catch(() => {})
    },
    get isStopped() {
      return debug.isStopped
    },
    get lastStop() {
      return describe(debug.lastStop)
    },
    resume: (actions, { holdInterrupts }) =>
      debug.resume(
        actions.map(({ action, signal }) => ({
          action,
          holdInterrupts,
          passBreakpoint: false,
          dropFault: signal === 0,
        })),
      ),
    onStop: (listener) => {
      // A client sees a triple fault before it ends the machine.
      if (listener !== null) debug.catchesShutdown = true
      debug.onStop(listener === null ? null : (stop) => listener(describe(stop)))
    },
    readRegister: (cpu, name) => debug.register(name, cpu),
    writeRegister: (cpu, name, value) => debug.setRegister(name, value, cpu),
    readMemory: (cpu, address, into) => debug.read(address, into, cpu),
    writeMemory: (cpu, address, bytes) => debug.write(address, bytes, cpu),
    readPhysical: (address, into) => debug.readPhysical(Number(address), into),
    writePhysical: (address, bytes) => debug.writePhysical(Number(address), bytes),
    addBreakpoint: (address) => add(`${address}`, () => debug.breakpoint(address)),
    removeBreakpoint: (address) => remove(`${address}`),
    addWatchpoint: (address, length, kind) =>
      length >= 1 &&
      length <= MOST_WATCHED &&
      add(`${kind} ${address} ${length}`, () => debug.watch(address, length, kind)),
    removeWatchpoint: (address, length, kind) => remove(`${kind} ${address} ${length}`),
    monitor: (cpu, command) => Promise.resolve(monitor.run(cpu, command)),
    kill: () => options.kill(),
    detach: (resumes) => {
      for (const key of set.keys()) remove(key)
      for (const vector of debug.caughtFaults) debug.catchFault(vector, false)
      debug.catchesShutdown = false
      if (resumes) debug.resume()
    },
  }
}

/** Bytes of one watchpoint. */
const MOST_WATCHED = 1 << 20

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

function describeStop(stop: MachineStop, debug: PcDebugger): TargetStop {
  const { cpu } = stop
  switch (stop.kind) {
    case 'pause':
      return { cpu, signal: Signal.INT }
    case 'breakpoint': {
      // gdb looks for the breakpoint at the program counter, which is another address where CS has a base.
      const isThere = debug.isStopped && debug.register(CS_BASE, cpu) === 0n
      return { cpu, signal: Signal.TRAP, ...(isThere && { breakpoint: 'software' as const }) }
    }
    case 'watch':
      return { cpu, signal: Signal.TRAP, watch: { kind: stop.watch, address: stop.address } }
    case 'fault':
      return { cpu, signal: SIGNALS[VECTOR_NAMES[stop.vector] ?? ''] ?? Signal.SEGV }
    case 'shutdown':
      return { cpu, signal: Signal.ABRT }
    default:
      return { cpu, signal: Signal.TRAP }
  }
}
