/** The calls by which packages show what they do with arguments of the wrong kind. */
import { expect, test } from 'vitest'
import { JUNK, misuses, Untyped } from '../src/misuse.ts'

class TypedError extends Error {}

test('an error of another class is found, with the argument that led to it', () => {
  const call = (first: unknown, second: unknown): void => {
    if (first === null) throw new TypedError('the package says so')
    if (second === -1) throw new RangeError('it does not')
    if (typeof first === 'symbol') throw new TypeError('a symbol')
  }
  expect(misuses(call as never, [5, 6], TypedError)).toEqual([
    'argument 0 = Symbol(s): TypeError: a symbol',
    'argument 1 = -1: RangeError: it does not',
  ])
})

test('each argument is replaced by each value, one at a time', () => {
  const seen: unknown[][] = []
  misuses(((...args: unknown[]) => void seen.push(args)) as never, ['a', 'b'], TypedError)
  const values = JUNK.slice(0, -1)
  expect(seen).toEqual([...values.map((value) => [value, 'b']), ...values.map((value) => ['a', value])])
  expect(
    misuses(
      (() => {
        throw new Error('x')
      }) as never,
      [0],
      TypedError,
    ),
  ).toEqual(
    expect.arrayContaining(['argument 0 = []: Error: x', 'argument 0 = {}: Error: x', 'argument 0 = -1n: Error: x']),
  )
  expect(
    misuses(
      (() => {
        throw new Error('x')
      }) as never,
      [0],
      TypedError,
    ),
  ).toContain('argument 0 = null: Error: x')
})

test('junk has values of all kinds, and an object that is no text', () => {
  expect(new Set(JUNK.map((value) => typeof value))).toEqual(
    new Set(['undefined', 'object', 'number', 'string', 'bigint', 'boolean', 'function', 'symbol']),
  )
  for (const value of [NaN, -1, 1.5, Infinity, 2 ** 60, -1n, 2n ** 70n, null, undefined, true])
    expect(JUNK).toContainEqual(value)
  expect(() => String(JUNK.at(-1))).toThrow(TypeError)
})

test('each line is there once', () => {
  const untyped = new Untyped(TypedError)
  for (const message of ['a', 'a', 'b']) {
    untyped.attempt('call', () => {
      throw new Error(message)
    })
  }
  untyped.attempt('call', () => {
    throw new TypedError('c')
  })
  expect([...untyped.found]).toEqual(['call: Error: a', 'call: Error: b'])
})
