import { execFileSync, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { processTime, ProcessorDelay, resolvesWithin, threadsTime } from '../src/processor-time.ts'

const MODULE = fileURLToPath(new URL('../src/processor-time.ts', import.meta.url))

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

test.skipIf(process.platform !== 'linux')(
  'the time in which a Worker has no processor is a delay, although the main thread sleeps meanwhile',
  () => {
    const onOneProcessor = ['-c', '0', process.execPath]
    const others = [0, 1].map(() => spawn('taskset', [...onOneProcessor, '-e', 'for (;;);'], { stdio: 'ignore' }))
    try {
      const args = [...onOneProcessor, '--input-type=module', '--eval', PROGRAM]
      const text = execFileSync('taskset', args, { encoding: 'utf8', timeout: 20_000 })
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

test.skipIf(process.platform !== 'linux')('the processor time of a process is what its threads have used', async () => {
  const [threads, whole, used] = [threadsTime(), processTime(process.pid), process.cpuUsage()]
  for (let now = process.cpuUsage(used); now.user + now.system < 400_000; now = process.cpuUsage(used));
  const spent = process.cpuUsage(used)
  const seconds = (spent.user + spent.system) / 1e6
  expect(Math.abs((threadsTime() - threads) / 1e9 - seconds)).toBeLessThan(0.1)
  expect(Math.abs(processTime(process.pid) - whole - seconds)).toBeLessThan(0.1)
  expect(processTime(2 ** 30)).toBeNaN()
})

test.skipIf(process.platform !== 'linux')('a delay is in seconds, and none of it is before its beginning', () => {
  const delay = new ProcessorDelay()
  const begun = performance.now()
  const seconds = delay.seconds()
  // One wait for each thread at the most.
  expect(seconds).toBeGreaterThanOrEqual(0)
  expect(seconds).toBeLessThan(((performance.now() - begun) / 1000 + 0.05) * 64)
})
