/** The program of the Worker that has the devices: some accesses are answered in a later task. */
import { workerData } from 'node:worker_threads'
import { serveSharedDevices } from '@retrap/ioreq'
import type { SharedDeviceMemory } from '@retrap/ioreq'
import { Devices } from './devices.ts'

const { memory, data } = workerData as { readonly memory: SharedDeviceMemory; readonly data: SharedArrayBuffer }
let count = 0

function later<T>(value: T): Promise<T> {
  return count++ % 8 === 0 ? new Promise((resolve) => setImmediate(resolve, value)) : Promise.resolve(value)
}

await serveSharedDevices(memory, (server) => server.attach(new Devices(data).model(later)))
