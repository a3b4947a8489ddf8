import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { expect, test, vi } from 'vitest'
import * as S from '../../src/state/state-layout.ts'
import { OutsideEvents } from '../../src/system/outside-events.ts'

const BEGUN = 1
const END = 2

test('a signal of another thread is neither lost nor made up while this one changes others', async () => {
  const u32 = new Uint32Array(new SharedArrayBuffer(0x1000))
  const ends = new Int32Array(new SharedArrayBuffer(16))
  const source = `
    import { workerData } from 'node:worker_threads'
    import { OutsideEvents } from ${JSON.stringify(import.meta.resolve('../../src/system/outside-events.ts'))}
    const { u32, ends, nmi, at } = workerData
    const events = new OutsideEvents(u32)
    Atomics.store(ends, ${BEGUN}, 1)
    while (Atomics.load(ends, ${END}) === 0) {
      events.raise(nmi)
      for (let i = 0; i < 50; i++) if ((Atomics.load(u32, at) & nmi) === 0) ends[0]++
      events.clear(nmi)
      for (let i = 0; i < 50; i++) if ((Atomics.load(u32, at) & nmi) !== 0) ends[0]++
    }`
  const workerData = { u32, ends, nmi: S.EVENT_NMI, at: S.S_EVENTS >>> 2 }
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
    workerData,
    execArgv: ['--conditions=retrap-source'],
  })
  while (Atomics.load(ends, BEGUN) === 0) await new Promise((resolve) => setImmediate(resolve))
  const events = new OutsideEvents(u32)
  for (let i = 0; i < 1_000_000; i++) {
    events.raise(S.EVENT_SMI)
    events.clear(S.EVENT_SMI)
  }
  Atomics.store(ends, END, 1)
  await once(worker, 'exit')
  expect(ends[0]).toBe(0)
})

test('attention stays for what is signalled while it is settled', () => {
  const u32 = new Uint32Array(0x400)
  const events = new OutsideEvents(u32)
  const urgent = vi.spyOn(events, 'urgent', 'get').mockImplementation(() => {
    // Just after the look.
    new OutsideEvents(u32).raise(S.EVENT_STOP)
    return false
  })
  events.settleAttention()
  urgent.mockRestore()
  expect(u32[S.S_ATTENTION >>> 2]).not.toBe(0)
})
