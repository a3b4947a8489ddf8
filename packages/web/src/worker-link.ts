import { WebError } from './errors.ts'
import { type Calls, type FromWorker, movedParts, type ToWorker } from './protocol.ts'

/** The events among the messages of a Worker. */
export type WorkerEvent = Extract<FromWorker, { event: string }>

/** A call without a response yet. */
interface Waiting {
  readonly resolve: (value: never) => void
  readonly reject: (error: WebError) => void
}

/**
 * Starts the Worker of a machine: its program lies beside this module. A page that does so before its user has chosen a machine,
 * and hands the Worker to `createWorker`, has the machine the sooner.
 */
export function startMachineWorker(): Worker {
  if (new URL(import.meta.url).origin !== globalThis.origin) return startForeignWorker()
  // Bundlers recognise only this form: they bundle the program, and insert its address here.
  return new Worker(new URL('./machine-worker.js', import.meta.url), { type: 'module' })
}

/**
 * Has a Worker of {@link startMachineWorker} load an Arm board and generate its code, as it has done for a PC already. For pages
 * whose user may choose an Arm board: the Worker is busy with it for a moment, and a machine that is made first comes first.
 */
export function prepareArmBoard(worker: Worker): void {
  worker.postMessage({ tell: 'prepareArm' } satisfies ToWorker)
}

/** Address of the Workers' program, for a page that loads this module from another origin: shared by all Workers. */
let foreignProgram: string | undefined

/** Starts a Worker with a program of the page's origin, which Workers need; a module imported by it may come from a CDN, as this one does. */
function startForeignWorker(): Worker {
  foreignProgram ??= addressOf(`import ${JSON.stringify(beside('machine-worker.js'))}`)
  return new Worker(foreignProgram, { type: 'module' })
}

/** A page of no origin, such as a file of the user's or a sandboxed frame, gets no module Worker of a Blob's from Chromium. */
const addressOf = (program: string): string =>
  globalThis.origin === 'null'
    ? `data:text/javascript,${encodeURIComponent(program)}`
    : URL.createObjectURL(new Blob([program], { type: 'text/javascript' }))

/** A file beside this module, whose own address may end in a query. Bundlers do not know this form, and leave it. */
const beside = (file: string): string => import.meta.url.replace(/[^/?#]*(?:[?#].*)?$/, file)

/** The page's end of the connection to a machine's Worker. */
export class WorkerLink {
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  readonly #failed: (error: WebError) => void
  readonly #onMessage: (event: MessageEvent<FromWorker>) => void
  readonly #onError: (event: ErrorEvent | Event) => void
  #count = 0
  #closed: WebError | null = null

  /**
   * @param told - gets events
   * @param failed - called when the Worker has failed, and is gone
   */
  constructor(
    worker: Worker,
    told: (event: WorkerEvent) => void = () => {},
    failed: (error: WebError) => void = () => {},
  ) {
    this.#worker = worker
    this.#failed = failed
    this.#onMessage = ({ data }) => {
      if ('event' in data) told(data)
      else this.#answered(data)
    }
    this.#onError = (event) => {
      // The page has been notified: nothing else is to be reported.
      event.preventDefault()
      const why = event instanceof ErrorEvent && event.message !== '' ? event.message : 'its program cannot be loaded'
      this.close(new WebError('ERR_WORKER', `the machine's Worker has failed: ${why}`), true)
    }
    worker.addEventListener('message', this.#onMessage)
    worker.addEventListener('error', this.#onError)
    worker.addEventListener('messageerror', this.#onError)
  }

  /** Asks the Worker, and resolves with its answer. @throws WebError */
  call<K extends keyof Calls>(call: K, ...given: Parameters<Calls[K]>): Promise<ReturnType<Calls[K]>> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== null) return reject(this.#closed)
      const id = ++this.#count
      this.#waiting.set(id, { resolve, reject })
      this.#worker.postMessage({ call, id, given }, movedParts(given))
    })
  }

  /** Sends a message to the Worker. A Worker that has ended ignores it. */
  tell(message: Extract<ToWorker, { tell: string }>, transfer: Transferable[] = []): void {
    if (this.#closed === null) this.#worker.postMessage(message, transfer)
  }

  /**
   * Waits for the end of the Worker. Browsers do not report a Worker ended from outside, for example for lack of memory.
   *
   * @param lock - held by the Worker during its lifetime; null: no lock
   */
  watch(lock: string | null): void {
    const gone = (): void =>
      this.close(new WebError('ERR_WORKER', 'the browser has ended the Worker of the machine'), true)
    if (lock !== null) navigator.locks.request(lock, gone).catch(() => {})
  }

  /** Ends the Worker. Calls that wait fail with `error`. */
  close(error: WebError, isFailure = false): void {
    if (this.#closed !== null) return
    this.#closed = error
    this.#worker.removeEventListener('message', this.#onMessage)
    this.#worker.removeEventListener('error', this.#onError)
    this.#worker.removeEventListener('messageerror', this.#onError)
    this.#worker.terminate()
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
    if (isFailure) this.#failed(error)
  }

  #answered(data: Extract<FromWorker, { answer: number }>): void {
    const waiting = this.#waiting.get(data.answer)
    this.#waiting.delete(data.answer)
    if ('error' in data) waiting?.reject(new WebError(data.error.code, data.error.message))
    else waiting?.resolve(data.value as never)
  }
}
