/** A watch over the main thread once a user's models are in it, as a model may never return. */
import { closeSync, openSync } from 'node:fs'
import { devNull } from 'node:os'
import { isMainThread, Worker } from 'node:worker_threads'
import { ENDING_SIGNALS, type SessionHost } from '../session/session-host.ts'

/** Milliseconds without a turn of the event loop after which the thread counts as stuck. */
const STUCK_MS = 250
const BEAT_MS = 100
/** Event that the process emits, repeatedly, while its main thread is stuck. */
const STUCK = 'retrap-stuck'

/** The watcher's program: Node's inspector executes a script amid anything that V8 can interrupt. Bun and Deno have no such inspector. */
const WATCHER = `
  const { Session } = require('node:inspector')
  const { turn, ms, expression } = require('node:worker_threads').workerData
  let [seen, asked] = [0, false]
  const beat = setInterval(() => {
    if (seen !== (seen = turn[0]) || asked) return
    asked = true
    const session = new Session()
    try {
      session.connectToMainThread()
    } catch {
      return clearInterval(beat)
    }
    session.post('Runtime.evaluate', { expression }, () => (asked = session.disconnect()))
  }, ms)
`
/** Host milliseconds of the main thread's last turn of its event loop; 0: the thread is not watched. */
const turn = new Float64Array(new SharedArrayBuffer(8))

/** Begins to watch the main thread, once. */
export function watchMainThread(): void {
  if (!isMainThread || turn[0] !== 0) return
  turn[0] = performance.now()
  setInterval(() => (turn[0] = performance.now()), BEAT_MS).unref()
  process.on(STUCK, letGo)
  const workerData = { turn, ms: STUCK_MS, expression: `process.emit('${STUCK}')` }
  const watcher = new Worker(WATCHER, { eval: true, workerData, execArgv: [], stdin: false })
  watcher.unref()
  // A Node without an inspector.
  watcher.on('error', () => {})
}

/** Has signals, and Ctrl-C at the terminal, end the process by themselves until the event loop has its turn. */
function letGo(): void {
  const { stdin } = process
  const { isRaw } = stdin
  const heard = ENDING_SIGNALS.map((signal) => [signal, process.listeners(signal)] as const)
  for (const signal of ENDING_SIGNALS) process.removeAllListeners(signal)
  if (isRaw) stdin.setRawMode(false)
  setImmediate(() => {
    for (const [signal, listeners] of heard) for (const listener of listeners) process.on(signal, listener)
    if (isRaw) stdin.setRawMode(true)
  })
}

/** See `SessionHost.onStuck`. */
export const onStuck: SessionHost['onStuck'] = (listener) => {
  const stuck = (): void => listener(performance.now() - turn[0]!, exit)
  process.on(STUCK, stuck)
  return () => process.off(STUCK, stuck)
}

function exit(code: number): void {
  // Node says there that it waits for the session of the inspector that this executes in.
  closeSync(2)
  openSync(devNull, 'w')
  process.exit(code)
}
