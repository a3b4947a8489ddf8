import { type MessagePort, parentPort } from 'node:worker_threads'
import { CompileServer, type HelperMessage, type OpenEmitter } from '@retrap/engine'

/** Each processor's package takes a twentieth of a second to load. */
const OPENERS: Readonly<Record<string, OpenEmitter>> = {
  x86: async (kind) => (await import('@retrap/x86-cpu')).openX86Emitter(kind),
  arm64: async (kind) => (await import('@retrap/arm-cpu')).openArmEmitter(kind),
}

// The program of the Worker that compiles for the machines of this process: each posts a port.
parentPort!.on('message', (port: MessagePort) => {
  const server = new CompileServer(OPENERS, (answer) => port.postMessage(answer), true)
  port.on('message', (message: HelperMessage) => server.receive(message))
})
