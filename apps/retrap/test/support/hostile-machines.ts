// The machines of hostile guests: boards, devices and options, each drawn, and what a guest finds of them.
import { fileURLToPath } from 'node:url'
import type { Rng } from '@retrap/tooling/soak'
import { CPU_MODELS } from '@retrap/x86-cpu'

/** A base address register. */
export type Bar = 0 | 1 | 2 | 4 | 5
/**
 * Where a register is: at a base address register, at a port of its own, in configuration space. Of what is behind a root port:
 * in that one's configuration space, or in memory at `WINDOW_BEHIND`.
 */
export type Base = Bar | 'port' | 'configuration' | 'behind' | 'window'
/** What is written: a number, an address in the guest's RAM, the upper half of an address, or anything. */
export type Content = number | 'ram' | 'high' | 'any'
export type Write = readonly [base: Base, offset: number, bytes: 1 | 2 | 4, content: Content]
/** Writes of addresses in RAM to registers of 64 bits. */
const addresses = (base: Base, ...offsets: readonly number[]): Write[] =>
  offsets.flatMap((at): Write[] => [
    [base, at, 4, 'ram'],
    [base, at + 4, 4, 'high'],
  ])
/** Writes of anything to registers of so many bytes. */
const anything = (base: Base, bytes: 1 | 2 | 4, ...offsets: readonly number[]): Write[] =>
  offsets.map((at): Write => [base, at, bytes, 'any'])
type BarKind = 'io' | 'memory' | 'memory64'

interface Board {
  readonly name: string
  readonly arm: boolean
  readonly args: readonly string[]
  /** Options that it does not take. */
  readonly refuses?: readonly string[]
  /** Guest-physical address of PCI Express configuration space. */
  readonly ecam?: number
}

/** A device that a machine may have. */
interface Device {
  readonly name: string
  /** `SLOT`, `FILE` and `FOLDER` stand for its PCI device number, its medium and a directory. */
  readonly args: string
  /** Absent: each board has room for it. */
  readonly only?: 'pc' | 'q35' | 'virt' | 'PC'
  /** Device number and function where the board gives it its place. */
  readonly at?: readonly [device: number, function_: number]
  readonly bars?: Readonly<Partial<Record<Bar, BarKind>>>
  /** What a driver does first, in its order; contents are the guest's. */
  readonly setUp: readonly Write[]
  /** What has the device go to work. */
  readonly work: readonly Write[]
}

const Q35_ECAM = 0xb000_0000
/** An SMI comes with its instruction, so devices answer at once. */
const SMM = { refuses: ['--devices'] } as const

export const BOARDS: readonly Board[] = [
  { name: 'pc', arm: false, args: [] },
  { name: 'q35', arm: false, args: ['--machine', 'q35'], ecam: Q35_ECAM },
  { name: 'pc,smm=on', arm: false, args: ['--machine', 'pc,smm=on'], ...SMM },
  { name: 'q35,smm=on', arm: false, args: ['--machine', 'q35,smm=on'], ecam: Q35_ECAM, ...SMM },
  ...[2, 3].map((gic) => ({
    name: `virt,gic-version=${gic}`,
    arm: true,
    args: ['--arch', 'arm64', '--machine', `virt,gic-version=${gic}`],
    ecam: 0x40_1000_0000,
    refuses: ['--controllers', '--vapic', '--cpu'],
  })),
]

const VIRTIO_BARS = { 0: 'io', 4: 'memory64' } as const
/** Virtio 1.2, 4.1.4.3 and 4.1.4.8: features, two queues, DRIVER_OK; and by the registers of version 0.9.5. */
const VIRTIO: Pick<Device, 'bars' | 'setUp' | 'work'> = {
  bars: VIRTIO_BARS,
  setUp: [
    [4, 0x14, 1, 0],
    [4, 0x14, 1, 3],
    [4, 0x08, 4, 1],
    [4, 0x0c, 4, 1],
    [4, 0x14, 1, 11],
    ...[0, 1].flatMap((queue): Write[] => [
      [4, 0x16, 2, queue],
      [4, 0x18, 2, 16],
      ...addresses(4, 0x20, 0x28, 0x30),
      [4, 0x1c, 2, 1],
    ]),
    [4, 0x14, 1, 15],
    [0, 0x04, 4, 'any'],
    [0, 0x0e, 2, 0],
    [0, 0x08, 4, 0x20],
    [0, 0x12, 1, 7],
  ],
  work: [
    ...[0, 1, 2, 3].map((queue): Write => [4, 0x3000 + 4 * queue, 2, queue]),
    [0, 0x10, 2, 0],
    [0, 0x10, 2, 1],
    [4, 0x2000, 4, 'any'],
    [0, 0x14, 4, 'any'],
  ],
}
const virtio = (name: string, args = `--device virtio-${name}-pci,addr=SLOT`): Device => ({
  name: `virtio-${name}`,
  args,
  ...VIRTIO,
})

