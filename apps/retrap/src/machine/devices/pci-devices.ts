import type { ByteStreamBackend, PacketBackend } from '@retrap/device'
import type {
  MachinePciPlace,
  MachineRootPort,
  MachineVirtioDevice,
  MachineVirtioPlace,
  PcOptions,
} from '@retrap/machine'
import type { Share } from '@retrap/virtio/p9'
import type { VsockBackend } from '@retrap/virtio/vsock'
import { Properties, parseWhole, usage, type DeviceArgument } from '../../options/values.ts'
import { CARD_PROPERTIES, type CardArgument, cardOf, type CardRoms, type E1000Argument } from './network-cards.ts'
import type { DriveArgument } from '../drives/drives.ts'

type MachineUsb = NonNullable<PcOptions['usb']>

const CONTROLLER = 'qemu-xhci'
const KINDS: Readonly<Record<string, 'keyboard' | 'mouse' | 'tablet'>> = {
  'usb-kbd': 'keyboard',
  'usb-mouse': 'mouse',
  'usb-tablet': 'tablet',
}

/**
 * Returns the requested USB controller with its devices.
 *
 * @param drives - all drives, including those used by `--device usb-storage`
 * @returns undefined without a controller
 * @throws CliError `ERR_USAGE`
 */
export function usbController(
  devices: readonly DeviceArgument[] = [],
  drives: readonly DriveArgument[] = [],
): MachineUsb | undefined {
  const controllers = devices.filter(({ name }) => name === CONTROLLER)
  const plugged = devices.filter(({ name }) => Object.hasOwn(KINDS, name))
  for (const argument of plugged) checkedProperties(argument)
  const stick = drives.find((drive) => drive.interface === 'usb')
  const [controller, second] = controllers
  if (second !== undefined) throw usage(`--device ${CONTROLLER} is given twice; it has up to 15 ports: write p2=15`)
  if (controller === undefined) {
    const first = plugged[0]?.name ?? (stick === undefined ? undefined : 'usb-storage')
    if (first !== undefined) throw usage(`--device ${first} needs a controller; write --device ${CONTROLLER} before it`)
    return undefined
  }
  const properties = checkedProperties(controller)
  const given = ['p2', 'p3'].filter((key) => controller.properties.has(key))
  const ports = Math.max(...given.map((key) => properties.whole(key, 4, 15, 1)))
  const sticks = drives.filter((drive) => drive.interface === 'usb').length
  const count = plugged.length + sticks
  const most = given.length > 0 ? ports : 15
  if (count > most) throw usage(`--device ${CONTROLLER}: ${count} devices are plugged in; it has ${most} ports`)
  return {
    ...placeOf(controller),
    ...(given.length > 0 && { ports }),
    devices: plugged.map(({ name }) => ({ kind: KINDS[name]! })),
  }
}

/** A device's description for `--help`. */
interface PciKind {
  readonly summary: string
  readonly properties: Readonly<Record<string, string>>
}

const ADDRESS = { addr: 'PCI device number, such as 4 or 0x4 (the first free one)' }
const PLACE = {
  bus: 'id of a pcie-root-port that it is behind (pcie.0, the root)',
  ...ADDRESS,
}
const VIRTIO_PLACE = {
  ...PLACE,
  'disable-modern': 'on: only the interface of legacy drivers (off)',
  'disable-legacy': 'on: only the interface of version 1.0 and later (off)',
  packed: 'on: queues may be packed rings (off)',
  vectors: 'MSI-X vectors, 0 for none (one for each queue, and one)',
  id: 'a name, for device_del after Ctrl-A c',
  mmio: 'on: at a transport in memory of an Arm board, as --device virtio-…-device is (off)',
}

const NAMED = { id: 'a name; it changes nothing' }
const PLUGGED = { bus: 'the controller; there is one', ...NAMED }

const VIRTIO_INPUT = { serial: 'text that the guest can read, at most 128 bytes', ...VIRTIO_PLACE }
const INPUT_KINDS: Readonly<Record<string, 'keyboard' | 'mouse' | 'tablet'>> = {
  'virtio-keyboard-pci': 'keyboard',
  'virtio-mouse-pci': 'mouse',
  'virtio-tablet-pci': 'tablet',
}

/** A disk, of a virtio device, an NVMe drive or a USB stick. */
const DISK = {
  drive: 'id of the drive',
  serial: 'text that the guest can read, at most 20 characters',
  bootindex: 'firmware tries disks with such a number first',
}
/** The name of a device that a guest can lose while it runs. */
const HOT_ID = { id: 'a name, for device_del after Ctrl-A c' }

