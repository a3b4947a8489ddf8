import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import type { SharedDeviceMemory } from '../../src/index.ts'

const url = (name: string): URL => new URL(name, import.meta.url)

test.each(['./synchronous-models.ts', './asynchronous-models.ts'])(
  'a vCPU in a Worker of its own, which only blocks, is served by models of another one: %s',
  async (module) => {
    const vcpu = new Worker(url('./vcpu-worker.ts'))
    let devices: Worker | undefined
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    vcpu.on('error', reject)
    vcpu.on('message', (message: unknown) => {
      if (devices !== undefined) return resolve(message)
      // The thread between them only introduces the one to the other.
      devices = new Worker(url('../../src/node/device-worker.ts'), {
        workerData: { memory: message as SharedDeviceMemory, modules: [url(module).href] },
      })
      devices.on('error', reject)
    })
    try {
      expect(await promise).toEqual({
        seen: Array.from({ length: 500 }, (_, i) => i & 0xff),
        events: ['irq5=1'],
        memory: [4, 3, 2, 1],
        failures: 0,
        ready: false,
      })
    } finally {
      // A vCPU that is not served blocks for ever.
      await Promise.all([vcpu.terminate(), devices?.terminate()])
    }
  },
  60_000,
)
