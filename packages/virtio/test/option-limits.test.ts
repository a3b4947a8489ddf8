/** What a caller may give at most and at least, and what is just beyond. */
import { TestDisk } from '@retrap/device/test-machine'
import { type Limits, testLimits } from '@retrap/tooling/limits'
import { VirtioBlock, VirtioConsole, type VirtioDevice, VirtioNet, VirtioPci } from '../src/index.ts'
import { MemoryShare, Virtio9p } from '../src/p9.ts'
import { VirtioScsi } from '../src/scsi.ts'

const medium = new TestDisk(1 << 16)
const network = { connect: () => {}, send: () => true, ready: () => {} } as never
const device = (more: object): VirtioDevice =>
  ({ name: 'own', type: 42, config: new Uint8Array(4), queues: [{ handle: () => {} }], ...more }) as never
const QUEUE_SIZES = { good: [4, 1024], bad: [0, 2, 3, 1000, 2048, NaN] }
const QUEUES = { good: [1, 64], bad: [0, 65, 1.5] }

const LIMITS: readonly Limits[] = [
  { what: 'blk: queueSize', make: (queueSize) => new VirtioBlock({ medium, queueSize }), ...QUEUE_SIZES },
  { what: 'blk: queues', make: (queues) => new VirtioBlock({ medium, queues }), ...QUEUES },
  {
    what: 'blk: characters of the serial number',
    make: (count) => new VirtioBlock({ medium, serialNumber: 'x'.repeat(count) }),
    good: [0, 20],
    bad: [21],
  },
  { what: 'net: queueSize', make: (queueSize) => new VirtioNet({ network, queueSize }), ...QUEUE_SIZES },
  {
    what: 'net: bytes of the address',
    make: (count) => new VirtioNet({ network, macAddress: new Uint8Array(count) }),
    good: [6],
    bad: [0, 5, 7],
  },
  {
    what: 'net: first byte of the address, bit 0 of which marks a group',
    make: (first) => new VirtioNet({ network, macAddress: Uint8Array.of(first, 1, 1, 1, 1, 1) }),
    good: [0, 2, 0xfe],
    bad: [1, 3, 0xff],
  },
  { what: 'scsi: queueSize', make: (queueSize) => new VirtioScsi({ targets: new Map(), queueSize }), ...QUEUE_SIZES },
  { what: 'scsi: queues', make: (queues) => new VirtioScsi({ targets: new Map(), queues }), ...QUEUES },
  {
    what: '9p: bytes of the tag',
    make: (count) => new Virtio9p({ share: new MemoryShare(), tag: 'x'.repeat(count) }),
    good: [1, 255],
    bad: [0, 256],
  },
  {
    what: 'console: characters of a port’s name',
    make: (count) =>
      new VirtioConsole({ ports: [{ name: 'x'.repeat(count), stream: { connect: () => {} } }] } as never),
    good: [0, 64],
    bad: [65],
  },
  {
    what: 'MSI-X vectors',
    make: (vectors) => new VirtioPci(device({}), { device: 1, vectors }),
    good: [0, 1, 2048],
    bad: [-1, 2049, 1.5],
  },
  { what: 'type', make: (type) => new VirtioPci(device({ type }), { device: 1 }), good: [1, 63], bad: [0, 64, 1.5] },
  {
    what: 'entries of a queue',
    make: (size) => new VirtioPci(device({ queues: [{ size, handle: () => {} }] }), { device: 1 }),
    good: [1, 2, 0x8000],
    bad: [0, 3, 0x1_0000],
  },
  {
    what: 'feature bit',
    make: (bit) => new VirtioPci(device({ features: [bit] }), { device: 1 }),
    good: [0, 23, 41, 63],
    bad: [-1, 24, 40, 64, 0.5],
  },
]

testLimits(LIMITS)
