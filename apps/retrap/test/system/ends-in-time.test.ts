import { spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect } from 'vitest'
import { hostileKernels, type HostileKernel } from '../support/hostile-kernels.ts'
import { COMPILED, retrapCommand } from '../support/processes.ts'

const test = sliceTests(8)
const TIME_OF_END = fileURLToPath(new URL('../support/time-of-end.ts', import.meta.url))
/**
 * Processor time counts, so that a busy host makes no difference; that of the main thread, where the guest executes: V8
 * compiles in others for as long as it likes.
 */
const LIMIT_MS = 200
/** The kernel is at it for so long before it is asked to end. */
const AT_IT_MS = 250
const DEADLINE_MS = 60_000

/** Ways to ask a run to end, with the exit code of each. */
const ENDS = { SIGTERM: { code: 143 }, 'Ctrl-A x': { code: 0 }, '--timeout': { code: 124 } } as const
type End = keyof typeof ENDS

const folder = temporaryFolder('ends')

/** Starts a kernel and ends it. @returns the exit code, and the processor time from the wish to the end */
async function endOf({ name, image, args }: HostileKernel, end: End, timeoutMs: number) {
  const file = join(folder, name.replaceAll(' ', '-'))
  await writeFile(file, image)
  const timed = end === '--timeout'
  const child = spawn(
    process.execPath,
    [
      ...['--import', TIME_OF_END, ...retrapCommand(['run', '--kernel', file, ...args])],
      ...(timed ? ['--timeout', String(timeoutMs / 1000)] : []),
    ],
    {
      stdio: 'pipe',
      env: { ...process.env, NODE_COMPILE_CACHE: COMPILED, ...(timed && { RETRAP_DEADLINE_MS: String(timeoutMs) }) },
    },
  )
  const hung = globalThis.setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS)
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const begun = new Promise<number>((resolve) => {
    child.stdout.once('data', () => resolve(Date.now()))
    child.once('close', () => resolve(NaN))
  })
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve))
  const beganAt = await begun
  let before = NaN
  if (beganAt > 0 && !timed) {
    await setTimeout(AT_IT_MS)
    before = Number((await readFile(`/proc/${child.pid}/task/${child.pid}/schedstat`, 'latin1')).split(' ')[0]) / 1e6
    if (end === 'SIGTERM') child.kill('SIGTERM')
    else child.stdin.write('\u0001x')
  }
  const code = await closed
  clearTimeout(hung)
  const [, used = 'NaN', after = 'NaN', deadline = 'NaN'] =
    /^processor time (\d+) (\w+) ([\d.]+)\n$/m.exec(stderr) ?? []
  // What is used after a deadline that comes while the machine is still made is no guest's doing.
  const began = timed ? beganAt < Number(deadline) : beganAt > 0
  return { code, began, stderr, ms: timed ? Number(after) / 1e6 : Number(used) / 1e6 - before }
}

const kernels = hostileKernels()
const title = ({ name, args }: HostileKernel): string => [name, ...args].join(' ')

describe.skipIf(process.platform !== 'linux')(
  'a run ends within 200 ms of processor time, whatever the guest does,',
  () => {
    test.each(kernels.map((kernel) => [title(kernel), kernel] as const))(
      'at SIGTERM: %s',
      async (_title, kernel) => {
        const { code, began, ms, stderr } = await endOf(kernel, 'SIGTERM', 0)
        expect([began, code], stderr).toEqual([true, ENDS.SIGTERM.code])
        expect(ms).toBeLessThan(LIMIT_MS)
      },
      DEADLINE_MS,
    )

    // Each guest once, and the one whose calls take longest twice.
    const tried = kernels.filter(
      ({ name, args }, index) =>
        name.startsWith('grant copies') ||
        !args.includes('--deterministic') ||
        kernels.findIndex((kernel) => kernel.name === name) === index,
    )
    test.each(
      tried.flatMap((kernel) =>
        (['Ctrl-A x', '--timeout'] as const).map((end) => [end, title(kernel), kernel] as const),
      ),
    )('at %s: %s', { timeout: 2 * DEADLINE_MS }, async (end, _title, kernel) => {
      // On a busy host the command may take longer to start than a short time to run.
      for (let timeoutMs = 1500; ; timeoutMs *= 4) {
        const { code, began, ms, stderr } = await endOf(kernel, end, timeoutMs)
        expect(code, stderr).toBe(ENDS[end].code)
        if (end === '--timeout' && (!began || Number.isNaN(ms)) && timeoutMs < 20_000) continue
        expect(began, stderr).toBe(true)
        expect(ms).toBeLessThan(LIMIT_MS)
        return
      }
    })
  },
)
