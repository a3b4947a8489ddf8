import { Worker } from 'node:worker_threads'
import { expect, test, vi } from 'vitest'
import { Doorbell } from '../src/index.ts'
import { IoreqError } from '@retrap/ioreq'

test('counts its rings', () => {
  const bell = new Doorbell()
  const other = new Doorbell(bell.words, bell.index)
  bell.ring()
  other.ring()
  expect([bell.value, other.value]).toEqual([2, 2])
})

test('a ring that came before the wait ends it at once', () => {
  const bell = new Doorbell()
  const seen = bell.value
  bell.ring()
  expect(bell.waitSync(seen, 10_000)).toBe(true)
  expect(bell.waitSync(seen, 0)).toBe(true)
})

test.each([0, 0.01, 1, 20])('%d ms without a ring: false, and not before', (ms) => {
  const bell = new Doorbell()
  // Often enough that it does both: look first, and block at once.
  for (let i = 0; i < 20; i++) {
    const started = performance.now()
    expect(bell.waitSync(bell.value, ms)).toBe(false)
    expect(performance.now() - started).toBeGreaterThan(ms * 0.9)
  }
})

test('a clock that stands still does not keep it looking', () => {
  const now = vi.spyOn(performance, 'now').mockReturnValue(1)
  const bell = new Doorbell()
  expect(bell.waitSync(bell.value, 1)).toBe(false)
  expect(now).toHaveBeenCalled()
  now.mockRestore()
})

test('two threads that take turns lose no ring, whether they look or block', async () => {
  const rounds = 20_000
  const words = new Int32Array(new SharedArrayBuffer(8))
  const there = new Doorbell(words, 0)
  const back = new Doorbell(words, 1)
  const source = `
    import { workerData, parentPort } from 'node:worker_threads'
    const { words, rounds, doorbell } = workerData
    const { Doorbell } = await import(doorbell)
    const there = new Doorbell(words, 0)
    const back = new Doorbell(words, 1)
    for (let i = 0; i < rounds; i++) {
      while (there.value === i) if (!there.waitSync(i, 10_000)) throw new Error('lost ' + i)
      // Now and then the other one looks in vain.
      if (i % 1000 === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2)
      back.ring()
    }
    parentPort.postMessage('done')`
  const doorbell = new URL('../src/doorbell.ts', import.meta.url).href
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
    workerData: { words, rounds, doorbell },
  })
  const done = new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  let lost = 0
  for (let i = 0; i < rounds; i++) {
    there.ring()
    while (back.value === i) if (!back.waitSync(i, 10_000)) lost++
    if (lost > 0) break
  }
  expect(lost).toBe(0)
  await expect(done).resolves.toBe('done')
  expect([there.value, back.value]).toEqual([rounds, rounds])
  await worker.terminate()
})

test('needs memory that can be shared', () => {
  expect(() => new Doorbell(new Int32Array(1))).toThrow(IoreqError)
})
