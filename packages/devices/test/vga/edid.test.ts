import { DeviceError } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { StandardVga } from '../../src/vga/index.ts'
import { FakeMachine } from '../support/fake-machine.ts'

/** What a guest reads at the beginning of BAR 2 of QEMU 7.2's `-device VGA` (Debian 12). */
const QEMU_EDID = [
  '00ffffffffffff0049143412000000002a180104a520147806ee91a3544c9926',
  '0f5054210800e1c0d1c0d100a940b300950081808140ea2900c051201c304026',
  '444045cb10000018000000f7000a004082002820000000000000000000fd0032',
  '7d1ea0ff010a202020202020000000fc0051454d55204d6f6e69746f720a013a',
  '02030b00467d6560591f61000000100000000000000000000000000000000000',
  '1000000000000000000000000000000000001000000000000000000000000000',
  '0000000010000000000000000000000000000000000010000000000000000000',
  '000000000000000010000000000000000000000000000000000000000000002f',
]
/** The bytes that differ with `xres` and `yres`. */
const QEMU_MODES = [
  { width: 1280, height: 800, size: '2014', timing: 'ea2900c051201c304026444045cb10000018', sum: '3a' },
  { width: 640, height: 480, size: '100c', timing: '8e0c80e020e01010a0132200a27900000018', sum: 'e2' },
  { width: 1366, height: 768, size: '2213', timing: 'e52a56de51001a30552833405ac310000018', sum: 'd8' },
  { width: 2560, height: 1600, size: '4128', timing: 'aba70080a3403860804c88808a9621000018', sum: '3d' },
]
const SIZE = 21
const TIMING = 54

type Options = ConstructorParameters<typeof StandardVga>[0]

/** What a guest reads, by accesses of one size. */
function readEdid(options: Options, access: 1 | 2 | 4 = 1): Buffer {
  const card = new FakeMachine(new StandardVga(options)).functions.get(2 << 3)
  const registers = card?.options.bars?.find(({ index }) => index === 2)?.handler
  const bytes = Buffer.alloc(384)
  for (let at = 0; at < bytes.length; at += access) {
    bytes.writeUIntLE(registers?.read(at, access) as number, at, access)
  }
  return bytes
}

describe("the monitor's EDID", () => {
  test.each([1, 2, 4] as const)("is that of QEMU's monitor, read by %d bytes", (access) => {
    expect(readEdid({}, access).toString('hex')).toBe(QEMU_EDID.join('').padEnd(768, '0'))
  })

  test.each(QEMU_MODES)('prefers $width × $height', ({ width, height, size, timing, sum }) => {
    const edid = readEdid({ preferredMode: { width, height } })
    expect(edid.toString('hex', SIZE, SIZE + 2)).toBe(size)
    expect(edid.toString('hex', TIMING, TIMING + 18)).toBe(timing)
    expect(edid.toString('hex', 127, 128)).toBe(sum)
    // All that it says is the same otherwise.
    const rest = Buffer.from(QEMU_EDID.join(''), 'hex')
    for (const [first, end] of [
      [0, SIZE],
      [SIZE + 2, TIMING],
      [TIMING + 18, 127],
      [128, 256],
    ] as const)
      expect(edid.subarray(first, end)).toEqual(rest.subarray(first, end))
  })

  test('is not there where it is not wanted', () => {
    expect(readEdid({ preferredMode: null, legacy: false }).every((byte) => byte === 0)).toBe(true)
  })

  test('takes BAR 2 along, where the card is at the ports of VGA', () => {
    const { functions } = new FakeMachine(new StandardVga({ preferredMode: null }))
    expect(functions.get(2 << 3)?.options.bars?.map(({ index }) => index)).toEqual([0])
  })

  test.each([
    [319, 800],
    [2561, 800],
    [1280, 199],
    [1280, 1601],
    [1280.5, 800],
  ])('of %d × %d is refused', (width, height) => {
    expect(() => new StandardVga({ preferredMode: { width, height } })).toThrow(DeviceError)
  })
})
