/** A program of `retrap exec` on several kernels, one after another. */
import { Readable, Writable } from 'node:stream'
import { CliError } from '../../errors.ts'
import type { NamedKernel } from '../../guests/linux/kernel-names.ts'
import { ExecError } from '../../jobs/errors.ts'
import { printLines } from '../../print-lines.ts'
import { allPassed, matrixLines } from '../test/matrix.ts'
import { type TestOutcome, writeReport } from '../test/reports.ts'
import type { ExecHost } from './run.ts'

/** A line of a program's output that is longer is cut in two. */
const MOST_LINE = 1 << 16
const NEWLINE = 0x0a

/** Puts a kernel's name in front of each line of a program's output. Texts of ours, which are no bytes, go as they are. */
class NamedOutput extends Writable {
  readonly #prefix: Buffer
  readonly #output: Writable
  readonly #hear: (line: string) => void
  #begun = Buffer.alloc(0)

  constructor(name: string, output: Writable, hear: (line: string) => void = () => {}) {
    super({ decodeStrings: false })
    this.#prefix = Buffer.from(`${name} | `)
    this.#output = output
    this.#hear = hear
    const failed = (error: Error): void => void this.destroy(error)
    output.on('error', failed)
    this.on('close', () => output.off('error', failed))
  }

  override _write(data: string | Uint8Array, _encoding: string, done: () => void): void {
    const pieces: (string | Uint8Array)[] = []
    if (typeof data === 'string') pieces.push(...this.#rest(), data)
    else {
      this.#begun = Buffer.concat([this.#begun, data])
      for (let end = this.#begun.indexOf(NEWLINE); end >= 0; end = this.#begun.indexOf(NEWLINE)) {
        pieces.push(this.#line(this.#begun.subarray(0, end)))
        this.#begun = this.#begun.subarray(end + 1)
      }
      if (this.#begun.length > MOST_LINE) pieces.push(...this.#rest())
    }
    const hasRoom = pieces.map((piece) => this.#output.write(piece)).every(Boolean)
    if (hasRoom) done()
    else this.#output.once('drain', done)
  }

  override _final(done: () => void): void {
    for (const piece of this.#rest()) this.#output.write(piece)
    done()
  }

  /** A line that has no end yet. */
  #rest(): Buffer[] {
    const { length } = this.#begun
    const line = this.#begun
    this.#begun = Buffer.alloc(0)
    return length === 0 ? [] : [this.#line(line)]
  }

  #line(line: Uint8Array): Buffer {
    this.#hear(Buffer.from(line).toString())
    return Buffer.concat([this.#prefix, line, Buffer.from('\n')])
  }
}

/** Finds the tests in a program's output as TAP has them: https://testanything.org/tap-version-14-specification.html */
class TapTests {
  readonly outcomes: TestOutcome[] = []
  #isTap = false

  readonly hear = (line: string): void => {
    this.#isTap ||= /^(?:K?TAP version \d+|1\.\.\d+)\s*$/.test(line)
    const [, result, number = '', name = '', directive] =
      /^(ok|not ok)\b *(\d*)(?: +- +| *)(.*?)(?: +# *(SKIP|TODO)\b.*)?\r?$/i.exec(line) ?? []
    if (!this.#isTap || result === undefined) return
    const isFailed = result !== 'ok' && directive === undefined
    const failure = isFailed ? line : undefined
    this.outcomes.push({ name: `${number} ${name}`.trim(), ms: 0, failure, isSkipped: directive !== undefined })
  }
}

/**
 * Runs a program on kernels, one after another. Each has an input that is empty.
 *
 * @param run - runs the program on one kernel; returns its exit code
 * @param junit - the file for a report
 * @returns 0 if the program, and each test that it has told by TAP, has passed on all kernels; otherwise 1, or the code of a signal
 */
export async function runOnKernels(
  kernels: readonly NamedKernel[],
  program: string,
  host: ExecHost,
  junit: string | undefined,
  run: (kernel: NamedKernel, host: ExecHost) => Promise<number>,
): Promise<number> {
  const outcomes = new Map<string, readonly TestOutcome[]>()
  let signalled = false
  const note = new Map<() => void, () => void>()
  for (const kernel of kernels) {
    const tap = new TapTests()
    const outputs = [new NamedOutput(kernel.name, host.stdout, tap.hear), new NamedOutput(kernel.name, host.stderr)]
    const [stdout, stderr] = outputs as [NamedOutput, NamedOutput]
    const begunMs = performance.now()
    let failure: string | undefined
    let code = 1
    try {
      code = await run(kernel, {
        ...{ stdin: Readable.from([]), stdout, stderr },
        on(signal, listener) {
          const heard = (): void => {
            signalled ||= signal !== 'SIGWINCH'
            listener()
          }
          note.set(listener, heard)
          host.on(signal, heard)
        },
        off: (signal, listener) => host.off(signal, note.get(listener) ?? listener),
        endSoon: (signal) => host.endSoon(signal),
      })
      if (code !== 0) failure = `exit code ${code}`
    } catch (error) {
      if (!(error instanceof ExecError || (error instanceof CliError && error.code !== 'ERR_USAGE'))) throw error
      failure = error.message
      host.stderr.write(`retrap: ${kernel.name}: ${failure}\n`)
    }
    for (const output of outputs) await new Promise((ended) => output.end(ended))
    outcomes.set(kernel.name, [{ name: program, ms: performance.now() - begunMs, failure }, ...tap.outcomes])
    if (signalled) return code
  }
  await printLines(matrixLines(outcomes), host.stdout)
  await writeReport(junit, outcomes)
  return allPassed(outcomes) ? 0 : 1
}
