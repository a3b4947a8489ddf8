/** A line on a terminal that says how far a listing is, for listings that go elsewhere. */

/** Where the line appears: a stream of Node's, as far as it matters here. */
export interface ProgressTerminal {
  readonly isTTY?: boolean
  write(data: string): unknown
}

/** Listings that are done by then need no line. */
const FIRST_MILLISECONDS = 500
const NEXT_MILLISECONDS = 200

/** ECMA-48: erases to the end of the line. */
const ERASE = '\u001B[K'

/** How far a listing is. */
export class ListingProgress {
  readonly #terminal: ProgressTerminal
  readonly #what: string
  readonly #totalBytes: number
  readonly #now: () => number
  #next: number
  #isShown: boolean

  /**
   * @param what - what is listed
   * @param totalBytes - its length
   * @param now - a clock in milliseconds
   */
  constructor(terminal: ProgressTerminal, what: string, totalBytes: number, now: () => number) {
    this.#terminal = terminal
    this.#what = what
    this.#totalBytes = totalBytes
    this.#now = now
    this.#next = now() + FIRST_MILLISECONDS
    this.#isShown = false
  }

  /** So many bytes are listed. */
  report(bytes: number): void {
    const time = this.#now()
    if (time < this.#next) return
    this.#next = time + NEXT_MILLISECONDS
    this.#isShown = true
    this.#terminal.write(`\r${this.#what}: ${Math.floor((100 * bytes) / this.#totalBytes)} %${ERASE}`)
  }

  /** The listing is over: the line disappears. */
  end(): void {
    if (this.#isShown) this.#terminal.write(`\r${ERASE}`)
  }
}
