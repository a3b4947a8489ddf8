import { expect, test } from 'vitest'
import { SpareBuffers } from '../src/index.ts'

test('a buffer that was given back is lent again, with the length that is asked for', () => {
  const spare = new SpareBuffers()
  const first = spare.take(4000)
  const second = spare.take(4000)
  expect([first.length, second.length, first.buffer === second.buffer]).toEqual([4000, 4000, false])
  spare.give(first)
  const again = spare.take(4096)
  expect([again.length, again.buffer === first.buffer]).toEqual([4096, true])
  expect(spare.take(2049).buffer).not.toBe(first.buffer)
})

test('one that is larger than asked for is not lent, nor one that is smaller', () => {
  const spare = new SpareBuffers()
  const small = spare.take(512)
  spare.give(small)
  expect(spare.take(513).length).toBe(513)
  expect(spare.take(1).buffer).toBe(small.buffer)
})

test('no more than 4 MiB are kept', () => {
  const spare = new SpareBuffers()
  const buffers = Array.from({ length: 6 }, () => spare.take(1 << 20))
  for (const buffer of buffers) spare.give(buffer)
  const lent = Array.from({ length: 6 }, () => spare.take(1 << 20).buffer)
  expect(lent.filter((buffer) => buffers.some((each) => each.buffer === buffer)).length).toBe(4)
})

test('one that was not lent is not kept where its size fits none', () => {
  const spare = new SpareBuffers()
  spare.give(new Uint8Array(1536))
  expect(spare.take(2048).length).toBe(2048)
})
