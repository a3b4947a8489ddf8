/**
 * `retrap disasm` against objdump on the same file, as whole processes: `npm run -s bench -- disasm [FILE]`.
 *
 * The two take turns, and the best run of each counts: other work on the machine hits all of them or none. Both print one
 * line for an instruction with address, bytes, Intel text and symbols.
 * @programs: objdump
 */
import { spawnSync } from 'node:child_process'
import { performance } from 'node:perf_hooks'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const ROUNDS = 15
const program = fileURLToPath(new URL('../dist/main.js', import.meta.url))

/** The options of the program's first line. */
const OPTIONS = ['--max-semi-space-size=1']

interface Run {
  readonly milliseconds: number
  readonly bytes: number
}

function timed(command: string, args: readonly string[]): Run {
  const start = performance.now()
  const { status, stdout, stderr } = spawnSync(command, args, { maxBuffer: 1 << 30 })
  const milliseconds = performance.now() - start
  if (status !== 0) throw new Error(`${command} ended with ${String(status)}: ${String(stderr)}`)
  return { milliseconds, bytes: stdout.length }
}

export function run([file = '/bin/bash']: string[]): void {
  const works = [
    () => timed(process.execPath, [...OPTIONS, program, 'disasm', file]),
    () => timed('objdump', ['-d', '-M', 'intel', file]),
  ] as const
  const best = works.map((work) => work())
  for (let round = 1; round < ROUNDS; round++) {
    works.forEach((work, i) => {
      const result = work()
      if (result.milliseconds < best[i]!.milliseconds) best[i] = result
    })
  }
  const [ours, theirs] = best as [Run, Run]
  const size = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`
  console.log(
    `disasm: ${(theirs.milliseconds / ours.milliseconds).toFixed(2)} x objdump (${file}, whole processes, best of ` +
      `${ROUNDS}: ${ours.milliseconds.toFixed(0)} ms for ${size(ours.bytes)}, objdump -d -M intel ` +
      `${theirs.milliseconds.toFixed(0)} ms for ${size(theirs.bytes)}; Node ${process.version})`,
  )
}
