/**
 * A worker of a test: its machines are those of `fake-retrap.mjs`, or of a program. Arguments: the queue's address, its name, a
 * folder for logs; and perhaps the program, a store, a folder for files that come from there.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { serveQueue } from '../../src/queue/shared-queue.ts'
import { makerOf } from '../../src/run-plan.ts'
import { FileCache } from '../../src/store/file-cache.ts'
import { openStore } from '../../src/store/s3-store.ts'

const [, , url = '', name = '', logs = '', program = '', address = '', cache = ''] = process.argv
const preload = new URL('../../src/worker/end-with-parent.mjs', import.meta.url).href
const main = program === '' ? fileURLToPath(new URL('fake-retrap.mjs', import.meta.url)) : program
const source = main.endsWith('.ts') ? ['--conditions=retrap-source'] : []
const retrap = [process.execPath, '--max-semi-space-size=1', ...source, '--import', preload, main] as const
const store = address === '' ? undefined : openStore(address)
const scratch = join(cache, 'machines')
const stored = store && {
  ...{ store, scratch, modules: new Set<string>() },
  cache: new FileCache(join(cache, 'files'), store, 2 ** 30),
}
const ended = new AbortController()
process.once('SIGTERM', () => ended.abort())
const listener = { started: () => {}, ended: () => {}, trouble: () => {} }
await serveQueue(
  { url, name, lockMs: program === '' ? 1000 : 5000, concurrency: 2, listener },
  makerOf({ retrap, logs }, stored),
  ended.signal,
)