const SERIAL_PORT = {
  chardev: 'id of the chardev',
  name: 'the name that the guest finds it by, at most 64 characters (none)',
  portname: 'the same; in a machine file name is the device',
  bus: 'ID.0 of a virtio-serial-pci (the first one)',
  ...NAMED,
}

const SCSI_DRIVE = {
  drive: 'id of the drive',
  'scsi-id': 'target, 0 to 255 (the first free one)',
  lun: '0: each target has one unit',
  serial: 'text that the guest can read, at most 36 characters',
  bootindex: 'firmware tries drives with such a number first',
  ...PLUGGED,
}

/** Kinds of `--device` on the PCI bus and behind it, with QEMU's names. */
export const PCI_KINDS: Readonly<Record<string, PciKind>> = {
  'virtio-blk-pci': {
    summary: 'a disk: the medium of a --drive if=none,id=NAME',
    properties: {
      ...DISK,
      'num-queues': 'queues of requests (1)',
      ...VIRTIO_PLACE,
    },
  },
  nvme: {
    summary: 'an NVMe drive: the medium of a --drive if=none,id=NAME',
    properties: {
      ...DISK,
      max_ioqpairs: 'pairs of I/O queues (8)',
      ...PLACE,
      ...HOT_ID,
    },
  },
  'virtio-scsi-pci': {
    summary: 'a SCSI controller for scsi-hd and scsi-cd; it is there without being named',
    properties: { num_queues: 'queues of requests (1)', ...VIRTIO_PLACE },
  },
  'scsi-hd': { summary: 'a SCSI disk: the medium of a --drive if=none,id=NAME', properties: SCSI_DRIVE },
  'scsi-cd': { summary: 'a SCSI CD drive: the disc of a --drive if=none,media=cdrom,id=NAME', properties: SCSI_DRIVE },
  'virtio-net-pci': { summary: 'a network card', properties: { ...CARD_PROPERTIES, ...VIRTIO_PLACE } },
  e1000: {
    summary: "a network card: Intel's 82540EM",
    properties: { ...CARD_PROPERTIES, ...PLACE, ...HOT_ID },
  },
  AC97: {
    summary: "a sound device: an AC'97 codec; --audio wav:FILE writes what it plays",
    properties: { ...PLACE, ...HOT_ID },
  },
  VGA: {
    summary: "the graphics card of --vga std, QEMU's, with its monitor",
    properties: {
      xres: 'pixels of a row of the mode that the monitor prefers, 320 to 2560 (1280)',
      yres: 'rows of it, 200 to 1600 (800)',
      edid: 'off: the monitor says nothing, and there is no BAR 2 (on)',
      ...NAMED,
    },
  },
  ramfb: {
    summary: 'a picture in guest RAM, for firmware that has no driver of a graphics card',
    properties: NAMED,
  },
  'virtio-9p-pci': {
    summary: 'a directory of the host for the guest: that of a --fsdev',
    properties: { fsdev: 'id of the directory', mount_tag: 'the name that the guest mounts', ...VIRTIO_PLACE },
  },
  'virtio-serial-pci': {
    summary: 'a controller for virtconsole and virtserialport',
    properties: { ...VIRTIO_PLACE, id: 'a name, for bus=NAME.0 of its ports' },
  },
  virtconsole: {
    summary: 'a console (hvc0 of Linux) that leads to a --chardev',
    properties: SERIAL_PORT,
  },
  virtserialport: {
    summary: 'a port (/dev/virtio-ports/NAME of Linux) that leads to a --chardev',
    properties: SERIAL_PORT,
  },
  'pcie-root-port': {
    summary: 'a port of PCI Express with room for one device: its bus=ID; on a pc a slot with hot plug by ACPI',
    properties: {
      id: 'what bus= of the device names',
      ...ADDRESS,
      hotplug: 'off: what is in it stays while the machine runs (on)',
      chassis: 'a number; it changes nothing',
      slot: 'a number; it changes nothing',
      port: 'a number; it changes nothing',
    },
  },
  'virtio-keyboard-pci': { summary: 'a keyboard', properties: VIRTIO_INPUT },
  'virtio-mouse-pci': { summary: 'a mouse', properties: VIRTIO_INPUT },
  'virtio-tablet-pci': { summary: 'a pointer that says where it is', properties: VIRTIO_INPUT },
  'virtio-rng-pci': { summary: 'random bytes', properties: VIRTIO_PLACE },
  'qemu-xhci': {
    summary: 'a USB controller, for USB 3 and 2',
    properties: {
      p2: 'sockets, for devices of any speed (4, or as many as there are devices)',
      p3: 'the same',
      ...PLACE,
      ...NAMED,
    },
  },
  'usb-kbd': { summary: 'a USB keyboard', properties: PLUGGED },
  'usb-mouse': { summary: 'a USB mouse', properties: PLUGGED },
  'usb-tablet': { summary: 'a USB pointer that says where it is', properties: PLUGGED },
  'usb-storage': {
    summary: 'a USB stick: the medium of a --drive if=none,id=NAME',
    properties: {
      ...DISK,
      ...PLUGGED,
    },
  },
}

