/** What a caller may give at most and at least, and what is just beyond. */
import { TestDisk } from '@retrap/device/test-machine'
import { type Limits, testLimits } from '@retrap/tooling/limits'
import { UsbStorage, Xhci } from '../src/index.ts'
import { TestDevice } from './support/test-device.ts'

/** A controller with a device whose description differs. */
const plugged = (change: object): Xhci => {
  const device = new TestDevice('test')
  const { description } = device
  Object.defineProperty(device, 'description', { value: { ...description, ...change } })
  return new Xhci({ device: 1, devices: [device] })
}
const medium = new TestDisk(1 << 16)

const interfaces = (count: number): readonly object[] =>
  Array.from({ length: count }, () => ({ interfaceClass: 255, endpoints: [] }))

const LIMITS: readonly Limits[] = [
  { what: 'device', make: (device) => new Xhci({ device }), good: [0, 31], bad: [-1, 32, 1.5] },
  { what: 'ports', make: (ports) => new Xhci({ device: 1, ports }), good: [1, 15], bad: [0, 16, 1.5] },
  {
    what: 'devices for four ports',
    make: (count) =>
      new Xhci({ device: 1, ports: 4, devices: Array.from({ length: count }, (_, i) => new TestDevice(`test${i}`)) }),
    good: [0, 4],
    bad: [5],
  },
  { what: 'vendor', make: (vendorId) => plugged({ vendorId }), good: [0, 0xffff], bad: [-1, 0x1_0000, 1.5] },
  { what: 'product', make: (productId) => plugged({ productId }), good: [0, 0xffff], bad: [-1, 0x1_0000, 1.5] },
  { what: 'interfaces', make: (count) => plugged({ interfaces: interfaces(count) }), good: [1, 16], bad: [0, 17] },
  {
    what: 'address of an endpoint',
    make: (address) =>
      plugged({
        interfaces: [{ ...interfaces(1)[0], endpoints: [{ address, type: 'bulk', maximumPacketBytes: 64 }] }],
      }),
    good: [0x01, 0x0f, 0x81, 0x8f],
    bad: [0, 0x10, 0x80, 0x90, 0x101],
  },
  {
    what: 'characters of a stick’s model',
    make: (count) => new UsbStorage({ medium, model: 'x'.repeat(count) }),
    good: [1, 16],
    bad: [0, 17],
  },
  {
    what: 'characters of a stick’s serial number',
    make: (count) => new UsbStorage({ medium, serialNumber: 'x'.repeat(count) }),
    good: [1, 20],
    bad: [0, 21],
  },
]

testLimits(LIMITS)