/** ATA/ATAPI: features, count, address, drive and head of a channel at its first port. */
const ata = (port: number): Write[] => [
  ...anything('port', 1, port + 1, port + 2, port + 3, port + 4, port + 5),
  ['port', port + 6, 1, 0xe0],
]
/** READ and WRITE by port, DMA, multiple and NCQ; PACKET, IDENTIFY, SET FEATURES, and anything. */
const ATA_COMMANDS = [0x20, 0x30, 0xc8, 0xca, 0x25, 0x35, 0x29, 0xc4, 0xc6, 0x60, 0x61, 0xa0, 0xa1, 0xec, 0xef, 0xe7]

/** AHCI 1.3.1, 3.1 and 3.3: AHCI mode, and of two ports lists, received FISes, interrupts and the start. */
const sata = (only: 'q35' | 'virt', at: readonly [number, number]): Device => ({
  name: 'SATA',
  only,
  args: '--drive index=0,file=FILE,snapshot=on --drive index=2,media=cdrom',
  at,
  bars: { 5: 'memory' },
  setUp: [
    [5, 4, 4, 0x8000_0002],
    ...[0x100, 0x200].flatMap((port): Write[] => [
      ...addresses(5, port, port + 8),
      [5, port + 0x14, 4, 0xffff_ffff],
      [5, port + 0x18, 4, 0x11],
    ]),
  ],
  work: [0x100, 0x200].flatMap((port) => anything(5, 4, port + 0x34, port + 0x38, port + 0x18, port + 0x2c)),
})

/** NVMe 1.4, 3.1: the admin queues, then doorbells. */
const NVME: Device = {
  name: 'NVMe',
  args: '--drive if=none,id=dSLOT,file=FILE,snapshot=on --device nvme,drive=dSLOT,addr=SLOT',
  bars: { 0: 'memory64' },
  setUp: [[0, 0x24, 4, 0x000f_000f], ...addresses(0, 0x28, 0x30), [0, 0x14, 4, 0x0046_0001]],
  work: [...[0, 4, 8, 12].map((at): Write => [0, 0x1000 + at, 4, 3]), [0, 0x1000, 4, 'any'], [0, 0x14, 4, 'any']],
}

/** Memory of what is behind a root port: 1 MiB. */
export const WINDOW_BEHIND = 0xe800_0000
const SLOT_CONTROL = 0x68
const behind = (writes: readonly Write[], bar: Bar): Write[] =>
  writes.filter(([base]) => base === bar).map(([, ...rest]): Write => ['window', ...rest])
/** PCI-to-PCI Bridge Architecture 1.2, 3.2.5, and PCI Express 3.0, 7.8.10: bus 1, its memory, and power for the slot. */
const ROOT_PORT: Device = {
  name: 'root port',
  only: 'q35',
  args: '--device pcie-root-port,id=pSLOT,addr=SLOT',
  setUp: [
    ['configuration', 0x18, 4, 0x0001_0100],
    ['configuration', 0x20, 4, WINDOW_BEHIND | (WINDOW_BEHIND >>> 16)],
    ['configuration', 4, 2, 7],
    ['configuration', SLOT_CONTROL, 2, 0x01f1],
    ...[0x10, 0x20].flatMap((bar): Write[] => [
      ['behind', bar, 4, WINDOW_BEHIND],
      ['behind', bar + 4, 4, 'high'],
    ]),
    ['behind', 4, 2, 7],
  ],
  work: [
    ...[0x01f1, 0x07f1, 'any'].map((content): Write => ['configuration', SLOT_CONTROL, 2, content as Content]),
    ['configuration', SLOT_CONTROL + 2, 2, 0xffff],
    ['behind', 4, 2, 'any'],
    ...behind([...VIRTIO.setUp, ...VIRTIO.work], 4),
    ...behind([...NVME.setUp, ...NVME.work], 0),
  ],
}

/** The card of `compose/card.ts` as a guest knows it: buffer, length, doorbell. */
export const CARD: Device = {
  name: 'adder',
  args: '',
  bars: { 0: 'memory' },
  setUp: [
    [0, 0, 4, 'ram'],
    [0, 4, 4, 'any'],
  ],
  work: [[0, 8, 4, 1]],
}

const CARD_FILE = fileURLToPath(new URL('compose/card.ts', import.meta.url))

