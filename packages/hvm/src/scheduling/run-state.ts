import type { DomainExit, Sleeper, DomainServer } from '../domain-options.ts'
import type { VirtualCpu } from '../virtual-cpu.ts'
import type { TimerQueue } from '@retrap/device/host'
import type { DeviceHost } from '@retrap/device-hosting'
import type { IoDispatch } from '@retrap/ioreq'
import type { DomainClock } from '../clock.ts'
import type { Invalidations } from '../memory/invalidation.ts'
import type { MemoryChanges } from '../memory/memory-change.ts'
import type { SecondLevelFaults } from '../memory/second-level.ts'

/** A domain's interface for its schedule. */
export interface ScheduledDomain {
  readonly vcpus: readonly VirtualCpu[]
  readonly clock: DomainClock
  readonly timers: TimerQueue
  readonly dispatch: Pick<IoDispatch, 'requests'>
  readonly invalidations: Pick<Invalidations, 'flagged' | 'resume' | 'waits'>
  readonly secondLevel: Pick<SecondLevelFaults, 'waits'>
  /** Made when a vCPU has stopped executing: every vCPU is between two instructions, or waits for a device. */
  readonly memoryChanges: Pick<MemoryChanges, 'isWaiting' | 'stopped'>
  readonly servers: readonly DomainServer[]
  /** Local models, whose handlers and timers may have pending work. */
  readonly devices: Pick<DeviceHost, 'settle' | 'failUnsettled'>
  /** Milliseconds of host time that models may take to settle; `Infinity`: for ever. */
  readonly deviceDeadlineMs: number
}

/** Whether the machine continues by itself after an exit. */
const passes = ({ reason }: DomainExit): boolean => reason === 'sleep' || reason === 'wake' || reason === 'pause'

const nobody = (): void => undefined

/** The state of a domain's run: the present vCPU, and a reason to end. All parties that stop or wake the domain share it. */
export class RunState {
  readonly #sleeper: Sleeper
  /** Whether `run` is in progress. */
  running = false
  /** The executing vCPU. */
  current: VirtualCpu | null = null
  /** Whether vCPUs were handed to threads of their own, and have not all been taken back. */
  areThreadsRunning = false
  /** Whether the executing vCPU was stopped for a remote model, and not by the end of its turn. */
  interrupted = false
  /** See `Domain.hostHasTurn`. */
  hostHasTurn = false
  /** The exit that ends the run. */
  exit: DomainExit | null = null
  /** Something has happened since the schedule looked. */
  woken = false
  /** Told that something has happened. */
  onWake: () => void = nobody
  /** Told that the run is to end. */
  onStop: () => void = nobody

  constructor(sleeper: Sleeper) {
    this.#sleeper = sleeper
  }

  /** Something has happened that a waiting schedule must look at. */
  wake(): void {
    this.woken = true
    this.onWake()
    this.#sleeper.wake()
  }

  /** Ends the run with the first exit given. An exit after which the machine goes on by itself gives way to any other. */
  stop(exit: DomainExit): void {
    if (this.exit === null || (passes(this.exit) && !passes(exit))) this.exit = exit
    // Other vCPUs check before their next instruction.
    this.current?.cpu.stop()
    this.onStop()
    this.wake()
  }

  /** Interrupts the run because a remote model has work: on deterministic time no instruction is executed before it is done. */
  interrupt(): void {
    this.interrupted = true
    this.current?.cpu.stop()
  }

  /** Resets at power-on; the caller's requests stay. */
  reset(): void {
    if (this.exit?.reason !== 'stopped') this.exit = null
  }
}
