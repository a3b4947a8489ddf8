/** The program of the Worker that has the devices: accesses are answered when that is allowed, some in a later task. */
import { workerData } from 'node:worker_threads'
import { serveSharedDevices, type SharedDeviceMemory } from '@retrap/device-hosting'
import { Devices } from './devices.ts'

const { memory, data } = workerData as { readonly memory: SharedDeviceMemory; readonly data: SharedArrayBuffer }
let count = 0

const devices = new Devices(data)

function later<T>(value: T): Promise<T> {
  devices.leave()
  return count++ % 8 === 0 ? new Promise((resolve) => setImmediate(resolve, value)) : Promise.resolve(value)
}

await serveSharedDevices(memory, (server) => server.attach(devices.model(later)))