/** Devices, with offsets of their registers from their specifications and the manuals of the chips that they are. */
export const DEVICES: readonly Device[] = [
  virtio(
    'blk',
    '--drive if=none,id=dSLOT,file=FILE,snapshot=on --device virtio-blk-pci,drive=dSLOT,addr=SLOT,num-queues=2',
  ),
  virtio('scsi', '--device virtio-scsi-pci,addr=SLOT --drive if=scsi,file=FILE,snapshot=on'),
  virtio('net', '--netdev user,id=nSLOT,restrict=on --device virtio-net-pci,netdev=nSLOT,addr=SLOT'),
  virtio('rng'),
  virtio('rng, packed', '--device virtio-rng-pci,addr=SLOT,packed=on'),
  virtio(
    '9p',
    '--fsdev local,id=fSLOT,path=FOLDER,readonly=on --device virtio-9p-pci,fsdev=fSLOT,mount_tag=t,addr=SLOT',
  ),
  virtio('console', '--chardev null,id=cSLOT --device virtio-serial-pci,addr=SLOT --device virtconsole,chardev=cSLOT'),
  ...['keyboard', 'mouse', 'tablet'].map((name) => virtio(name)),
  {
    name: 'IDE',
    only: 'pc',
    args: '--drive index=0,file=FILE,snapshot=on --drive index=2,media=cdrom',
    at: [1, 1],
    bars: { 4: 'io' },
    setUp: [...ata(0x1f0), ...ata(0x170), [4, 4, 4, 'ram'], [4, 12, 4, 'ram']],
    work: [
      ...ATA_COMMANDS.flatMap((command): Write[] => [
        ['port', 0x1f7, 1, command],
        ['port', 0x177, 1, command],
      ]),
      ['port', 0x1f0, 2, 'any'],
      ['port', 0x3f6, 1, 'any'],
      [4, 0, 1, 9],
      [4, 8, 1, 1],
    ],
  },
  sata('q35', [31, 2]),
  sata('virt', [31, 0]),
  NVME,
  {
    name: 'xHCI',
    args: '--device qemu-xhci,addr=SLOT --device usb-kbd --device usb-mouse --device usb-tablet --drive if=none,id=dSLOT,file=FILE,snapshot=on --device usb-storage,drive=dSLOT',
    bars: { 0: 'memory64' },
    // Operational registers at 40H, runtime registers at 1000H and doorbells at 2000H, as in QEMU's.
    setUp: [
      ...addresses(0, 0x58, 0x70),
      [0, 0x78, 4, 64],
      [0, 0x1028, 4, 1],
      ...addresses(0, 0x1030, 0x1038),
      [0, 0x40, 4, 5],
    ],
    work: [
      [0, 0x2000, 4, 0],
      ...anything(0, 4, 0x2004, 0x2008, 0x200c, 0x440),
      [0, 0x450, 4, 0x10],
      [0, 0x40, 4, 'any'],
    ],
  },
  {
    name: 'e1000',
    args: '--netdev user,id=nSLOT,restrict=on --device e1000,netdev=nSLOT,addr=SLOT',
    bars: { 0: 'memory', 1: 'io' },
    setUp: [
      ...addresses(0, 0x2800),
      [0, 0x2808, 4, 0x100],
      [0, 0x2818, 4, 15],
      [0, 0x100, 4, 0x0000_801e],
      ...addresses(0, 0x3800),
      [0, 0x3808, 4, 0x100],
      [0, 0x400, 4, 0x0004_010a],
    ],
    work: [...anything(0, 4, 0x3818, 0x2818, 0x14, 0x20), [1, 0, 4, 0x3818], ...anything(1, 4, 4)],
  },
  {
    name: 'AC97',
    args: '--device AC97,addr=SLOT',
    bars: { 0: 'io', 1: 'io' },
    setUp: [
      [1, 0x2c, 4, 2],
      [1, 0x10, 4, 'ram'],
      [1, 0x15, 1, 31],
      [0, 0x2a, 2, 1],
    ],
    work: [
      [1, 0x1b, 1, 0x1d],
      [1, 0x15, 1, 'any'],
      [0, 0x2c, 2, 'any'],
      [1, 0x0b, 1, 1],
    ],
  },
  {
    name: 'VGA',
    only: 'PC',
    args: '--vga std',
    at: [2, 0],
    bars: { 0: 'memory', 2: 'memory' },
    setUp: [
      [4, 0],
      [1, 1024],
      [2, 768],
      [3, 32],
      [4, 0x41],
    ].flatMap(([index = 0, value = 0]): Write[] => [
      ['port', 0x1ce, 2, index],
      ['port', 0x1d0, 2, value],
    ]),
    work: [
      ...anything('port', 1, 0x3c0, 0x3c2, 0x3c4, 0x3c5, 0x3c6, 0x3c8, 0x3c9, 0x3ce, 0x3cf, 0x3d4, 0x3d5),
      ...anything('port', 2, 0x3d4, 0x1d0),
      ...anything(2, 2, 0x500, 0x502),
    ],
  },
  {
    name: 'VGA without ports',
    only: 'virt',
    args: '--vga std',
    at: [30, 0],
    bars: { 0: 'memory', 2: 'memory' },
    // The registers above, where BAR 2 has them.
    setUp: [0, 1024, 768, 32, 0x41].map((value, i): Write => [2, 0x500 + 2 * i, 2, value]),
    work: [
      ...Array.from({ length: 10 }, (_, i): Write => [2, 0x500 + 2 * i, 2, 'any']),
      ...anything(2, 1, 0x400, 0x414),
      ...anything(0, 4, 0),
    ],
  },
  {
    name: 'floppy',
    only: 'PC',
    args: '--drive if=floppy',
    // The 8237's channel 2, and the 82077AA: reset, SPECIFY, and commands that follow one another.
    setUp: [...anything('port', 1, 0x0c, 0x04, 0x05, 0x81, 0x0b, 0x0a), ['port', 0x3f2, 1, 0x1c]],
    work: [
      ...[0xe6, 0xc5, 0x4d, 0x07, 0x08, 0x0f, 0x03].map((command): Write => ['port', 0x3f5, 1, command]),
      ...anything('port', 1, 0x3f5, 0x3f2, 0x3f7),
    ],
  },
  {
    name: 'pci-testdev',
    args: '--device pci-testdev,addr=SLOT',
    bars: { 0: 'memory', 1: 'io' },
    setUp: [],
    work: [...anything(0, 1, 0), ...anything(1, 1, 0)],
  },
  ...['worker', 'process'].map((transport): Device => ({
    ...{ ...CARD, name: `${CARD.name} in a ${transport}`, at: [27, 0] },
    args: `--device ${CARD_FILE},transport=${transport}`,
  })),
  { ...ROOT_PORT, args: `${ROOT_PORT.args} --device virtio-rng-pci,bus=pSLOT` },
  // Devices come and go behind these: a machine often has some.
  ...Array.from({ length: 6 }, (): Device => ({ ...ROOT_PORT, name: 'empty root port' })),
  { name: 'isa-debug-exit', only: 'PC', args: '--device isa-debug-exit', setUp: [], work: [['port', 0x501, 1, 'any']] },
]

