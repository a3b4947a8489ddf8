import type { GdbTarget } from '@retrap/gdb'
import type { MachineExit, PcGdbOptions, ReplayExit, ReplayPlace } from '@retrap/machine'
import { answerWhoWrote, describeDivergence } from '@retrap/machine/debug'
import { LinuxNames } from '@retrap/symbols'
import { CliError } from '@retrap/linux-guest/errors'
import type { Machine, MachineSerial, MachineSnapshot, ReplayedRun } from '@retrap/linux-guest/machine/machine-contract'
import { limitsOf } from './recorded-run.ts'

const CTRL_C = 3

/** How to show a recorded run. */
export interface ReplayView {
  /** The recording's file. */
  readonly path: string
  /** Prints a line for the user. */
  readonly tell: (text: string) => void
  /** Nothing is left to do: the session is to end. */
  readonly leave: () => void
  /** Whether the replay waits for a command at its stops. */
  readonly waits: boolean
  /** A memory address and optionally a length: the replay reports the last write to it, and then ends. */
  readonly whoWrote?: string | undefined
  /** Makes the machine that continues where the replay has stopped. */
  readonly goLive?: (snapshot: MachineSnapshot) => Promise<Machine>
}

/** A recorded run as a session's machine. Going back makes another PC, and the session does not notice. */
export class ReplayMachine implements Machine {
  replay!: ReplayedRun
  readonly #view: ReplayView
  /** By port: listeners for the guest's output. The last is Xen's console. */
  readonly #listeners: ((bytes: Uint8Array) => void)[] = []
  /** The place to go to; undefined: none requested. */
  #target: ReplayPlace | undefined
  /** Resolved when the replay has to leave its work for another place. */
  #moved = Promise.withResolvers<void>()
  #interrupt: AbortController | undefined
  #live: Machine | undefined
  #isDebugged = false
  /** The replay waits for a command. */
  #isWaiting = false
  #ports: readonly MachineSerial[] = []

  constructor(view: ReplayView) {
    this.#view = view
  }

