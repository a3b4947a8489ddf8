import type { MachineExit, Pc } from '@retrap/machine'
import type { ArmMachine } from '@retrap/machine/arm'
import { TestError } from './errors.ts'
import { type Expected, printable, PrintedText } from './printed-text.ts'

export interface WaitOptions {
  /** Host time in milliseconds after which it fails; default that of the fixture. */
  readonly timeoutMs?: number | undefined
}

/** Options for a {@link TestMachine}'s waits. */
export interface TestMachineOptions<Machine> {
  /** The machine, which does not run. */
  readonly machine: Machine
  /** The shell's prompt; without it `command` is not available. */
  readonly prompt?: Expected | undefined
  /** The end of a line that `command` types; default `\n`. UEFI's shell takes `\r`. */
  readonly lineEnd?: string | undefined
  /** Host time that a wait may take, in milliseconds. */
  readonly timeoutMs: number
  /** The begin of the serial port's row, such as the prompt, printed before: it says where a long line is wrapped. Default: nothing. */
  readonly row?: string | undefined
}

/** The end of an error's message has this many characters of the guest's output. */
const SHOWN_CHARACTERS = 400
/** Guest time between two looks at the screen. A text shown for less may be missed. */
const LOOK_NS = 20e6
/** Host time from one look at a machine that executes nothing to the next: its guest may wait forever. */
const IDLE_LOOK_MS = 200
/** The longest time of a timer. */
const MOST_MS = 2 ** 31 - 1

/**
 * The machine of one test, from the instant at which all tests begin.
 *
 * The machine runs only while a test waits for it. After the awaited output it stops at the end of its processors' turn, which is
 * an instant of the guest. So on deterministic time a test is reproducible, instruction by instruction, independently of the
 * host.
 */
export class TestMachine<Machine extends Pc | ArmMachine = Pc> {
  /** The machine itself, for disks, keyboard, debugger and statistics. */
  readonly machine: Machine
  readonly #prompt: Expected | undefined
  readonly #lineEnd: string
  readonly #timeoutMs: number
  readonly #printed: PrintedText
  /** Checks after each output whether it matches the awaited text. */
  #look: (() => void) | undefined
  /** Number of calls that keep the machine running. */
  #holders = 0
  #stop = new AbortController()
  #run: Promise<void> | undefined
  #exit: MachineExit | undefined
  #failure: unknown
  /** Called for the end, each for a call that waits. */
  readonly #waiting = new Set<() => void>()
  #isOver = false

  constructor({ machine, prompt, lineEnd = '\n', timeoutMs, row = '' }: TestMachineOptions<Machine>) {
    this.#printed = new PrintedText(row)
    this.machine = machine
    this.#prompt = prompt
    this.#lineEnd = lineEnd
    this.#timeoutMs = timeoutMs
    machine.serial.onTransmit((bytes) => {
      this.#printed.push(bytes)
      this.#look?.()
    })
  }

  /** All that the guest has printed on the first serial port since the test began, without carriage returns. */
  get printed(): string {
    return this.#printed.text
  }

  /** The last row of the first serial port, for a machine that continues in it. */
  get row(): string {
    return this.#printed.row
  }

  /** Why the machine has ended; undefined while it has not. */
  get exit(): MachineExit | undefined {
    return this.#exit
  }

  /** Whether the fixture has a prompt, which `command` needs. */
  get hasPrompt(): boolean {
    return this.#prompt !== undefined
  }

