import { type GdbTarget, type RegisterSet, Signal, type TargetStop } from '@retrap/gdb'
import type { MachineDebugger } from './machine-debugger.ts'
import type { MachineStop, Removable } from './stop-points.ts'
import { type MonitorStops, StopList } from './break-commands.ts'
import type { Monitor, MonitorCommand } from './monitor.ts'
import { describePlaceStop } from './stop-places.ts'

/** How a machine of any kind is shown to gdb. */
export interface MachineGdbOptions {
  /** Further `monitor` commands. One with the name of a command of the machine takes its place. */
  readonly commands?: readonly MonitorCommand[]
  /** Finds a name in the guest's memory, for commands that take an address. */
  readonly find?: ((name: string) => bigint | undefined) | undefined
  /** Names an address, as `name+0x12`. */
  readonly nameOf?: ((address: bigint) => string | undefined) | undefined
  /** Ends the machine for `kill`. */
  kill(): void
  /** Receives why a recording cannot be gone through, as a sentence that gdb's user sees too. */
  onTrouble?(sentence: string): void
}

/** The additions of a kind of machine to {@link machineGdbTarget}. */
export interface GdbMachine {
  /** The registers in the description for gdb. */
  readonly registers: RegisterSet
  /** `monitor` commands. */
  readonly monitor: Monitor
  /** Returns the signal that operating systems send for an exception. */
  signalOf(exception: number): number
  exceptionName(exception: number): string
  /** Whether gdb finds a breakpoint's address in the program counter. */
  isAtBreakpoint(cpu: number): boolean
  /** Called when a client attaches or detaches. */
  attached?(isAttached: boolean): void
  /** Whether gdb expects a watchpoint to stop before the access, and steps over it by itself. */
  readonly watchesBefore: boolean
}

/** Additions of a kind of run to the `monitor` commands of a machine. */
export interface MonitorAdditions {
  /** Monitor commands of a recorded run. */
  readonly commands: readonly MonitorCommand[]
  /** The stops that the commands set. */
  readonly stops: MonitorStops
}

/** Shows a board's machines to gdb. */
export type ShowToGdb<D, O extends MachineGdbOptions = MachineGdbOptions> = (
  domain: D,
  debug: MachineDebugger,
  options: O,
  additions: MonitorAdditions,
) => GdbMachine

/** Most bytes of one watchpoint. */
const MOST_WATCHED = 1 << 20

/** Makes the target for a `GdbSession` of a machine whose run is not recorded. */
export function machineGdbTarget<D, O extends MachineGdbOptions>(
  show: ShowToGdb<D, O>,
  domain: D,
  debug: MachineDebugger,
  options: O,
): GdbTarget {
  const list: StopList = new StopList(
    (place) => debug.stopAt(place),
    (exception) => machine.exceptionName(exception),
  )
  const machine: GdbMachine = show(domain, debug, options, { commands: [], stops: { list, catching: debug } })
  return gdbTargetOf(debug, machine, options, (isAttached) => {
    // As on hardware: gdb itself steps over the access.
    debug.watchesBefore = isAttached && machine.watchesBefore
    if (!isAttached) list.clear()
  })
}

/** The breakpoints and watchpoints that gdb has set. */
export class GdbPoints {
  readonly #debug: Pick<MachineDebugger, 'breakpoint' | 'watch'>
  readonly #set = new Map<string, Removable>()

  constructor(debug: Pick<MachineDebugger, 'breakpoint' | 'watch'>) {
    this.#debug = debug
  }

  /** The members of a target that set and remove them. */
  members(): Pick<GdbTarget, 'addBreakpoint' | 'removeBreakpoint' | 'addWatchpoint' | 'removeWatchpoint'> {
    return {
      addBreakpoint: (address) => this.#add(`${address}`, () => this.#debug.breakpoint(address)),
      removeBreakpoint: (address) => this.#remove(`${address}`),
      addWatchpoint: (address, length, kind) =>
        length >= 1 &&
        length <= MOST_WATCHED &&
        this.#add(`${kind} ${address} ${length}`, () => this.#debug.watch(address, length, kind)),
      removeWatchpoint: (address, length, kind) => this.#remove(`${kind} ${address} ${length}`),
    }
  }

  clear(): void {
    for (const key of this.#set.keys()) this.#remove(key)
  }

  #add(key: string, make: () => Removable): boolean {
    if (!this.#set.has(key)) this.#set.set(key, make())
    return true
  }

  #remove(key: string): void {
    this.#set.get(key)?.remove()
    this.#set.delete(key)
  }
}

/** Makes the target of a machine at its present place. */
export function gdbTargetOf(
  debug: MachineDebugger,
  machine: GdbMachine,
  options: MachineGdbOptions,
  attached: (isAttached: boolean) => void = () => undefined,
): GdbTarget {
  const { registers, monitor } = machine
  const points = new GdbPoints(debug)
  const describe = (stop: MachineStop): TargetStop =>
    describeStop(stop, machine, (cpu) => debug.isStopped && machine.isAtBreakpoint(cpu))
  const attach = (isAttached: boolean): void => {
    machine.attached?.(isAttached)
    attached(isAttached)
  }
  return {
    ...points.members(),
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
      if (listener !== null) attach(true)
      debug.onStop(listener === null ? null : (stop) => listener(describe(stop)))
    },
    readRegister: (cpu, name) => debug.register(name, cpu),
    writeRegister: (cpu, name, value) => debug.setRegister(name, value, cpu),
    readMemory: (cpu, address, into) => debug.read(address, into, cpu),
    writeMemory: (cpu, address, bytes) => debug.write(address, bytes, cpu),
    readPhysical: (address, into) => debug.readPhysical(Number(address), into),
    writePhysical: (address, bytes) => debug.writePhysical(Number(address), bytes),
    code: (cpu) => debug.code(cpu),
    monitor: (cpu, command) => monitor.run(cpu, command),
    kill: () => options.kill(),
    detach: (resumes) => {
      points.clear()
      for (const vector of debug.caughtFaults) debug.catchFault(vector, false)
      attach(false)
      if (resumes) debug.resume()
    },
  }
}

/** Tells gdb of a stop. @param isThere - whether gdb finds the breakpoint's address in the program counter */
export function describeStop(
  stop: MachineStop,
  machine: GdbMachine,
  isThere: (cpu: number) => boolean = (cpu) => machine.isAtBreakpoint(cpu),
): TargetStop {
  const { cpu } = stop
  switch (stop.kind) {
    case 'pause':
      return { cpu, signal: Signal.INT }
    case 'breakpoint':
      return { cpu, signal: Signal.TRAP, ...(isThere(cpu) && { breakpoint: 'software' as const }) }
    case 'watch':
      return { cpu, signal: Signal.TRAP, watch: { kind: stop.watch, address: stop.address } }
    case 'fault':
    case 'exception':
      return { cpu, signal: machine.signalOf(stop.vector) }
    case 'port':
    case 'mmio':
    case 'msr':
    case 'handler':
      return { cpu, signal: Signal.TRAP, message: describePlaceStop(stop, (vector) => machine.exceptionName(vector)) }
    case 'shutdown':
      return { cpu, signal: Signal.ABRT }
    default:
      return { cpu, signal: Signal.TRAP }
  }
}
