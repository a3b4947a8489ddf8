import { DeviceError } from '@retrap/device'
import { drivesOf } from '../options/drives.ts'
import type { watchModels } from './watched-models.ts'
import { MachineError } from '../errors.ts'
import { place as placeGeneration } from './generation.ts'
import type { DeviceSite, PlacedDevices, PlaceDevices } from './placed-devices.ts'
import type { MachineOptions } from '../options/machine-options.ts'
import { usbControllers } from '../options/pci-options.ts'
import type { PcOptions } from '../options/pc-options.ts'
import { hasRamfb, hasVga } from '../options/vga.ts'
import { PLAIN_VIRTIO, VIRTIO_INPUT, virtioOf } from '../options/virtio-device.ts'

/** A kind of device that a machine may do without. */
interface DeviceKind {
  /** Whether the options ask for a device of this kind. */
  wanted(options: PcOptions): boolean
  /** Loads the kind's module: bundlers split each `import()` into a chunk. */
  load(): Promise<{ readonly place: PlaceDevices }>
}

/** An empty list of drives asks for a controller as well. */
const ofController = ({ drives }: PcOptions): boolean =>
  drives !== undefined && (drives.length === 0 || drivesOf(drives, 'ide').length > 0)

/** The kinds, in the order in which they take PCI device numbers and are attached. */
const DEVICE_KINDS: readonly DeviceKind[] = [
  { wanted: ({ rootPorts = [] }) => rootPorts.length > 0, load: () => import('./root-ports.ts') },
  {
    wanted: (options) => options.machine !== 'q35' && ofController(options),
    load: () => import('./ide.ts'),
  },
  {
    wanted: (options) => options.machine === 'q35' && ofController(options),
    load: () => import('./ahci.ts'),
  },
  {
    wanted: ({ drives, virtio }) =>
      virtioOf(virtio, ...PLAIN_VIRTIO).length > 0 || drivesOf(drives, 'virtio').length > 0,
    load: () => import('./virtio.ts'),
  },
  { wanted: ({ drives }) => drivesOf(drives, 'floppy').length > 0, load: () => import('./floppy.ts') },
  { wanted: ({ drives }) => drivesOf(drives, 'nvme').length > 0, load: () => import('./nvme.ts') },
  { wanted: ({ networkCards = [] }) => networkCards.length > 0, load: () => import('./e1000.ts') },
  {
    wanted: (options) => usbControllers(options).length + drivesOf(options.drives, 'usb').length > 0,
    load: () => import('./usb.ts'),
  },
  { wanted: ({ sound = [] }) => sound.length > 0, load: () => import('./ac97.ts') },
  {
    wanted: ({ drives, virtio }) => virtioOf(virtio, 'scsi').length > 0 || drivesOf(drives, 'scsi').length > 0,
    load: () => import('./scsi.ts'),
  },
  { wanted: ({ virtio }) => virtioOf(virtio, 'share').length > 0, load: () => import('./share.ts') },
  { wanted: ({ virtio }) => virtioOf(virtio, 'vsock').length > 0, load: () => import('./vsock.ts') },
  { wanted: ({ virtio }) => virtioOf(virtio, ...VIRTIO_INPUT).length > 0, load: () => import('./input.ts') },
  { wanted: ({ flash = [] }) => flash.length > 0, load: () => import('./flash.ts') },
  { wanted: hasVga, load: () => import('./vga.ts') },
  // Machines of the command line have a generation device.
  { wanted: ({ generation }) => generation !== undefined, load: async () => ({ place: placeGeneration }) },
  { wanted: hasRamfb, load: () => import('./ramfb.ts') },
]

/** Loads the kinds of device that a machine has, and no others. */
export function loadDeviceKinds(options: PcOptions): Promise<readonly PlaceDevices[]> {
  return Promise.all(
    DEVICE_KINDS.filter((kind) => kind.wanted(options)).map(async (kind) => {
      const { place } = await kind.load()
      return place
    }),
  )
}

/** Loads the watch of a caller's models, on deterministic time. */
export async function loadWatch({
  clock,
  devices = [],
}: Pick<MachineOptions, 'clock' | 'devices'>): Promise<typeof watchModels | undefined> {
  if (clock !== 'deterministic' || devices.length === 0) return undefined
  return (await import('./watched-models.ts')).watchModels
}

/**
 * Makes the devices of all kinds.
 *
 * @throws MachineError `ERR_OPTION`
 */
export function placeDevices(kinds: readonly PlaceDevices[], site: DeviceSite): Required<PlacedDevices> {
  try {
    const placed = kinds.map((place) => place(site))
    const models = placed.flatMap((one) => one.models)
    const fromHost = new Set(placed.flatMap((one) => one.fromHost ?? []))
    // The slots of a PC are one model: a device is in the set of models that they are in.
    const { machine = 'pc', rootPorts = [] } = site.options
    if (machine === 'pc' && fromHost.has(models[0]!))
      for (const model of models) if (rootPorts.some(({ id }) => model.name.endsWith(`-${id}`))) fromHost.add(model)
    return {
      models,
      fromHost: [...fromHost],
      bootPaths: placed.flatMap(({ bootPaths = [] }) => bootPaths),
      floppies: placed.flatMap(({ floppies = [] }) => floppies),
      settled: () => Promise.all(placed.flatMap(({ settled }) => (settled === undefined ? [] : [settled()]))),
      goesOn: (random) => placed.forEach(({ goesOn }) => goesOn?.(random)),
      onRamfb: (configuration) => placed.forEach(({ onRamfb }) => onRamfb?.(configuration)),
    }
  } catch (error) {
    if (error instanceof DeviceError) throw new MachineError('ERR_OPTION', error.message, { cause: error })
    throw error
  }
}