  /** Types a line on the first serial port, with the port's end of line. */
  typeLine(line: string): void {
    this.type(line + this.#lineEnd)
  }

  /** Types a text on the first serial port; the guest takes it when the machine runs. */
  type(text: string): void {
    this.machine.serial.receive(new TextEncoder().encode(text))
  }

  /**
   * Runs until the guest has printed text that was not read yet.
   *
   * @param expected - a text, or a regular expression that is matched against one line at a time, including an unfinished one
   * @returns output since the last wait, up to the end of the match
   * @throws TestError `ERR_TIMEOUT`; `ERR_ENDED` where the machine ends before; `ERR_STATE` while another call waits
   */
  async until(expected: Expected, options: WaitOptions = {}): Promise<string> {
    return (await this.#until(expected, options)).text
  }

  /**
   * Runs until a text is on the graphics card's screen, in a text mode. It looks 50 times in a second of the guest's time, after a turn
   * of a processor, so that it stops at the same instruction whatever the host does.
   *
   * @param expected - within one row
   * @returns all text on the screen
   * @throws TestError as {@link TestMachine.until}
   */
  async untilScreen(expected: string, { timeoutMs }: WaitOptions = {}): Promise<string> {
    if (expected === '')
      throw new TestError('ERR_OPTION', 'an empty text is always there: expected one or more characters')
    const { screen } = this.machine
    // Domain of either board, which have no common call type.
    const domain: Pick<Pc['domain'], 'clock' | 'instructions' | 'watchTurns'> = this.machine.domain
    const text = (): string | undefined => {
      screen.refresh()
      return screen.text?.includes(expected) === true ? screen.text : undefined
    }
    const there = text()
    if (there !== undefined) return there
    let idle: unknown
    try {
      return await this.#running(timeoutMs, `${describe(expected)} on the screen`, (resolve) => {
        const look = (): void => {
          const found = text()
          if (found !== undefined) resolve(found)
        }
        let nextNs = domain.clock.now() + LOOK_NS
        const end = (): void => {
          if (domain.clock.now() < nextNs) return
          nextNs = domain.clock.now() + LOOK_NS
          look()
        }
        domain.watchTurns({ begin() {}, end })
        let seen = -1
        const lookIfIdle = (): void => {
          if (domain.instructions === seen) look()
          seen = domain.instructions
          idle = setTimeout(lookIfIdle, IDLE_LOOK_MS)
        }
        lookIfIdle()
      })
    } catch (error) {
      throw error instanceof TestError && error.code !== 'ERR_OPTION' ? this.#withScreen(error) : error
    } finally {
      clearTimeout(idle)
      domain.watchTurns(null)
    }
  }

