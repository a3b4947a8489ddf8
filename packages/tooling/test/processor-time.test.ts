import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { hasProgram, skipNote } from '../src/skip.ts'
import { processTime, ProcessorDelay, resolvesWithin, threadsTime } from '../src/processor-time.ts'

const MODULE = fileURLToPath(new URL('../src/processor-time.ts', import.meta.url))

const tells = existsSync('/proc/self/schedstat')
const toldNote = skipNote(tells, 'the kernel does not tell in /proc how long a process had a processor')
const canBind = tells && hasProgram('taskset')
const bindNote = tells ? skipNote(canBind, 'taskset is not installed') : toldNote

/** A processor on which this process may run: a container need not have the first one. */
const allowed = (): string =>
  /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0'

/** Waits for a Worker that computes for 600 ms of wall time; prints the delay and the wall time in seconds. */
const PROGRAM = `
  import { Worker } from 'node:worker_threads'
  import { once } from 'node:events'
  import { ProcessorDelay } from ${JSON.stringify(MODULE)}
  const worker = new Worker(
    "const { parentPort } = require('node:worker_threads'); parentPort.on('message', () => {" +
    "const end = performance.now() + 600; while (performance.now() < end); parentPort.postMessage(0) })",
    { eval: true, execArgv: [] },
  )
  await once(worker, 'online')
  const delay = new ProcessorDelay()
  const begun = performance.now()
  worker.postMessage(0)
  await once(worker, 'message')
  console.log(JSON.stringify([delay.seconds(), (performance.now() - begun) / 1000]))
  await worker.terminate()
`

test.skipIf(!canBind)(
  `the time in which a Worker has no processor is a delay, although the main thread sleeps meanwhile${bindNote}`,
  () => {
    const onOneProcessor = ['-c', allowed(), process.execPath]
    const others = [0, 1].map(() => spawn('taskset', [...onOneProcessor, '-e', 'for (;;);'], { stdio: 'ignore' }))
    try {
      const args = [...onOneProcessor, '--input-type=module', '--eval', PROGRAM]
      const text = execFileSync('taskset', args, { encoding: 'utf8', timeout: 100_000 })
      const [delayed, waited] = JSON.parse(text) as [number, number]
      // Three want one processor: the Worker has it for a third of the time at most.
      expect(delayed / waited).toBeGreaterThan(0.5)
    } finally {
      for (const other of others) other.kill('SIGKILL')
    }
  },
)

test('a promise resolves within its time, or does not, or rejects', async () => {
  expect(await resolvesWithin(0.05, Promise.resolve())).toBe(true)
  expect(await resolvesWithin(0.05, new Promise(() => {}))).toBe(false)
  await expect(resolvesWithin(0.05, Promise.reject(new Error('no')))).rejects.toThrow('no')
})

test.skipIf(!tells)(`the processor time of a process is what its threads have used${toldNote}`, async () => {
  const [threads, whole, used] = [threadsTime(), processTime(process.pid), process.cpuUsage()]
  for (let now = process.cpuUsage(used); now.user + now.system < 400_000; now = process.cpuUsage(used));
  const spent = process.cpuUsage(used)
  const seconds = (spent.user + spent.system) / 1e6
  expect(Math.abs((threadsTime() - threads) / 1e9 - seconds)).toBeLessThan(0.1)
  expect(Math.abs(processTime(process.pid) - whole - seconds)).toBeLessThan(0.1)
  expect(processTime(2 ** 30)).toBeNaN()
})

test.skipIf(!tells)(`a delay is in seconds, and none of it is before its beginning${toldNote}`, () => {
  const delay = new ProcessorDelay()
  const begun = performance.now()
  const seconds = delay.seconds()
  // One wait for each thread at the most.
  expect(seconds).toBeGreaterThanOrEqual(0)
  expect(seconds).toBeLessThan(((performance.now() - begun) / 1000 + 0.05) * 64)
})
