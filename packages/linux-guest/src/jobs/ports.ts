/** The host's ends of the ports of a guest's console. */
import type { Readable, Writable } from 'node:stream'
import type { ByteStreamBackend, ByteStreamClient } from '@retrap/device'

/** Bytes for the guest, delivered as it has room. */
export class SentPort implements ByteStreamBackend {
  #client: ByteStreamClient | undefined
  #waiting: Uint8Array[] = []
  #isLast = false
  #emptied: () => void = () => {}

  /** Nothing comes from the guest. */
  send(): void {}

  /** The port of a clone, for which the same bytes wait. */
  copy(): SentPort {
    const copy = new SentPort()
    copy.#waiting = [...this.#waiting]
    copy.#isLast = this.#isLast
    return copy
  }

  connect(client: ByteStreamClient): void {
    this.#client = client
  }

  ready(): void {
    for (let [first] = this.#waiting; first !== undefined; [first] = this.#waiting) {
      const taken = this.#client?.receive(first) ?? 0
      if (taken < first.length) {
        this.#waiting[0] = first.subarray(taken)
        return
      }
      this.#waiting.shift()
    }
    if (this.#isLast) this.#client?.ended?.()
    this.#isLast = false
    this.#emptied()
  }

  write(bytes: Uint8Array): void {
    this.#waiting.push(bytes)
    this.ready()
  }

  say(text: string): void {
    this.write(new TextEncoder().encode(text))
  }

  /** Closes the host's end after all sent data. */
  end(): void {
    this.#isLast = true
    this.ready()
  }

  /** Sends a stream's data as fast as the guest takes it. @param keepsOpen - hides the stream's end from the guest */
  readFrom(input: Readable, keepsOpen = false): void {
    this.#emptied = () => void input.resume()
    input.on('data', (bytes: Uint8Array) => {
      input.pause()
      this.write(bytes)
    })
    if (keepsOpen) return
    input.on('end', () => this.end())
    // An input that cannot be read has ended.
    input.on('error', () => this.end())
  }
}

/** Bytes of the guest for a stream of the host. */
export class TakenPort implements ByteStreamBackend {
  readonly #take: (bytes: Uint8Array) => boolean
  #client: ByteStreamClient | undefined

  /** @param take - gets bytes; returns whether there is room for more */
  constructor(take: (bytes: Uint8Array) => boolean) {
    this.#take = take
  }

  send(bytes: Uint8Array): boolean {
    return this.#take(bytes)
  }

  connect(client: ByteStreamClient): void {
    this.#client = client
  }

  /** Called when the guest has room again. */
  drained(): void {
    this.#client?.drained()
  }

  /** A port whose bytes go to a stream. @param failed - hears that the stream takes nothing more */
  static to(output: Writable, failed: () => void = () => {}): TakenPort {
    let isGone = false
    const port = new TakenPort((bytes) => isGone || output.write(bytes))
    output.on('drain', () => port.drained())
    output.on('error', () => {
      isGone = true
      port.drained()
      failed()
    })
    return port
  }
}

/** Characters of a line, or of a console's last lines, that are kept where nothing else is said. */
export const LAST_WORDS = 400

/** A port that hears whole lines. */
export class LinePort extends TakenPort {
  readonly #hear: (line: string) => void
  readonly #most: number
  begun = ''

  /** @param most - characters of a line; more are dropped in front */
  constructor(hear: (line: string) => void, most: number = LAST_WORDS) {
    super(() => true)
    this.#hear = hear
    this.#most = most
  }

  override send(bytes: Uint8Array): boolean {
    const all = (this.begun + Buffer.from(bytes).toString('latin1')).split('\n')
    this.begun = (all.pop() ?? '').slice(-this.#most)
    for (const line of all) this.#hear(line)
    return true
  }
}

/** A terminal's end, by a port for each way. */
export const bothWays = (input: SentPort, output: TakenPort): ByteStreamBackend => ({
  send: (bytes) => output.send(bytes),
  connect(client) {
    input.connect(client)
    output.connect(client)
  },
  ready: () => input.ready(),
})
