import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseCpus, parseDevice, parseMemory, parseSerial, parseSeconds } from '../../src/options/values.ts'

const MIB = 1024 ** 2

describe('an amount of memory', () => {
  test.each([
    ['512M', 512 * MIB],
    ['512MiB', 512 * MIB],
    ['512mb', 512 * MIB],
    ['512', 512 * MIB],
    ['1G', 1024 * MIB],
    ['1.5g', 1536 * MIB],
    ['65536K', 64 * MIB],
    ['67108864B', 64 * MIB],
    ['0.0009765625T', 1024 * MIB],
    ['0.0009765625TiB', 1024 * MIB],
    ['2048KB', 2 * MIB],
    ['2', 2 * MIB],
    ['3584M', 3584 * MIB],
  ])('%s is %d bytes', (text, bytes) => expect(parseMemory(text)).toBe(bytes))

  test.each([
    ['0', 'too little'],
    ['1M', 'at least 2M'],
    ['2044K', 'at least 2M'],
    ['3670020K', 'at most 3584M'],
    ['5G', 'at most 3584M'],
    ['99999T', 'at most 3584M'],
    ['', 'is not a size'],
    ['-1M', 'is not a size'],
    ['1e9', 'is not a size'],
    ['lots', 'is not a size'],
    ['2097153B', 'whole number of 4 KiB pages'],
  ])('%s is refused: %s', (text, why) => expect(() => parseMemory(text)).toThrow(why))

  test('MiB are read as they are written', () => {
    fc.assert(fc.property(fc.integer({ min: 2, max: 3584 }), (count) => parseMemory(`${count}M`) === count * MIB))
  })
})

describe('a number of CPUs', () => {
  test.each([
    ['1', 1],
    ['4', 4],
    ['128', 128],
  ])('%s', (text, count) => expect(parseCpus(text)).toBe(count))
  test.each(['0', '129', '1000', '-1', '1.5', 'two', ''])('%s is refused', (text) => {
    expect(() => parseCpus(text)).toThrow('give one from 1 to 128')
  })
})

describe('a time', () => {
  test.each([
    ['30', 30_000],
    ['0.5', 500],
  ])('%s', (text, milliseconds) => expect(parseSeconds('--timeout')(text)).toBe(milliseconds))
  test.each(['0', '-1', 'soon', '', 'Infinity'])('%s is refused', (text) => {
    expect(() => parseSeconds('--timeout')(text)).toThrow('is not a time')
  })
})

describe('a serial target', () => {
  test.each([
    ['stdio', { kind: 'stdio' }],
    ['none', { kind: 'none' }],
    ['file:/tmp/log:1', { kind: 'file', path: '/tmp/log:1' }],
  ])('%s', (text, target) => expect(parseSerial(text)).toEqual(target))
  test.each([
    ['pty', { kind: 'pty' }],
    ['unix:/tmp/port', { kind: 'unix', path: '/tmp/port' }],
    ['tcp:4444', { kind: 'tcp', host: '127.0.0.1', port: 4444 }],
    ['tcp:0.0.0.0:0', { kind: 'tcp', host: '0.0.0.0', port: 0 }],
    ['tcp:[::1]:65535', { kind: 'tcp', host: '::1', port: 65_535 }],
  ])('%s is understood', (text, target) => expect(parseSerial(text)).toEqual(target))

  test.each(['file:', 'com1', 'unix:', ''])('%s is refused', (text) =>
    expect(() => parseSerial(text)).toThrow('is unknown'),
  )

  test.each(['tcp:localhost', 'tcp:65536', 'tcp:host:', 'tcp:-1'])('%s is refused', (text) =>
    expect(() => parseSerial(text)).toThrow('names no port to listen on'),
  )
})

describe('a device argument', () => {
  test.each([
    ['isa-debug-exit', 'isa-debug-exit', []],
    ['isa-debug-exit,iobase=0xf4', 'isa-debug-exit', [['iobase', '0xf4']]],
    [
      'd,file=a,,b,x=1',
      'd',
      [
        ['file', 'a,b'],
        ['x', '1'],
      ],
    ],
    ['d,x=a=b', 'd', [['x', 'a=b']]],
    ['d,x=', 'd', [['x', '']]],
  ])('%s', (text, name, pairs) => {
    const device = parseDevice(text)
    expect([device.name, [...device.properties]]).toEqual([name, pairs])
  })
  test.each([
    ['', 'names no device'],
    ['iobase=1', 'names no device'],
    ['d,iobase', 'not of the form key=value'],
    ['d,=1', 'not of the form key=value'],
  ])('%s is refused: %s', (text, why) => expect(() => parseDevice(text)).toThrow(why))
})
