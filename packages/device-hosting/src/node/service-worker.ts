import { type MessagePort, workerData } from 'node:worker_threads'
import type { FramePort } from '../message-link.ts'
import { serveMessages } from '../message-transport.ts'
import { attachModules } from './modules.ts'

// The program of a Worker with the models of one machine; see serveDeviceModules.
const { port, modules } = workerData as { readonly port: MessagePort; readonly modules: readonly string[] }
await serveMessages(port as unknown as FramePort, (server) => attachModules(server, modules))
