import { expect, test } from 'vitest'
import { GuestStream } from '@retrap/guest'

test('a stream keeps what a device model does not take, in order, and says when it has taken all', () => {
  const stream = new GuestStream()
  let drains = 0
  stream.onDrain(() => drains++)
  const heard: number[] = []
  stream.onTransmit((bytes) => heard.push(...bytes))
  expect(stream.receive(Uint8Array.of(1, 2, 3))).toBe(true)
  let room = 2
  const taken: number[] = []
  stream.connect({
    receive(bytes) {
      const part = bytes.subarray(0, Math.min(room, 4096))
      taken.push(...part)
      room -= part.length
      return part.length
    },
  })
  expect(taken).toEqual([1, 2])
  room = 1
  expect(stream.receive(Uint8Array.of(4))).toBe(true)
  expect(taken).toEqual([1, 2, 3])
  expect(stream.receive(new Uint8Array(16_382))).toBe(true)
  expect(stream.receive(Uint8Array.of(5))).toBe(false)
  room = 100
  stream.ready()
  expect(drains).toBe(0)
  room = 100_000
  stream.ready()
  stream.ready()
  expect(drains).toBe(1)
  expect(taken).toEqual([1, 2, 3, 4, ...new Uint8Array(16_382), 5])
  stream.send(Uint8Array.of(7))
  expect(heard).toEqual([7])
})
