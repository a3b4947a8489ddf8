import { decodeBase64, escapeArgument, MOST_FETCHED_BYTES, quote } from './lines.ts'
import { GuestError } from './errors.ts'
import { type GuestProcess, type ProcessOwner, StreamProcess } from './guest-process.ts'
import { partsOf } from './output.ts'
import { closed, type Session } from './session.ts'

/** The agent has `PLACES` places for streams, from number `FIRST_PLACE` on. */
const [FIRST_PLACE, PLACES] = [8, 32]
/** Parts of an input that the agent keeps. */
const MOST_KEPT = 4
/** First and longest polling interval of the agent; it doubles after each poll without news. */
const [FIRST_LOOK_MS, MOST_LOOK_MS] = [10, 200]
/** First poll delay if the agent reports output by itself and no input waits: a poll takes the agent milliseconds. */
const TOLD_LOOK_MS = 100
/** A longer command goes to a file first. */
const MOST_INLINE_CHARACTERS = 1000

/** The agent's report of a stream. */
interface Look {
  /** Number of input parts given; Infinity: input closed. */
  readonly given: number
  /** Parts of each output; undefined: the agent cannot say now. */
  readonly printed: readonly (number | undefined)[]
  /** The exit code; undefined until everything has ended. */
  readonly exitCode: number | undefined
}

const count = (text: string | undefined): number | undefined => (text === '-' ? undefined : Number(text))

/** Streams of a guest: commands with input and outputs that come as they are read. The agent is asked about all at once. */
export class GuestStreams implements ProcessOwner {
  readonly #session: Session
  readonly #free: number[] = Array.from({ length: PLACES }, (_, i) => FIRST_PLACE + PLACES - 1 - i)
  readonly #waiting: ((place: number) => void)[] = []
  readonly #running = new Map<number, StreamProcess>()
  /** Name of the session of the streams that run. */
  #name = ''
  #isLooking = false
  #hasNews = false
  #wake: () => void = () => {}

  constructor(session: Session) {
    this.#session = session
  }

