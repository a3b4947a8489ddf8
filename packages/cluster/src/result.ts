import type { Fault } from './faults.ts'
import type { Property } from './reports.ts'

/** Something that has happened in a cluster. */
export interface ClusterEvent {
  /** Nanoseconds since its begin. */
  readonly ns: number
  /** The sort of event. */
  readonly kind: 'output' | 'report' | 'ended' | 'fault' | 'machine' | 'phase'
  /** Name of the machine; undefined: it is of the whole cluster. */
  readonly machine?: string
  /** A line for people. */
  readonly text: string
}

/** How a run has ended. */
export interface ClusterResult {
  /** Why the cluster has failed; undefined: it has not. */
  readonly failure: string | undefined
  /** The length of the run in nanoseconds. */
  readonly ns: number
  /** The faults that came, or would have come. */
  readonly faults: readonly Fault[]
  /** The properties that programs have reported, by name. */
  readonly properties: readonly Property[]
}
