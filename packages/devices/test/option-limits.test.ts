/** What a caller may give at most and at least, and what is just beyond. */
import { type Limits, testLimits } from '@retrap/tooling/limits'
import { Ac97 } from '../src/ac97/index.ts'
import { Ahci } from '../src/ahci/index.ts'
import { E1000 } from '../src/e1000/index.ts'
import { FwCfg } from '../src/fw-cfg.ts'
import { PiixIde } from '../src/ide/index.ts'
import * as devices from '../src/index.ts'
import { Nvme } from '../src/nvme/index.ts'
import { StandardVga } from '../src/vga/index.ts'
import { TestMedium } from './support/test-medium.ts'

const medium = new TestMedium(1 << 20)
const network = { connect: () => {}, send: () => true, ready: () => {} }
const PCI_DEVICES = { good: [1, 31], bad: [0, 32, -1, 1.5, NaN] }

const LIMITS: readonly Limits[] = [
  { what: 'isa-bridge: device', make: (device) => new devices.IsaBridge({ device }), ...PCI_DEVICES },
  { what: 'ahci: device', make: (device) => new Ahci({ device }), ...PCI_DEVICES },
  { what: 'xen-platform: device', make: (device) => new devices.XenPlatform({ device }), ...PCI_DEVICES },
  { what: 'vga: device', make: (device) => new StandardVga({ device }), ...PCI_DEVICES },
  { what: 'ac97: device', make: (device) => new Ac97({ device }), ...PCI_DEVICES },
  { what: 'e1000: device', make: (device) => new E1000({ network: network as never, device }), ...PCI_DEVICES },
  { what: 'ide: device', make: (device) => new PiixIde({ device }), ...PCI_DEVICES },
  { what: 'nvme: device', make: (device) => new Nvme({ medium, device }), ...PCI_DEVICES },
  { what: 'nvme: queues', make: (queues) => new Nvme({ medium, device: 1, queues }), good: [1, 64], bad: [0, 65, 1.5] },
  {
    what: 'nvme: characters of the model',
    make: (count) => new Nvme({ medium, device: 1, model: 'x'.repeat(count) }),
    good: [0, 40],
    bad: [41],
  },
  { what: 'hpet: timers', make: (timers) => new devices.Hpet({ timers }), good: [3, 32], bad: [2, 33, 3.5] },
  {
    what: 'acpi-pm: base',
    make: (base) => new devices.AcpiPm({ base }),
    good: [0, 0x10, 0xfff0],
    bad: [-16, 8, 0xfff8, 0x1_0000],
  },
  {
    what: 'isa-debugcon: iobase',
    make: (iobase) => new devices.DebugConsole({ iobase, stream: { send: () => {} } as never }),
    good: [0, 0xffff],
    bad: [-1, 0x1_0000, 0.5],
  },
  {
    what: 'vga: memoryBytes',
    make: (memoryBytes) => new StandardVga({ memoryBytes }),
    good: [1 << 20, 256 << 20],
    bad: [1 << 19, 512 << 20, 3 << 20],
  },
  {
    what: 'fw-cfg: key',
    make: (key) => new FwCfg({ keys: new Map([[key, { bytes: new Uint8Array(1) }]]) }),
    good: [2, 0x18, 0x8000, 0xbfff],
    bad: [0, 1, 0x19, 0x20, 0x4000, 0xc000],
  },
  {
    what: 'fw-cfg: characters of a file’s name',
    make: (count) => new FwCfg({ files: { ['x'.repeat(count)]: { bytes: new Uint8Array(1) } } }),
    good: [1, 55],
    bad: [0, 56],
  },
]

testLimits(LIMITS)
