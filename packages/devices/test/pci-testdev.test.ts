import type { RangeHandler } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { PciTestDevice } from '../src/pci-testdev.ts'
import { FakeMachine } from './support/fake-machine.ts'

/** What QEMU 7.2 shows of each test, by BAR and number: 40 bytes from offset 0. */
const HEADERS: readonly (readonly [bar: number, test: number, bytes: string])[] = [
  [0, 0, '0001000000080000fa000000000000006d6d696f2d6e6f2d6576656e746664000000000000000000'],
  [0, 1, '0101000001080000ce000000000000006d6d696f2d77696c64636172642d6576656e746664000000'],
  [0, 2, '0201000002080000fa000000000000006d6d696f2d646174616d617463682d6576656e7466640000'],
  [0, 3, '00'.repeat(40)],
  [0, 255, '00'.repeat(40)],
  [1, 0, '0301000083000000fa00000000000000706f7274696f2d6e6f2d6576656e74666400000000000000'],
  [1, 1, '0401000084000000ce00000000000000706f7274696f2d77696c64636172642d6576656e74666400'],
  [1, 2, '0501000085000000fa00000000000000706f7274696f2d646174616d617463682d6576656e746664'],
  [1, 3, '00'.repeat(40)],
]

function made(): { device: PciTestDevice; bars: readonly RangeHandler[] } {
  const device = new PciTestDevice({ device: 4 })
  const { options } = new FakeMachine(device).functions.get(4 << 3)!
  return { device, bars: options.bars!.map(({ handler }) => handler!) }
}

const bytes = (bar: RangeHandler, count: number): string =>
  Array.from({ length: count }, (_, i) => Number(bar.read(i, 1)).toString(16).padStart(2, '0')).join('')

describe("QEMU's pci-testdev (docs/specs/pci-testdev.rst)", () => {
  test('has the identity and the BARs of QEMU’s', () => {
    const { options } = new FakeMachine(new PciTestDevice()).functions.get(30 << 3)!
    expect(options).toMatchObject({ vendorId: 0x1b36, deviceId: 5, classCode: 0xff00, subsystemVendorId: 0x1af4 })
    expect(options.bars).toMatchObject([
      { index: 0, kind: 'memory', bytes: 4096 },
      { index: 1, kind: 'io', bytes: 256 },
    ])
    expect(() => new PciTestDevice({ device: 0 })).toThrow('pci-testdev: PCI device 0')
  })

  test.each(HEADERS)('BAR %i shows test %i', (bar, number, header) => {
    const { bars } = made()
    expect(bytes(bars[bar]!, 40)).toBe('00'.repeat(40))
    void bars[bar]!.write(0, 1, number)
    expect(bytes(bars[bar]!, 40)).toBe(header)
    expect(bytes(bars[1 - bar]!, 40)).toBe(header)
  })

  test.each([0, 1])('BAR %i counts the writes of its first test, by byte', (bar) => {
    const { device, bars } = made()
    const region = bars[bar]!
    const counts: unknown[] = []
    const count = (offset: number, size: 1 | 2 | 4, value: number): void => {
      void region.write(offset, size, value)
      counts.push(region.read(12, 4))
    }
    void region.write(0, 4, 0)
    const offset = Number(region.read(4, 4))
    for (let i = 0; i < 2; i++) count(offset, 1, 0xfa)
    count(offset, 4, 0xfafa_fafa)
    count(offset - 1, 2, 0xfa00)
    // Other data, another place, the header itself, and the same place of the other BAR.
    count(offset, 1, 0xfb)
    count(offset + 1, 1, 0xfa)
    count(12, 1, 9)
    void bars[1 - bar]!.write(offset, 1, 0xfa)
    counts.push(region.read(12, 4))
    expect(counts).toEqual([1, 2, 3, 4, 4, 4, 4, 4])
    const saved = device.save()
    device.reset()
    expect(bytes(bars[bar]!, 16)).toBe('00'.repeat(16))
    device.restore(saved)
    expect(region.read(12, 2)).toBe(4)
    // Accesses that an event of the host takes are not seen.
    void region.write(0, 1, 1)
    count(Number(region.read(4, 4)), 1, Number(region.read(8, 1)))
    expect(counts.at(-1)).toBe(0)
  })
})
