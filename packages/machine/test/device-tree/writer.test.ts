import { spawnSync } from 'node:child_process'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { describe, expect, test } from 'vitest'
import { cells64, DeviceTreeNode, writeDeviceTree } from '../../src/device-tree/index.ts'
import { readDeviceTree } from '../support/read-device-tree.ts'

const hasDtc = hasProgram('dtc')

function example(): Uint8Array {
  const root = DeviceTreeNode.root()
  let handles = 0
  root.set('#address-cells', 2).set('compatible', 'first', 'second').set('empty')
  const soc = root
    .add('soc')
    .set('reg', ...cells64(0x40_1000_0000, 0x1000))
    .set('bytes', Uint8Array.of(1, 2, 3))
  const uart = soc.add('uart,one@9000000').set('compatible', 'arm,pl011')
  soc.set(
    'console',
    uart.phandle(() => ++handles),
    uart.phandle(() => ++handles),
  )
  return writeDeviceTree(root, { reserved: [{ gpa: 0x1_2345_6000, bytes: 0x2000 }], bootProcessor: 3 })
}

test('the header says where the blocks are (Devicetree Specification 0.4, 5.2)', () => {
  const blob = example()
  const view = new DataView(blob.buffer)
  const words = Array.from({ length: 10 }, (_, i) => view.getUint32(4 * i))
  const [magic, size, structure, strings, reservations, version, oldest, cpu, stringBytes, structureBytes] = words
  expect([magic, size, version, oldest, cpu]).toEqual([0xd00d_feed, blob.length, 17, 16, 3])
  expect([reservations! % 8, structure! % 4]).toEqual([0, 0])
  expect(structure! + structureBytes!).toBe(strings)
  expect(strings! + stringBytes!).toBe(blob.length)
  expect([40, 48, 56, 64].map((at) => view.getBigUint64(at))).toEqual([0x1_2345_6000n, 0x2000n, 0n, 0n])
})

test('what is written is read again', () => {
  const nodes = readDeviceTree(example())
  const show = nodes.map(({ path, properties }) => [
    path,
    Object.fromEntries([...properties].map(([name, value]) => [name, Buffer.from(value).toString('hex')])),
  ])
  expect(show).toEqual([
    ['/', { '#address-cells': '00000002', compatible: '6669727374007365636f6e6400', empty: '' }],
    ['/soc', { reg: '00000040100000000000000000001000', bytes: '010203', console: '0000000100000001' }],
    ['/soc/uart,one@9000000', { compatible: '61726d2c706c30313100', phandle: '00000001' }],
  ])
})

test.skipIf(!hasDtc)(`dtc reads it, and has no complaint${skipNote(hasDtc, 'there is no dtc')}`, () => {
  const { stdout, stderr, status } = spawnSync('dtc', ['-q', '-I', 'dtb', '-O', 'dts'], { input: example() })
  expect([stderr.toString(), status]).toEqual(['', 0])
  expect(stdout.toString().replace(/\s+/g, ' ')).toBe(
    '/dts-v1/; /memreserve/ 0x0000000123456000 0x0000000000002000; / { #address-cells = <0x02>; ' +
      'compatible = "first\\0second"; empty; soc { reg = <0x40 0x10000000 0x00 0x1000>; bytes = [01 02 03]; ' +
      'console = <0x01 0x01>; uart,one@9000000 { compatible = "arm,pl011"; phandle = <0x01>; }; }; }; ',
  )
})

describe('what makes no tree is refused', () => {
  const root = DeviceTreeNode.root()
  root.add('taken')
  test.each([
    { given: 'a node without a name', make: () => root.add(''), message: "device tree node '': expected a name" },
    { given: 'a slash in a name', make: () => root.add('a/b'), message: "device tree node 'a/b': expected a name" },
    { given: 'a long name', make: () => root.add('a'.repeat(32)), message: 'expected a name' },
    { given: 'a name twice', make: () => root.add('taken'), message: 'there is one of this name already' },
    { given: 'a property without a name', make: () => root.set(''), message: "device tree property ''" },
    { given: 'a long property name', make: () => root.set('a'.repeat(32)), message: 'expected 1 to 31 letters' },
    { given: 'a cell of 33 bits', make: () => root.set('a', 2 ** 32), message: 'device tree cell 4294967296' },
    { given: 'a negative cell', make: () => root.set('a', -1), message: 'device tree cell -1: expected an integer' },
    { given: 'half a cell', make: () => root.set('a', 0.5), message: 'device tree cell 0.5' },
    { given: 'a text with a NUL', make: () => root.set('a', 'b\0'), message: 'expected printable ASCII' },
  ])('$given', ({ make, message }) => {
    expect(make).toThrow(message)
  })
})
