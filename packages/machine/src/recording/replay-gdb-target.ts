import { describeThrown } from '@retrap/device/host'
import { type GdbTarget, Signal, type TargetStop } from '@retrap/gdb'
import { StopList } from '../debugger/break-commands.ts'
import {
  describeStop,
  GdbPoints,
  type GdbMachine,
  gdbTargetOf,
  type MachineGdbOptions,
  type ShowToGdb,
} from '../debugger/machine-gdb-target.ts'
import type { MachineStop } from '../debugger/stop-points.ts'
import type { StopSignal } from '../lifecycle/machine-life.ts'
import type { ReplayDebugger } from './replay-debugger.ts'
import { describeDivergence } from './replay-hits.ts'
import { type RecordedRun, replayCommands } from './replay-monitor.ts'
import type { ReplayStop, TravelledMachine } from './travelling-machine.ts'

/** Most steps until the named processor has executed an instruction. */
const MOST_STEPS = 1000

/** A recorded run and its current machine: going back may make a new machine. */
interface MachineRun<M extends TravelledMachine> extends RecordedRun {
  readonly pc: M
}

type Show<M extends TravelledMachine> = ShowToGdb<M['domain']>

/**
 * Shows a recorded run to gdb: it stands still unless gdb has it go on, in either direction. Its registers and memory cannot be
 * changed, and interrupts come in steps where they came.
 */
export async function replayGdbTarget<M extends TravelledMachine>(
  replay: MachineRun<M>,
  debug: ReplayDebugger<M>,
  show: Show<M>,
  options: MachineGdbOptions,
): Promise<GdbTarget> {
  const run = new ReplayedRun(replay, debug, show, options)
  await run.refresh()
  return run.target()
}

class ReplayedRun<M extends TravelledMachine> {
  readonly #replay: MachineRun<M>
  readonly #debug: ReplayDebugger<M>
  readonly #show: Show<M>
  readonly #options: MachineGdbOptions
  readonly #points: GdbPoints
  readonly #list: StopList
  /** Target of the current machine; going back may make a new machine. */
  #inner!: GdbTarget
  #shown!: GdbMachine
  #pc: M | undefined
  #busy: AbortController | undefined
  /** Resolves when the current operation is done. */
  #doing: Promise<void> | undefined
  /** Names the detachment after which the machine is about to go on by itself. */
  #freeing: object | undefined
  #listener: ((stop: TargetStop) => void) | null = null
  #lastStop: TargetStop = { cpu: 0, signal: Signal.TRAP }

