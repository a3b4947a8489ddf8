import type { GdbTarget } from '@retrap/gdb'
import type { Instant, Recording, RecordingMark } from '@retrap/recording'
import type { MachineRunOptions } from '../lifecycle/machine-life.ts'
import type { MachineGdbOptions } from '../debugger/machine-gdb-target.ts'
import { presentNs } from './input-gate.ts'
import type { RunDescription } from './description.ts'
import type { ReplayPlace } from './guest-time.ts'
import type { ReplayExit } from './replay-hits.ts'
import type { ReplayDebugger } from './replay-debugger.ts'
import type { TravelledMachine } from './travelling-machine.ts'
import type { RunHistoryKeeper, SavedHistory } from './run-history.ts'

/** The bytes of a recording, for example a file. */
export interface RecordingSource {
  /** Size in bytes. */
  readonly bytes: number
  /** Reads a part of the recording. @returns fewer bytes at the end */
  read(offset: number, bytes: number): Uint8Array | Promise<Uint8Array>
}

const isEarlier = (one: Instant, other: Instant): boolean =>
  one.instructions < other.instructions || (one.instructions === other.instructions && one.round < other.round)

/** The intervals of a run whose output was delivered: each interval only once. */
export class HeardStretches {
  /** Disjoint intervals in order. */
  #stretches: readonly (readonly [from: Instant, to: Instant])[] = []

  /**
   * Finds how far the output's state stays the same on a way.
   *
   * @param heardFrom - nothing before this instant is to be handed over
   * @returns whether the output at its beginning is suppressed, and the instant before its goal where that changes
   */
  lookFrom(
    here: Instant,
    goal: Instant,
    heardFrom: Instant,
  ): { readonly isSilent: boolean; readonly until: Instant | undefined } {
    const isBefore = isEarlier(here, heardFrom)
    const [from, to] = isBefore
      ? [here, heardFrom]
      : (this.#stretches.find((stretch) => isEarlier(here, stretch[1])) ?? [])
    const isSilent = from !== undefined && !isEarlier(here, from)
    const until = isSilent ? to : from
    return { isSilent, until: until !== undefined && isEarlier(until, goal) ? until : undefined }
  }

  /** The output of a stretch was handed over. */
  add(from: Instant, to: Instant): void {
    const joined: [Instant, Instant][] = []
    for (const [begin, end] of [...this.#stretches, [from, to] as const].toSorted(
      ([a], [b]) => +isEarlier(b, a) - +isEarlier(a, b),
    )) {
      const last = joined.at(-1)
      if (last === undefined || isEarlier(last[1], begin)) joined.push([begin, end])
      else if (isEarlier(last[1], end)) last[1] = end
    }
    this.#stretches = joined
  }
}

/** A recorded run of a machine of any board that is run again. */
export abstract class RunReplay<M extends TravelledMachine> {
  /** Number of the recording's first instruction: 0, or later after the beginning was dropped. */
  readonly begin: number
  /** Number of the recording's last instruction. */
  readonly end: number
  /** The guest's time at the end, in nanoseconds; undefined for a recording that was cut, and for one of an earlier release. */
  readonly endNs: number | undefined
  /** Instants with names. */
  readonly marks: readonly RecordingMark[]
  /** Whether the recording was cut off: it then ends with its last complete entry. */
  readonly isCut: boolean
  /** The notes of the recording's program. */
  readonly about: unknown
  /** The current machine. Keys and bytes sent to it have no effect. */
  abstract readonly machine: M

  /** @internal Replays are made by `replayPc` and `replayArmMachine`. @param first - the first checkpoint of a run that goes on */
  constructor(recording: Recording, first: Instant | undefined = recording.checkpoints[0]) {
    this.begin = recording.firstPiece === 0 ? 0 : (first?.instructions ?? 0)
    this.end = recording.end.instructions
    this.endNs = recording.end.ns
    this.marks = recording.marks
    this.isCut = recording.isCut
    this.about = (recording.description as RunDescription).about
  }

  /** The current machine, under the name used for a PC. */
  get pc(): M {
    return this.machine
  }

  /** Number of instructions that its vCPUs have retired. */
  get instructions(): number {
    return this.machine.domain.instructions
  }

  /** Guest time, in nanoseconds. */
  get ns(): number {
    return presentNs(this.machine.domain)
  }

  /** Runs on to the end of the recording. @throws MachineError as `run` of the machine */
  abstract run(options?: MachineRunOptions): Promise<ReplayExit>

  /**
   * Goes to the first instant at which the vCPUs have retired this many instructions, forwards or backwards; for `end` to the
   * recording's end.
   *
   * The guest's output is handed over once, by a run that goes on from where the replay is. A run backwards hands over none;
   * output skipped by a jump to a checkpoint comes when the replay runs over it.
   *
   * For a time it goes to the beginning of the turn of vCPUs that the time is in: up to 10 µs before it, and more where all vCPUs
   * waited. For one behind the end it goes to the last turn, and says `end-of-recording`.
   *
   * @returns `arrived`, or the reason for stopping elsewhere
   * @throws MachineError `ERR_OPTION` for a place outside of the recording; as `run` of the machine
   */
  abstract goto(place: ReplayPlace, options?: MachineRunOptions): Promise<ReplayExit>

  /**
   * Returns the history of the run, for a time line. The machine is at the end then.
   *
   * @param saved - the file's history; by default the run is repeated from its beginning to make one, for at most a minute if checkpoints lead to the
   * end
   * @throws RecordingError `ERR_DAMAGED`; MachineError as `run` of the machine
   */
  abstract history(saved?: SavedHistory): Promise<RunHistoryKeeper>

  /** A debugger that goes backwards too. Its machine is the replay's. */
  abstract debugger(): Promise<ReplayDebugger<M>>

  /** Makes a target for a `GdbSession`, which moves through the run in both directions. */
  abstract gdbTarget(options: MachineGdbOptions): Promise<GdbTarget>

  /** Ends the machine. A move or search in progress rejects with MachineError `ERR_STATE`. */
  abstract close(): void
}

/** Options for replaying a run. */
export interface ReplayOptions<M> {
  /** Called for each machine before it runs: going back may make a new machine. Connect its outputs here. */
  readonly onMachine?: ((machine: M) => void) | undefined
  /** Start of the replay, in instructions; default the recording's beginning. The nearest checkpoint shortens the way. */
  readonly at?: number | 'end' | undefined
  /** Host time between two checkpoints, in milliseconds; default 1000. `Infinity`: none is taken on the way. */
  readonly checkpointMs?: number | undefined
}
