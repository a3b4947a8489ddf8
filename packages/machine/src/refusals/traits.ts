import { MOST_THREADS, THREAD_BYTES } from '@retrap/hvm'
import type { MachineDrive } from '../options/drives.ts'
import type { MachineVirtioDevice } from '../options/virtio-device.ts'
import { usbControllers } from '../options/pci-options.ts'
import type { PcOptions } from '../options/pc-options.ts'
import { type DeviceTrait, type MachineRun, type MachineTrait, refusalOf } from './refusals.ts'

/** The options of a machine of any board that its traits follow from. */
export interface ComposedOptions extends Partial<Omit<PcOptions, 'devicePlacement' | 'jit' | 'snapshot' | 'machine'>> {
  /** `virt` for an Arm board. */
  readonly machine?: 'pc' | 'q35' | 'virt' | undefined
  /** `inline` (default), or a function, which runs the models in a thread of their own. */
  readonly devicePlacement?: unknown
  /** Options of an Arm board. */
  readonly virtioMmio?: readonly object[] | undefined
}

/** The traits of the machine that options make. */
export function traitsOf(options: ComposedOptions, run: MachineRun = 'plain'): Set<MachineTrait> {
  const { machine = 'pc', clock = 'real', devicePlacement = 'inline' } = options
  const traits = new Set<MachineTrait>([machine, run, clock])
  traits.add(typeof devicePlacement === 'string' ? (devicePlacement as 'inline' | 'deferred') : 'worker')
  if (options.hypervisor === 'xen') traits.add('xen')
  if (options.smm === true) traits.add('smm')
  if (options.controllerPlacement !== undefined) traits.add('controllers')
  if (options.sharedMemory === true) traits.add('shared')
  if ((options.smp ?? 'turns') !== 'turns') traits.add('threads')
  if ((options.deviceServers ?? []).length > 0) traits.add('server')
  for (const device of devicesOf(options, machine)) traits.add(device)
  noteRecordedModels(traits)
  return traits
}

/** Bytes of RAM and threads up to which machine memory surely has room. */
const MOST_BYTES = 3.4 * 2 ** 30

/**
 * Whether vCPUs get threads of their own where nobody has said how they execute: several vCPUs, of a machine that is not refused
 * threads.
 *
 * @param processors - of the host
 */
export function getsThreads(options: ComposedOptions, processors: number): boolean {
  const { cpus = 1, memoryBytes = 0, vapic = false } = options
  return (
    cpus > 1 &&
    cpus <= MOST_THREADS &&
    processors > 1 &&
    vapic === false &&
    memoryBytes + cpus * THREAD_BYTES < MOST_BYTES &&
    refusalOf('make', traitsOf(options).add('threads')) === undefined
  )
}

/** Adds the trait of a machine with models whose actions a recording has. */
export function noteRecordedModels(traits: Set<MachineTrait>): void {
  if (MODELS_TO_RECORD.some((trait) => traits.has(trait))) traits.add('recorded-models')
}

/** The run of a machine with a gate, or without one. */
export const runOf = (gate: { readonly isRecording: boolean } | undefined): MachineRun =>
  gate === undefined ? 'plain' : gate.isRecording ? 'recorded' : 'replayed'

/** Traits of models that a recording captures at their interface: a replay does not run them. */
const MODELS_TO_RECORD: readonly MachineTrait[] = [
  ...(['model', 'share', 'vsock', 'virtio-device', 'virtio-mmio', 'usb-device'] as const),
  ...(['worker', 'controllers', 'server'] as const),
]

function devicesOf(options: ComposedOptions, board: string): DeviceTrait[] {
  const { drives, virtio = [], networkCards = [], devices = [] } = options
  const usb = usbControllers(options)
  const found: (DeviceTrait | false)[] = [
    ...(drives ?? []).map((drive): DeviceTrait => driveOf(drive, board)),
    ...virtio.map(({ kind }): DeviceTrait => VIRTIO[kind]),
    ...usb
      .flatMap(({ devices: all = [] }) => all)
      .map(({ kind }): DeviceTrait => (kind === 'device' ? 'usb-device' : 'usb-input')),
    ...devices.map(({ deterministic }): DeviceTrait => (deterministic === true ? 'deterministic-model' : 'model')),
    networkCards.length > 0 && 'e1000',
    (options.sound ?? []).length > 0 && 'ac97',
    (options.flash ?? []).length > 0 && 'flash',
    (options.virtioMmio ?? []).length > 0 && 'virtio-mmio',
    (options.rootPorts ?? []).length > 0 && 'root-port',
    options.generation !== undefined && 'generation',
    options.vga === 'std' && 'vga',
    options.vga === 'ramfb' && 'ramfb',
  ]
  return found.filter((device) => device !== false)
}

const VIRTIO: Readonly<Record<MachineVirtioDevice['kind'], DeviceTrait>> = {
  rng: 'rng',
  console: 'console',
  net: 'net',
  scsi: 'scsi-controller',
  share: 'share',
  vsock: 'vsock',
  keyboard: 'virtio-input',
  mouse: 'virtio-input',
  tablet: 'virtio-input',
  device: 'virtio-device',
}

function driveOf(drive: MachineDrive, board: string): DeviceTrait {
  const { interface: by = 'ide' } = drive
  if (by === 'ide') return board === 'pc' ? 'ide' : 'sata'
  if (by === 'usb') return 'usb-disk'
  return by === 'virtio' ? 'virtio-disk' : by
}
