import { describe, expect, test } from 'vitest'
import { ArgumentChecks, describeArgument, hasMethods } from '../src/index.ts'

test.each([
  [1.5, '1.5'],
  [2n, '2n'],
  ['a"b', '"a\\"b"'],
  ['x'.repeat(41), `"${'x'.repeat(40)}…"`],
  [null, 'null'],
  [[], 'an array'],
  [{}, 'an object'],
  [() => 0, 'a function'],
  [undefined, 'undefined'],
  [Symbol('s'), 'Symbol(s)'],
])('an argument in a message: %s', (value, text) => expect(describeArgument(value)).toBe(text))

test('members are those of objects and functions', () => {
  const both = { a: () => 1, b: () => 2 }
  expect([hasMethods(both, 'a', 'b'), hasMethods(both, 'a', 'c'), hasMethods({ a: 1 }, 'a')]).toEqual([
    true,
    false,
    false,
  ])
  expect([
    hasMethods(
      Object.assign(() => 1, both),
      'b',
    ),
    hasMethods(null, 'a'),
    hasMethods('a', 'at'),
  ]).toEqual([...[true, false, false]])
})

describe('a check throws what its package makes of the message', () => {
  class OwnError extends Error {}
  const check = new ArgumentChecks((message) => new OwnError(message))

  test.each<[name: string, ok: unknown, wrong: unknown, message: string, run: (value: unknown) => void]>([
    ['number', Number.NaN, '1', 'it is "1": expected a number', (value) => check.number('it', value)],
    ['integer', 3, 3.5, 'it is 3.5: expected an integer from 0 to 7', (value) => check.integer('it', value, 0, 7)],
    ['least', 0, -1, 'it is -1: expected an integer from 0 to 7', (value) => check.integer('it', value, 0, 7)],
    ['most', 7, 8, 'it is 8: expected an integer from 0 to 7', (value) => check.integer('it', value, 0, 7)],
    ['bigint', 1n, 1, 'it is 1: expected a bigint', (value) => check.bigint('it', value)],
    ['text', '', 1, 'it is 1: expected a string', (value) => check.text('it', value)],
    ['object', [], null, 'it is null: expected an object', (value) => check.object('it', value)],
    ['function', () => 0, {}, 'it is an object: expected a function', (value) => check.function('it', value)],
    ['list', [], {}, 'it is an object: expected an array', (value) => check.list('it', value)],
    ['bytes', new Uint8Array(), [], 'it is an array: expected a Uint8Array', (value) => check.bytes('it', value)],
    ['members', {}, 1, 'it is 1: expected an object', (value) => check.methods('it', value)],
    [
      'methods',
      { a: () => 0, b: () => 0 },
      { a: () => 0 },
      'it is an object: expected an object with a and b',
      (value) => check.methods('it', value, 'a', 'b'),
    ],
  ])('%s', (_name, ok, wrong, message, run) => {
    expect(() => run(ok)).not.toThrow()
    expect(() => run(wrong)).toThrow(new OwnError(message))
    expect(() => run(wrong)).toThrow(OwnError)
  })
})
