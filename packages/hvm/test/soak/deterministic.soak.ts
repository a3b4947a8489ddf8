import { Worker } from 'node:worker_threads'
import type { Soak } from '@retrap/tooling/soak'
import { deterministicRun, type Placement } from '../support/deterministic-run.ts'

/** Keeps processors busy in bursts while its word is set. */
const LOAD = `
const { workerData: words } = require('node:worker_threads')
for (;;) {
  Atomics.wait(words, 0, 0)
  const until = performance.now() + Math.random() * 20
  while (performance.now() < until);
  Atomics.wait(words, 1, 0, Math.random() * 4)
}`
const WORKERS = 4

const words = new Int32Array(new SharedArrayBuffer(8))
const workers: Worker[] = []
const references = new Map<string, string>()

/** Runs of one guest, with models that take their time, on an idle host and on one that is busy: all end alike. */
export const soak: Soak = {
  name: 'deterministic',
  count: 1000,
  setup() {
    for (let i = 0; i < WORKERS; i++) workers.push(new Worker(LOAD, { eval: true, workerData: words }))
  },
  async step(rng) {
    const vcpus = rng.pick([1, 4])
    const placement = rng.pick<Placement>(['here', 'here', 'here', 'here', 'worker', 'worker', 'worker', 'process'])
    const busy = rng.chance()
    rng.note('run', `${vcpus} vCPUs, models ${placement}, a ${busy ? 'busy' : 'quiet'} host`)
    Atomics.store(words, 0, busy ? 1 : 0)
    Atomics.notify(words, 0)
    const digest = await deterministicRun(vcpus, placement)
    const key = `${vcpus} ${placement}`
    const reference = references.get(key) ?? digest
    references.set(key, reference)
    return digest === reference ? undefined : `the state is ${digest}, that of the first such run was ${reference}`
  },
  async teardown() {
    Atomics.store(words, 0, 0)
    await Promise.all(workers.splice(0).map((worker) => worker.terminate()))
  },
}
