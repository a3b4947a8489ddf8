import type { PacketBackend } from '@retrap/device'
import type { ArmMachineOptions } from '../../src/arm/index.ts'
import type { PcOptions } from '../../src/index.ts'
import { armImage as image } from '@retrap/tooling/arm-image'
import { firmwareImage } from './kernels.ts'
import { medium } from './media.ts'

/** A network that takes all frames and brings none. */
const silent: PacketBackend = { linkUp: true, maximumBytes: 1514, connect() {}, send: () => true, ready() {} }

type Common = Pick<
  PcOptions & ArmMachineOptions,
  | 'memoryBytes'
  | 'codeCacheBytes'
  | 'jit'
  | 'clock'
  | 'cpus'
  | 'vga'
  | 'drives'
  | 'virtio'
  | 'networkCards'
  | 'usb'
  | 'sound'
>

/** The devices that every board may have, one of each kind; its disks are of 1 MiB. */
function common(drives: PcOptions['drives'] = []): Common {
  const disk = medium(new Uint8Array(1 << 20))
  return {
    memoryBytes: 16 << 20,
    codeCacheBytes: 4 << 20,
    jit: false,
    clock: 'deterministic',
    cpus: 2,
    vga: 'std',
    drives: [
      { medium: disk },
      { medium: disk, media: 'cdrom' },
      { medium: disk, interface: 'virtio' },
      { medium: disk, interface: 'nvme' },
      { medium: disk, interface: 'scsi' },
      { medium: disk, interface: 'usb' },
      ...drives,
    ],
    virtio: [
      { kind: 'rng' },
      { kind: 'console', ports: [{ stream: { send() {} } }] },
      { kind: 'net', network: silent },
      { kind: 'keyboard' },
    ],
    networkCards: [{ model: 'e1000', network: silent }],
    usb: { devices: [{ kind: 'keyboard' }, { kind: 'tablet' }] },
    sound: [{ model: 'ac97' }],
  }
}

/** A PC with a device of every kind; its firmware halts. */
export const fullPc = (machine: 'pc' | 'q35'): PcOptions => ({
  ...common([{ medium: medium(new Uint8Array(1_474_560)), interface: 'floppy' }]),
  machine,
  ...(machine === 'q35'
    ? { smm: true, rootPorts: [{ id: 'port' }] }
    : { vapic: true, rootPorts: [{ id: 'port', slot: 31 }] }),
  firmware: firmwareImage((asm) => void asm.hlt()),
  serialPorts: 2,
})

/** An Arm board with a device of every kind; its guest waits for interrupts. */
export const fullArm = (): ArmMachineOptions => ({
  ...common(),
  kernel: image(0xd503_207f, 0x17ff_ffff),
  rootPorts: [{ id: 'port' }],
})
