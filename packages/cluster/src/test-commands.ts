/*
 * Test templates, with the meaning that Antithesis gives them ("Test Composer reference"). A run has the commands of one template:
 *
 * - `first`: one of them runs, and ends, before all others and before any fault.
 * - `parallel_driver`: starts again and again while faults come, beside other parallel drivers and copies of itself.
 * - `serial_driver`: the same, with no other driver beside it.
 * - `singleton_driver`: the only driver of its run, started once.
 * - `anytime`: starts again and again while faults come, beside drivers of each kind.
 * - `eventually`: decides after the last fault whether the system has recovered.
 * - `finally`: decides after the last fault whether the final state is right. It relies on all drivers having completed: a run whose faults
 *   have ended a driver with its machine has none.
 *
 * `eventually` and `finally` may destroy the state that they look at, so that a run has one of them, and nothing after it. Each command
 * is to end with 0. Commands that still run when an `eventually` command is to begin are killed first, as Antithesis does.
 */
import type { TestCommand, WorkloadDescription } from './description.ts'
import { Draws, type Seed } from './draws.ts'

/** Kinds without which a template has nothing to run while faults come. */
export const DRIVING = ['parallel_driver', 'serial_driver', 'singleton_driver', 'anytime'] as const

/** Means of the pauses before commands start, one of which is drawn for a run or a stretch, and the most commands of a queue at once. */
const PAUSES_NS = [20e6, 100e6, 500e6] as const
const MOST_AT_ONCE = 4

/** Commands of which one starts after another: the drivers of a run, or its `anytime` commands. */
interface Queue {
  readonly commands: readonly TestCommand[]
  /** The one that starts next; undefined: none does any more. */
  next: TestCommand | undefined
  /** The earliest instant of its start, which may wait for the ends of others. */
  at: number
}

/** A command that runs. The end of a killed one fails nothing. */
export interface RunningCommand extends TestCommand {
  readonly isKilled?: boolean
}

/** The schedule of a template's commands: data, so that a cluster is forked while commands run. */
export class TestCommands {
  readonly #templates: NonNullable<WorkloadDescription['templates']>
  #draws!: Draws
  #pace = { pauseNs: 0, most: 1 }
  #template = ''
  #queues: Queue[] = []
  /** The commands that run, by the names that their ends are told with. */
  readonly running: Map<string, RunningCommand>
  /** The command that decides, once it is drawn. */
  #last: TestCommand | undefined
  #started = 0
  /** A driver has ended with its machine. */
  #hasLost = false

  /** @param before - of the cluster that this one is a fork of */
  constructor(templates: WorkloadDescription['templates'] = {}, seed: Seed, before?: TestCommands) {
    this.#templates = templates
    this.running = new Map(before?.running)
    this.reseed(seed)
    if (before === undefined) return
    this.#draws = before.#draws.copy()
    this.#pace = before.#pace
    this.#template = before.#template
    this.#queues = before.#queues.map((queue) => ({ ...queue }))
    this.#started = before.#started
    this.#hasLost = before.#hasLost
    this.#last = before.#last
  }

  /** Sets the seed of later draws. */
  reseed(seed: Seed): void {
    this.#draws = new Draws(seed, 'commands')
    this.#pace = { pauseNs: this.#draws.pick(PAUSES_NS), most: 1 + this.#draws.below(MOST_AT_ONCE) }
  }

