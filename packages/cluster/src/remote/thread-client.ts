import { ClusterError, type ClusterErrorCode } from '../errors.ts'
import type { ErrorTold, ThreadPort } from './messages.ts'

/** A thread that serves guests, as `serveGuests` does, or a lane. */
export interface GuestThread extends ThreadPort {
  /** The name for people: `Worker 1`. */
  readonly name: string
  /** Names the listener that is told why the thread has ended. */
  onEnd(listener: (why: string) => void): void
}

interface Answer {
  readonly error?: ErrorTold
}

/** Asks a thread, which answers in the order of the questions. A message has several questions, or several answers. */
export class ThreadClient {
  readonly #thread: GuestThread
  readonly #errorOf: (told: ErrorTold) => Error
  /** Requests without an answer, in their order. */
  readonly #open: { readonly resolve: (answer: Answer) => void; readonly reject: (error: Error) => void }[] = []
  /** Requests that are not sent yet. */
  readonly #asked: object[] = []
  #count = 0
  #last: Promise<unknown> = Promise.resolve()
  #ended: Error | undefined

  /** @param ownErrorOf - makes an error of the caller's own classes once more; undefined: it is none of them */
  constructor(thread: GuestThread, ownErrorOf?: (told: ErrorTold) => Error | undefined) {
    this.#thread = thread
    this.#errorOf = (told) => ownErrorOf?.(told) ?? errorFrom(told)
    thread.onMessage((message) => {
      for (const answer of message as readonly Answer[]) this.#open.shift()?.resolve(answer)
    })
    thread.onEnd((why) => {
      this.#ended ??= new ClusterError('ERR_MACHINE', `${thread.name}, which runs machines, has ended: ${why}`)
      for (const { reject } of this.#open.splice(0)) reject(this.#ended)
    })
  }

  /** Returns a number for a new guest, or a new disk. */
  number(): number {
    return this.#count++
  }

  /** Answers come in the order of the requests. */
  async settled(): Promise<void> {
    await this.#last.catch(() => undefined)
  }

  /** Sends a request whose answer nobody needs. A thread that has ended has neither guests nor disks. */
  tell(request: object): void {
    this.ask(request).catch(() => undefined)
  }

  /** @throws ClusterError `ERR_MACHINE` for a thread that has ended; errors of the calls */
  async ask<Reply extends object>(request: object): Promise<Reply> {
    if (this.#ended !== undefined) throw this.#ended
    const promise = new Promise<Answer>((resolve, reject) => {
      this.#open.push({ resolve, reject })
      // Requests of one turn of promises are one message.
      if (this.#asked.push(request) === 1) queueMicrotask(() => this.#thread.post(this.#asked.splice(0)))
    })
    this.#last = promise
    const answer = await promise
    if (answer.error !== undefined) throw this.#errorOf(answer.error)
    return answer as Reply
  }
}

/** An error of this package, or of none that has classes of its own. */
function errorFrom({ name, code, message }: ErrorTold): Error {
  if (name === 'ClusterError') return new ClusterError(code as ClusterErrorCode, message)
  return Object.assign(new Error(message), { name, code })
}