/** Whether a `--device` is one of these PCI devices. */
export function isPciDevice({ name }: DeviceArgument): boolean {
  return Object.hasOwn(PCI_KINDS, name)
}

/** Whether a device is a disk: its medium is a drive. */
export function isDiskDevice({ name }: DeviceArgument): boolean {
  return Object.hasOwn(PCI_KINDS[name]?.properties ?? {}, 'drive')
}

/** Returns the properties of such a PCI device. @throws CliError `ERR_USAGE` for an unknown property */
export function checkedProperties(argument: DeviceArgument): Properties {
  const properties = new Properties(argument)
  properties.check(Object.keys(PCI_KINDS[argument.name]!.properties))
  return properties
}

/** The PCI device number that a device is given, if it is. @throws CliError `ERR_USAGE` */
export function slotOf(argument: DeviceArgument): number | undefined {
  const addr = argument.properties.get('addr')
  // QEMU reads it as hexadecimal, with a function behind a point.
  const slot = addr === undefined ? undefined : parseWhole(`0x${addr.replace(/^0x/i, '').replace(/\.0$/, '')}`)
  if (addr !== undefined && (slot === undefined || slot > 31))
    throw usage(`--device ${argument.name}: addr=${addr} is not a PCI device number from 3 to 1f`)
  return slot
}

/** Where a device lies on the PCI bus. @throws CliError `ERR_USAGE` */
export function placeOf(argument: DeviceArgument): MachinePciPlace {
  const bus = argument.properties.get('bus') ?? 'pcie.0'
  const behind = bus !== 'pcie.0' && bus !== 'pci.0'
  const number = slotOf(argument)
  // Behind a port only slot 0 exists.
  const slot = behind && number === 0 ? undefined : number
  return { ...(behind && { port: bus }), ...(slot !== undefined && { slot }) }
}

/** Translates QEMU's names of virtio-mmio devices, `virtio-blk-device` and so on, to PCI devices' names with another place. */
export function inWordsOfPci(argument: DeviceArgument): DeviceArgument {
  const [, kind] = /^virtio-(.+)-device$/.exec(argument.name) ?? []
  if (kind === undefined || !Object.hasOwn(PCI_KINDS, `virtio-${kind}-pci`)) return argument
  return { name: `virtio-${kind}-pci`, properties: new Map([...argument.properties, ['mmio', 'on']]) }
}

/** The transport that `bus=virtio-mmio-bus.N` names, or the next free one. @throws CliError `ERR_USAGE` */
function transportOf({ name, properties }: DeviceArgument): MachineVirtioPlace {
  const bus = properties.get('bus')
  const number = bus === undefined ? undefined : Number(/^virtio-mmio-bus\.(\d+)$/.exec(bus)?.[1] ?? Number.NaN)
  if (number !== undefined && !(number < 32))
    throw usage(`--device ${name}: bus=${bus} is no transport; write bus=virtio-mmio-bus.0 to virtio-mmio-bus.31`)
  return { mmio: number ?? true }
}

/** Where and how a virtio device lies on the PCI bus. @throws CliError `ERR_USAGE` */
export function virtioPlaceOf(argument: DeviceArgument, properties: Properties): MachineVirtioPlace {
  const [noModern, noLegacy] = [properties.flag('disable-modern'), properties.flag('disable-legacy')]
  if (noModern === true && noLegacy === true)
    throw usage(`--device ${argument.name}: disable-modern and disable-legacy are both on; leave one of them out`)
  return {
    ...(properties.flag('mmio') === true ? transportOf(argument) : placeOf(argument)),
    ...(noModern === true && { modern: false }),
    ...(noLegacy === true && { legacy: false }),
    ...(properties.flag('packed') === true && { packed: true }),
    ...(argument.properties.has('vectors') && { vectors: properties.whole('vectors', 0, 2048) }),
  }
}

/** A console, or a port for bytes, by the id of its `--chardev`. */
interface ConsolePortArgument {
  readonly chardev: string
  readonly console: boolean
  readonly name?: string
}