  /** A run begins: draws its template. @returns the template's name; undefined: there is none */
  begin(): string | undefined {
    const names = Object.keys(this.#templates)
    if (names.length === 0) return undefined
    this.#template = this.#draws.pick(names)
    const together = this.#of('parallel_driver', 'serial_driver')
    const ways = [...this.#of('singleton_driver').map((one) => [one]), ...(together.length > 0 ? [together] : [])]
    const drivers = ways.length === 0 ? [] : this.#draws.pick(ways)
    this.#queues = [drivers, this.#of('anytime')]
      .filter(({ length }) => length > 0)
      .map((commands) => ({ commands, next: this.#draws.pick(commands), at: 0 }))
    return this.#template
  }

  /** Starts a `first` command. @returns its name; undefined: there is none */
  startFirst(): string | undefined {
    const some = this.#of('first')
    return some.length === 0 ? undefined : this.#start(this.#draws.pick(some))
  }

  /** Draws the command that decides, after the last fault. @returns the commands to kill before it, by name */
  drawLast(): readonly (readonly [name: string, command: TestCommand])[] {
    const some = this.#of('eventually', 'finally').filter((one) => this.#mayRun(one))
    this.#last = some.length === 0 ? undefined : this.#draws.pick(some)
    if (this.#last?.kind !== 'eventually') return []
    for (const [name, command] of this.running) this.running.set(name, { ...command, isKilled: true })
    return [...this.running]
  }

  /** Starts the command that decides. @returns its name; undefined: there is none, or it may not run any more */
  startLast(): string | undefined {
    return this.#last !== undefined && this.#mayRun(this.#last) ? this.#start(this.#last) : undefined
  }

  #mayRun({ kind }: TestCommand): boolean {
    return kind !== 'finally' || !this.#hasLost
  }

  /**
   * Starts the commands whose time has come.
   *
   * @param isOn - whether a machine runs
   * @returns their names, and instants at which this is to be asked again; it is to be asked at the end of each command, too
   */
  due(now: number, isOn: (machine: string) => boolean): { starts: readonly string[]; again: readonly number[] } {
    const starts: string[] = []
    const again: number[] = []
    for (const queue of this.#queues) {
      const { next, at, commands } = queue
      if (next === undefined || at > now) continue
      const starting = isOn(next.on)
      if (starting && !this.#fits(next)) continue
      if (starting) starts.push(this.#start(next))
      queue.next = starting && next.kind === 'singleton_driver' ? undefined : this.#draws.pick(commands)
      queue.at = now + Math.ceil(this.#draws.gap(this.#pace.pauseNs)) + 1
      again.push(queue.at)
    }
    return { starts, again }
  }

  /** A program has ended. @returns the command; undefined: it is none of these */
  ended(name: string): RunningCommand | undefined {
    const command = this.running.get(name)
    this.running.delete(name)
    return command
  }

  /** A machine has ended, and its commands with it. @returns whether there were any */
  lost(machine: string): boolean {
    const lost = [...this.running].filter(([, { on }]) => on === machine)
    for (const [name] of lost) this.running.delete(name)
    this.#hasLost ||= lost.some(([, { kind }]) => kind !== 'anytime')
    return lost.length > 0
  }

  #of(...kinds: readonly TestCommand['kind'][]): readonly TestCommand[] {
    return (this.#templates[this.#template] ?? []).filter(({ kind }) => kinds.includes(kind))
  }

  /** Whether a command may start beside the present ones. */
  #fits({ kind }: TestCommand): boolean {
    const isAnytime = kind === 'anytime'
    const others = [...this.running.values()].filter((one) => (one.kind === 'anytime') === isAnytime)
    if (kind === 'serial_driver' || kind === 'singleton_driver') return others.length === 0
    return others.length < this.#pace.most && others.every((one) => one.kind === kind)
  }

  #start(command: TestCommand): string {
    const name = `${command.command[0]} #${++this.#started}`
    this.running.set(name, command)
    return name
  }
}

/** Why the end of a command fails the run; undefined: it does not. A shell ends with 126 or 127 for a program that it cannot start. */
export function failureOf(
  { command: [file], on, isKilled = false }: RunningCommand,
  code: number | undefined,
): string | undefined {
  if (code === 0 || isKilled) return undefined
  const isLacking = code === 126 || code === 127
  const why = isLacking ? ': it cannot be executed, or the interpreter that its first line names is not there' : ''
  return `${file} ended with ${code}: on ${on}${why}`
}
