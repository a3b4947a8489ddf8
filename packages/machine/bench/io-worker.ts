import { parentPort, workerData } from 'node:worker_threads'
import { defineDevice } from '@retrap/device'
import { serveSharedDevices, type SharedDeviceMemory } from '@retrap/device-hosting'

// The other thread of io.bench.ts: half of a bare ping-pong when it is given one, a device server otherwise.
const { memory } = workerData as { readonly memory: SharedDeviceMemory }
parentPort?.on('message', ({ words, rounds }: { readonly words: Int32Array; readonly rounds: number }) => {
  parentPort?.postMessage('ready')
  for (let i = 0; i < rounds; i++) {
    Atomics.wait(words, 0, i)
    Atomics.store(words, 1, i + 1)
    Atomics.notify(words, 1)
  }
})
const device = defineDevice({
  name: 'far',
  synchronous: true,
  mmio: [
    { base: 0x8000, size: 64 },
    // Where a PC has no RAM.
    { base: 0xfeda_0000, size: 64 },
  ],
  read: (offset) => offset,
})
await serveSharedDevices(memory, (server) => server.attach(device))
