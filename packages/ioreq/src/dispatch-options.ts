import type { EcamWindow } from './config-space.ts'
import type { Dma } from '@retrap/device'
import type { DeviceFailure } from './failures.ts'
import type { FailurePolicy, PageLocation } from './server.ts'
import type { InvalidationListener } from './invalidations.ts'
import type { IoTraceRecord } from './trace.ts'

/** Describes a domain's dispatcher. */
export interface IoDispatchOptions {
  /** vCPUs of the domain, 1–128. */
  readonly vcpus: number
  /**
   * Called when a submitted request has its answer (or its end): wake the vCPU, and `takeResponse` from its next pass.
   *
   * @param mayRun - the caller has nothing left to do: the vCPU may run on within the call, without a turn of the
   *   microtask queue in between
   */
  onComplete?(vcpu: number, mayRun: boolean): void
  /** `crash` (default): the access yields `IO_FAILED`. `detach`: the model reads as ones from now on. */
  readonly policy?: FailurePolicy
  /**
   * Milliseconds of host time that a server may take to answer; one that takes longer has failed. Default: for ever.
   * A model that never returns from a synchronous handler of the vCPU's own thread cannot be stopped by it.
   */
  readonly deadlineMs?: number
  /**
   * The answer of a server elsewhere is never taken in the pass that makes the request, however quick it is: what a vCPU does
   * then does not depend on how quick. Default false.
   */
  readonly answersLater?: boolean
  /** Told of every access. While it is there, accesses take a slower way. */
  readonly trace?: (record: IoTraceRecord) => void
  /** Told of every model that breaks its contract. */
  onFailure?(failure: DeviceFailure): void
  /** Guest RAM, for requests whose data is a pointer. */
  readonly guestMemory?: Pick<Dma, 'read' | 'write'>
  /** Told who has acknowledged an invalidation, and of servers that come and go. */
  readonly invalidations?: InvalidationListener
  /** Windows of memory-mapped configuration space (ECAM). */
  readonly ecam?: readonly EcamWindow[]
  /** Supplies a zeroed 4096-byte page of machine memory for requests. Default: a buffer of its own. */
  allocatePage?(purpose: string): PageLocation
  /** Takes such a page back: its server has gone. */
  freePage?(page: PageLocation): void
}

/** Saved form of the dispatcher's own state. */
export interface IoDispatchState {
  /** Layout of this record. */
  readonly version: 1
  /** The latched CF8. */
  readonly configAddress: number
}
