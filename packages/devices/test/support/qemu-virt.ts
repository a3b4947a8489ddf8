import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { AccessSize } from '@retrap/device'
import { Lines } from './lines.ts'

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

  async read(gpa: number, size: AccessSize): Promise<number> {
    return Number(await this.#ask(`read${SUFFIX[size]} ${gpa}`))
  }

  async read64(gpa: number): Promise<bigint> {
    return BigInt(await this.#ask(`readq ${gpa}`))
  }

  async write(gpa: number, size: AccessSize | 8, value: number | bigint): Promise<void> {
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
