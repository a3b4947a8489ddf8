// Boots Debian's kernels of both bitnesses on virtual time, with 1 and 4 CPUs, interpreted and compiled: both execute the
// same instructions, take the same interrupts and exceptions, and print the same.
import type { Soak } from '@retrap/tooling/soak'
import { kernelOf } from '../support/busy-host.ts'
import { runRetrap } from '../support/processes.ts'

const DEADLINE_MS = 900_000
const MACHINES = [
  [64, 1],
  [64, 4],
  [32, 1],
  [32, 4],
] as const
/** The statistics that do not depend on how code is executed. */
const SAME = ['interrupts', 'exceptions', 'portAccesses', 'mmioAccesses', 'apicAccesses'] as const

/** The kernel of 64 bits has a shell; that of 32 bits finds no root, and ends. */
async function argumentsOf(bits: 32 | 64): Promise<readonly string[]> {
  if (bits === 64) return ['linux', '--command', 'uname -a; sha256sum /bin/busybox; cat /proc/interrupts; nproc']
  return ['run', '--kernel', await kernelOf(32), '--append', 'console=ttyS0 panic=-1', '--memory', '256M']
}

/** Boots once. @returns its output, its end, and those of its counts that are to be the same */
async function boot(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runRetrap(args, { deadlineMs: DEADLINE_MS })
  const line = stderr.split('\n').find((each) => each.startsWith('{')) ?? '{}'
  const { instructions = 0, counts = {} } = JSON.parse(line) as {
    readonly instructions?: number
    readonly counts?: Readonly<Record<string, number>>
  }
  executed += instructions
  const others = SAME.map((name) => `${name} ${counts[name]}`).join(', ')
  return `${stdout}\nexit code ${code}; instructions ${instructions}, ${others}`
}

let executed = 0

export const soak: Soak = {
  name: 'jit-boots',
  count: MACHINES.length,
  async setup() {
    for (const bits of [64, 32] as const) await kernelOf(bits)
  },
  async step(rng, index) {
    const [bits, cpus] = MACHINES[index % MACHINES.length]!
    const args = [...(await argumentsOf(bits)), '--deterministic', '--cpus', `${cpus}`, '--stats', 'json']
    rng.note('machine', args.join(' '))
    const interpreted = await boot([...args, '--jit', 'off'])
    const compiled = await boot([...args, '--jit', 'on'])
    if (!/; instructions [1-9]\d{6}/.test(interpreted))
      return `it executed next to nothing: ${interpreted.slice(-2000)}`
    if (compiled === interpreted) return
    const at = Array.from(interpreted).findIndex((character, i) => character !== compiled[i])
    return `interpreted: ${interpreted.slice(at - 200, at + 500)}\ncompiled: ${compiled.slice(at - 200, at + 500)}`
  },
  summary: () => `${executed} instructions, interpreted and compiled`,
}
