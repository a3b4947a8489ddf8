/** What a disk answers, byte by byte. Sources: SPC-4 (INQUIRY, its pages, mode pages), SBC-3 (capacities, B0h to B2h). */
import { expect, test } from 'vitest'
import * as diskPayloads from '../src/scsi-disk.ts'

const hex = (bytes: Iterable<number> | null): string | null =>
  bytes === null
    ? null
    : Buffer.from([...bytes])
        .toString('hex')
        .replaceAll(/(.{8})(?=.)/g, '$1 ')

const kind = { bytes: 0, maximumBytes: 0, readOnly: false, blockBytes: 512, physicalBlockBytes: 4096, discards: true }
const page = (code: number, discards: boolean): string | null =>
  hex(diskPayloads.productData(code, { serial: 'AB1', most: 0xffff, properties: { ...kind, discards } }))
const zeros = (words: number): string => ' 00000000'.repeat(words)

test.each([
  ['READ CAPACITY(10)', diskPayloads.capacity10(0x1000, 4096), '00000fff 00001000'],
  ['READ CAPACITY(10) of 2^32 blocks', diskPayloads.capacity10(2 ** 32, 512), 'ffffffff 00000200'],
  ['READ CAPACITY(10) of more', diskPayloads.capacity10(2 ** 32 + 1, 512), 'ffffffff 00000200'],
  ['READ CAPACITY(16)', diskPayloads.capacity16(2 ** 32 + 1, kind), `00000001 00000000 00000200 00038000${zeros(4)}`],
  [
    'READ CAPACITY(16) without UNMAP',
    diskPayloads.capacity16(1, { ...kind, physicalBlockBytes: 512, discards: false }),
    `00000000 00000000 00000200 00000000${zeros(4)}`,
  ],
  [
    'READ CAPACITY(16) of physical blocks beyond its field',
    diskPayloads.capacity16(2, { ...kind, physicalBlockBytes: 2 ** 25 }),
    `00000000 00000001 00000200 000f8000${zeros(4)}`,
  ],
  ['READ FORMAT CAPACITIES', diskPayloads.formatCapacities(0x1000, 512), '00000008 00001000 02000200'],
  ['READ FORMAT CAPACITIES of many', diskPayloads.formatCapacities(2 ** 32, 4096), '00000008 ffffffff 02001000'],
  ['error recovery page', diskPayloads.DISK_PAGES[0]!, `010a8000${zeros(2)}`],
  ['caching page', diskPayloads.DISK_PAGES[1]!, `08120400${zeros(4)}`],
  ['control page', diskPayloads.DISK_PAGES[2]!, `0a0a0010${zeros(2)}`],
])('%s', (_, bytes, expected) => {
  expect(hex(bytes)).toBe(expected)
})

test.each([true, false])('INQUIRY, several commands under way: %s', (queue) => {
  const names = '52455452 41502020 6469736b 20202020 20202020 20202020 312e3020'
  expect(hex(diskPayloads.inquiry('disk', queue))).toBe(`00000612 1f00000${queue ? 2 : 0} ${names}`)
})

test.each([
  { code: 0x00, expected: '00000006 008083b0 b1b2' },
  { code: 0x80, expected: '00800003 414231' },
  { code: 0x83, expected: '0083000f 0201000b 52455452 41502020 414231' },
  { code: 0xb1, expected: `00b1003c 00010000${zeros(14)}` },
  { code: 0xc0, expected: null },
])('page $code of vital product data', ({ code, expected }) => {
  expect([page(code, true), page(code, false)]).toEqual([expected, expected])
})

test('pages of limits and of provisioning, with UNMAP and without', () => {
  const limits = '00b0003c 01000001 0000ffff 00002000 00000000'
  const same = ` 00000000 00400000${zeros(5)}`
  expect([diskPayloads.MOST_RANGE_BLOCKS, diskPayloads.MOST_RANGES]).toEqual([0x40_0000, 0x100])
  expect(page(0xb0, true)).toBe(`${limits} 00400000 00000100 00000008 80000000${same}`)
  expect(page(0xb0, false)).toBe(`${limits}${zeros(4)}${same}`)
  expect([page(0xb2, true), page(0xb2, false)]).toEqual(['00b20004 00e00200', '00b20004 00000000'])
})
