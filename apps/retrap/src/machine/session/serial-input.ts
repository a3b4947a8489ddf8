import { EscapeFilter } from './escape-filter.ts'

const CTRL_D = Uint8Array.of(0x04)
const LINE_FEED = 0x0a
/** The longest line that a terminal takes in one piece (Linux's N_TTY_BUF_SIZE). */
const LONGEST_LINE = 4096
/** Bytes at which the sender is paused. */
const FULL_BYTES = 65_536

/**
 * The treatment of the user's input:
 * - `pass`: it goes to the guest as it comes, and its end means nothing;
 * - `shell`: it waits for the shell's prompt; lines of a pipe are typed one by one, and its end becomes Ctrl-D,
 *   with which the user leaves a shell;
 * - `script`: these lines are typed instead, each at a prompt.
 */
export type InputPolicy =
  | { readonly kind: 'pass' }
  | { readonly kind: 'shell'; readonly prompt: RegExp }
  | { readonly kind: 'script'; readonly prompt: RegExp; readonly lines: readonly string[] }

export interface SerialInputOptions {
  readonly policy: InputPolicy
  /** Ctrl-A c goes to the monitor and back, with a command after another in between. */
  readonly staysAtPrompt?: boolean
  /** Whether a person is typing. Then nothing is paced: the person sees the prompt. */
  readonly interactive: boolean
  /** Sends bytes to the guest. @returns false if so many wait that no more should be sent before `drained` */
  readonly send: (bytes: Uint8Array) => boolean
  /** Ctrl-A x. */
  readonly onLeave: () => void
  /** Ctrl-A p. */
  readonly onPower: () => void
  /** The user saves the machine. */
  readonly onSave: () => void
  /** Ctrl-A h. */
  readonly onHelp: () => void
  /** Called for Ctrl-A d, if typed input goes to a keyboard. */
  readonly onRestart?: () => void
  /** Ctrl-A c: a command is about to be typed. */
  readonly onPrompt?: () => void
  /** Echoes the typed characters of a command. */
  readonly onEcho?: (bytes: Uint8Array) => void
  /** Called with a complete command; null: the user has cancelled it. */
  readonly onCommand?: (line: string | null) => void
  /** The input {@link SerialInput.isFull | was full} and no longer is. */
  readonly onRoom: () => void
}

/** The way from the user's input to the guest's serial port, or to its keyboard. */
export class SerialInput {
  readonly #options: SerialInputOptions
  readonly #filter: EscapeFilter
  /** Types lines at prompts, if the policy says so. */
  readonly feeder: PromptFeeder | undefined
  /** Typed before there was a shell, or not yet a whole line of a pipe. */
  #pending: number[] = []
  #wasFull = false
  /** Whether the guest currently takes no input. */
  #blocked = false

  constructor(options: SerialInputOptions) {
    this.#options = options
    this.#filter = new EscapeFilter(options.onRestart !== undefined, options.staysAtPrompt)
    const { policy } = options
    if (policy.kind === 'shell' || policy.kind === 'script') {
      this.feeder = new PromptFeeder(policy.prompt, (bytes) => this.#feed(bytes))
    }
    if (policy.kind === 'script') {
      for (const line of policy.lines) this.feeder?.add(new TextEncoder().encode(`${line}\n`), { promptOnly: true })
    }
  }

  /**
   * Whether so many bytes wait for the guest that their source should pause. A person's never should: the keys that
   * leave the guest come the same way. Other keys are lost then, as on a real line.
   */
  get isFull(): boolean {
    this.#wasFull = !this.#options.interactive && this.#hasNoRoom()
    return this.#wasFull
  }

  #hasNoRoom(): boolean {
    return this.#blocked || (this.feeder?.queuedBytes ?? 0) + this.#pending.length >= FULL_BYTES
  }

  /** Takes input of the user's. */
  typed(bytes: Uint8Array): void {
    const { forGuest, asked, echo, commands } = this.#filter.push(bytes)
    if (asked.has('prompt')) this.#options.onPrompt?.()
    if (echo.length > 0) this.#options.onEcho?.(echo)
    for (const line of commands) this.#options.onCommand?.(line)
    if (asked.has('help')) this.#options.onHelp()
    if (asked.has('power')) this.#options.onPower()
    if (asked.has('save')) this.#options.onSave()
    if (forGuest.length > 0 && !(this.#options.interactive && this.#hasNoRoom())) this.#forward(forGuest)
    if (asked.has('restart')) this.#options.onRestart?.()
    if (asked.has('leave')) this.#options.onLeave()
  }

  /** The user's input has ended. */
  ended(): void {
    if (this.#options.policy.kind !== 'shell') return
    if (this.#pending.length > 0) this.feeder?.add(Uint8Array.of(...this.#pending, LINE_FEED), { promptOnly: false })
    this.#pending = []
    this.feeder?.add(CTRL_D, { promptOnly: true })
  }

  /** Processes the guest's output. */
  transmitted(bytes: Uint8Array): void {
    this.feeder?.transmitted(bytes)
    if (this.#options.interactive && this.feeder?.isReady === true && this.#pending.length > 0) {
      this.#send(Uint8Array.from(this.#pending))
      this.#pending = []
    }
  }

  /** Called when the guest has taken its input, or for a new machine. */
  drained(): void {
    this.#blocked = false
    if (this.#wasFull && !this.isFull) this.#options.onRoom()
  }

  #send(bytes: Uint8Array): void {
    this.#blocked = !this.#options.send(bytes)
  }

  #feed(bytes: Uint8Array): void {
    this.#send(bytes)
    if (this.#wasFull && !this.isFull) this.#options.onRoom()
  }

  #forward(bytes: Uint8Array): void {
    const { policy, interactive } = this.#options
    if (policy.kind === 'script') return
    if (policy.kind !== 'shell' || (interactive && this.feeder?.isReady === true)) {
      this.#send(bytes)
      return
    }
    for (const byte of bytes) {
      this.#pending.push(byte)
      if (interactive || (byte !== LINE_FEED && this.#pending.length < LONGEST_LINE)) continue
      this.feeder?.add(Uint8Array.from(this.#pending), { promptOnly: false })
      this.#pending = []
    }
  }
}

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
class PromptFeeder {
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
