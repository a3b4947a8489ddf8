import type { ByteStreamClient } from '@retrap/device'
import type { MachineExit } from '@retrap/machine'
import { expect, test } from 'vitest'
import { HeldOutput } from '../../src/commands/exec/held-output.ts'

/** An output that is full after each piece. */
function output() {
  const sent: number[] = []
  let client: ByteStreamClient | undefined
  const connect = (given: ByteStreamClient): void => void (client = given)
  const send = (bytes: Uint8Array): boolean => (sent.push(...bytes), false)
  return { sent, stream: { connect, send }, drain: () => client?.drained() }
}

/** A machine that sends numbers, and says when it is stopped. */
function machine(said: string[], act: (run: number) => void) {
  let runs = 0
  return {
    run: async (signal: AbortSignal): Promise<MachineExit> => {
      act(++runs)
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
      said.push(`stopped ${runs}`)
      return { reason: 'stopped' }
    },
  }
}

/** Everything that is under way takes its turn. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('a machine stands still while an output is full, and its last bytes are awaited', async () => {
  const held = new HeldOutput()
  const [over, said, { sent, stream, drain }] = [new AbortController(), [] as string[], output()]
  const watched = held.watch(stream)
  watched.connect?.({ receive: () => 0, drained: () => void said.push('drained') })
  const guest = machine(said, (run) => {
    watched.send(Uint8Array.of(run))
    if (run === 2) over.abort()
  })
  const run = held.run(guest, over.signal, Infinity, () => true)
  await turn()
  expect([sent, said]).toEqual([[1], ['stopped 1']])
  drain()
  await turn()
  expect([...sent, ...said]).toEqual([1, 2, 'stopped 1', 'drained', 'stopped 2'])
  expect(await Promise.race([run, turn()])).toBeUndefined()
  drain()
  expect(await run).toEqual({ reason: 'stopped' })
  expect(said.at(-1)).toBe('drained')
})

test.each([
  { limit: 20, aborts: false, reason: 'timeout' },
  { limit: Infinity, aborts: true, reason: 'stopped' },
])('an output that stays full ends by $reason', async ({ limit, aborts, reason }) => {
  const held = new HeldOutput()
  const [over, { stream }] = [new AbortController(), output()]
  const watched = held.watch(stream)
  const guest = machine([], () => watched.send(Uint8Array.of(1)))
  const run = held.run(guest, over.signal, limit, () => false)
  await turn()
  if (aborts) over.abort()
  expect(await run).toEqual({ reason })
})
