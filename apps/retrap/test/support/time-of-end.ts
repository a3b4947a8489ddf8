// To be loaded into a process with --import: says at its end how much processor time its main thread has used, in
// nanoseconds, and how much of that after the deadline that `RETRAP_DEADLINE_MS` names by its length; and when that
// deadline was, in milliseconds since 1970. The last line on stderr.
import { readFileSync, writeSync } from 'node:fs'
import { Worker } from 'node:worker_threads'

/** A timer's length when some of the time has already been used. */
const LEAST = 0.2
const wanted = Number(process.env['RETRAP_DEADLINE_MS'] ?? NaN)

// Words 0 and 1: the deadline is known; never set. Double 1: the deadline. Double 2: processor time then.
const shared = new SharedArrayBuffer(24)
const words = new Int32Array(shared)
const doubles = new Float64Array(shared)

/** Waits for the deadline in a thread, which the event loop cannot keep. */
const WATCH = `
const { workerData: shared } = require('node:worker_threads')
const words = new Int32Array(shared)
const doubles = new Float64Array(shared)
Atomics.wait(words, 0, 0)
Atomics.wait(words, 1, 0, Math.max(0, doubles[1] - performance.timeOrigin - performance.now()))
doubles[2] = Number(require('node:fs').readFileSync('/proc/self/task/' + process.pid + '/schedstat', 'latin1').split(' ')[0])
`

if (!Number.isNaN(wanted)) {
  new Worker(WATCH, { eval: true, workerData: shared }).unref()
  const real = globalThis.setTimeout
  const watched = (callback: () => void, ms: number): NodeJS.Timeout => {
    if (ms > wanted * LEAST && ms <= wanted && words[0] === 0) {
      doubles[1] = performance.timeOrigin + performance.now() + ms
      Atomics.store(words, 0, 1)
      Atomics.notify(words, 0)
    }
    return real(callback, ms)
  }
  globalThis.setTimeout = Object.assign(watched, real) as typeof setTimeout
}

process.on('exit', () => {
  const used = Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ')[0])
  const after = doubles[2] === 0 ? 'unknown' : used - (doubles[2] as number)
  writeSync(2, `processor time ${used} ${after} ${doubles[1]}\n`)
})
