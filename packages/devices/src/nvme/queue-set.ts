import type { PlainState } from '@retrap/device'
import { type NvmeCommand, DO_NOT_RETRY, STATUS } from './command.ts'
import { PAGE_BYTES } from './data-pointer.ts'
import { CompletionQueue, SubmissionQueue } from './queues.ts'

/** Entries of the largest queue. */
export const MOST_ENTRIES = 1024
/** The admin queues. */
export const ADMIN = 0

const CONTIGUOUS = 0x01
const INTERRUPTS = 0x02

/** Saved queues, by number. */
type SavedQueues<S = unknown> = readonly (readonly [id: number, state: S])[]

/** All queues of a controller. */
export class QueueSet {
  readonly submissions: Map<number, SubmissionQueue> = new Map()
  readonly completions: Map<number, CompletionQueue> = new Map()
  readonly #most: number
  readonly #vectors: number

  /** @param most - I/O queues of either kind; @param vectors - interrupts */
  constructor(most: number, vectors: number) {
    this.#most = most
    this.#vectors = vectors
  }

  /** Whether any I/O queue exists. */
  get hasIo(): boolean {
    return this.submissions.size > 1 || this.completions.size > 1
  }

  /** Makes the two admin queues, which the registers describe. */
  createAdmin(submission: { base: number; size: number }, completion: { base: number; size: number }): void {
    const queue = new CompletionQueue({ id: ADMIN, ...completion }, 0, true)
    this.completions.set(ADMIN, queue)
    this.submissions.set(ADMIN, new SubmissionQueue({ id: ADMIN, ...submission }, queue))
  }

  /** Create I/O Completion Queue. Source: NVM Express 1.4, §5.3. @returns a status */
  createCompletions(command: NvmeCommand): number {
    const id = command.word(10) & 0xffff
    const size = (command.word(10) >>> 16) + 1
    const flags = command.word(11)
    const wrong = this.#checkNew(command, this.completions)
    if (wrong !== STATUS.SUCCESS) return wrong
    const vector = flags >>> 16
    if (vector >= this.#vectors) return STATUS.INVALID_INTERRUPT_VECTOR | DO_NOT_RETRY
    const interrupts = (flags & INTERRUPTS) !== 0
    this.completions.set(id, new CompletionQueue({ id, base: command.prp1, size }, vector, interrupts))
    return STATUS.SUCCESS
  }

  /** Create I/O Submission Queue. Source: NVM Express 1.4, §5.4. @returns a status */
  createSubmissions(command: NvmeCommand): number {
    const id = command.word(10) & 0xffff
    const size = (command.word(10) >>> 16) + 1
    const completions = command.word(11) >>> 16
    if (completions > this.#most) return STATUS.INVALID_QUEUE_IDENTIFIER | DO_NOT_RETRY
    const queue = completions === ADMIN ? undefined : this.completions.get(completions)
    if (queue === undefined) return STATUS.INVALID_COMPLETION_QUEUE | DO_NOT_RETRY
    const wrong = this.#checkNew(command, this.submissions)
    if (wrong !== STATUS.SUCCESS) return wrong
    this.submissions.set(id, new SubmissionQueue({ id, base: command.prp1, size }, queue))
    return STATUS.SUCCESS
  }

  #checkNew(command: NvmeCommand, there: ReadonlyMap<number, unknown>): number {
    const id = command.word(10) & 0xffff
    const size = (command.word(10) >>> 16) + 1
    let status: number = STATUS.SUCCESS
    if (id === ADMIN || id > this.#most || there.has(id)) status = STATUS.INVALID_QUEUE_IDENTIFIER
    else if (size < 2 || size > MOST_ENTRIES) status = STATUS.INVALID_QUEUE_SIZE
    else if ((command.word(11) & CONTIGUOUS) === 0) status = STATUS.INVALID_FIELD
    else if (command.prp1 % PAGE_BYTES !== 0) status = STATUS.INVALID_PRP_OFFSET
    return status === STATUS.SUCCESS ? status : status | DO_NOT_RETRY
  }

  /** Delete I/O Completion Queue. Source: NVM Express 1.4, §5.5. @returns a status */
  deleteCompletions(command: NvmeCommand): number {
    const id = command.word(10) & 0xffff
    const queue = id === ADMIN ? undefined : this.completions.get(id)
    if (queue === undefined) return STATUS.INVALID_QUEUE_IDENTIFIER | DO_NOT_RETRY
    for (const { completions } of this.submissions.values())
      if (completions === queue) return STATUS.INVALID_QUEUE_DELETION | DO_NOT_RETRY
    this.completions.delete(id)
    return STATUS.SUCCESS
  }

  /** Notes that a queue is to be deleted once its commands have ended. Source: NVM Express 1.4, §5.6. @returns a status */
  closeSubmissions(command: NvmeCommand): number {
    const id = command.word(10) & 0xffff
    const queue = id === ADMIN ? undefined : this.submissions.get(id)
    if (queue === undefined || queue.deletion !== null) return STATUS.INVALID_QUEUE_IDENTIFIER | DO_NOT_RETRY
    queue.deletion = command
    return STATUS.SUCCESS
  }

  clear(): void {
    this.submissions.clear()
    this.completions.clear()
  }

  save(): PlainState {
    return {
      completions: [...this.completions].map(([id, queue]) => [id, queue.save()] as const),
      submissions: [...this.submissions].map(([id, queue]) => [id, queue.save()] as const),
    }
  }

  restore(state: {
    readonly completions: SavedQueues
    readonly submissions: SavedQueues<{ readonly completions: number }>
  }): void {
    this.clear()
    for (const [id, saved] of state.completions) this.completions.set(id, CompletionQueue.from(id, saved))
    for (const [id, saved] of state.submissions) {
      const queue = this.completions.get(saved.completions)
      if (queue !== undefined) this.submissions.set(id, SubmissionQueue.from(id, saved, queue))
    }
  }
}
