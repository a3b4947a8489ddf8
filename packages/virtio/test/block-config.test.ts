/** What a disk says of itself. Source: VIRTIO 1.2, §5.2.3, "Feature bits", and §5.2.4, "Device configuration layout". */
import type { BlockProperties } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { blockConfig, blockFeatures, mostBytes, putCapacity } from '../src/devices/block/block-config.ts'

const DISK: BlockProperties = {
  bytes: 1 << 20,
  readOnly: false,
  blockBytes: 512,
  physicalBlockBytes: 512,
  discards: false,
} as BlockProperties

/** The fields, by name, of the layout in the standard. */
function fieldsOf(config: Uint8Array) {
  const view = new DataView(config.buffer)
  const [u8, u16, u32] = [8, 16, 32].map((bits) => (at: number) => view[`getUint${bits as 32}`](at, true)) as [
    (at: number) => number,
    (at: number) => number,
    (at: number) => number,
  ]
  return {
    ...{ capacity: view.getBigUint64(0, true), sizeMax: u32(8), segMax: u32(12) },
    geometry: [u16(16), u8(18), u8(19)],
    blockSize: u32(20),
    topology: { exponent: u8(24), offset: u8(25), minimum: u16(26), optimal: u32(28) },
    ...{ writeback: u8(32), unused: u8(33), queues: u16(34) },
    discard: [u32(36), u32(40), u32(44)],
    ...{ zeroes: [u32(48), u32(52)], mayUnmap: u8(56), rest: [...config.subarray(57)] },
  }
}

const PLAIN = {
  ...{ capacity: 2048n, sizeMax: 0x1_0000, segMax: 14, geometry: [0, 0, 0], blockSize: 512 },
  ...{ topology: { exponent: 0, offset: 0, minimum: 1, optimal: 0 }, writeback: 1, unused: 0, queues: 1 },
  ...{ discard: [0, 0, 0], zeroes: [0x7f_ffff, 16], mayUnmap: 0, rest: [0, 0, 0] },
}

describe('the configuration of a disk', () => {
  test.each<[string, Partial<BlockProperties>, object]>([
    ['that has nothing of its own', {}, {}],
    ['of part of a sector more', { bytes: (1 << 20) + 511 }, {}],
    ['of more than 2 TiB', { bytes: 512 * (2 ** 32 + 0x1234_5678) }, { capacity: 2n ** 32n + 0x1234_5678n }],
    ['of 8 PiB less a sector', { bytes: 2 ** 53 - 512 }, { capacity: 2n ** 44n - 1n }],
    ['with a geometry', { geometry: { cylinders: 0x1234, heads: 16, sectors: 63 } }, { geometry: [0x1234, 16, 63] }],
    [
      'with large physical blocks',
      { physicalBlockBytes: 4096 },
      { topology: { exponent: 3, offset: 0, minimum: 8, optimal: 0 } },
    ],
    ['with large blocks', { blockBytes: 4096, physicalBlockBytes: 4096 }, { blockSize: 4096 }],
    ['whose physical blocks are said to be smaller', { blockBytes: 4096 }, { blockSize: 4096 }],
    ['that discards', { discards: true }, { discard: [0x7f_ffff, 16, 1], mayUnmap: 1 }],
    [
      'that discards large blocks',
      { discards: true, blockBytes: 4096, physicalBlockBytes: 4096 },
      { blockSize: 4096, discard: [0x7f_ffff, 16, 8], mayUnmap: 1 },
    ],
  ])('%s', (_, properties, fields) => {
    expect(fieldsOf(blockConfig({ ...DISK, ...properties }, 1, 16))).toEqual({ ...PLAIN, ...fields })
  })

  test('has as many pieces as a ring beside header and status, and as many queues as there are', () => {
    expect(fieldsOf(blockConfig(DISK, 4, 256))).toEqual({ ...PLAIN, segMax: 254, queues: 4 })
    expect(mostBytes(256)).toBe(254 * 0x1_0000)
  })

  test('has another capacity when the medium has', () => {
    const config = blockConfig({ ...DISK, bytes: 2 ** 50 }, 1, 16)
    putCapacity(config, { ...DISK, bytes: 1024 })
    expect(fieldsOf(config)).toEqual({ ...PLAIN, capacity: 2n })
  })
})

test.each<[string, Partial<BlockProperties>, number, readonly number[]]>([
  ['a disk', {}, 1, [1, 2, 6, 9, 10, 11, 14]],
  ['one with queues', {}, 2, [1, 2, 6, 9, 10, 11, 12, 14]],
  ['one with a geometry', { geometry: { cylinders: 1, heads: 1, sectors: 1 } }, 1, [1, 2, 4, 6, 9, 10, 11, 14]],
  ['one that discards', { discards: true }, 1, [1, 2, 6, 9, 10, 11, 13, 14]],
  ['one that cannot be written', { readOnly: true, discards: true }, 1, [1, 2, 5, 6, 9, 10, 11]],
])('features of %s', (_, properties, queues, bits) => {
  expect(blockFeatures({ ...DISK, ...properties }, queues).toSorted((a, b) => a - b)).toEqual(bits)
})
