import { parentPort } from 'node:worker_threads'
import { serveVcpu } from '../../src/threads.ts'

const port = parentPort!
serveVcpu({ postMessage: (m) => port.postMessage(m), onMessage: (listener) => port.on('message', listener) })
