import type { TimerQueue } from '@retrap/device/host'
import type { DeviceHost } from '@retrap/device-host'
import type { IoDispatch } from '@retrap/ioreq'
import type { DomainClock } from '../clock.ts'
import type { DomainServer } from '../domain-options.ts'
import type { Invalidations } from '../memory/invalidation.ts'
import type { MemoryChanges } from '../memory/memory-change.ts'
import type { SecondLevelFaults } from '../memory/second-level.ts'
import type { VirtualCpu } from '../virtual-cpu.ts'

/** A domain, as its schedule drives it. */
export interface ScheduledDomain {
  readonly vcpus: readonly VirtualCpu[]
  readonly clock: DomainClock
  readonly timers: TimerQueue
  readonly dispatch: Pick<IoDispatch, 'pending' | 'unanswered' | 'invalidationHolder'>
  readonly invalidations: Pick<Invalidations, 'flagged' | 'resume' | 'waits'>
  readonly secondLevel: Pick<SecondLevelFaults, 'waits'>
  /** Made when a vCPU has stopped executing: every vCPU is between two instructions, or waits for a device. */
  readonly memoryChanges: Pick<MemoryChanges, 'stopped'>
  readonly servers: readonly DomainServer[]
  /** Models of this process: what their handlers and timers have begun. */
  readonly devices: Pick<DeviceHost, 'settle' | 'failUnsettled'>
  /** Milliseconds of host time that models may take to settle; `Infinity`: for ever. */
  readonly deviceDeadlineMs: number
}
