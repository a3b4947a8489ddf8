/** A program of `retrap exec` on several kernels, one after another. */
import { Readable, Transform, type Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { CliError } from '@retrap/linux-guest/errors'
import { kernelFileName, type NamedKernel } from '../../guests/linux/kernel-names.ts'
import { ExecError } from '@retrap/linux-guest/jobs/errors'
import { printLines } from '../../print-lines.ts'
import { usage } from '../../options/values.ts'
import { act } from './act.ts'
import type { ExecCall } from './flags.ts'
import { allPassed, matrixLines } from '../test/matrix.ts'
import { type TestOutcome, writeReport } from '../test/reports.ts'
import type { ExecHost } from './run.ts'

/** A line of a program's output that is longer is cut in two. */
const MOST_LINE = 1 << 16

/** Puts a kernel's name in front of each line of a program's output. Texts of ours, which are no bytes, go as they are. */
function namedLines(name: string, output: Writable, hear: (line: string) => void = () => {}): Transform {
  let begun = Buffer.alloc(0)
  const lines = new Transform({
    ...{ decodeStrings: false, readableObjectMode: true },
    transform(data: string | Buffer, _encoding, done) {
      if (typeof data !== 'string') begun = Buffer.concat([begun, data])
      const isRest = typeof data === 'string' || begun.length > MOST_LINE
      for (let end = begun.indexOf('\n'); end >= 0 || (isRest && begun.length > 0); end = begun.indexOf('\n')) {
        const line = begun.subarray(0, end < 0 ? begun.length : end)
        begun = begun.subarray(line.length + 1)
        hear(line.toString())
        this.push(Buffer.concat([Buffer.from(`${name} | `), line, Buffer.from('\n')]))
      }
      if (typeof data === 'string' && data !== '') this.push(data)
      done()
    },
    flush(done) {
      this._transform('', 'utf8', done)
    },
  })
  const failed = (error: Error): void => void lines.destroy(error)
  output.on('error', failed)
  lines.on('close', () => output.off('error', failed)).pipe(output, { end: false })
  return lines
}

/** A line of TAP, and one that tells a test: https://testanything.org/tap-version-14-specification.html */
const TAP_LINE = /^(?:K?TAP version \d|1\.\.\d|(?:not )?ok\b)/i
const TAP_TEST = /^(ok|not ok)\b *(\d*)(?: +- +| *)(.*?)(?: +# *(SKIP|TODO)\b.*)?\r?$/i

/** Finds the tests in a program's lines, which begin with a version or a plan. */
function tapOutcomes(lines: readonly string[]): TestOutcome[] {
  const begin = lines.findIndex((line) => /^(?:K?TAP version \d+|1\.\.\d+)\s*$/.test(line))
  return lines.slice(begin < 0 ? lines.length : begin).flatMap((line) => {
    const [, result, number = '', name = '', directive] = TAP_TEST.exec(line) ?? []
    if (result === undefined) return []
    const failure = result !== 'ok' && directive === undefined ? line : undefined
    return { name: `${number} ${name}`.trim(), ms: 0, failure, isSkipped: directive !== undefined }
  })
}

/** Runs the program of a command line on each kernel of --kernels. @returns the exit code @throws CliError `ERR_USAGE` */
export function performOnKernels({ words, given, flags: all }: ExecCall, host: ExecHost): Promise<number> {
  const { kernels = [], ...flags } = all
  if (flags.kernel !== undefined) throw usage('--kernel and --kernels: give one of them')
  if (flags.tty === true) throw usage('-t: with --kernels no program has a terminal; leave it out')
  return runOnKernels(kernels, words.join(' '), host, flags.junit, (kernel, around) => {
    // The name of a kernel stands before the extension of its recording, and in place of the others in the command line.
    const file = flags.recordOnFailure?.replace(/(\.[^./]*)?$/, `.${kernelFileName(kernel)}$&`)
    const line = given.join('\0').replace(/(^|\0)--kernels[=\0][^\0]*/, `$1--kernel\0${kernel.name}`)
    const record = file === undefined ? {} : { recordOnFailure: file }
    return act({ words, given: line.split('\0'), flags: { ...flags, ...record, kernel } }, around)
  })
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
  let isSignalled = false
  let code = 1
  const note = (): void => void (isSignalled = true)
  const on: ExecHost['on'] = (signal, listener) => [listener, note].forEach((one) => host.on(signal, one))
  const off: ExecHost['off'] = (signal, listener) => [listener, note].forEach((one) => host.off(signal, one))
  for (const kernel of kernels) {
    const lines: string[] = []
    const stdout = namedLines(kernel.name, host.stdout, (line) => TAP_LINE.test(line) && lines.push(line))
    const stderr = namedLines(kernel.name, host.stderr)
    const begunMs = performance.now()
    let failure: string | undefined
    try {
      code = await run(kernel, { ...host, stdin: Readable.from([]), stdout, stderr, on, off })
      if (code !== 0) failure = `exit code ${code}`
    } catch (error) {
      if (!(error instanceof ExecError || (error instanceof CliError && error.code !== 'ERR_USAGE'))) throw error
      failure = error.message
      stderr.write(`retrap: ${kernel.name}: ${failure}\n`)
    }
    for (const output of [stdout, stderr]) await finished(output.end()).catch(() => {})
    outcomes.set(kernel.name, [{ name: program, ms: performance.now() - begunMs, failure }, ...tapOutcomes(lines)])
    if (isSignalled) break
  }
  if (isSignalled) return code
  await printLines(matrixLines(outcomes), host.stdout)
  await writeReport(junit, outcomes)
  return allPassed(outcomes) ? 0 : 1
}
