import { defineDevice } from '@retrap/device'
import { al, dx } from '@retrap/x86-assembler'
import { TEST_JIT } from '@retrap/tooling/jit'
import { describe, expect, test } from 'vitest'
import { createPc, describeThrown } from '../src/index.ts'
import { multibootKernel } from './support/kernels.ts'

const PORT = 0x700
const unprintable = {
  toString() {
    throw new TypeError('no text')
  },
}
class Secret extends Error {
  override get message(): string {
    throw new Error('no message')
  }
}

describe('a thrown value as text', () => {
  test.each([
    ['an error', new RangeError('too far'), 'too far'],
    ['a text', 'too far', 'too far'],
    ['nothing', undefined, 'undefined'],
    ['an object without a prototype', Object.create(null), 'a value that cannot be printed'],
    ['an object that throws', unprintable, 'a value that cannot be printed'],
    ['an error whose message throws', new Secret(), 'a value that cannot be printed'],
  ])('%s', (_what, thrown, text) => {
    expect(describeThrown(thrown)).toBe(text)
  })

  test('an error with its stack', () => {
    expect(describeThrown(new RangeError('too far'), true)).toMatch(/^RangeError: too far\n +at /)
  })
})

test.each([
  ['throws', () => unprintable, false],
  ['throws an object without a prototype', (): unknown => Object.create(null), false],
  ['rejects with', () => unprintable, true],
])('a model that %s a value that cannot be printed ends its machine, and run() resolves', async (_how, make, later) => {
  const device = defineDevice({
    name: 'bad',
    ports: { base: PORT, size: 1 },
    read() {
      // oxlint-disable-next-line typescript/only-throw-error, typescript/prefer-promise-reject-errors -- a model may
      if (later) return Promise.reject(make())
      // oxlint-disable-next-line typescript/only-throw-error -- a model may
      throw make()
    },
  })
  const kernel = multibootKernel((asm) => asm.mov(dx, PORT).in(al, dx).hlt())
  const pc = await createPc({ jit: TEST_JIT, memoryBytes: 4 << 20, codeCacheBytes: 4 << 20, kernel, devices: [device] })
  const exit = await pc.run({ timeoutMs: 5000 })
  pc.close()
  expect(exit.reason).toBe('internal-error')
  expect(exit.detail?.message).toMatch(/^device bad of server \S+ failed at .*: .*cannot be printed$/)
})
