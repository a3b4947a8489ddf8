import { expect, test } from 'vitest'
import { Chardevs } from '../../src/machine/serial/chardevs.ts'
import type { FarEnd } from '../../src/machine/serial/far-end.ts'

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value)
const KIB = 1024

/** A chardev, whose far end the test plays. */
async function opened() {
  const written: string[] = []
  const far = { resumed: 0, give: (piece: Uint8Array): boolean => expect.unreachable(text(piece)) }
  const end: FarEnd = {
    write: (piece) => void written.push(text(piece)),
    onReceive: (listener) => (far.give = listener),
    resume: () => far.resumed++,
    onError() {},
    close: () => Promise.resolve(),
  }
  const chardevs = new Chardevs()
  const say = { write: () => expect.unreachable(), on: () => {} }
  await chardevs.open([{ id: 'c', target: { kind: 'stdio' } }], end, say, () => expect.unreachable())
  return { chardevs, far, written }
}

/** A device's port, with room for so many bytes. */
function port(room: number) {
  let got = ''
  return {
    got: () => got,
    addRoom: (more: number) => (room += more),
    receive(piece: Uint8Array): number {
      const part = piece.subarray(0, room)
      room -= part.length
      got += text(part)
      return part.length
    },
    drained() {},
  }
}

test('what comes before there is a device waits for it', async () => {
  const { chardevs, far, written } = await opened()
  expect(far.give(bytes('early '))).toBe(true)
  const stream = chardevs.plug('c')
  expect(far.give(bytes('late'))).toBe(true)
  const client = port(100)
  stream.connect?.(client)
  expect(client.got()).toBe('early late')
  stream.send(bytes('answer'))
  expect(written).toEqual(['answer'])
})

test('the far end holds back while 16 KiB wait, and goes on at half of that', async () => {
  const { chardevs, far } = await opened()
  const [stream, client] = [chardevs.plug('c'), port(0)]
  stream.connect?.(client)
  expect(far.give(new Uint8Array(16 * KIB - 1))).toBe(true)
  expect(far.give(Uint8Array.of(65))).toBe(false)
  client.addRoom(8 * KIB - 1)
  stream.ready?.()
  expect(far.resumed).toBe(0)
  client.addRoom(1)
  stream.ready?.()
  expect(far.resumed).toBe(1)
  client.addRoom(8 * KIB)
  stream.ready?.()
  expect([client.got().length, client.got().at(-1), far.resumed]).toEqual([16 * KIB, 'A', 1])
})

test('a machine that follows another one begins with nothing, and the far end goes on', async () => {
  const { chardevs, far } = await opened()
  const [first, second] = [port(0), port(100)]
  chardevs.plug('c').connect?.(first)
  expect(far.give(new Uint8Array(20 * KIB))).toBe(false)
  chardevs.plug('c').connect?.(second)
  expect(far.resumed).toBe(1)
  expect(far.give(bytes('new'))).toBe(true)
  expect([first.got(), second.got()]).toEqual(['', 'new'])
})
