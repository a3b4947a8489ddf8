// A run that was recorded: what happened, when, and where.
import type { ClusterDescription, PlacedMachine } from './description.ts'
import type { Stretch } from './draw-faults.ts'
import type { GENERATOR } from './draws.ts'
import type { FrameCause } from './links.ts'
import type { ClusterEvent, ClusterResult } from './result.ts'

/** A frame from one machine to another. A frame that is sent to all machines is there once for each. */
export interface RunFrame {
  /** Number of the machine that sent it. */
  readonly from: number
  /** Number of the machine that it was for. */
  readonly to: number
  /** The instant at which it was sent, in the cluster's time. */
  readonly sent: number
  /** The instant at which it entered the machine that it was for; absent: it was lost. */
  readonly arrives?: number | undefined
  /** The reasons for a frame's loss, or the changes to it. */
  readonly causes: readonly FrameCause[]
  /** The frame as it arrived; as it was sent, where it was lost. */
  readonly bytes: Uint8Array
}

/** A stretch of a machine's time, up to the next one of the list, in which its clock and the cluster's went together. */
export interface ClockStretch {
  /** The first instant, of the machine's own clock. */
  readonly ns: number
  /** The cluster's time less the machine's clock. */
  readonly offset: number
}

/** The life of a machine from power-on to its end. */
export interface RunStart {
  /** The instant of power-on, in the cluster's time. */
  readonly ns: number
  /** The instant of its end: of a crash, of the guest's own end, or of the run's. */
  readonly until: number
  /** Name of the recording in the run's file; absent: it was not recorded. */
  readonly recording?: string | undefined
  /** The machine's clock, by instants: at least one. A machine that stands still and goes on has one more. */
  readonly offsets: readonly ClockStretch[]
}

/** A machine of a run. */
export interface RunMachine extends Pick<PlacedMachine, 'name' | 'number'> {
  /** From the first one on: a machine that crashes is started again. */
  readonly starts: readonly RunStart[]
}

/** A run of a cluster: all that happened in it. Instants are nanoseconds since its begin, unless they are of a machine's clock. */
export interface ClusterRun extends Pick<ClusterResult, 'failure' | 'ns' | 'faults'> {
  /** The number that random draws followed from. */
  readonly seed: number
  /** See `Branch`. */
  readonly branch: number
  /** The generator of random draws; absent: the one of releases before 0.4. */
  readonly draws?: typeof GENERATOR | undefined
  /** The stretches of a path, in place of a branch. */
  readonly path?: readonly Stretch[] | undefined
  /** All is mended at the end of the path. */
  readonly mended?: boolean | undefined
  /** The file of the description, in whose folder the paths of the description begin; absent, as `files`, in runs of releases before. */
  readonly file?: string | undefined
  /** Sizes and times of the host's files that the machines use, by their paths. */
  readonly files?: Readonly<Record<string, string>> | undefined
  /** The program, the kernels and the programs that it was made with, as a line; undefined: a release before has not noted them. */
  readonly madeWith?: string | undefined
  /** The instant from which the instants of `faults` count; undefined: the run did not come to it. */
  readonly faultsBegin?: number | undefined
  /** The cluster. */
  readonly description: ClusterDescription
  /** All of them, by their numbers. */
  readonly machines: readonly RunMachine[]
  /** By instants. */
  readonly events: readonly ClusterEvent[]
  /** By the instants at which they were sent. */
  readonly frames: readonly RunFrame[]
}

/** Returns the cluster's time at an instant of a machine's clock. */
export function clusterTime({ offsets }: Pick<RunStart, 'offsets'>, machineNs: number): number {
  const stretch = offsets.findLast(({ ns }) => ns <= machineNs) ?? offsets[0]!
  return machineNs + stretch.offset
}

/** Returns what a machine's clock shows at an instant of the cluster's time; a clock that stands still stays where it is. */
export function machineTime({ offsets }: Pick<RunStart, 'offsets'>, clusterNs: number): number {
  const at = Math.max(
    0,
    offsets.findLastIndex(({ ns, offset }) => ns + offset <= clusterNs),
  )
  return Math.min(clusterNs - offsets[at]!.offset, offsets[at + 1]?.ns ?? Infinity)
}

/** Returns the start that a machine is in at an instant of the cluster's time; undefined: it is off. */
export const startAt = ({ starts }: RunMachine, ns: number): RunStart | undefined =>
  starts.findLast((start) => start.ns <= ns && ns <= start.until)
