/** A replay's gate by itself, with a file that answers when the test says so. */
import type { RecordedEvent, Recording } from '@retrap/recording'
import { beforeEach, expect, test } from 'vitest'
import { ReplayGate } from '../src/recording/replay-gate.ts'

const END = 100

/** What a back end has read for a request, with its bytes in the file. */
function answer(key: string): RecordedEvent {
  // What was asked for, after its length; then the status.
  const data = Uint8Array.of(key.length, ...new TextEncoder().encode(key), 0)
  return { kind: 'answer', round: 0, instructions: 0, source: 0, data, body: { bytes: 4, runs: [1, 1] } }
}

let reading: PromiseWithResolvers<void>
let loading: PromiseWithResolvers<RecordedEvent[]>
let domain: { instructions: number; clock: object; spent: number; stops: number; stop(): void }
let gate: ReplayGate
beforeEach(() => {
  reading = Promise.withResolvers()
  loading = Promise.withResolvers()
  domain = {
    instructions: END,
    clock: { now: () => 0 },
    spent: 0,
    stops: 0,
    stop() {
      this.stops++
    },
  }
  const recording = {
    end: { instructions: END, round: 9 },
    pieces: 1,
    events: () => loading.promise,
    readBody: () => reading.promise,
  }
  gate = new ReplayGate(recording as unknown as Recording, () => new Uint8Array())
  gate.start(domain as never)
  gate.limitRound = 5
})

const ask = (key: string): Promise<number> => gate.ask(0, key, new Uint8Array(4), () => Promise.reject(new Error()))
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

test('a machine that waits for bytes of the file is not at its limit before the round of it', async () => {
  const asked = ask('read 0')
  gate.waits()
  loading.resolve([answer('read 0')])
  await turn()
  gate.waits()
  expect(domain.stops).toBe(0)
  reading.resolve()
  expect(await asked).toBe(0)
  for (let round = 1; round < 5; round++) void gate.begin(true)
  expect(domain.stops).toBe(0)
  void gate.begin(true)
  expect(domain.stops).toBe(1)
})

test('one that waits for what has no answer stops, although something else was on its way', async () => {
  const asked = ask('read 0')
  loading.resolve([answer('read 0')])
  await turn()
  gate.waits()
  expect(domain.stops).toBe(0)
  const unanswered = ask('read 1').catch(({ code }: { code: string }) => code)
  expect(domain.stops).toBe(1)
  gate.waits()
  expect(domain.stops).toBe(2)
  reading.resolve()
  expect(await asked).toBe(0)
  await gate.leave()
  expect(await unanswered).toBe('ERR_CANCELLED')
})

test('a request without an answer stops nobody who has other things to do', async () => {
  const asked = ask('read 0')
  loading.resolve([answer('read 0')])
  await turn()
  gate.waits()
  reading.resolve()
  expect(await asked).toBe(0)
  expect(gate.budget(1000)).toBe(1)
  void ask('read 1').catch(() => undefined)
  expect(domain.stops).toBe(0)
  await gate.leave()
})

test.each([
  ['inputs', 'input'],
  ['answers', 'answer'],
] as const)('%s that are due at once are bounded', async (_, kind) => {
  const event: RecordedEvent = { ...answer('read 9'), kind }
  loading.resolve(Array.from({ length: 2 ** 20 + 1 }, () => event))
  await expect(gate.begin(true)).rejects.toMatchObject({ code: 'ERR_DAMAGED' })
})
