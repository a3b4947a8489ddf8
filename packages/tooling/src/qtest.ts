// QEMU under the control of a test: `-qtest`.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

/** Sends lines, and receives one line of response for each. */
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

const SUFFIX = { 1: 'b', 2: 'w', 4: 'l', 8: 'q' } as const

/** QEMU's board `virt`, whose processor does nothing and whose time stands still: a test makes the accesses. */
export class QemuVirt {
  readonly #process: ChildProcess
  readonly #accesses: Lines

  constructor(...options: readonly string[]) {
    const machine = ['-machine', 'virt', '-accel', 'tcg', '-S', '-nodefaults', '-display', 'none', '-m', '64']
    const test = ['-qtest', 'stdio', '-qtest-log', 'none']
    this.#process = spawn('qemu-system-aarch64', [...machine, ...options, ...test], {
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    this.#accesses = new Lines(
      (line) => this.#process.stdin!.write(line),
      (line) => !line.startsWith('IRQ'),
    )
    this.#process.stdout!.on('data', (bytes: Buffer) => this.#accesses.take(bytes))
  }

  async #ask(line: string): Promise<string> {
    const text = await this.#accesses.ask(line)
    if (!text.startsWith('OK')) throw new Error(`QEMU answers ${text}`)
    return text.slice(3)
  }

  async read(gpa: number, size: 1 | 2 | 4): Promise<number> {
    return Number(await this.#ask(`read${SUFFIX[size]} ${gpa}`))
  }

  async read64(gpa: number): Promise<bigint> {
    return BigInt(await this.#ask(`readq ${gpa}`))
  }

  async write(gpa: number, size: 1 | 2 | 4 | 8, value: number | bigint): Promise<void> {
    await this.#ask(`write${SUFFIX[size]} ${gpa} ${value}`)
  }

  /** Gives a level to an input line of the GPIO. */
  async setGpio(line: number, level: 0 | 1): Promise<void> {
    await this.#ask(`set_irq_in /machine/unattached/device[6] unnamed-gpio-in ${line} ${level}`)
  }

  async stop(): Promise<void> {
    const gone = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await gone
  }
}
