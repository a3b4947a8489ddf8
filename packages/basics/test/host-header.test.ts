import { expect, test } from 'vitest'
import { namesServer } from '../src/index.ts'

test.each([
  ['127.0.0.1:8064', true],
  ['192.168.1.7', true],
  ['[::1]:80', true],
  ['[fe80::1]', true],
  ['localhost:8064', true],
  ['LOCALHOST', true],
  ['retrap.localhost.', true],
  ['box.example:8064', true],
  ['Box.Example', true],
  ['evil.test', false],
  ['box.example.evil.test', false],
  ['localhost.evil.test', false],
  ['127.0.0.1.evil.test', false],
  ['evil.test@localhost', false],
  ['evil.test#localhost', false],
  ['[::1].evil.test', false],
  ['1234', false],
  ['', false],
  [undefined, false],
])('a request for %j names this machine or box.example: %s', (host, names) => {
  expect(namesServer(host, ['box.example'])).toBe(names)
})
