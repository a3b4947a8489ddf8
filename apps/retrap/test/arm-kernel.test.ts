import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { createArm } from '@retrap/linux-guest/machine/arm-machine'
import { runCli } from '../src/cli.ts'
import { FakeHost } from './support/fake-machine.ts'

/** An arm64 Image, which calls PSCI's SYSTEM_OFF: movz w0, #0x8400, lsl #16; movk w0, #8; hvc #0. */
function image(): Uint8Array {
  const words = new Uint32Array(1024)
  words.set([0x1400_0010], 0)
  words.set([words.byteLength], 4)
  words.set([0x644d_5241], 14)
  words.set([0x52b0_8000, 0x7280_0100, 0xd400_0002], 16)
  return new Uint8Array(words.buffer)
}

/** An EFI image with a payload of Zstandard (Linux, zboot-header.S). */
function zboot(payload: Uint8Array, plainBytes: number): Uint8Array {
  const bytes = new Uint8Array(0x100 + payload.length + 4)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, 0x5a4d, true)
  bytes.set(Buffer.from('zimg'), 4)
  view.setUint32(8, 0x100, true)
  view.setUint32(12, payload.length, true)
  bytes.set(Buffer.from('zstd22'), 0x18)
  bytes.set(payload, 0x100)
  // It has no size of its own.
  view.setUint32(0x100 + payload.length, plainBytes, true)
  return bytes
}

test('kernels in EFI images with zstd start', async () => {
  const plain = image()
  const kernel = zboot(zstdCompressSync(plain), plain.length)
  const options = { memoryBytes: 16 << 20, cpus: 1, clock: 'deterministic', devices: [], deviceServers: [] } as const
  const machine = await createArm({ ...options, kernel })
  expect(await machine.run({ timeoutMs: 100_000 })).toEqual({ reason: 'power-off' })
  machine.close?.()
})

describe('--dumpdtb', () => {
  const folder = temporaryFolder('dtb')
  const [kernel, tree] = [join(folder, 'kernel'), join(folder, 'tree')]
  const dump = (...args: readonly string[]): Promise<number> => {
    const host = new FakeHost(async () => ({ reason: 'power-off' }))
    return runCli(['run', ...args], Object.assign(host, { createMachine: createArm }))
  }

  test('writes the tree that the guest would find, and runs nothing', async () => {
    writeFileSync(kernel, image())
    const chosen = ['--kernel', kernel, '--append', 'answer=42', '--machine', 'virt,gic-version=2']
    expect(await dump('--arch', 'arm64', '--cpus', '3', '--memory', '48M', ...chosen, '--dumpdtb', tree)).toBe(0)
    const bytes = readFileSync(tree)
    expect([bytes.readUInt32BE(0), bytes.readUInt32BE(4)]).toEqual([0xd00d_feed, bytes.length])
    const has = (text: string): boolean => bytes.includes(`${text}\0`)
    expect(['cpu@2', 'cpu@3', 'answer=42', 'arm,cortex-a15-gic', 'arm,gic-v3'].map(has)).toEqual([
      ...[true, false, true, true, false],
    ])
  })

  test('needs no kernel', async () => {
    expect(await dump('--arch', 'arm64', '--dumpdtb', tree)).toBe(0)
    expect(readFileSync(tree).includes('arm,gic-v3\0')).toBe(true)
  })

  test.each([
    [['--dumpdtb', tree], 2],
    [['--arch', 'arm64', '--dumpdtb', join(folder, 'nowhere', 'tree')], 74],
  ])('%j is refused', async (args, code) => {
    expect(await dump(...args)).toBe(code)
  })
})
