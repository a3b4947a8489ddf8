import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { expect, test, vi } from 'vitest'
import { EVENT_NMI, EVENT_SMI, EVENT_STOP, S_ATTENTION, S_EVENTS } from '../../src/state/state-layout.ts'
import { OutsideEvents } from '../../src/system/outside-events.ts'

test('a signal of another thread is neither lost nor made up while this one changes others', async () => {
  const u32 = new Uint32Array(new SharedArrayBuffer(0x1000))
  const words = new Int32Array(new SharedArrayBuffer(16))
  const source = `const { u32, words } = require('node:worker_threads').workerData
    const isThere = () => (Atomics.load(u32, ${S_EVENTS >>> 2}) & ${EVENT_NMI}) !== 0
    for (Atomics.store(words, 0, 1); Atomics.load(words, 1) === 0;) {
      Atomics.or(u32, ${S_EVENTS >>> 2}, ${EVENT_NMI})
      for (let i = 0; i < 50; i++) if (!isThere()) words[2]++
      Atomics.and(u32, ${S_EVENTS >>> 2}, ${~EVENT_NMI})
      for (let i = 0; i < 50; i++) if (isThere()) words[2]++
    }`
  const worker = new Worker(source, { eval: true, workerData: { u32, words } })
  while (Atomics.load(words, 0) === 0) await new Promise((resolve) => setImmediate(resolve))
  const events = new OutsideEvents(u32)
  for (let i = 0; i < 1_000_000; i++) {
    events.raise(EVENT_SMI)
    events.clear(EVENT_SMI)
  }
  Atomics.store(words, 1, 1)
  await once(worker, 'exit')
  expect(words[2]).toBe(0)
})

test('attention stays for what is signalled while it is settled', () => {
  const u32 = new Uint32Array(0x400)
  const events = new OutsideEvents(u32)
  const look = vi.spyOn(events, 'urgent', 'get').mockImplementation(() => (events.raise(EVENT_STOP), false))
  events.settleAttention()
  look.mockRestore()
  expect(u32[S_ATTENTION >>> 2]).not.toBe(0)
})
