import { parentPort } from 'node:worker_threads'
import { serveVcpu } from '@retrap/hvm/threads'

// The program of a vCPU's thread.
const port = parentPort!
serveVcpu({
  postMessage: (message) => port.postMessage(message),
  onMessage: (listener) => port.on('message', listener),
})
