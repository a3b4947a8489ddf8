import type { VcpuThreadControl } from '../virtual-cpu.ts'
import type { HostPace } from './host-pace.ts'
import type { HostSchedule, ScheduleLoop } from './host-schedule.ts'
import type { RunState, ScheduledDomain } from './run-state.ts'
import type { TurnRunner } from './turn-runner.ts'

/** The parts of a run that a schedule on the host's clock works with. */
export type ThreadScheduleParts = readonly [
  domain: ScheduledDomain,
  run: RunState,
  turns: TurnRunner,
  pace: HostPace,
  loop: ScheduleLoop,
]

/** vCPUs that may execute in threads of their own. */
export interface ThreadedVcpus extends VcpuThreadControl {
  /** Whether something needs all vCPUs parked, such as a change of the guest's map. */
  isPauseRequested: boolean
  /** Whether vCPUs can go to their threads now, and there are two to run. Starts the threads if they are all that is missing. */
  mayResume(): boolean
  /** Whether all vCPUs that run wait for devices: the others park by themselves. */
  readonly areWaiting: boolean
  /** Hands the vCPUs to their threads. */
  resume(): void
  /** Why the domain cannot go on: a vCPU has parked with it, or its thread has failed; null: it goes on. The schedule takes it. */
  failure: { readonly vcpu: number; readonly reason: string; readonly error?: unknown } | null
  /** Makes the schedule of a domain's run. */
  schedule(...parts: ThreadScheduleParts): HostSchedule
}
