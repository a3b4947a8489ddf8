import {
  type BlockBackend,
  BlockError,
  type BlockErrorCode,
  type DeviceContext,
  Instant,
  type Timer,
} from '@retrap/device'
import type { Word64 } from '@retrap/device'
import type { AtaDrive, DriveStep } from './drive.ts'

/** Virtual time that a request of a medium takes. On deterministic time the guest waits for a slower host without noticing. */
const LATENCY_NS = 20_000

/** What has become of a request; `undefined`: it is under way. */
type Result = BlockErrorCode | null | undefined

/** A request that has not been answered to the drive. */
interface Request {
  readonly drive: AtaDrive
  readonly step: DriveStep
  readonly abort: AbortController
  /** The host has been asked. */
  begun: boolean
  result: Result
  /** Its virtual time is over. */
  due: boolean
  /** Ends the wait of deterministic time. */
  release: () => void
}

/** Saved form of {@link MediumRequests}. */
export interface MediumRequestsState {
  /** What the host has answered; absent: nothing yet. */
  readonly result?: BlockErrorCode | null
  /** Its virtual time is over. */
  readonly due: boolean
  /** The end of its virtual time. */
  readonly deadline: Word64 | null
}

/**
 * The one request that a channel's drives have under way at a time. Its answer takes effect at a virtual instant that is
 * fixed when it is made, or when the host has it, if that is later.
 *
 * A request that is given up is cancelled, and its answer is dropped. As the host may be busy with it all the same, the next
 * request waits for its end: a write that was given up must not come after one that follows.
 */
export class MediumRequests {
  readonly #timer: Timer
  readonly #answer: (error: BlockErrorCode | null) => void
  #current: Request | null = null
  /** What the host is busy with. */
  #running: Promise<void> | null = null
  #paused = false

  /** @param answer - called with the outcome of a request, in virtual time */
  constructor(context: DeviceContext, answer: (error: BlockErrorCode | null) => void) {
    this.#answer = answer
    this.#timer = context.timer(() => this.#expired())
  }

  /** Begins a request for a part of the drive's buffer. */
  start(drive: AtaDrive, step: DriveStep): void {
    this.#begin({ drive, step, abort: new AbortController(), begun: false, result: undefined, due: false, release })
    this.#timer.armAfter(LATENCY_NS)
  }

  #begin(request: Request): void {
    this.#current = request
    const before = this.#running
    if (before === null) this.#ask(request)
    else void before.then(() => this.#current === request && this.#ask(request))
  }

  #ask(request: Request): void {
    request.begun = true
    const running = perform(request).then((result) => {
      if (this.#running === running) this.#running = null
      request.result = result
      if (this.#current === request && request.due) this.#finish(request)
    })
    this.#running = running
  }

  #expired(): void | Promise<void> {
    const request = this.#current
    if (request === null) return
    request.due = true
    if (request.result !== undefined) return this.#finish(request)
    return new Promise((resolve) => (request.release = resolve))
  }

  #finish(request: Request): void {
    if (this.#paused) return
    this.#current = null
    const { result, release } = request
    this.#answer(result ?? null)
    release()
  }

  /** Gives the request up. */
  cancel(): void {
    const request = this.#current
    if (request === null) return
    this.#current = null
    this.#timer.cancel()
    request.release()
    if (!request.begun || request.result !== undefined) return
    request.drive.renewBuffer()
    request.abort.abort()
  }

  /** Answers nothing from now on. @returns settles when the host is busy with nothing */
  async pause(): Promise<void> {
    this.#paused = true
    // oxlint-disable-next-line no-await-in-loop -- the end of one lets the next one begin
    while (this.#running !== null) await this.#running
  }

  /** Goes on. */
  resume(): void {
    this.#paused = false
    const request = this.#current
    if (request !== null && request.due && request.result !== undefined) this.#finish(request)
  }

  save(): MediumRequestsState | null {
    const request = this.#current
    if (request === null) return null
    const deadline = new Instant()
    const armed = this.#timer.readDeadline(deadline)
    return {
      ...(request.result !== undefined && { result: request.result }),
      due: request.due,
      deadline: armed ? deadline.save() : null,
    }
  }

  /** Takes what `save` returned, of a drive whose step is `step`. What the host had not answered is asked again. */
  restore(state: MediumRequestsState | null, drive: AtaDrive | null, step: DriveStep): void {
    this.cancel()
    if (state === null || drive === null) return
    const { result, due, deadline } = state
    const request: Request = { drive, step, abort: new AbortController(), begun: true, result, due, release }
    if (result === undefined) this.#begin({ ...request, begun: false })
    else this.#current = request
    if (deadline !== null) this.#timer.armAfter(0, deadline)
  }
}

const release = (): void => {}

/** Asks the medium. Whatever it throws is a failure of the medium. */
async function perform({ drive, step, abort }: Request): Promise<BlockErrorCode | null> {
  try {
    await request(drive.medium, drive.buffer.subarray(step.start, step.end), step, abort.signal)
    return null
  } catch (error) {
    return error instanceof BlockError ? error.code : 'ERR_MEDIUM'
  }
}

async function request(
  medium: BlockBackend | null,
  bytes: Uint8Array,
  { kind, offset, durable }: DriveStep,
  signal: AbortSignal,
): Promise<void> {
  if (medium === null) throw new BlockError('ERR_NO_MEDIUM', 'the drive has no medium')
  if (kind === 'flush') return medium.flush({ signal })
  const { blockBytes, maximumBytes } = medium.properties
  const most = Math.max(1, Math.floor(maximumBytes / blockBytes)) * blockBytes
  for (let at = 0; at < bytes.length; at += most) {
    // Between two parts nobody else hears of it.
    if (signal.aborted) throw new BlockError('ERR_CANCELLED', 'the request was cancelled')
    const part = bytes.subarray(at, at + most)
    // oxlint-disable-next-line no-await-in-loop -- one after the other: a failure is at the first sector that is not moved
    if (kind === 'read') await medium.read(offset + at, part, { signal })
    // oxlint-disable-next-line no-await-in-loop
    else await medium.write(offset + at, part, { signal, durable })
  }
}
