import { zstdCompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { createArm } from '../src/arm-machine.ts'

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
  expect(await machine.run({ timeoutMs: 20_000 })).toEqual({ reason: 'power-off' })
  machine.close?.()
})
