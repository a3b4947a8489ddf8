/** Forwarded ports by sockets of this host, with a guest of the test. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import type { GuestConnection } from '../src/connection.ts'
import { type GuestForward, listen } from '../src/forward.ts'

let forward: GuestForward | undefined
afterEach(() => forward?.close())

/** A guest's end of a connection. */
function guestEnd(output: (aborted: Promise<void>) => AsyncIterable<Uint8Array>) {
  const aborted = Promise.withResolvers<void>()
  const readAll = Promise.withResolvers<void>()
  async function* readable(): AsyncGenerator<Uint8Array, void> {
    try {
      yield* output(aborted.promise)
    } finally {
      readAll.resolve()
    }
  }
  const connection: GuestConnection = {
    readable: { [Symbol.asyncIterator]: readable },
    write: async () => {},
    end: () => {},
    abort: aborted.resolve,
  }
  return { connection, aborted: aborted.promise, readAll: readAll.promise }
}

async function peerOf({ port }: GuestForward): Promise<Socket> {
  const peer = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  await once(peer, 'connect')
  return peer
}

test('a peer that breaks off in the middle ends its connection, also where the guest has more at that instant', async () => {
  const { connection, aborted, readAll } = guestEnd(async function* (broken) {
    yield new Uint8Array(10)
    await broken
    yield new Uint8Array(10)
    yield new Uint8Array(10)
  })
  forward = await listen(async () => connection, {})
  const peer = await peerOf(forward)
  await once(peer, 'data')
  peer.resetAndDestroy()
  await aborted
  await readAll
})

test('a peer that has ended its side and then breaks off, while the guest sends', async () => {
  const { connection, aborted, readAll } = guestEnd(async function* () {
    for (;;) yield new Uint8Array(1 << 16)
  })
  forward = await listen(async () => connection, {})
  const peer = await peerOf(forward)
  peer.end()
  await once(peer, 'data')
  peer.resetAndDestroy()
  await aborted
  await readAll
})

test('a peer that breaks off while the guest connects', async () => {
  const { connection, aborted, readAll } = guestEnd(async function* (broken) {
    await broken
    yield new Uint8Array(10)
  })
  const [asked, answer] = [Promise.withResolvers<void>(), Promise.withResolvers<GuestConnection>()]
  forward = await listen(() => (asked.resolve(), answer.promise), {})
  const peer = await peerOf(forward)
  await asked.promise
  forward.close()
  peer.resume()
  await once(peer, 'end')
  answer.resolve(connection)
  await aborted
  await readAll
})

test('a long output waits for its reader many times, and no listener is left', async () => {
  const warnings: Error[] = []
  const warned = (warning: Error): void => void warnings.push(warning)
  process.on('warning', warned)
  const { connection } = guestEnd(async function* () {
    // More at once than the host's buffers of a socket take.
    for (let i = 0; i < 12; i++) yield new Uint8Array(1 << 23)
  })
  forward = await listen(async () => connection, {})
  const peer = await peerOf(forward)
  peer.end()
  let length = 0
  for await (const part of peer) length += (part as Uint8Array).length
  expect(length).toBe(12 << 23)
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', warned)
  expect(warnings).toEqual([])
})