  constructor(replay: MachineRun<M>, debug: ReplayDebugger<M>, show: Show<M>, options: MachineGdbOptions) {
    this.#replay = replay
    this.#debug = debug
    this.#show = show
    this.#points = new GdbPoints(debug)
    this.#list = new StopList(
      (place) => debug.stopAt(place),
      (exception) => this.#shown.exceptionName(exception),
    )
    this.#options = options
  }

  /** Takes the machine that the replay has now. */
  async refresh(): Promise<void> {
    const { pc } = this.#replay
    if (pc === this.#pc) return
    this.#pc = pc
    const during = <T>(action: (signal: AbortSignal) => Promise<T>): Promise<T> => this.#during(action)
    const commands = replayCommands(this.#replay, this.#debug, during, this.#note, this.#options)
    const stops = { list: this.#list, catching: this.#debug }
    const debug = await pc.debugger()
    this.#shown = this.#show(pc.domain, debug, this.#options, { commands, stops })
    this.#inner = gdbTargetOf(debug, this.#shown, this.#options)
    this.#debug.watchesBefore = this.#shown.watchesBefore
  }

  /** The run as gdb sees it. The past does not change: writes are refused. */
  target(): GdbTarget {
    const inner = (): GdbTarget => this.#inner
    const isStopped = (): boolean => this.#busy === undefined
    const lastStop = (): TargetStop => this.#lastStop
    return {
      ...this.#points.members(),
      get registers() {
        return inner().registers
      },
      get cpus() {
        return inner().cpus
      },
      get isStopped() {
        return isStopped()
      },
      get lastStop() {
        return lastStop()
      },
      get code() {
        return inner().code
      },
      describeCpu: (cpu) => inner().describeCpu(cpu),
      stop: () => this.#stop(),
      onStop: (listener) => {
        this.#listener = listener
      },
      resume: (actions) => {
        const stepped = actions.findIndex(({ action }) => action === 'step')
        this.#go('end', (signal) => (stepped < 0 ? this.#debug.continue({ signal }) : this.#step(stepped, signal)))
      },
      reverse: (action, cpu) =>
        this.#go('begin', (signal) =>
          action === 'continue' ? this.#debug.reverseContinue({ signal }) : this.#stepBack(cpu, signal),
        ),
      readRegister: (cpu, name) => inner().readRegister(cpu, name),
      writeRegister: () => false,
      readMemory: (cpu, address, into) => inner().readMemory(cpu, address, into),
      writeMemory: () => 0,
      readPhysical: (address, into) => inner().readPhysical(address, into),
      writePhysical: () => 0,
      monitor: async (cpu, command) => {
        if (!isStopped()) return 'Stop it first, with Ctrl-C.\n'
        return inner()
          .monitor(cpu, command)
          .catch((error: unknown) => `${this.#note(describeThrown(error))}\n`)
      },
      kill: () => this.#options.kill(),
      detach: (resumes) => this.#detach(resumes),
    }
  }

  #stop(): void {
    this.#freeing = undefined
    this.#busy?.abort()
  }

  /** Goes on until a processor has executed an instruction. */
  #step(cpu: number, signal: StopSignal): Promise<ReplayStop> {
    return this.#steps(cpu, signal, () => this.#debug.step({ signal }))
  }

  #stepBack(cpu: number, signal: StopSignal): Promise<ReplayStop> {
    return this.#steps(cpu, signal, () => this.#debug.stepBack({ signal }))
  }

  async #steps(cpu: number, signal: StopSignal, step: () => Promise<ReplayStop>): Promise<ReplayStop> {
    const retired = (): number | undefined => this.#replay.pc.domain.vcpus[cpu]?.cpu.retired
    const before = retired()
    for (let left = MOST_STEPS; ; left--) {
      const stop = await step()
      if (stop.reason !== 'step' || retired() !== before || left === 0 || signal.aborted) return stop
    }
  }

  #go(direction: 'begin' | 'end', action: (signal: StopSignal) => Promise<ReplayStop>): void {
    void this.#during(action).then(
      (stop) => this.#stopped(stop, direction),
      // On an error such as a damaged checkpoint or an unreadable disk the machine keeps its place.
      (error: unknown) => this.#tell({ cpu: 0, signal: Signal.ABRT, message: this.#note(describeThrown(error)) }),
    )
  }

  /** Reports why a command failed. @returns the same sentence, for gdb's user */
  readonly #note = (sentence: string): string => {
    this.#options.onTrouble?.(sentence)
    return sentence
  }

  async #during<T>(action: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const busy = new AbortController()
    const done = Promise.withResolvers<void>()
    this.#busy = busy
    this.#doing = done.promise
    try {
      return await action(busy.signal)
    } finally {
      await this.refresh()
      this.#busy = undefined
      this.#doing = undefined
      done.resolve()
    }
  }

  #stopped(stop: ReplayStop, direction: 'begin' | 'end'): void {
    switch (stop.reason) {
      case 'breakpoint':
      case 'watch':
      case 'port':
      case 'mmio':
      case 'msr':
      case 'handler':
      case 'fault':
      case 'exception': {
        const { reason: kind, ...rest } = stop
        this.#tell(describeStop({ kind, ...rest } as MachineStop, this.#shown))
        return
      }
      case 'step':
      case 'arrived':
        this.#tell({ cpu: 0, signal: Signal.TRAP })
        return
      case 'stopped':
      case 'timeout':
        this.#tell({ cpu: 0, signal: Signal.INT })
        return
      case 'diverged':
        this.#tell({ cpu: 0, signal: Signal.ABRT, message: this.#note(describeDivergence(stop)) })
        return
      default:
        this.#tell({ cpu: 0, signal: Signal.TRAP, replayLog: direction })
    }
  }

  #tell(stop: TargetStop): void {
    this.#lastStop = stop
    this.#listener?.(stop)
  }

  /** After a detach a replay keeps its place for another client; a live machine resumes. */
  #detach(resumes: boolean): void {
    this.#stop()
    this.#points.clear()
    this.#list.clear()
    // Exceptions no longer stop the machine.
    for (const vector of this.#debug.caughtFaults) this.#debug.catchFault(vector, false)
    this.#inner.detach(false)
    const replay = this.#replay
    if (!resumes || replay.goFree === undefined) return
    const mine = (this.#freeing = {})
    const free = async (): Promise<void> => {
      // By the end of the pending operation another client may be connected, or the session ended.
      if (this.#freeing === mine) await this.#during((signal) => replay.goFree!({ signal }))
    }
    void (this.#doing ?? Promise.resolve()).then(free).catch(() => undefined)
  }
}