  /**
   * Starts a command; the session is synchronous.
   *
   * @param program - whether the command is a program's name and arguments, separated by blanks, and starts no others
   * @throws GuestError
   */
  async start(text: string, program = false): Promise<GuestProcess> {
    if (this.#session.version < 2)
      throw new GuestError(
        'ERR_GUEST_OPTION',
        "the guest's agent has no streams: put this version's AGENT into its image",
      )
    const place = this.#free.pop() ?? (await new Promise<number>((resolve) => this.#waiting.push(resolve)))
    const { name } = this.#session
    try {
      if (this.#session.isClosed) throw closed()
      if (name !== this.#name) this.#fail(new GuestError('ERR_GUEST_PROTOCOL', 'the agent was lost meanwhile'))
      this.#name = name
      if (program && this.#session.version >= 5) await this.#ask(name, ['join', String(place), ...text.split(' ')])
      else await this.#spawn(name, place, program ? `exec ${text}` : text)
    } catch (error) {
      this.#release(place)
      throw error
    }
    const process = new StreamProcess(this)
    this.#running.set(place, process)
    this.#session.listen(place, { closed() {}, noted: (words) => this.#noted(process, words) })
    this.wake()
    if (!this.#isLooking) void this.#look()
    return process
  }

  async #spawn(name: string, place: number, text: string): Promise<void> {
    const inline = escapeArgument(new TextEncoder().encode(text === '' || text === 'staged' ? `${text}\n` : text))
    const isStaged = inline.length > MOST_INLINE_CHARACTERS
    let isFirst = true
    if (isStaged)
      for (const part of partsOf(new TextEncoder().encode(text))) {
        await this.#ask(name, ['put', String(place), 'script', isFirst ? 'begin' : 'go-on'], part)
        isFirst = false
      }
    await this.#ask(name, ['spawn', String(place), isStaged ? 'staged' : inline])
  }

  /** @throws GuestError `ERR_GUEST_FILE` if the agent has failed, and errors of a request */
  async #ask(name: string, words: readonly string[], payload?: Uint8Array): Promise<void> {
    const [word, ...more] = (await this.#session.request(name, words, payload)).words
    if (word === 'ok' && more.length === 0) return
    if (word === 'failed') throw new GuestError('ERR_GUEST_FILE', `the guest has no room for '${words[0]}'`)
    throw new GuestError('ERR_GUEST_PROTOCOL', `the agent answers '${quote([String(word), ...more])}' to '${words[0]}'`)
  }

  // ---- Of processes ----

  wake(): void {
    this.#hasNews = true
    this.#wake()
  }

  async kill(process: StreamProcess, signal: string): Promise<void> {
    const place = this.#placeOf(process)
    // Ignored for a command that has ended meanwhile.
    if (place !== undefined) await this.#session.request(this.#name, ['kill', String(place), signal])
  }

  abandon(process: StreamProcess): void {
    const place = this.#placeOf(process)
    if (place === undefined) return
    this.#running.delete(place)
    const kill = this.#session.request(this.#name, ['kill', String(place), 'KILL'])
    void kill.catch(() => {}).then(() => this.#release(place))
  }

  #placeOf(process: StreamProcess): number | undefined {
    for (const [place, one] of this.#running) if (one === process) return place
    return undefined
  }

  #release(place: number): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free.push(place)
    else next(place)
  }

  /** Ends all processes: the agent is lost, or the connection was closed. */
  #fail(error: unknown): void {
    const running = [...this.#running]
    this.#running.clear()
    for (const [place, process] of running) {
      process.fail(error)
      this.#release(place)
    }
  }

  // ---- What the agent is asked ----

  /** Handles the agent's unrequested messages; if one is lost, polling finds the same. */
  #noted(process: StreamProcess, [kind, name, number, text = '']: readonly string[]): void {
    const output = process.outputs[name === 'err' ? 1 : 0]
    const part = decodeBase64(text)
    const isNext = kind === 'part' && number === String(output.fetched + 1) && output.wantsPart
    if (isNext && part !== null && part.length > 0) output.give(part)
    else this.wake()
  }

  async #look(): Promise<void> {
    this.#isLooking = true
    let waitMs = FIRST_LOOK_MS
    while (this.#running.size > 0) {
      this.#hasNews = false
      try {
        const hasMoved = await this.#round()
        const isTold = this.#session.version > 2 && ![...this.#running.values()].some(({ input }) => input.length > 0)
        waitMs = hasMoved ? FIRST_LOOK_MS : Math.min(Math.max(2 * waitMs, isTold ? TOLD_LOOK_MS : 0), MOST_LOOK_MS)
      } catch (error) {
        if (error instanceof GuestError && error.code === 'ERR_GUEST_PROTOCOL') this.#session.lose()
        this.#fail(error)
      }
      if (waitMs === FIRST_LOOK_MS || this.#hasNews) continue
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitMs)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      this.#wake = () => {}
    }
    this.#isLooking = false
  }

  async #feed(name: string, place: number, process: StreamProcess): Promise<boolean> {
    let hasMoved = false
    const isServed = (): boolean => this.#running.get(place) === process
    while (process.input.length > 0 && process.sent - process.given < MOST_KEPT && isServed()) {
      const { bytes, written } = process.input[0]!
      const text = this.#session.version < 3 || bytes.length > MOST_INLINE_CHARACTERS ? '' : escapeArgument(bytes)
      const isInline = text !== '' && text.length <= MOST_INLINE_CHARACTERS
      const words = [isInline ? 'type' : 'feed', String(place), String(process.sent), ...(isInline ? [text] : [])]
      await this.#ask(name, words, isInline ? undefined : bytes)
      process.input.shift()
      process.sent++
      written?.()
      hasMoved = true
    }
    return hasMoved
  }

  /** Serves each stream once. @returns whether any bytes have moved */
  async #round(): Promise<boolean> {
    const running = [...this.#running]
    const name = this.#name
    for (const [place, process] of running) await this.#feed(name, place, process)
    const { words } = await this.#session.request(name, ['look', ...running.map(([place]) => String(place))])
    const looks = looksOf(words, running)
    let hasMoved = false
    for (const [i, [place, process]] of running.entries()) {
      const isServed = (): boolean => this.#running.get(place) === process
      if (isServed() && (await this.#serve(name, place, process, looks[i]!, isServed))) hasMoved = true
    }
    return hasMoved
  }

  async #serve(
    name: string,
    place: number,
    process: StreamProcess,
    { given, printed, exitCode }: Look,
    isServed: () => boolean,
  ): Promise<boolean> {
    if (given > process.sent && given !== Infinity) throw lie(`has given ${given} parts of ${process.sent}`)
    process.given = given
    if (given === Infinity) process.dropInput()
    let hasMoved = await this.#feed(name, place, process)
    if (process.isEnding && !process.isEndSent && exitCode === undefined && process.input.length === 0 && isServed()) {
      process.isEndSent = true
      await this.#ask(name, ['finish', String(place)])
    }
    for (const [i, output] of process.outputs.entries()) {
      const { fetched, freed } = output
      if (!output.wantsPart || !isServed()) continue
      const about = [String(place), i === 0 ? 'out' : 'err']
      const room = fetched > freed ? ['\\n'.repeat(fetched - freed)] : []
      if (fetched < (printed[i] ?? 0)) {
        output.freed = fetched
        const part = partOf((await this.#session.request(name, ['part', ...about, String(fetched), ...room])).words)
        if (!isServed()) return true
        // The agent may have sent the part meanwhile.
        if (output.fetched === fetched) output.give(part)
        hasMoved = true
      } else if (fetched - freed > 1) {
        output.freed = fetched
        await this.#ask(name, ['room', ...about, ...room])
      }
    }
    if (exitCode === undefined || !isServed()) return hasMoved
    // A reader of one output need not wait for the other's reader.
    const read = process.outputs.filter((output, i) => output.fetched === printed[i])
    for (const output of read) output.finish()
    if (read.length < process.outputs.length) return hasMoved
    this.#running.delete(place)
    this.#release(place)
    process.finish(exitCode)
    return true
  }
}

const lie = (what: string): GuestError => new GuestError('ERR_GUEST_PROTOCOL', `the agent ${what}`)

/** @throws GuestError `ERR_GUEST_PROTOCOL` */
function looksOf([ok, ...words]: readonly string[], running: readonly (readonly [number, unknown])[]): readonly Look[] {
  if (ok !== 'ok' || words.length !== running.length) throw lie(`answers '${quote([String(ok), ...words])}' to 'look'`)
  return words.map((word, i) => {
    const [, place, given, out, err, code] =
      /^(\d{1,2}),(\d{1,9}|gone|-),(\d{1,9}|-),(\d{1,9}|-),(\d{1,3}|-)$/.exec(word) ?? []
    if (place !== String(running[i]![0])) throw lie(`answers '${quote(words)}' to 'look'`)
    return {
      given: given === 'gone' ? Infinity : (count(given) ?? 0),
      printed: [count(out), count(err)],
      exitCode: count(code),
    }
  })
}

/** @throws GuestError `ERR_GUEST_PROTOCOL` */
function partOf(words: readonly string[]): Uint8Array {
  const part = words[0] === 'ok' && words.length === 2 ? decodeBase64(words[1]!) : null
  if (part === null || part.length === 0 || part.length > MOST_FETCHED_BYTES)
    throw lie(`answers '${quote(words)}' to 'part': expected base64`)
  return part
}