  /** Takes the PC that the replay has just made. */
  connect(pc: Pick<Machine, 'serialPorts' | 'xenConsole'>): void {
    this.#listenTo(pc)
    this.#ports = linesOf(pc).map((_, port): MachineSerial => ({
      onTransmit: (listener) => {
        this.#listeners[port] = listener
      },
      // A replay ignores keys typed now, but Ctrl-C ends the run to a place.
      receive: (bytes) => {
        if (this.#live === undefined && bytes.includes(CTRL_C)) this.#interrupt?.abort()
        return this.#liveLine(port)?.receive(bytes) ?? true
      },
      onDrain: (listener) => this.#liveLine(port)?.onDrain(listener),
    }))
  }

  #listenTo(machine: Pick<Machine, 'serialPorts' | 'xenConsole'>): void {
    // A question is answered, and no other text is printed.
    if (this.#view.whoWrote !== undefined) return
    for (const [port, line] of linesOf(machine).entries()) line.onTransmit((bytes) => this.#listeners[port]?.(bytes))
  }

  #liveLine(port: number): MachineSerial | undefined {
    return this.#live && linesOf(this.#live)[port]
  }

  get serialPorts(): readonly MachineSerial[] {
    return this.#ports.slice(0, this.replay.pc.serialPorts.length)
  }

  get xenConsole(): MachineSerial {
    return this.#ports.at(-1)!
  }

  get memory(): Machine['memory'] {
    return this.#live?.memory ?? this.replay.pc.memory
  }

  get domain(): Machine['domain'] {
    return this.#live?.domain ?? this.replay.pc.domain
  }

  /** Shows the machine to gdb, which has it go through the recording from now on. */
  async gdbTarget(options: PcGdbOptions): Promise<GdbTarget> {
    this.#isDebugged = true
    if (this.#target !== undefined) await this.replay.goto(this.#target)
    return this.replay.gdbTarget(options)
  }

  /** Goes to an instruction or a time, at once or at the next run. */
  goto(place: ReplayPlace): void {
    this.#target = place
    this.#interrupt?.abort()
    this.#moved.resolve()
  }

  /**
   * Names the last writer of memory.
   *
   * @param given - arguments of the monitor's `who-wrote`
   * @param isLast - the replay need not keep its place: the task is named, too
   * @throws CliError `ERR_USAGE` on the way to a place
   */
  async whoWrote(given: readonly string[], isLast = false): Promise<string> {
    if (!this.#isWaiting)
      throw new CliError('ERR_USAGE', 'who-wrote: the replay is on its way, or gdb has it; Ctrl-C ends a way')
    const { addressOf: find, nameOf, whoseCode } = new LinuxNames(() => this)
    const debug = await this.replay.debugger()
    // Go to the instant of the write, to find the task that ran then.
    const thatTask = async (address: bigint, cpu: number, instructions: number): Promise<string | undefined> => {
      await this.replay.goto(instructions)
      return whoseCode(address, cpu)
    }
    return (await answerWhoWrote(debug, given, { find, nameOf: isLast ? thatTask : nameOf })).text
  }

  async run(options: Parameters<Machine['run']>[0]): Promise<MachineExit> {
    if (this.#live !== undefined) return this.#live.run(options)
    if (this.#isDebugged) {
      // gdb lets the replay go on: only the session's limits end the run.
      const limits = limitsOf(options)
      return limits.reached.finally(() => limits.clear())
    }
    const { path, tell, leave, waits, goLive, whoWrote } = this.#view
    const ended = new Promise<void>((resolve) => {
      options.signal?.addEventListener('abort', () => resolve())
      if (options.signal?.aborted === true) resolve()
    })
    for (;;) {
      this.#interrupt = new AbortController()
      this.#moved = Promise.withResolvers()
      const signals = options.signal === undefined ? [] : [options.signal]
      const signal = AbortSignal.any([this.#interrupt.signal, ...signals])
      const target = this.#target ?? (whoWrote === undefined ? undefined : this.replay.end)
      this.#target = undefined
      const limits = { ...options, signal }
      // A replay without a place to stop at shows all of the guest's output.
      const exit = await (target === undefined ? this.replay.run(limits) : this.replay.goto(target, limits))
      if (options.signal?.aborted === true) {
        tell(`stopped at instruction ${this.replay.instructions}`)
        return { reason: 'stopped' }
      }
      if (this.#interrupt.signal.aborted && this.#target !== undefined) continue
      const isInterrupted = exit.reason === 'stopped' && this.#interrupt.signal.aborted
      if (isInterrupted) tell(`stopped at instruction ${this.replay.instructions}`)
      else if (isReplays(exit) || whoWrote === undefined) {
        if (!isReplays(exit)) return exit
        if (exit.reason === 'diverged') throw new CliError('ERR_INPUT', lineOf(exit, path, this.replay))
        tell(lineOf(exit, path, this.replay))
      }
      if (goLive !== undefined && !isInterrupted) return await this.#runLive(goLive, options)
      this.#isWaiting = true
      if (whoWrote !== undefined) tell((await this.whoWrote(whoWrote.trim().split(/\s+/), true)).trimEnd())
      if (!waits || whoWrote !== undefined) {
        leave()
        return { reason: 'stopped' }
      }
      const left = await Promise.race([this.#moved.promise.then(() => false), ended.then(() => true)])
      this.#isWaiting = false
      if (left) return { reason: 'stopped' }
    }
  }

  async #runLive(
    goLive: NonNullable<ReplayView['goLive']>,
    options: Parameters<Machine['run']>[0],
  ): Promise<MachineExit> {
    const snapshot = await this.replay.pc.save?.()
    if (snapshot === undefined) throw new CliError('ERR_USAGE', '--go-live: this machine cannot be saved')
    const live = await goLive(snapshot)
    this.#listenTo(live)
    this.#live = live
    this.#view.tell('the machine goes on')
    return live.run(options)
  }

  statistics(): ReturnType<Machine['statistics']> {
    return (this.#live ?? this.replay.pc).statistics()
  }

  async powerButton(): Promise<boolean> {
    return (await this.#live?.powerButton()) ?? false
  }

  close(): void {
    this.replay.close()
    this.#live?.close?.()
  }
}

const linesOf = ({ serialPorts, xenConsole }: Pick<Machine, 'serialPorts' | 'xenConsole'>): readonly MachineSerial[] =>
  xenConsole === undefined ? serialPorts : [...serialPorts, xenConsole]

type ReplaysExit = Extract<ReplayExit, { readonly reason: 'arrived' | 'end-of-recording' | 'diverged' }>

const isReplays = (exit: ReplayExit): exit is ReplaysExit =>
  exit.reason === 'arrived' || exit.reason === 'end-of-recording' || exit.reason === 'diverged'

function lineOf(exit: ReplaysExit, path: string, { instructions, end, isCut }: ReplayedRun): string {
  if (exit.reason === 'diverged') return `${path}: ${describeDivergence(exit)}`
  if (exit.reason === 'arrived') return `at instruction ${instructions}`
  return `the recording ends at instruction ${end}${isCut ? '; it was cut there' : ''}`
}
