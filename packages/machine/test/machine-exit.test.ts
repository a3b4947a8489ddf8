import { defineDevice } from '@retrap/device'
import { al, cr0, cr3, cr4, dword, dx, eax, ecx, edx, imm32 } from '@retrap/x86-assembler'
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
  expect(exit.reason).toBe('device-failure')
  expect(exit.detail?.message).toMatch(/^bad \(.*\): .*cannot be printed$/)
})

const DEVICE = 0xfed9_0000
const NOWHERE = 0xf000_0000
const ROOT = 0x20_0000
const IN_DEVICE = / is in the device tables, where it counts as not present: expected page tables in RAM or ROM$/

test.each([
  { mode: 'two-level', flags: 0, root: DEVICE, entry: 0, at: DEVICE, says: IN_DEVICE },
  { mode: 'two-level', flags: 0, root: ROOT, entry: DEVICE | 1, at: DEVICE + 0x400, says: IN_DEVICE },
  { mode: 'two-level', flags: 0, root: NOWHERE, entry: 0, at: NOWHERE, says: / is in no memory, / },
  { mode: 'two-level', flags: 0, root: ROOT, entry: 0, at: undefined, says: /a triple fault$/ },
  { mode: 'PAE', flags: 0x20, root: DEVICE, entry: 0, at: DEVICE, says: IN_DEVICE },
  { mode: 'four-level', flags: 0x120, root: DEVICE, entry: 0, at: DEVICE, says: IN_DEVICE },
])('a triple fault by $mode tables at $root, with entry $entry, says where they are', async (row) => {
  const { flags, root, entry, at, says } = row
  const mmio = { base: DEVICE, size: 0x1000 }
  const device = defineDevice({
    name: 'tables',
    mmio,
    read: (offset) => (offset % 8 === 0 ? DEVICE + 1 : 0),
    write() {},
  })
  const kernel = multibootKernel((asm) => {
    asm.mov(dword(ROOT), imm32(entry >>> 0))
    asm
      .mov(eax, flags & 0x20)
      .mov(cr4, eax)
      .mov(eax, root)
      .mov(cr3, eax)
    asm
      .mov(ecx, 0xc000_0080)
      .mov(eax, flags & 0x100)
      .xor(edx, edx)
      .wrmsr()
    asm.mov(eax, cr0).or(eax, imm32(0x8000_0000)).mov(cr0, eax).nop().hlt()
  })
  const pc = await createPc({ jit: TEST_JIT, memoryBytes: 4 << 20, codeCacheBytes: 4 << 20, kernel, devices: [device] })
  const { reason, detail } = await pc.run({ timeoutMs: 5000 })
  pc.close()
  expect([reason, detail?.message]).toEqual(['triple-fault', expect.stringMatching(says)])
  if (at !== undefined) expect(detail!.message).toContain(`The page-table entry at 0x${at.toString(16)} is`)
})
