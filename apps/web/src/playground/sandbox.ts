import type { Machine } from '@retrap/web'
import { readReport, type Report } from './report.ts'
import { transform } from 'sucrase'

/** A mistake in the user's code. */
export class CompileError extends Error {
  /** Line number from 1; null if unknown. */
  readonly line: number | null

  constructor(message: string, line: number | null) {
    super(message)
    this.line = line
  }
}

/**
 * Strips the types from TypeScript. Line numbers stay the same.
 *
 * @returns the body of a function of `require` and `exports`
 * @throws CompileError
 */
export function compile(code: string): string {
  try {
    return transform(code, { transforms: ['typescript', 'imports'], disableESTransforms: true }).code
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const line = /\((\d+):\d+\)\s*$/.exec(message)?.[1]
    throw new CompileError(
      message.replace(/^Error transforming undefined: /, ''),
      line === undefined ? null : Number(line),
    )
  }
}

/** Names the playground's devices in the machine. */
const SERVER = 'playground'
/**
 * Reports of this much time, above which the devices are taken out: the page would have no time for anything else. On a slow
 * host a page that does nothing else handles a tenth of a fast host's reports.
 */
const MOST_REPORTS = 10_000
const REPORTS_MS = 10_000
/** Time limit for a loaded document to report that its script runs. */
const READY_MS = 2000
const NOT_READY =
  'The document that devices run in does not start: this browser, an extension of it, or a policy of the server blocks its script.'

/** The text of document.html, with its script's hash. The build puts it in. */
declare const PLAYGROUND_DOCUMENT: string

/** A document without the page's origin, in whose Worker the user's devices run. */
export class Sandbox {
  readonly #machine: Machine
  readonly #told: (report: Report) => void
  #frame: HTMLIFrameElement | null = null
  #reports: MessagePort | null = null
  /** Reports since a time in milliseconds. */
  #count = 0
  #since = 0

  constructor(machine: Machine, told: (report: Report) => void) {
    this.#machine = machine
    this.#told = told
  }

  /** Attaches the devices that the code exports, in place of those before. @throws CompileError, WebError */
  async attach(code: string): Promise<void> {
    const body = compile(code)
    await this.detach()
    const program = await (await fetch('device-program.js')).text()
    const frame = await this.#openFrame()
    const [devices, reports] = [new MessageChannel(), new MessageChannel()]
    this.#reports = reports.port1
    // Messages of earlier programs are not this one's.
    this.#since = performance.now()
    this.#count = 0
    const failed = Promise.withResolvers<never>()
    failed.promise.catch(() => {})
    reports.port1.onmessage = ({ data }) => this.#report(data, failed.reject)
    this.#onError = ({ source, data }) => {
      if (source === frame.contentWindow) this.#report(data, failed.reject)
    }
    addEventListener('message', this.#onError)
    // The Worker's address is as long as the program is: in stacks the program has a name.
    const source = `function retrapDevices(require, exports) {${body}\n}\n${program}\n//# sourceURL=retrap-devices.js`
    // The document has no origin that could be named.
    frame.contentWindow!.postMessage(source, '*', [devices.port2, reports.port2])
    try {
      await Promise.race([this.#machine.attachDevices(SERVER, devices.port1), failed.promise])
    } catch (error) {
      await this.detach()
      throw error
    }
  }

  /** Takes the devices out, and ends their document. */
  async detach(): Promise<void> {
    removeEventListener('message', this.#onError)
    this.#reports?.close()
    this.#reports = null
    this.#frame?.remove()
    this.#frame = null
    await this.#machine.detachDevices(SERVER).catch(() => false)
  }

  #onError: (event: MessageEvent) => void = () => {}

  #report(data: unknown, failed: (error: Error) => void): void {
    if (this.#isFlood()) {
      const message = `The device says more than ${(1000 * MOST_REPORTS) / REPORTS_MS} things a second, and was taken out.`
      this.#told({ kind: 'attached', names: [] })
      this.#told({ kind: 'error', message, line: null })
      failed(new Error(message))
      return void this.detach()
    }
    const report = readReport(data)
    if (report === null) return
    this.#told(report)
    if (report.kind === 'error') failed(new Error(report.message))
  }

  #isFlood(): boolean {
    const now = performance.now()
    if (now - this.#since >= REPORTS_MS) {
      this.#since = now
      this.#count = 0
    }
    return ++this.#count > MOST_REPORTS
  }

  async #openFrame(): Promise<HTMLIFrameElement> {
    const frame = document.createElement('iframe')
    frame.setAttribute('sandbox', 'allow-scripts')
    frame.hidden = true
    frame.title = 'Devices of the playground'
    // Text is isolated as this page is, whatever headers the server sends. Firefox would let in no file of the server's, and no
    // service worker has a document without an origin.
    frame.srcdoc = PLAYGROUND_DOCUMENT
    this.#frame = frame
    const { promise: ready, resolve, reject } = Promise.withResolvers<void>()
    this.#onError = ({ source }) => source === frame.contentWindow && resolve()
    addEventListener('message', this.#onError)
    frame.addEventListener('load', () => setTimeout(() => reject(new Error(NOT_READY)), READY_MS), { once: true })
    document.body.append(frame)
    try {
      await ready
    } catch (error) {
      await this.detach()
      throw error
    }
    removeEventListener('message', this.#onError)
    return frame
  }
}
