/** A worker of a test: its machines are those of `fake-retrap.mjs`. Arguments: the queue's address, its name, a folder for logs. */
import { fileURLToPath } from 'node:url'
import { serveQueue } from '../../src/queue/shared-queue.ts'
import { runMachine } from '../../src/worker/machine-process.ts'

const [, , url = '', name = '', logs = ''] = process.argv
const retrap = [process.execPath, fileURLToPath(new URL('fake-retrap.mjs', import.meta.url))] as const
const ended = new AbortController()
process.once('SIGTERM', () => ended.abort())
const listener = { started: () => {}, ended: () => {}, trouble: () => {} }
await serveQueue(
  { url, name, lockMs: 1000, concurrency: 2, listener },
  (job, attempt, signal) => runMachine({ retrap, logs }, job, attempt, signal),
  ended.signal,
)
