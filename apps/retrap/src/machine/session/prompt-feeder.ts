/** A piece of input, and the prompt to wait for. */
interface Item {
  readonly bytes: Uint8Array
  /** Lines are typed only at a prompt; otherwise also into a guest that is quiet. */
  readonly promptOnly: boolean
}

/** A guest that has been quiet for this long waits for input, even without a prompt. */
const QUIET_MS = 1000
/** A kernel's message, which may well arrive in the middle of a prompt. */
const KERNEL_LINE = /\[ *\d+\.\d{6}\] [^\n]*\n/g
// The sequences of a shell that asks about its terminal.
// oxlint-disable-next-line no-control-regex -- the escape character begins each of them
const CONTROL_SEQUENCE = /\u001b\[[0-9;?]*[A-Za-z]/g
const TAIL_LENGTH = 4096

/**
 * Types into a shell on a serial line. A line is sent when the shell has shown that it waits for one: a serial line has
 * no flow control that a shell keeps to, and bytes that arrive before the shell has started are lost.
 */
export class PromptFeeder {
  readonly #prompt: RegExp
  readonly #send: (bytes: Uint8Array) => void
  readonly #queue: Item[] = []
  readonly #decoder = new TextDecoder('latin1')
  /** The guest's output since the last piece was sent. */
  #tail = ''
  #sawPrompt = false
  #queuedBytes = 0
  #quiet: ReturnType<typeof setTimeout> | undefined

  /** @param prompt - matches the shell's output when it waits, usually up to a final `$` */
  constructor(prompt: RegExp, send: (bytes: Uint8Array) => void) {
    this.#prompt = prompt
    this.#send = send
  }

  /** Whether a prompt has appeared yet: from then on a shell reads typed lines. */
  get isReady(): boolean {
    return this.#sawPrompt
  }

  /** The bytes that wait to be sent. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** Queues one line, or another piece that the guest should see at once. */
  add(bytes: Uint8Array, options: { readonly promptOnly: boolean }): void {
    this.#queue.push({ bytes, promptOnly: options.promptOnly })
    this.#queuedBytes += bytes.length
    this.#feed()
  }

  /** Processes the guest's output. */
  transmitted(bytes: Uint8Array): void {
    this.#tail = (this.#tail + this.#decoder.decode(bytes)).slice(-TAIL_LENGTH)
    this.#feed()
  }

  /** Stops permanently. */
  stop(): void {
    this.#queue.length = 0
    clearTimeout(this.#quiet)
  }

  #atPrompt(): boolean {
    const text = this.#tail.replace(CONTROL_SEQUENCE, '').replace(KERNEL_LINE, '')
    return this.#prompt.test(text)
  }

  #feed(): void {
    clearTimeout(this.#quiet)
    const atPrompt = this.#atPrompt()
    this.#sawPrompt ||= atPrompt
    const next = this.#queue[0]
    if (next === undefined || !this.#sawPrompt) return
    if (atPrompt) this.#sendNext()
    else if (!next.promptOnly) this.#quiet = setTimeout(() => this.#sendNext(), QUIET_MS)
  }

  #sendNext(): void {
    const next = this.#queue.shift()
    if (next === undefined) return
    this.#queuedBytes -= next.bytes.length
    this.#tail = ''
    this.#send(next.bytes)
    // The next piece waits for the answer to this one.
    if (this.#queue[0]?.promptOnly === false) this.#quiet = setTimeout(() => this.#sendNext(), QUIET_MS)
  }
}
