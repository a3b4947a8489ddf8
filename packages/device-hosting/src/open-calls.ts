import { IoreqError } from '@retrap/ioreq'
import type { Frame } from './frames.ts'

/** A call that has no reply yet. */
interface OpenCall {
  resolve(result: string): void
  reject(error: unknown): void
}

/** The calls to a device server that wait for their `called` frames. Each has a number, which its reply names. */
export class OpenCalls {
  readonly #server: string
  readonly #send: (frame: Frame) => void
  readonly #open = new Map<number, OpenCall>()
  #next = 1
  #ended = false

  /** @param server - names the server in errors */
  constructor(server: string, send: (frame: Frame) => void) {
    this.#server = server
    this.#send = send
  }

  #gone(): IoreqError {
    return new IoreqError('ERR_NOT_FOUND', `server ${this.#server} is gone`)
  }

  /**
   * Makes a call.
   *
   * @param frame - makes the frame of a call of this number
   * @returns settles with the result that the server replies
   * @throws IoreqError `ERR_DEVICE` with the server's own error; `ERR_NOT_FOUND` for a server that has ended
   */
  make(frame: (call: number) => Frame): Promise<string> {
    if (this.#ended) return Promise.reject(this.#gone())
    const call = this.#next++
    const promise = new Promise<string>((resolve, reject) => this.#open.set(call, { resolve, reject }))
    this.#send(frame(call))
    return promise
  }

  /** Takes a reply. @throws IoreqError `ERR_PROTOCOL` for one to no open call */
  take({ call, error, result }: Extract<Frame, { readonly kind: 'called' }>): void {
    const open = this.#open.get(call)
    this.#open.delete(call)
    if (open === undefined) throw new IoreqError('ERR_PROTOCOL', `a reply to call ${call}, which is not open`)
    if (error === '') open.resolve(result)
    else open.reject(new IoreqError('ERR_DEVICE', error))
  }

  /** The server is gone: no call has a reply any more. @returns the error that says so */
  end(): IoreqError {
    this.#ended = true
    const error = this.#gone()
    for (const call of this.#open.values()) call.reject(error)
    this.#open.clear()
    return error
  }
}
