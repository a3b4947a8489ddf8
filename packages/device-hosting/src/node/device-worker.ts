import { workerData } from 'node:worker_threads'
import type { SharedDeviceMemory } from '../shared-memory.ts'
import { serveSharedDevices } from '../shared-devices.ts'
import { attachModules } from './modules.ts'

// The program of a device Worker; see startDeviceWorker.
const { memory, modules } = workerData as { readonly memory: SharedDeviceMemory; readonly modules: readonly string[] }
await serveSharedDevices(memory, (server) => attachModules(server, modules))
