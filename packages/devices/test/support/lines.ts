/** Sends lines, and hears one of an answer for each. */
export class Lines {
  readonly #write: (line: string) => void
  readonly #isAnswer: (line: string) => boolean
  readonly #waiting: ((line: string) => void)[] = []
  #rest = ''

  constructor(write: (line: string) => void, isAnswer: (line: string) => boolean) {
    this.#write = write
    this.#isAnswer = isAnswer
  }

  take(bytes: Buffer): void {
    const lines = (this.#rest + bytes.toString('latin1')).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) if (this.#isAnswer(line)) this.#waiting.shift()?.(line)
  }

  ask(line: string): Promise<string> {
    const answer = new Promise<string>((resolve) => this.#waiting.push(resolve))
    this.#write(`${line}\n`)
    return answer
  }
}
