import type { TimerQueue } from '@retrap/device/host'
import type { IoDispatch } from '@retrap/ioreq'
import type { DomainClock } from './clock.ts'
import type { Invalidations } from './invalidation.ts'
import type { MemoryChanges } from './memory-change.ts'
import type { ModelSettlingParts } from './model-settling.ts'
import type { SecondLevelFaults } from './second-level.ts'
import type { Sleeper } from './sleeper.ts'
import type { VirtualCpu } from './virtual-cpu.ts'

/** What {@link RunLoop} drives. */
export interface RunLoopParts extends ModelSettlingParts {
  readonly vcpus: readonly VirtualCpu[]
  readonly clock: DomainClock
  readonly timers: TimerQueue
  readonly sleeper: Sleeper
  readonly dispatch: Pick<IoDispatch, 'pending' | 'unanswered' | 'invalidationHolder'>
  readonly invalidations: Pick<Invalidations, 'flagged' | 'resume' | 'waits'>
  readonly secondLevel: Pick<SecondLevelFaults, 'waits'>
  /** Made when a vCPU has stopped executing: every vCPU is between two instructions, or waits for a device. */
  readonly memoryChanges: Pick<MemoryChanges, 'stopped'>
}