/** A virtio device that the user asked for; networks and chardevs are named by their ids. */
export type VirtioArgument = MachineVirtioPlace &
  (
    | { readonly kind: 'rng' }
    | { readonly kind: 'scsi'; readonly queues?: number }
    | { readonly kind: 'share'; readonly path: string; readonly tag: string; readonly readOnly: boolean }
    | { readonly kind: 'vsock'; readonly cid: number; readonly uds: string }
    | { readonly kind: 'console'; readonly ports: readonly ConsolePortArgument[] }
    | { readonly kind: 'keyboard' | 'mouse' | 'tablet'; readonly serialNumber?: string }
    | ({ readonly kind: 'net' } & CardArgument)
  )

/** Returns the requested virtio devices, without disks, directories and consoles. @throws CliError `ERR_USAGE` */
export function virtioDevices(devices: readonly DeviceArgument[] = []): readonly VirtioArgument[] {
  const others = devices.filter(({ name }) => VIRTIO.includes(name))
  return others.flatMap((argument): VirtioArgument[] => {
    const properties = checkedProperties(argument)
    const place = virtioPlaceOf(argument, properties)
    if (argument.name === 'virtio-rng-pci') return [{ kind: 'rng', ...place }]
    if (argument.name === 'virtio-scsi-pci') {
      const queues = argument.properties.has('num_queues')
      return [{ kind: 'scsi', ...place, ...(queues && { queues: properties.whole('num_queues', 1, 64, 1) }) }]
    }
    const input = INPUT_KINDS[argument.name]
    if (input !== undefined) {
      const serialNumber = argument.properties.get('serial')
      return [{ kind: input, ...place, ...(serialNumber !== undefined && { serialNumber }) }]
    }
    return [{ kind: 'net', ...cardOf(argument, properties), ...place }]
  })
}

const VIRTIO = ['virtio-net-pci', 'virtio-rng-pci', 'virtio-scsi-pci', ...Object.keys(INPUT_KINDS)]

/** The root ports among the devices. @throws CliError `ERR_USAGE` */
export function rootPorts(devices: readonly DeviceArgument[] = []): readonly MachineRootPort[] {
  return devices
    .filter(({ name }) => name === 'pcie-root-port')
    .map((argument) => {
      const hotPlug = checkedProperties(argument).flag('hotplug')
      const slot = slotOf(argument)
      const id = argument.properties.get('id')
      if (id === undefined) throw usage('--device pcie-root-port has no id; write --device pcie-root-port,id=NAME')
      return { id, ...(slot !== undefined && { slot }), ...(hotPlug !== undefined && { hotPlug }) }
    })
}

/** The network cards among them that are not virtio devices. @throws CliError `ERR_USAGE` */
export function e1000Cards(devices: readonly DeviceArgument[] = []): readonly E1000Argument[] {
  return devices
    .filter(({ name }) => name === 'e1000')
    .map((argument) => ({ ...cardOf(argument, checkedProperties(argument)), ...placeOf(argument) }))
}

/** The back ends for a new machine's devices, by name. */
interface Connections {
  /** Returns the network of an id, for a card. */
  readonly plug: (id: string) => PacketBackend
  /** Returns the boot program of a card. */
  readonly roms: CardRoms
  /** Returns the files of a directory. */
  readonly share: (path: string) => Share
  /** Returns the back end of a vsock device by its socket's path; undefined: the device refuses all connections. */
  readonly vsock: (uds: string) => VsockBackend | undefined
  /** Returns the stream of a chardev's id. */
  readonly stream: (id: string) => ByteStreamBackend
}

/** Gives each network card its network, each shared directory its files, and each console and vsock device its streams. */
export function connectVirtio(
  devices: readonly VirtioArgument[],
  { plug, roms, share, vsock, stream }: Connections,
): readonly MachineVirtioDevice[] {
  return devices.map((device) => {
    if (device.kind === 'share') {
      const { path, ...rest } = device
      return { ...rest, share: share(path) }
    }
    if (device.kind === 'vsock') {
      const { uds, ...rest } = device
      return { ...rest, host: vsock(uds) }
    }
    if (device.kind === 'console')
      return { ...device, ports: device.ports.map(({ chardev, ...port }) => ({ ...port, stream: stream(chardev) })) }
    if (device.kind !== 'net') return device
    const { netdev, romFile: _, ...rest } = device
    const rom = roms.byCard.get(device)
    return { ...rest, network: plug(netdev), ...(rom !== undefined && { rom }) }
  })
}
