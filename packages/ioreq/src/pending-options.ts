import type { Word64 } from '@retrap/device'
import type { FailureHandler } from './failures.ts'
import type { InvalidationListener } from './invalidation-listener.ts'
import type { IoreqServer } from './server.ts'
import type { IoTraceRecord } from './trace.ts'

/** Where answers are left. */
export interface Answer extends Word64 {
  /** Elements. */
  count: number
}

/** What {@link PendingRequests} needs from the dispatcher. */
export interface PendingOptions {
  readonly vcpus: number
  /** Where answers are left. */
  readonly answer: Answer
  readonly failures: FailureHandler
  /** Milliseconds of host time after which a server that has not answered counts as failed; `Infinity`: never. */
  readonly deadlineMs: number
  /** As in `IoDispatchOptions`. */
  readonly answersLater: boolean
  readonly onComplete: ((vcpu: number, mayRun: boolean) => void) | undefined
  readonly trace: ((record: IoTraceRecord) => void) | undefined
  readonly invalidations: InvalidationListener | undefined
  /** All servers that there are, enabled or not. */
  servers(): readonly IoreqServer[]
}
