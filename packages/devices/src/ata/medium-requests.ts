import {
  type BlockBackend,
  BlockError,
  type BlockErrorCode,
  type CancelSignal,
  type DeviceContext,
  LateAnswers,
  type Word64,
} from '@retrap/device'
import type { AtaDrive, DriveStep } from './drive.ts'

/** A part of a drive's command that its medium does. */
interface DriveRequest {
  readonly drive: AtaDrive
  readonly step: DriveStep
}

/** The result of a request; null: success. */
type Result = BlockErrorCode | null

/** Saved form of {@link MediumRequests}. */
export interface MediumRequestsState {
  /** The host's response; absent: pending. */
  readonly result?: Result
  /** The virtual instant of the answer. */
  readonly deadline: Word64
}

/** The one request that a channel's drives have under way at a time. Its data is in the buffer of the drive. */
export class MediumRequests {
  /** The request in progress, which completes later. */
  readonly late: LateAnswers<DriveRequest, Result>
  #drive: AtaDrive | null = null

  /** @param answer - called with the outcome of a request, in virtual time */
  constructor(context: DeviceContext, answer: (error: Result) => void) {
    this.late = new LateAnswers(context, {
      ask: ({ drive: { medium, buffer }, step }, signal) =>
        performOn(medium, buffer.subarray(step.start, step.end), step, signal),
      answer: (_, result) => answer(result),
    })
  }

  /** Begins a request for a part of the drive's buffer. */
  start(drive: AtaDrive, step: DriveStep): void {
    this.#drive = drive
    this.late.start({ drive, step })
  }

  /**
   * Makes a request before it returns, where the medium takes no wait and the guest may be answered at once.
   *
   * @returns undefined if `start` has to begin the request
   */
  performInPlace({ medium, buffer }: AtaDrive, { kind, start, end, offset, durable }: DriveStep): Result | undefined {
    if (medium === null || durable || !this.late.mayAnswerAtOnce) return undefined
    if (end - start > medium.properties.maximumBytes) return undefined
    const bytes = buffer.subarray(start, end)
    try {
      const isDone =
        kind === 'read' ? medium.readInPlace?.(offset, bytes) : kind === 'write' && medium.writeInPlace?.(offset, bytes)
      return isDone === true ? null : undefined
    } catch (error) {
      return codeOf(error)
    }
  }

  /** Gives the request up. @param before - other work of the host that later requests wait for, too */
  cancel(before: Promise<void> | null = null): void {
    if (before !== null) this.late.hold(before)
    else if (this.late.count === 0) return
    // The host may be at the buffer for longer than the drive waits. A state that is saved does not show whether it is.
    if (this.late.count > 0) this.#drive?.renewBuffer()
    this.late.cancel()
  }

  /** Resolves when the host has finished the present request; null: none. */
  get pending(): Promise<void> | null {
    return this.late.busy ? this.late.ended() : null
  }

  save(): MediumRequestsState | null {
    const [request] = this.late.save()
    if (request === undefined) return null
    const { answer, deadline } = request
    return { ...(answer !== undefined && { result: answer }), deadline }
  }

  /** Restores a state of `save`, of a drive whose step is `step`. Requests that the host had not answered are asked again. */
  restore(state: MediumRequestsState | null, drive: AtaDrive | null, step: DriveStep): void {
    this.cancel()
    if (state === null || drive === null) return
    this.#drive = drive
    this.late.restore([{ request: { drive, step }, answer: state.result, deadline: state.deadline }])
  }
}

const codeOf = (error: unknown): BlockErrorCode => (error instanceof BlockError ? error.code : 'ERR_MEDIUM')

/**
 * Makes a request of a medium, in parts of the largest size that it takes.
 *
 * @param bytes - read into, or written
 * @returns the code of a failure; any exception counts as a failure of the medium
 */
export async function performOn(
  medium: BlockBackend | null,
  bytes: Uint8Array,
  { kind, offset, durable }: Pick<DriveStep, 'kind' | 'offset' | 'durable'>,
  signal: CancelSignal,
): Promise<Result> {
  if (medium === null) return 'ERR_NO_MEDIUM'
  try {
    if (kind === 'flush') {
      await medium.flush({ signal })
      return null
    }
    const { blockBytes, maximumBytes } = medium.properties
    const most = Math.max(1, Math.floor(maximumBytes / blockBytes)) * blockBytes
    for (let at = 0; at < bytes.length; at += most) {
      // Check between two parts, because only the present one is notified.
      if (signal.aborted) return 'ERR_CANCELLED'
      const part = bytes.subarray(at, at + most)
      if (kind === 'read') await medium.read(offset + at, part, { signal })
      else await medium.write(offset + at, part, { signal, durable })
    }
    return null
  } catch (error) {
    return codeOf(error)
  }
}
