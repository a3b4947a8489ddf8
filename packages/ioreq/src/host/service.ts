import type { AccessRequest, CancelSignal } from '@retrap/device'
import { cut, isPromise, isWord, notNumber } from '@retrap/device/host'
import type { OneCall, ReplyTarget } from '../channel.ts'
import { IOREQ_READ } from '../layout.ts'
import type { ClaimedRegion } from '../region.ts'

/** An access in progress, as its handler sees it. */
export class PendingAccess implements AccessRequest {
  readonly vcpu: number
  #controller: AbortController | null = null
  /** The vCPU no longer waits. */
  cancelled = false

  constructor(vcpu: number) {
    this.vcpu = vcpu
  }

  /** Nobody has asked for its signal, and nothing has been signalled: it does for another access as well. */
  get unused(): boolean {
    return this.#controller === null && !this.cancelled
  }

  get signal(): CancelSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController()
      if (this.cancelled) this.#controller.abort()
    }
    return this.#controller.signal as CancelSignal
  }

  cancel(): void {
    this.cancelled = true
    this.#controller?.abort()
  }
}

/**
 * Serves the requests of one vCPU, one at a time: the access in progress, and how a model's promise ends it. Made
 * once, so that a request makes nothing.
 */
export class Service implements OneCall {
  readonly vcpu: number
  #replies: ReplyTarget
  /** The access in progress; null between requests. */
  access: PendingAccess | null = null
  #spare: PendingAccess | null = null
  #region: ClaimedRegion | null = null
  #read = false
  readonly #late = (value: unknown): void => this.#end(value, true)
  readonly #failed = (error: unknown): void => this.#fail(error)

  constructor(vcpu: number, replies: ReplyTarget) {
    this.vcpu = vcpu
    this.#replies = replies
  }

  /** Begins a request, whose answer goes to `replies`. */
  begin(replies: ReplyTarget): PendingAccess {
    this.#replies = replies
    const access = this.#spare ?? new PendingAccess(this.vcpu)
    this.access = access
    this.#region = null
    return access
  }

  #finish(): void {
    const { access } = this
    this.access = null
    this.#spare = access !== null && access.unused ? access : null
  }

  /** Whether the service waits for a call of this model's. */
  waitsFor(device: string): boolean {
    return this.access !== null && this.#region?.device === device
  }

  /** Ends the service: what the promise of an access still says goes nowhere. */
  giveUp(): void {
    this.access = null
  }

  /** The common case: one call of one handler. A model that answers at once ends the request at once. */
  call(region: ClaimedRegion, offset: number, size: 1 | 2 | 4, direction: number, value: number): void {
    const access = this.access!
    this.#region = region
    this.#read = direction === IOREQ_READ
    let answer: unknown
    try {
      answer = this.#read
        ? region.handler.read(offset, size, access)
        : region.handler.write(offset, size, cut(value, size), access)
      // Also this is the model's: it may have a `then` of its own.
      if (isPromise(answer)) {
        settlingOnce(answer).then(this.#late, this.#failed)
        return
      }
    } catch (error) {
      return this.#fail(error)
    }
    this.#end(answer, false)
  }

  #end(value: unknown, last: boolean): void {
    // Given up meanwhile.
    if (this.access === null) return
    if (this.#read && !isWord(value)) {
      return this.#fail(notNumber(value))
    }
    this.answer(this.#read ? (value as number) >>> 0 : 0, 0, last)
  }

  #fail(error: unknown): void {
    if (this.access !== null) this.reject(this.#region?.device ?? '', error)
  }

  /** Ends the access in progress with its answer. */
  answer(lo: number, hi: number, last: boolean): void {
    this.#finish()
    this.#replies.answer(this.vcpu, lo, hi, last)
  }

  /** Ends the access in progress, which a model cannot answer. */
  reject(device: string, error: unknown): void {
    this.#finish()
    this.#replies.reject(this.vcpu, device, error)
  }
}

/** A promise of another make may settle twice, or while it is asked, and the second time is another access's. */
function settlingOnce(answer: PromiseLike<unknown>): Promise<unknown> {
  return answer.then === Promise.prototype.then
    ? (answer as Promise<unknown>)
    : new Promise((resolve) => resolve(answer))
}
