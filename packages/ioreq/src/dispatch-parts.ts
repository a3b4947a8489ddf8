import { AskedServer } from './lookup.ts'
import type { Answer } from './channel.ts'
import { ConfigSpace } from './config-space.ts'
import type { IoDispatchOptions } from './dispatch-options.ts'
import { IoreqError } from './errors.ts'
import { FailureHandler } from './failures.ts'
import { ImmediateAccess } from './immediate.ts'
import { IOREQ_SLOTS } from './layout.ts'
import { PendingRequests } from './pending.ts'
import { Registration } from './registration.ts'
import { Submission } from './submission.ts'

/** The parts that an `IoDispatch` leads accesses to. */
export interface DispatchParts {
  readonly registration: Registration
  readonly space: ConfigSpace
  readonly immediate: ImmediateAccess
  readonly pending: PendingRequests
  readonly failures: FailureHandler
  readonly submission: Submission
  readonly asked: AskedServer
}

/**
 * Makes the parts of a dispatcher, and connects them.
 *
 * @param answer - where answers are left
 * @throws IoreqError `ERR_INVALID`
 */
export function dispatchParts(options: IoDispatchOptions, answer: Answer): DispatchParts {
  const { vcpus, invalidations } = options
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > IOREQ_SLOTS) {
    throw new IoreqError('ERR_INVALID', `${vcpus} vCPUs: expected 1–${IOREQ_SLOTS}, the slots of a request page`)
  }
  const trace = options.trace?.bind(options)
  const space = new ConfigSpace(options.ecam ?? [])
  const failures = new FailureHandler(options.policy ?? 'crash', answer, options.onFailure?.bind(options))
  const pending = new PendingRequests({
    vcpus,
    answer,
    failures,
    deadlineMs: options.deadlineMs ?? Infinity,
    answersLater: options.answersLater ?? false,
    onComplete: options.onComplete?.bind(options),
    trace,
    invalidations,
    servers: () => parties.present(),
  })
  const traced = trace !== undefined
  const registration = new Registration({
    ...{ vcpus, pages: options, space, pending, invalidations, traced },
    changed: () => asked.forget(),
  })
  const { parties, ports, mmio } = registration
  const asked = new AskedServer(mmio)
  const { guestMemory } = options
  const immediate = new ImmediateAccess({ parties, ports, mmio, space, failures, answer, guestMemory, trace })
  const submission = new Submission({ parties, space, immediate, pending, failures, answer, trace })
  return { registration, space, immediate, pending, failures, submission, asked }
}