  /** Adds the screen to an error's message. */
  #withScreen({ code, message, cause }: TestError): TestError {
    const { screen } = this.machine
    screen.refresh()
    const shown =
      screen.width === 0
        ? 'the screen is off'
        : screen.text === null
          ? `the screen has ${screen.width}×${screen.height} pixels of graphics, whose text is not read`
          : `the screen has:\n${printable(screen.text)}`
    return new TestError(code, `${message}; ${shown}`, { cause })
  }

  /**
   * Types a command, and runs until the prompt comes.
   *
   * @returns output of the command, after its echo and before the prompt
   * @throws TestError as {@link TestMachine.until}; `ERR_OPTION` where the fixture has no prompt
   */
  async command(line: string, options: WaitOptions = {}): Promise<string> {
    if (this.#prompt === undefined)
      throw new TestError('ERR_OPTION', `command '${line}': the fixture has no prompt; give one, or use type and until`)
    const { text, matchStart } = await this.#until(this.#prompt, options, line)
    return text.slice(0, matchStart)
  }

  /**
   * Runs during an action that needs a running machine: keys of `machine.keyboard`, a connection of `@retrap/guest`.
   *
   * @returns result of the action
   * @throws errors of the action; TestError `ERR_TIMEOUT`, `ERR_ENDED` if the machine ends first
   */
  async during<Result>(action: () => Promise<Result>, { timeoutMs }: WaitOptions = {}): Promise<Result> {
    return this.#running(timeoutMs, 'the end of the action', (resolve, reject) => void action().then(resolve, reject))
  }

  /**
   * Runs until the guest or its machine ends.
   *
   * @throws TestError `ERR_TIMEOUT`
   */
  async end({ timeoutMs }: WaitOptions = {}): Promise<MachineExit> {
    if (this.#exit !== undefined) return this.#exit
    return this.#running(
      timeoutMs,
      'the end of the machine',
      () => {},
      (exit) => exit,
    )
  }

  /** The picture of the graphics card as a PNG file; undefined without a card, and where the display is off. */
  async screenshot(): Promise<Uint8Array | undefined> {
    const { screen } = this.machine
    screen.refresh()
    return screen.width === 0 ? undefined : screen.toPng()
  }

  /** Stops the machine: the test is over. Calls that wait fail, and so do later ones. */
  async over(): Promise<void> {
    this.#isOver = true
    this.#tellEnd()
    this.#stop.abort()
    await this.#run
  }

  async #until(
    expected: Expected,
    { timeoutMs }: WaitOptions,
    line?: string,
  ): Promise<{ readonly text: string; readonly matchStart: number }> {
    if (expected === '')
      throw new TestError('ERR_OPTION', 'an empty text is always there: expected one or more characters')
    if (this.#look !== undefined) throw new TestError('ERR_STATE', 'another call waits for an output of this machine')
    this.#printed.begin(line)
    if (line !== undefined) this.typeLine(line)
    const found = this.#printed.read(expected)
    if (found !== null) return found
    try {
      return await this.#running(timeoutMs, describe(expected), (resolve) => {
        this.#look = () => {
          const match = this.#printed.read(expected)
          if (match === null) return
          this.#look = undefined
          // Resolve within the guest's instruction: the machine stops at the end of that turn, independently of the host.
          resolve(match)
        }
      })
    } finally {
      this.#look = undefined
    }
  }

  /**
   * Runs the machine until a promise settles; it stops at once, unless another call runs it.
   *
   * @param begin - gets the functions that settle the call
   * @param atEnd - makes the result of the machine's end; default it is an error
   */
  async #running<Result>(
    timeoutMs: number = this.#timeoutMs,
    what: string,
    begin: (resolve: (result: Result) => void, reject: (error: unknown) => void) => void,
    atEnd?: (exit: MachineExit) => Result,
  ): Promise<Result> {
    if (!(timeoutMs > 0) || timeoutMs > MOST_MS)
      throw new TestError('ERR_OPTION', `timeoutMs ${timeoutMs}: expected a number above 0, up to ${MOST_MS}`)
    if (this.#exit !== undefined || this.#isOver) throw this.#endedBefore(what)
    const { promise, resolve, reject } = Promise.withResolvers<Result>()
    let isHolding = true
    const release = (): void => {
      if (!isHolding) return
      isHolding = false
      if (--this.#holders === 0) this.#stop.abort()
    }
    const ended = (): void => {
      if (atEnd !== undefined && this.#exit !== undefined) resolve(atEnd(this.#exit))
      else reject(this.#endedBefore(what))
    }
    this.#waiting.add(ended)
    const timer = setTimeout(() => {
      release()
      reject(this.#error('ERR_TIMEOUT', `${what} has not come within ${timeoutMs} ms`))
    }, timeoutMs)
    this.#holders++
    begin((result) => {
      release()
      resolve(result)
    }, reject)
    this.#run ??= this.#runOn()
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#waiting.delete(ended)
      release()
      if (this.#holders === 0) await this.#run
    }
  }

  async #runOn(): Promise<void> {
    // Another call may need the machine while it is being stopped.
    while (this.#holders > 0 && this.#exit === undefined && !this.#isOver) {
      this.#stop = new AbortController()
      try {
        const exit = await this.machine.run({ signal: this.#stop.signal })
        if (exit.reason !== 'stopped') this.#exit = exit
      } catch (error) {
        this.#failure = error
        this.#exit = { reason: 'internal-error', detail: { message: String(error) } }
      }
    }
    this.#run = undefined
    if (this.#exit !== undefined) this.#tellEnd()
  }

  #tellEnd(): void {
    for (const ended of this.#waiting) ended()
  }

  #endedBefore(what: string): TestError {
    if (this.#exit === undefined) return this.#error('ERR_STATE', `the test is over; it waited for ${what}`)
    const { reason, detail } = this.#exit
    const why = detail === undefined ? reason : `${reason}: ${detail.message}`
    return this.#error('ERR_ENDED', `the machine has ended (${why}) before ${what} has come`)
  }

  #error(code: 'ERR_TIMEOUT' | 'ERR_ENDED' | 'ERR_STATE', message: string): TestError {
    const last = printable(this.#printed.unread.slice(-SHOWN_CHARACTERS)).trimEnd()
    const shown = last === '' ? 'the guest has printed nothing since' : `the guest has printed since:\n${last}`
    return new TestError(code, `${message}; ${shown}`, { cause: this.#failure })
  }
}

const describe = (expected: Expected): string =>
  typeof expected === 'string' ? JSON.stringify(expected) : String(expected)
