import type { VcpuHome } from '../virtual-cpu.ts'
import type { HostPace } from './host-pace.ts'
import type { HostSchedule } from './host-schedule.ts'
import type { RunState, ScheduledDomain } from './run-state.ts'
import type { TurnRunner } from './turn-runner.ts'

/** The parts of a run that a schedule of vCPUs in threads works with; the last one is the schedule of those that take turns. */
export type ThreadScheduleParts = readonly [
  domain: ScheduledDomain,
  run: RunState,
  turns: TurnRunner,
  pace: HostPace,
  host: HostSchedule,
]

/** vCPUs that may execute in threads of their own. */
export interface VcpusElsewhere extends VcpuHome {
  /** Something has happened that wants all of them here, such as a change of the guest's map. */
  areWanted: boolean
  /** Whether they can go to their threads now, and it is worth it. Starts the threads if they are all that is missing. */
  mayLeave(): boolean
  /** Whether all that are away wait for devices: the others come home by themselves. */
  readonly wait: boolean
  /** Sends them to their threads. */
  leave(): void
  /** Why the domain cannot go on: a vCPU has come home with it, or its thread has failed; null: it goes on. */
  takeFailure(): { readonly vcpu: number; readonly reason: string; readonly error?: unknown } | null
  /** Makes the schedule of a domain's run. */
  schedule(
    ...parts: ThreadScheduleParts
  ): Pick<HostSchedule, 'advance' | 'answered' | 'begin' | 'ends' | 'endsAtPause' | 'waiting'>
}
