import type { Instant, RecordingEnd } from '@retrap/recording'
import type { MachineRunOptions } from '../lifecycle/machine-life.ts'
import type { MachineKind } from '../machine/board.ts'
import type { Machine } from '../machine/machine.ts'
import { NEVER, type ReplayExit } from './replay-hits.ts'
import type { ReplayGate } from './replay-gate.ts'
import { HeardStretches } from './run-replay.ts'
import type { TravelOptions } from './travelling-machine.ts'

/** The target of a replay: the first instant with this number of instructions, not before a round and a time. */
export interface Goal extends Instant {
  /** Time in nanoseconds. */
  readonly ns: number
}

/** The machine that replays at present, and the gate through which it gets recorded events. */
interface There {
  readonly machine: Pick<Machine<MachineKind>, 'run'>
  readonly gate: ReplayGate
}

/** How the machine of a replay runs on, from instant to instant. */
export class ReplayWay {
  readonly #end: RecordingEnd
  readonly #isLive: boolean
  readonly #heard = new HeardStretches()
  /** Count of instructions if the machine is at the first instant with it; undefined: perhaps at a later instant. */
  #firstAt: number | undefined

  /** @param isLive - whether another machine already shows the guest's output */
  constructor(end: RecordingEnd, isLive: boolean) {
    this.#end = end
    this.#isLive = isLive
  }

  /** Returns the first instant of an instruction's count; the recording may end later with the same count. */
  goalOf(instruction: number): Goal {
    const plain = { instructions: instruction, round: 0, ns: 0 }
    return instruction === this.#end.instructions ? { ...plain, ...this.#end } : plain
  }

  /** Whether the machine is known to be at the first instant with this many instructions. */
  isFirstAt(instruction: number): boolean {
    return this.#firstAt === instruction
  }

  /** Forgets the position before the machine moves elsewhere. */
  leave(): void {
    this.#firstAt = undefined
  }

  /** Runs on to an instant, in parts: output shown before is not shown again. */
  async goOn(there: There, goal: Goal, options: TravelOptions): Promise<ReplayExit> {
    const { gate } = there
    try {
      for (;;) {
        const from = gate.instant()
        const heardFrom = this.#isLive ? NEVER : (options.heardFrom ?? from)
        const { isSilent, until } = this.#heard.lookFrom(from, goal, heardFrom)
        gate.isHeard = !isSilent
        const exit = await this.#runTo(there, until === undefined ? goal : { ...until, ns: 0 }, options)
        if (!isSilent) this.#heard.add(from, gate.instant())
        if (until === undefined || exit.reason !== 'arrived' || options.signal?.aborted === true) return exit
      }
    } finally {
      gate.isHeard = false
    }
  }

  async #runTo({ machine, gate }: There, goal: Goal, options: MachineRunOptions): Promise<ReplayExit> {
    const { instructions, round, ns } = goal
    const isFirst = gate.instant().instructions < instructions || this.isFirstAt(instructions)
    this.#firstAt = undefined
    gate.limitTo(goal)
    const exit = await machine.run(options)
    if (gate.divergence !== null) return { reason: 'diverged', ...gate.divergence }
    if (exit.reason !== 'stopped' || !gate.isAtLimit()) {
      const isShort = exit.reason === 'stopped' && gate.isAtEnd
      return isShort ? { reason: 'end-of-recording' } : exit
    }
    if (isFirst && round === 0 && ns === 0 && gate.instant().instructions === instructions) this.#firstAt = instructions
    const isEnd = instructions === this.#end.instructions && round >= this.#end.round
    return { reason: isEnd ? 'end-of-recording' : 'arrived' }
  }
}
