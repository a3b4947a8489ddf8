import { parentPort } from 'node:worker_threads'
import { serveVcpu } from '@retrap/hvm/threads'
import { loadInterpreters } from './machine/interpreters.ts'

// The program of a vCPU's thread.
const port = parentPort!
await loadInterpreters('x86')
serveVcpu({
  postMessage: (message) => port.postMessage(message),
  onMessage: (listener) => port.on('message', listener),
})
