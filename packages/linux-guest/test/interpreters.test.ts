/** Interpreters that are kept: only what the installed modules have generated is used. */
import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { keptInterpreters, packedInterpreters } from '@retrap/linux-guest/machine/interpreters'

const GENERATOR = randomBytes(32)
const PACKED = Buffer.concat([randomBytes(5000), Buffer.alloc(5000, 'interpreters ')])
const KEPT = keptInterpreters(PACKED, GENERATOR)

test('what was kept is taken', () => {
  expect(Buffer.from(packedInterpreters(KEPT, GENERATOR)!).equals(PACKED)).toBe(true)
})

test.each([
  ['of other modules', KEPT, randomBytes(32)],
  ['that is empty', new Uint8Array(), GENERATOR],
  ['that is cut behind the digest of its generator', KEPT.subarray(0, 40), GENERATOR],
  ['that is cut', KEPT.subarray(0, -1), GENERATOR],
  ['with more behind it', Buffer.concat([KEPT, Uint8Array.of(0)]), GENERATOR],
])('a file %s is not', (_what, kept, generator) => {
  expect(packedInterpreters(kept, generator)).toBeUndefined()
})

test('nor is one with another bit, wherever that is', () => {
  for (let at = 0; at < KEPT.length; at += 1 + Math.floor(KEPT.length / 97)) {
    const other = Buffer.from(KEPT)
    other[at]! ^= 1 << (at % 8)
    expect(packedInterpreters(other, GENERATOR)).toBeUndefined()
  }
})
