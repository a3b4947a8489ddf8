import { expect, test } from 'vitest'
import { madeOnce } from '../src/made-once.ts'

const text = (files: ReadonlyMap<string, Uint8Array>): [string, string][] =>
  [...files].map(([path, bytes]) => [path, Buffer.from(bytes).toString()])
const files = (content: string): Map<string, string | Uint8Array> =>
  new Map<string, string | Uint8Array>([
    ['a.txt', content],
    ['deep/er/b.bin', Uint8Array.of(0x62, 0x69, 0x6e)],
  ])
const made = (content: string): [string, string][] => [
  ['a.txt', content],
  ['deep/er/b.bin', 'bin'],
]

test('what the first has made is what all get, each in a map of its own', async () => {
  const first = await madeOnce('some', () => Promise.resolve(files('first')))
  expect(text(first).sort()).toEqual(made('first'))
  first.set('a.txt', new Uint8Array())
  const second = await madeOnce('some', () => Promise.reject(new Error('made again')))
  expect(text(second).sort()).toEqual(made('first'))
  expect(text(await madeOnce('other', () => Promise.resolve(files('other')))).sort()).toEqual(made('other'))
})

test('of two that make at a time, the first to end has made it', async () => {
  const { promise, resolve } = Promise.withResolvers<Map<string, string | Uint8Array>>()
  const slow = madeOnce('both', () => promise)
  expect(text(await madeOnce('both', () => Promise.resolve(files('quick')))).sort()).toEqual(made('quick'))
  resolve(files('slow'))
  expect(text(await slow).sort()).toEqual(made('quick'))
})

test('nothing is there of what could not be made', async () => {
  await expect(madeOnce('bad', () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(text(await madeOnce('bad', () => Promise.resolve(files('good')))).sort()).toEqual(made('good'))
})
