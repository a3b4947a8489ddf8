/** What a repair does to the marks of an image. Source: QEMU, docs/interop/qcow2.rst, "Header": bits of incompatible_features. */
import { describe, expect, test } from 'vitest'
import { checkQcow2, Qcow2Image, repairQcow2 } from '../../src/index.ts'
import { LoggingStorage } from '../support/logging-storage.ts'
import { sampleImage } from '../support/mutated.ts'

const DIRTY = 1
const CORRUPT = 2
/** Lowest byte of incompatible_features. */
const MARKS = 79

describe.each(['leaks', 'all'] as const)('of %s', (what) => {
  test.each([0, DIRTY, CORRUPT, DIRTY | CORRUPT])(
    'an image that is whole then has none of the marks %i',
    async (marks) => {
      const storage = new LoggingStorage(await sampleImage())
      storage.apply(MARKS, Uint8Array.of(marks))
      expect(await repairQcow2(storage, what)).toMatchObject({ corruptions: 0, leaks: 0 })
      expect(storage.content[MARKS]).toBe(0)
      await (await Qcow2Image.open(storage)).close()
    },
  )

  test('an image whose tables are damaged keeps them', async () => {
    const bytes = await sampleImage()
    const view = new DataView(bytes.buffer)
    bytes[MARKS] = DIRTY | CORRUPT
    // An entry off the boundaries of clusters: counts cannot make it right.
    const l2 = view.getUint32(view.getUint32(44) + 4)
    view.setUint32(l2 + 8 * 100 + 4, 0x5200)
    const storage = new LoggingStorage(bytes)
    expect((await repairQcow2(storage, what)).corruptions).toBeGreaterThan(0)
    expect(storage.content[MARKS]).toBe(DIRTY | CORRUPT)
  })

  test('an entry far behind the end of the file is a damage, and the file does not grow for it', async () => {
    for (const behind of [1n << 40n, 1n << 52n]) {
      const bytes = await sampleImage()
      const view = new DataView(bytes.buffer)
      const l2 = view.getUint32(view.getUint32(44) + 4)
      view.setBigUint64(l2 + 8 * 100, (1n << 63n) | behind)
      const storage = new LoggingStorage(bytes)
      const before = await checkQcow2(storage)
      expect(before.messages.join()).toContain(`4096 bytes at ${behind} are behind the end of the file`)
      // As qemu-img 7.2: its mark as the only user is one more, which can be taken away.
      expect(before.corruptions).toBe(2)
      expect((await repairQcow2(storage, what)).corruptions).toBe(what === 'all' ? 1 : 2)
      expect(storage.bytes).toBe(bytes.length)
    }
  })

  test('version 2 has no marks: its bytes there stay', async () => {
    const bytes = await sampleImage({ version: 2 })
    // Behind the header of 72 bytes, an unknown extension of 8 bytes.
    new DataView(bytes.buffer).setUint32(72, 0x1234_5678)
    new DataView(bytes.buffer).setUint32(76, 3)
    bytes.set([0xff, 0xff, 0xff], 80)
    const storage = new LoggingStorage(bytes)
    expect(await repairQcow2(storage, what)).toMatchObject({ corruptions: 0, leaks: 0 })
    expect(storage.content.subarray(72, 83)).toEqual(bytes.subarray(72, 83))
    expect(await checkQcow2(storage)).toMatchObject({ corruptions: 0, leaks: 0 })
  })
})
