import { RECORDS_PER_PAGE } from './access-record.ts'
import { ConfigSpace, type EcamWindow } from './config-space.ts'
import { IoreqError } from './errors.ts'
import { FailureHandler, type DeviceFailure } from './failures.ts'
import { IOREQ_PAGE_BYTES, IOREQ_SLOTS } from './layout.ts'
import { PendingRequests } from './pending.ts'
import { Registration } from './registration.ts'
import { Submission } from './submission.ts'
import type { Dma, Word64 } from '@retrap/device'
import type { FailurePolicy, PageLocation } from './server.ts'
import type { InvalidationListener } from './invalidations.ts'
import type { IoTraceRecord } from './trace.ts'

/** Describes a domain's dispatcher. */
export interface IoDispatchOptions {
  /** vCPUs of the domain, 1–128. */
  readonly vcpus: number
  /**
   * Called when a submitted request has its answer (or its end): wake the vCPU, and `requests.take` from its next pass.
   *
   * @param mayRun - the caller has nothing left to do: the vCPU may run on within the call, without a turn of the
   *   microtask queue in between
   */
  onComplete?(vcpu: number, mayRun: boolean): void
  /** `crash` (default): the access yields `STATUS_ERROR`. `detach`: the model reads as ones from now on. */
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
  /** Called for every access. While it is there, accesses take a slower way. */
  readonly trace?: ((record: IoTraceRecord) => void) | undefined
  /** Called for every model that breaks its contract. */
  onFailure?(failure: DeviceFailure): void
  /** Guest RAM, for requests whose data is a pointer. */
  readonly guestMemory?: Pick<Dma, 'read' | 'write'>
  /** Told who has acknowledged an invalidation, and of servers that come and go. */
  readonly invalidations?: InvalidationListener
  /** Windows of memory-mapped configuration space (ECAM). */
  readonly ecam?: readonly EcamWindow[]
  /** Supplies a zeroed 4096-byte page of machine memory for requests, or for what is known of those in flight. Default: a buffer of its own. */
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

/** The parts that an `IoDispatch` leads accesses to. */
export interface DispatchParts {
  readonly registration: Registration
  readonly space: ConfigSpace
  readonly pending: PendingRequests
  readonly failures: FailureHandler
  readonly submission: Submission
}

/**
 * Makes the parts of a dispatcher, and connects them.
 *
 * @param answer - where answers are left
 * @throws IoreqError `ERR_INVALID`
 */
export function dispatchParts(options: IoDispatchOptions, answer: Word64 & { count: number }): DispatchParts {
  const { vcpus, invalidations } = options
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > IOREQ_SLOTS) {
    throw new IoreqError('ERR_INVALID', `${vcpus} vCPUs: expected 1–${IOREQ_SLOTS}, the slots of a request page`)
  }
  const trace = options.trace?.bind(options)
  const space = new ConfigSpace(options.ecam ?? [])
  const failures = new FailureHandler(options.policy ?? 'crash', answer, options.onFailure?.bind(options))
  const pages = Array.from(
    { length: Math.ceil(vcpus / RECORDS_PER_PAGE) },
    () => options.allocatePage?.('requests of vCPUs') ?? { buffer: new ArrayBuffer(IOREQ_PAGE_BYTES), byteOffset: 0 },
  )
  const pending = new PendingRequests({
    vcpus,
    records: {
      pages: pages.map(({ buffer, byteOffset }) => new Int32Array(buffer, byteOffset, IOREQ_PAGE_BYTES / 4)),
      free: () => {
        for (const page of pages.splice(0)) options.freePage?.(page)
      },
    },
    answer,
    failures,
    deadlineMs: options.deadlineMs ?? Infinity,
    answersLater: options.answersLater ?? false,
    onComplete: options.onComplete?.bind(options),
    trace,
    invalidations,
    servers: () => registration.present(),
  })
  const { guestMemory } = options
  const registration = new Registration({
    ...{ vcpus, pages: options, space, pending, invalidations, traced: trace !== undefined },
    isRam: (gpa) => guestMemory?.read(gpa, new Uint8Array(1)) === true,
  })
  const submission = new Submission({ registration, space, pending, failures, answer, guestMemory, trace })
  return { registration, space, pending, failures, submission }
}
