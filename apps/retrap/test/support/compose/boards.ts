// Boards with every device that they can have, and where each of them is.
import { type BlockBackend, BlockError, type PacketBackend } from '@retrap/device'
import type { PcOptions } from '@retrap/machine'
import { MemoryShare } from '@retrap/virtio/p9'
import { someTurns } from './card.ts'
import { BOARDS, CARD, DEVICES, type HostileMachine, type PlacedDevice } from '../hostile-machines.ts'

/** A board as a case has it. */
export interface Board {
  readonly name: string
  readonly arm: boolean
  readonly options: Pick<PcOptions, 'machine' | 'smm' | 'hypervisor' | 'rootPorts'> & { readonly gic?: 2 | 3 }
  /** The guest's view, of `BOARDS`. */
  readonly guest: (typeof BOARDS)[number]
}

const guestOf = (name: string): Board['guest'] => BOARDS.find((board) => board.name === name)!
const XEN = { hypervisor: 'xen' } as const

/** All boards, each with and without Xen, PCs with system-management mode. */
export const COMPOSED: readonly Board[] = (['pc', 'q35', 'virt,gic-version=3', 'virt,gic-version=2'] as const).flatMap(
  (name): Board[] => {
    const arm = name.startsWith('virt')
    const guest = guestOf(name)
    const options = arm ? ({ gic: name.endsWith('2') ? 2 : 3 } as const) : { machine: name as 'pc' | 'q35' }
    const plain = { name, arm, options, guest }
    const xen = { ...plain, name: `${name}, Xen`, options: { ...options, ...XEN } }
    if (arm) return [plain, xen]
    return [plain, xen, { ...plain, name: `${name},smm=on`, options: { ...options, smm: true } }]
  },
)

const MIB = 1 << 20

const CONTENT = Uint8Array.from({ length: 1_474_560 }, (_, i) => i * 7 + (i >> 9))

/** A disk in memory, which takes any number of the event loop's turns. */
export class Disk implements BlockBackend {
  readonly properties: BlockBackend['properties']
  /** Made when it is used: tables of options are asked with disks that nobody uses. */
  #bytes: Uint8Array | undefined

  constructor(readOnly = false, bytes: number = MIB) {
    this.properties = {
      ...{ bytes, blockBytes: 512, physicalBlockBytes: 512, maximumBytes: MIB, readOnly, discards: !readOnly },
    }
  }

  get bytes(): Uint8Array {
    return (this.#bytes ??= CONTENT.slice(0, this.properties.bytes))
  }

  set bytes(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    await someTurns()
    into.set(this.bytes.subarray(offset, offset + into.length))
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    if (this.properties.readOnly) throw new BlockError('ERR_READ_ONLY', 'a medium that is only read')
    await someTurns()
    this.bytes.set(from, offset)
  }

  async flush(): Promise<void> {
    await someTurns()
  }

  discard(offset: number, bytes: number): Promise<void> {
    return this.write(offset, new Uint8Array(bytes))
  }

  writeZeroes(offset: number, bytes: number): Promise<void> {
    return this.write(offset, new Uint8Array(bytes))
  }

  onChange(): () => void {
    return () => undefined
  }
}

/** A disk with what another one has by now. */
export function copyOf(disk: Disk): Disk {
  const copy = new Disk(disk.properties.readOnly, disk.properties.bytes)
  copy.bytes = disk.bytes.slice()
  return copy
}

export const silent: PacketBackend = { linkUp: true, maximumBytes: 1514, connect() {}, send: () => true, ready() {} }

type Devices = Pick<
  PcOptions,
  'drives' | 'virtio' | 'networkCards' | 'usb' | 'sound' | 'vga' | 'rootPorts' | 'serialPorts' | 'vapic'
>

/** Disks of a board, which its guest writes; the last may be plugged in. */
export const newDisks = (): Disk[] => Array.from({ length: 6 }, () => new Disk())

/**
 * Every device at once.
 *
 * @param disks - of `newDisks`
 * @param hostModels - also those whose doings a recording has, for they are the host's
 */
export function everyDevice({ arm, options }: Board, disks: readonly Disk[], hostModels: boolean): Devices {
  const [cable, virtio, nvme, scsi, usb] = disks as [Disk, Disk, Disk, Disk, Disk]
  return {
    vga: 'std',
    drives: [
      { medium: cable },
      { medium: new Disk(true), media: 'cdrom' },
      { medium: virtio, interface: 'virtio', virtio: { queues: 2 } },
      { medium: nvme, interface: 'nvme' },
      { medium: scsi, interface: 'scsi' },
      { medium: usb, interface: 'usb' },
      ...(arm ? [] : [{ medium: new Disk(true, 1_474_560), interface: 'floppy' } as const]),
    ],
    virtio: [
      { kind: 'rng' },
      { kind: 'rng', packed: true },
      { kind: 'console', ports: [{ stream: { send() {} } }] },
      { kind: 'net', network: silent },
      ...(['keyboard', 'mouse', 'tablet'] as const).map((kind) => ({ kind })),
      ...(hostModels
        ? [
            { kind: 'share', share: new MemoryShare(), tag: 't', readOnly: true, slot: 28 } as const,
            { kind: 'vsock', cid: 3, slot: 29 } as const,
          ]
        : []),
    ],
    networkCards: [{ model: 'e1000', network: silent }],
    usb: { devices: (['keyboard', 'mouse', 'tablet'] as const).map((kind) => ({ kind })) },
    sound: [{ model: 'ac97' }],
    rootPorts: options.rootPorts ?? [{ id: 'port' }],
    ...(!arm && { serialPorts: 2 }),
  }
}

/** PCI functions, as a domain lists them. */
interface Functions {
  ownerAt(bdf: number): string | undefined
}

/** The guest's view of a machine with every device. */
export function guestView(board: Board, functions: Functions): HostileMachine {
  const fits = ({ name, only }: (typeof DEVICES)[number]): boolean =>
    !name.startsWith(`${CARD.name} `) &&
    (only === undefined || (only === 'PC' ? !board.arm : board.name.startsWith(only)))
  const named = new Map([...DEVICES.filter(fits), CARD].map((device) => [device.name, device]))
  const devices: PlacedDevice[] = []
  const add = (name: string, place: PlacedDevice['place']): void => {
    const device = named.get(name)
    if (device !== undefined) devices.push({ ...device, place })
  }
  for (const { name, at } of named.values()) if (at !== undefined || name === 'floppy') add(name, at ?? [0, 0])
  for (let bdf = 0; bdf < 0x100; bdf++) {
    const owner = functions.ownerAt(bdf)
    if (owner !== undefined) add(nameOf(owner), [bdf >> 3, bdf & 7])
  }
  return { board: board.guest, devices, args: [], workers: false, modules: false }
}

const OTHER_NAMES: Readonly<Record<string, string>> = {
  'pcie-root-port-port': 'empty root port',
  xhci: 'xHCI',
  nvme: 'NVMe',
  ac97: 'AC97',
  'virtio-vsock': 'virtio-rng',
}

/** The name in `DEVICES` of a model such as `virtio-rng-8`. */
function nameOf(owner: string): string {
  const kind = owner.replace(/-[0-9a-f.:]+$/, '')
  return OTHER_NAMES[kind] ?? kind
}