/** Options that change how a machine runs; it has one of a group at most. */
const OPTIONS: readonly (readonly (readonly string[])[])[] = [
  [
    ['--devices', 'async'],
    ['--devices', 'worker'],
  ],
  // With any of the others, controllers are not elsewhere.
  [
    ['--hypervisor', 'xen'],
    ['--deterministic'],
    ['--hypervisor', 'xen', '--deterministic'],
    ['--controllers', 'worker'],
  ],
  [['--check-mappings']],
  [['--device-failure', 'detach']],
  [['--jit', 'off']],
  [['--vapic']],
  CPU_MODELS.map(({ name }) => ['--cpu', name]),
]
export interface PlacedDevice extends Device {
  readonly place: readonly [device: number, function_: number]
}

export interface HostileMachine {
  readonly board: Board
  readonly devices: readonly PlacedDevice[]
  /** Its part of the command line. */
  readonly args: readonly string[]
  /** It starts Workers, which takes a while. */
  readonly workers: boolean
  /** It starts a Worker or a process with a module. */
  readonly modules: boolean
}

const FIRST_SLOT = 8
const fits = ({ only }: Device, { name, arm }: Board): boolean =>
  only === undefined || (only === 'PC' ? !arm : name.startsWith(only))

/**
 * Draws a board, up to four devices, and options.
 *
 * @param medium - file of a disk
 * @param folder - a directory to share
 */
export function hostileMachine(rng: Rng, medium: string, folder: string): HostileMachine {
  const board = rng.pick(BOARDS)
  const rest = DEVICES.filter((device) => fits(device, board))
  const devices = Array.from({ length: rng.below(5) }, (_, i): PlacedDevice => {
    const [device] = rest.splice(rng.below(rest.length), 1)
    return { ...device!, place: device!.at ?? [FIRST_SLOT + i, 0] }
  })
  const options = OPTIONS.flatMap((group) => {
    const choices = group.filter(([option = '']) => board.refuses?.includes(option) !== true)
    return choices.length > 0 && rng.chance(1, 3) ? rng.pick(choices) : []
  })
  const args = [
    ...board.args,
    ...devices.flatMap((device) => words(device, medium, folder)),
    ...options,
    ...(rng.chance(1, 3) ? ['--cpus', String(rng.between(2, 4))] : []),
  ]
  return {
    board,
    devices,
    args,
    workers: args.includes('worker'),
    modules: args.some((word) => word.includes(CARD_FILE)),
  }
}

function words({ args, place }: PlacedDevice, medium: string, folder: string): string[] {
  const filled = { SLOT: place[0].toString(16), FILE: medium, FOLDER: folder }
  return args
    .split(' ')
    .map((word) => word.replaceAll(/SLOT|FILE|FOLDER/g, (name) => filled[name as keyof typeof filled]))
}
