// Node, Bun and Deno: each boots both boards, with models in Workers, and does what the others do, instruction by
// instruction. What one has recorded or saved, the others run again. @retrap/test runs under the test runner of each.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { provideNpmProgram } from '@retrap/tooling/npm-program'
import type { Soak } from '@retrap/tooling/soak'
import { type Finished, runProgram, SOURCE_START } from '../support/processes.ts'

const DEADLINE_MS = 600_000
const [CONDITIONS = '', MAIN = ''] = SOURCE_START
const TESTS = fileURLToPath(new URL('../../../../packages/test/test/support/any-runner.ts', import.meta.url))
/** The npm registry's packages of Linux on x86-64. */
const BUN = {
  name: 'bun',
  version: '1.4.5',
  package: '@oven/bun-linux-x64',
  hash: 'IWX9BELoGHAUtMonkeSaNaZwXzRk+oDw6Mk+HBFXd3KHYIBNBsIGRupMZPcgNoDbJpLu6gAJjIoIVPZtt1aJ1g==',
  file: 'bin/bun',
} as const
const DENO = {
  name: 'deno',
  version: '2.9.6',
  package: '@deno/linux-x64-glibc',
  hash: '3md4TKLCuzsLDmfOoC5KN7NAZaxSVkMgm64vg6foD00JBADCpYS2/5QqXfzgnP5ZQz3iLP9vBQJtEgc116OAoQ==',
  file: 'deno',
} as const

/** What a runtime is started with. */
interface Runtime {
  readonly name: string
  readonly executable: string
  readonly run: readonly string[]
  readonly test: readonly string[]
}

let runtimes: readonly Runtime[] = []
let folder = ''

const retrap = (runtime: Runtime, args: readonly string[], input: string): Promise<Finished> =>
  runProgram(runtime.executable, [...runtime.run, MAIN, ...args], { input, deadlineMs: DEADLINE_MS })

/** Has each runtime do something. @returns what differs from what the first did, or is not in its output at all */
async function same(
  run: (runtime: Runtime) => Promise<Finished>,
  output: string,
  of: readonly Runtime[] = runtimes,
): Promise<string | undefined> {
  let first: string | undefined
  for (const runtime of of) {
    const { code, stdout, stderr } = await run(runtime)
    const instructions = /"instructions":(\d+)/.exec(stderr)?.[1]
    const seen = `${stdout}\nexit code ${code}, ${instructions} instructions`
    if (code !== 0 || !stdout.includes(output)) return `${runtime.name}: ${seen}\n${stderr}`
    if ((first ??= seen) !== seen) return `${of[0]?.name}: ${first}\n${runtime.name}: ${seen}`
  }
}

const COUNTED = ['--deterministic', '--stats', 'json'] as const

/** Has one record, and the others run that again. */
function recorded(by: number, options: readonly string[]): () => Promise<string | undefined> {
  return async () => {
    const file = join(folder, 'run.recording')
    const order = [...runtimes.slice(by), ...runtimes.slice(0, by)]
    return same(
      (runtime) =>
        runtime === order[0]
          ? retrap(runtime, [...options, '--record', file, '--stats', 'json'], 'echo one two\noff\n')
          : retrap(runtime, ['replay', file, '--stats', 'json'], ''),
      'one two\r\n',
      order,
    )
  }
}

/** Has one save the embedded guest once it has echoed a line, and the others go on. */
async function saved(by: number): Promise<string | undefined> {
  const file = join(folder, 'machine.snapshot')
  const { name, executable, run } = runtimes[by]!
  const { code, stderr } = await runProgram(executable, [...run, MAIN, '--save-on-exit', file], {
    answers: [
      { to: 'retrap> ', type: 'echo one two\n' },
      { to: 'one two\r\n', type: '\u0001x' },
    ],
    deadlineMs: DEADLINE_MS,
  })
  if (code !== 0) return `${name} saved nothing: ${stderr}`
  return same((runtime) => retrap(runtime, ['restore', file], 'echo there\noff\n'), 'there\r\n')
}

const linux = (...options: readonly string[]): Promise<string | undefined> => {
  const typed = ['--command', 'uname -a; sha256sum /bin/busybox']
  return same((runtime) => retrap(runtime, ['linux', ...typed, ...COUNTED, ...options], ''), '  /bin/busybox')
}

/** Runs a file of two tests under the runtime's own runner, whose words are its own. */
async function tested({ executable, test }: Runtime): Promise<Finished> {
  const finished = await runProgram(executable, [...test, TESTS], { deadlineMs: DEADLINE_MS })
  const said = finished.stdout + finished.stderr
  return { ...finished, stdout: /\b2 pass|\bpass 2\b/.test(said) ? 'both have passed' : said, stderr: '' }
}

const ROWS: readonly (readonly [name: string, run: () => Promise<string | undefined>])[] = [
  ...[0, 1, 2].flatMap((by) => [
    [`recorded by ${by}`, recorded(by, [])] as const,
    [`saved by ${by}`, () => saved(by)] as const,
  ]),
  ['recorded with models in a Worker', recorded(0, ['--devices', 'worker'])],
  ['tests', () => same(tested, 'both have passed')],
  ['amd64', () => linux('--devices', 'worker')],
  ['arm64', () => linux('--arch', 'arm64')],
]

export const soak: Soak = {
  name: 'runtimes',
  count: ROWS.length,
  async setup() {
    if (process.platform !== 'linux' || process.arch !== 'x64') throw new Error('expected Linux on x86-64')
    const [bun, deno] = [provideNpmProgram(BUN), provideNpmProgram(DENO)]
    if (bun === undefined || deno === undefined) throw new Error('Bun and Deno cannot be had from the npm registry')
    const allowed = ['-A', '--no-check', CONDITIONS]
    runtimes = [
      { name: 'Node', executable: process.execPath, run: [CONDITIONS], test: [CONDITIONS, '--test'] },
      { name: 'Bun', executable: bun, run: [CONDITIONS], test: [CONDITIONS, 'test'] },
      { name: 'Deno', executable: deno, run: ['run', ...allowed], test: ['test', ...allowed] },
    ]
    folder = await mkdtemp(join(tmpdir(), 'retrap-runtimes-'))
  },
  step(rng, index) {
    const [name, run] = ROWS[index % ROWS.length]!
    rng.note('row', name)
    return run()
  },
  teardown: () => rm(folder, { recursive: true, force: true }),
}
