/** Descriptors byte by byte. Sources: USB 2.0, chapter 9; USB 3.2, section 9.6; HID 1.11, section 6.2.1. */
import { TestDisk } from '@retrap/device/test-machine'
import { describe, expect, test } from 'vitest'
import {
  bosDescriptor,
  configurationDescriptor,
  deviceDescriptor,
  qualifierDescriptor,
  stringDescriptor,
} from '../src/descriptors.ts'
import { type UsbDescription, type UsbSpeed, UsbKeyboard, UsbPointer, UsbStorage } from '../src/index.ts'

const hex = (bytes: Uint8Array | null): string | null => (bytes === null ? null : Buffer.from(bytes).toString('hex'))

const plain: UsbDescription = { vendorId: 0x1234, productId: 0xabcd, interfaces: [] }

test.each<[UsbSpeed | undefined, string]>([
  [undefined, '120100020000004034 12cdab 0001 000000 01'],
  ['low', '120110010000000834 12cdab 0001 000000 01'],
  ['full', '120100020000004034 12cdab 0001 000000 01'],
  ['high', '120100020000004034 12cdab 0001 000000 01'],
  ['super', '120100030000000934 12cdab 0001 000000 01'],
])('the device descriptor at %s speed', (speed, expected) => {
  const description = { ...plain, ...(speed !== undefined && { speed }) }
  expect(hex(deviceDescriptor(description))).toBe(expected.replaceAll(' ', ''))
})

test('a device with texts and a release names them by number', () => {
  const texts = { manufacturer: 'm', product: 'p', serialNumber: 's', release: 0x0203 }
  expect(hex(deviceDescriptor({ ...plain, ...texts }))).toBe('12010002000000403412cdab030201020301')
  const named = [0, 1, 2, 3, 4].map((index) => hex(stringDescriptor({ ...plain, ...texts }, index)))
  expect(named).toEqual(['04030904', '04036d00', '04037000', '04037300', null])
  expect(stringDescriptor(plain, 1)).toBeNull()
  const long = stringDescriptor({ ...plain, product: 'ä'.repeat(300) }, 2)!
  expect([long.length, long[0], hex(long.subarray(0, 6))]).toEqual([254, 254, 'fe03e400e400'])
})

test('a qualifier is at high speed alone, and capabilities at SuperSpeed', () => {
  const all = (['low', 'full', 'high', 'super'] as const).map((speed) => ({ ...plain, speed }))
  expect(all.map((each) => hex(qualifierDescriptor(each)))).toEqual([null, null, '0a060002000000400000', null])
  const capabilities = '050f160002' + '07100200000000' + '0a100300080003000000'
  expect(all.map((each) => hex(bosDescriptor(each)))).toEqual([null, null, null, capabilities])
  expect([hex(qualifierDescriptor(plain)), hex(bosDescriptor(plain))]).toEqual([null, null])
})

test('the configuration has its interfaces, with their class descriptors before their endpoints', () => {
  const description: UsbDescription = {
    ...plain,
    remoteWakeup: true,
    interfaces: [
      {
        interfaceClass: 3,
        subclass: 1,
        protocol: 2,
        classDescriptors: Uint8Array.of(2, 0x21),
        endpoints: [{ address: 0x81, type: 'interrupt', maximumPacketBytes: 0x108, interval: 7 }],
      },
      { interfaceClass: 8, endpoints: [{ address: 2, type: 'bulk', maximumPacketBytes: 1024 }] },
    ],
  }
  const first = ['090400000103010200', '0221', '07058103080107']
  const second = ['090401000108000000', '07050202000400']
  expect(hex(configurationDescriptor(description))).toBe(['09022b00020100e000', ...first, ...second].join(''))
  // At SuperSpeed each endpoint has a companion.
  const companions = ['063000000801', '063000000000']
  expect(hex(configurationDescriptor({ ...description, speed: 'super', remoteWakeup: false }))).toBe(
    ['09023700020100c000', ...first, companions[0], ...second, companions[1]].join(''),
  )
})

describe('what devices say of themselves', () => {
  const input = { connect: () => {}, ready: () => {} }
  const medium = new TestDisk(1 << 16)
  test.each([
    ['keyboard', new UsbKeyboard({ input }), '2706 0100', 'USB Keyboard', '0904000001030101 00'],
    ['mouse', new UsbPointer({ input, kind: 'mouse' }), '2706 0100', 'USB Mouse', '0904000001030102 00'],
    ['tablet', new UsbPointer({ input, kind: 'tablet' }), '2706 0100', 'USB Tablet', '0904000001030000 00'],
    ['storage', new UsbStorage({ medium }), 'f446 0100', 'USB Storage', '0904000002080650 00'],
  ])('%s', (_, { description }, ids, product, inner) => {
    expect(hex(deviceDescriptor(description).subarray(8, 12))).toBe(ids.replaceAll(' ', ''))
    expect([description.manufacturer, description.product]).toEqual(['retrap', product])
    expect(hex(configurationDescriptor(description).subarray(9, 18))).toBe(inner.replaceAll(' ', ''))
  })
})
