import type { RemoteServer } from '@retrap/device-hosting'
import type { DeviceFailure, FailurePolicy, IoTraceRecord } from '@retrap/ioreq'
import type { MachineMemory } from '@retrap/memory'
import type { FrameCounts, Stage2Options } from '@retrap/p2m'
import type { DomainClock } from './clock.ts'
import type { MemoryFailure } from './memory/second-level.ts'

/** Why a domain stopped. */
export type DomainExit =
  | { readonly reason: 'power-off' }
  | { readonly reason: 'reset' }
  | { readonly reason: 'debug-exit'; readonly code: number }
  /** The guest asked to sleep: its machine resets the domain and sets {@link Domain.asleep}. */
  | { readonly reason: 'sleep' }
  /** A domain that slept is to wake. */
  | { readonly reason: 'wake' }
  /** The caller has work that needs all vCPUs stopped, and resumes the domain afterwards. */
  | { readonly reason: 'pause' }
  /** A vCPU shut down permanently: on x86, a triple fault. */
  | { readonly reason: 'vcpu-shutdown'; readonly vcpu: number }
  | { readonly reason: 'stopped' }
  /** The guest's stated reason for a shutdown; power-off and restart are reasons of their own. */
  | { readonly reason: 'guest-shutdown'; readonly vcpu: number; readonly code: string }
  | { readonly reason: 'memory-failure'; readonly failure: MemoryFailure }
  | { readonly reason: 'device-failure'; readonly failure: DeviceFailure }
  | { readonly reason: 'internal-error'; readonly vcpu: number; readonly error: unknown }

/** How a domain waits; supplied by the program that knows the host. */
export interface Sleeper {
  /**
   * Waits until `ms` milliseconds have passed or `wake` is called, and lets the event loop run.
   *
   * @param ms - `Infinity`: until woken. 0: until the event loop has had one turn, which `wake` does not cut short, and
   *   another wait may be under way
   */
  sleep(ms: number): Promise<void>
  /** Ends a wait. */
  wake(): void
}

/** The parts that a domain of any instruction set is made of. */
export interface DomainOptions {
  /** Machine memory, with room for RAM and for what the vCPUs need: on x86 about 400 KiB each and the code cache. */
  readonly memory: MachineMemory
  /** Counts shared by all domains in this memory; default new ones. */
  readonly frameCounts?: FrameCounts | undefined
  /** An Arm guest's map, as `P2m.create` takes it. Default that of an x86 guest. */
  readonly stage2?: Stage2Options
  /** vCPUs, 1–128. */
  readonly vcpus: number
  /** Real or deterministic time. */
  readonly clock: DomainClock
  /** Waits for timers and events on the host. */
  readonly sleeper: Sleeper
  /** The reaction to a device model that breaks its contract. Default `crash`. */
  readonly policy?: FailurePolicy | undefined
  /** Called for failed device models, regardless of the policy. */
  readonly onFailure?: (failure: DeviceFailure) => void
  /**
   * Milliseconds of host time that a device model may take to answer; `Infinity`: for ever. Default for ever on a real
   * clock. On deterministic time, where the whole machine waits meanwhile, 30 seconds.
   */
  readonly deviceDeadlineMs?: number | undefined
  /** Called for every access to a device; slow. */
  readonly trace?: ((record: IoTraceRecord) => void) | undefined
  /**
   * Hands device models copies of what they map, and poisons a copy when it is released: reads through a kept view give
   * DBH, and writes through one are found by {@link Domain.keptViews}. Slow.
   */
  readonly checkMappings?: boolean
  /** Makes every model of this process asynchronous: see `DeviceHostOptions`. */
  readonly deferDevices?: ((callback: () => void) => void) | undefined
}

/** A server for models in another thread or process, such as `SharedTransport` and `SocketTransport` of `@retrap/device-hosting`. */
export interface DomainServer {
  /** This side's record of the server. */
  readonly remote: RemoteServer
  /** Handles received messages. */
  pump?(): unknown
  /** Handles messages as they arrive while the event loop runs. */
  watch?(): Promise<void>
  /** Ends the server. */
  close(): void
}
