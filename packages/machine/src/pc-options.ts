import type { AudioBackend, DeviceModel } from '@retrap/device'
import { Keyboard, Mouse, Screen } from '@retrap/display'
import type { DomainServer } from '@retrap/hvm'
import type { DeviceFailure, DevicePlatform, FailurePolicy, IoDispatch, IoTraceRecord } from '@retrap/ioreq'
import { Processor, X86CpuError, cpuModel } from '@retrap/x86-cpu'
import type { CpuModel, JitOptions } from '@retrap/x86-cpu'
import type { PcBootOptions, PcDrive } from './drives.ts'
import { MachineError } from './errors.ts'
import type { PcFlash } from './flash.ts'
import type { BootModule, KernelImages } from './loaders/index.ts'
import { CHIPSETS, type MachineType } from './machine-type.ts'
import type { OptionRom } from './option-roms.ts'
import type { StartControllerServer } from './elsewhere/start.ts'
import type { StartBoardServer } from './remote-board.ts'
import type { SamplingOptions } from './sampling.ts'
import { SERIAL_PORTS } from './serial-port.ts'
import type { PcUsb } from './usb.ts'
import type { PcVapicOptions } from './vapic.ts'
import type { PcNetworkCard } from './network-card.ts'
import type { PcRootPort } from './root-port.ts'
import type { PcSoundDevice } from './sound-device.ts'
import { type PcVirtioDevice, VIRTIO_INPUT } from './virtio-device.ts'

/** How a PC is made. */
export interface PcOptions {
  /** Guest RAM in bytes: whole 4 KiB pages, 1 MiB to about 3.5 GiB. */
  readonly memoryBytes: number
  /** The board: `pc` (default), an i440FX with a PIIX3, or `q35`, a Q35 with an ICH9 and PCI Express. */
  readonly machine?: MachineType | undefined
  /** System-management mode with SMRAM and SMIs, which UEFI firmware with Secure Boot needs; not with boards in another thread. Default false. */
  readonly smm?: boolean | undefined
  /** vCPUs, 1–128; default 1. */
  readonly cpus?: number | undefined
  /**
   * A Linux bzImage, a PVH ELF or a multiboot image. It starts by itself, or from `firmware` or `flash` where they are
   * given: a BIOS needs the option ROM for it among `optionRoms`, by the name that `kernelRom` says.
   */
  readonly kernel?: Uint8Array | undefined
  /** The kernel’s initial RAM disk, or the first module. */
  readonly initrd?: Uint8Array | undefined
  /** Files for a multiboot or PVH kernel, behind the initrd, each with a text of its own. */
  readonly modules?: readonly BootModule[] | undefined
  /** The kernel’s command line, passed as it is given; default empty. */
  readonly commandLine?: string | undefined
  /** A flat firmware image that ends at 4 GiB, started at the reset vector. */
  readonly firmware?: Uint8Array | undefined
  /**
   * Flash memories with firmware instead of an image of it, at most two, of 8 MiB together. The first ends at 4 GiB; the
   * second lies below and keeps the firmware's variables.
   */
  readonly flash?: readonly PcFlash[] | undefined
  /**
   * Disks and CD drives: at most four of an IDE controller, or six of the SATA controller of a `q35`, which the machine
   * has only for them; virtio disks, NVMe drives, and drives of a SCSI controller.
   */
  readonly drives?: readonly PcDrive[] | undefined
  /** Further virtio devices, each on the PCI bus. */
  readonly virtio?: readonly PcVirtioDevice[] | undefined
  /** Root ports of PCI Express, with machine `q35`; a device on the PCI bus is behind one by `port`, and `pc.plug` plugs one in while the machine runs. */
  readonly rootPorts?: readonly PcRootPort[] | undefined
  /** Sound devices, each on the PCI bus. */
  readonly sound?: readonly PcSoundDevice[] | undefined
  /** Gets what the PC speaker plays; default nobody hears it. */
  readonly speaker?: AudioBackend | undefined
  /** Network cards that are not virtio devices, each on the PCI bus. */
  readonly networkCards?: readonly PcNetworkCard[] | undefined
  /** A USB controller (xHCI) with what is plugged into it, beside the drives of `interface: 'usb'`. */
  readonly usb?: PcUsb | undefined
  /** What firmware boots from. */
  readonly boot?: PcBootOptions | undefined
  /**
   * The graphics card: `std`, which QEMU has by that name; `ramfb`, a picture in guest RAM, where firmware says by fw_cfg
   * (OVMF can); or `none`. Default `std` where firmware boots from `drives`, as
   * boot loaders have menus there; otherwise `none`: a kernel would move its console to it.
   */
  readonly vga?: 'std' | 'ramfb' | 'none' | undefined
  /** Video BIOS of the graphics card, such as SeaVGABIOS; without it only what knows the card by itself has a picture. */
  readonly vgaBios?: Uint8Array | undefined
  /**
   * The mode that the graphics card's monitor says it prefers, by EDID: drivers and firmware choose it. From 320 by 200 to
   * 2560 by 1600; null: the monitor says nothing. Default 1280 by 800, as QEMU's.
   */
  readonly preferredMode?: { readonly width: number; readonly height: number } | null | undefined
  /** What the graphics card's picture is shown on; default a screen of its own, `pc.screen`. */
  readonly screen?: Screen | undefined
  /**
   * Adapters' firmware: firmware of the machine finds and initialises it; without any, and where a kernel is given, it is
   * initialised as a BIOS would before the kernel starts. A TPR patcher is there for one that wants it.
   */
  readonly optionRoms?: readonly OptionRom[] | undefined
  /** Patch the task-priority accesses of 32-bit guests into calls of an option ROM: ours with `true`. */
  readonly vapic?: boolean | PcVapicOptions | undefined
  /** What the guest sees itself run on: `none` (default), or `xen` with its hypercalls, store, console and platform device. */
  readonly hypervisor?: 'none' | 'xen' | undefined
  /** Serial ports, 1–4 (COM1 to COM4); default 1. The first is the console. */
  readonly serialPorts?: number | undefined
  /** The machine's keyboard; default one of its own with the layout `us`. A keyboard can go on to another machine. */
  readonly keyboard?: Keyboard | undefined
  /** The machine's mouse; default one of its own. */
  readonly mouse?: Mouse | undefined
  /** Models beside the board's own. */
  readonly devices?: readonly DeviceModel[] | undefined
  /**
   * Where the board's models run: `inline` (default), straight from the instruction; `deferred`, where every access is
   * answered in a later turn of the event loop; or in a thread of their own, which this starts. Models of `devices` are
   * in this thread either way.
   */
  readonly devicePlacement?: 'inline' | 'deferred' | StartBoardServer | undefined
  /**
   * Where controllers of disks (IDE, SATA, virtio, NVMe, SCSI) and network cards run: in this thread (default), or in one of
   * their own, which this starts, with `serveControllers` in it. Media and networks stay here. The machine's memory is shared
   * then. Not with deterministic time, Xen or root ports.
   */
  readonly controllerPlacement?: StartControllerServer | undefined
  /** Room for memory that device models own, such as a frame buffer, in bytes; default 0, which leaves about 4 MiB. */
  readonly deviceMemoryBytes?: number | undefined
  /** Start further servers whose models live elsewhere; the machine ends them with `close`. */
  readonly deviceServers?: readonly StartDeviceServer[] | undefined
  /** What a device model that fails leads to: the machine's end (default), or its own. */
  readonly devicePolicy?: FailurePolicy | undefined
  /**
   * Milliseconds of host time that a device model may take for an answer; `Infinity`: for ever. Default for ever on the
   * real clock, 30 seconds on the deterministic one, where the whole machine waits meanwhile.
   */
  readonly deviceDeadlineMs?: number | undefined
  /** Told that the guest sleeps (S3), and that it has been woken. */
  readonly onSleep?: ((asleep: boolean) => void) | undefined
  /** Told of device models that fail. */
  readonly onDeviceFailure?: ((failure: DeviceFailure) => void) | undefined
  /**
   * Puts the machine into shared memory, so that device models in Workers can map the guest's: what
   * `platform.sharedMemory` has is for `openGuestMemory` of `@retrap/hvm`.
   */
  readonly sharedMemory?: boolean | undefined
  /** Find device models that keep views of guest memory: `pc.domain.keptViews()`. Slow. */
  readonly checkMappings?: boolean | undefined
  /** Told of every access to a device; slow. */
  readonly trace?: ((record: IoTraceRecord) => void) | undefined
  /** `real` (default) follows the host's clock; `deterministic` derives time from what the guest executes. */
  readonly clock?: 'real' | 'deterministic' | undefined
  /** Wall-clock time at power-on, seconds from 1970; default the host's, or a fixed one where time is deterministic. */
  readonly epochSeconds?: number | undefined
  /** Bytes of the arena for decoded instructions, 64 KiB or more. */
  readonly codeCacheBytes?: number | undefined
  /** Count how often each instruction form runs; see `X86Engine.executionCounts`. Slower. */
  readonly profile?: boolean | undefined
  /** Take samples of what the guest executes, for a profile; default none. */
  readonly sampling?: SamplingOptions | undefined
  /** Compile hot code to WebAssembly of its own, for speed; see `X86EngineOptions.jit`. Default false. */
  readonly jit?: boolean | JitOptions | undefined
  /**
   * The processor: a model of `CPU_MODELS` with changes, such as `max` (default), `core2,-sse4_1` or `max,+la57`; see
   * `cpuModel` of `@retrap/x86-cpu`.
   */
  readonly cpu?: CpuModel | string | undefined
}

/** Starts a server whose models live in another thread or process. */
export type StartDeviceServer = (
  dispatch: IoDispatch,
  platform: DevicePlatform,
  realTime: boolean,
) => DomainServer | Promise<DomainServer>

/** What an option of {@link PcOptions} must be, where the type checker has not looked. */
interface Rule {
  readonly expected: string
  accepts(value: unknown): boolean
}

const isBytes = (value: unknown): boolean => value instanceof Uint8Array
const oneOf = (...values: readonly unknown[]): Rule => ({
  expected: values.map((value) => (typeof value === 'string' ? `'${value}'` : String(value))).join(' or '),
  accepts: (value) => values.includes(value),
})
const arrayOf = (what: string, accepts: (value: unknown) => boolean): Rule => ({
  expected: `an array of ${what}`,
  accepts: (value) => Array.isArray(value) && value.every(accepts),
})
const wholeFrom = (least: number, most: number): Rule => ({
  expected: `a whole number from ${least} to ${most}`,
  accepts: (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
})
const typed = (type: string, expected: string): Rule => ({ expected, accepts: (value) => typeof value === type })
const object = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null
const image: Rule = { expected: "the image's bytes, a Uint8Array", accepts: isBytes }
const flag = typed('boolean', 'true or false')
const callback = typed('function', 'a function')

const isMedium = (value: unknown): boolean => object(value) && typeof value['read'] === 'function'

function isDrive(value: unknown): boolean {
  if (!object(value)) return false
  const { medium, media, bootIndex, serialNumber, model, virtio, nvme, scsi } = value
  return (
    (medium === null || isMedium(medium)) &&
    [undefined, 'disk', 'cdrom'].includes(media as undefined) &&
    [undefined, 'ide', 'virtio', 'nvme', 'scsi', 'usb', 'floppy'].includes(value['interface'] as undefined) &&
    [virtio, nvme, scsi].every((place) => place === undefined || object(place)) &&
    (bootIndex === undefined || (Number.isInteger(bootIndex) && (bootIndex as number) >= 0)) &&
    [serialNumber, model].every((text) => text === undefined || typeof text === 'string')
  )
}

/** What all network cards have. */
const isOnNetwork = ({ network, rom }: Readonly<Record<string, unknown>>): boolean =>
  object(network) && typeof network['connect'] === 'function' && (rom === undefined || rom instanceof Uint8Array)

function isVirtio(value: unknown): boolean {
  if (!object(value)) return false
  const { kind, device, ports, share, tag } = value
  return (
    kind === 'rng' ||
    kind === 'scsi' ||
    (VIRTIO_INPUT as readonly unknown[]).includes(kind) ||
    (kind === 'console' && Array.isArray(ports) && ports.every((port) => object(port) && object(port['stream']))) ||
    (kind === 'net' && isOnNetwork(value)) ||
    (kind === 'share' && object(share) && typeof share['root'] === 'function' && typeof tag === 'string') ||
    (kind === 'device' && object(device))
  )
}

function isSound(value: unknown): boolean {
  if (!object(value) || value['model'] !== 'ac97') return false
  const { audio } = value
  return audio === undefined || (object(audio) && typeof audio['play'] === 'function')
}

function isNetworkCard(value: unknown): boolean {
  return object(value) && value['model'] === 'e1000' && isOnNetwork(value)
}

function isUsb(value: unknown): boolean {
  if (!object(value)) return false
  const { devices = [] } = value
  const kinds = ['keyboard', 'mouse', 'tablet', 'device']
  return (
    Array.isArray(devices) &&
    devices.every((one) => object(one) && kinds.includes(String(one['kind']))) &&
    devices.every((one) => one.kind !== 'device' || object(one.device))
  )
}

const RULES: Readonly<Partial<Record<keyof PcOptions, Rule>>> = {
  machine: oneOf(...Object.keys(CHIPSETS)),
  kernel: image,
  initrd: image,
  firmware: image,
  flash: arrayOf('{ medium: BlockBackend, readOnly? }', (value) => object(value) && isMedium(value['medium'])),
  modules: arrayOf('{ bytes: Uint8Array, commandLine: string }', (value) => object(value) && isBytes(value['bytes'])),
  optionRoms: arrayOf(
    '{ name: string, bytes: Uint8Array }',
    (value) => object(value) && typeof value['name'] === 'string' && isBytes(value['bytes']),
  ),
  commandLine: typed('string', 'text'),
  drives: arrayOf(
    '{ medium: BlockBackend or null, media?, interface?, virtio?, nvme?, scsi?, index?, bootIndex?, serialNumber?, model? }',
    isDrive,
  ),
  usb: { expected: '{ slot?, port?, ports?, devices?: [{ kind, … }] }', accepts: isUsb },
  virtio: arrayOf(
    "{ kind: 'rng', 'scsi', 'keyboard', 'mouse', 'tablet', 'console' with ports, 'net' with a network, 'share' with a share and a tag, or 'device' with a device, … }",
    isVirtio,
  ),
  rootPorts: arrayOf('{ id, slot? }', (value) => object(value) && typeof value['id'] === 'string'),
  sound: arrayOf("{ model: 'ac97', audio?: AudioBackend, slot?, port? }", isSound),
  networkCards: arrayOf(
    "{ model: 'e1000', network: PacketBackend, macAddress?, rom?, bootIndex?, slot?, port? }",
    isNetworkCard,
  ),
  boot: {
    expected: "{ order?: letters of 'acdn', menu?: boolean }",
    accepts: (value) =>
      object(value) &&
      (value['order'] === undefined || (typeof value['order'] === 'string' && /^[acdn]+$/.test(value['order']))) &&
      ['undefined', 'boolean'].includes(typeof value['menu']),
  },
  vga: oneOf('std', 'ramfb', 'none'),
  preferredMode: {
    expected: '{ width, height }, or null',
    accepts: (value) =>
      value === null || (object(value) && [value['width'], value['height']].every((side) => Number.isInteger(side))),
  },
  vgaBios: image,
  screen: { expected: 'a Screen of @retrap/display', accepts: (value) => value instanceof Screen },
  vapic: {
    expected: 'true, false or { rom: Uint8Array }',
    accepts: (value) => typeof value === 'boolean' || object(value),
  },
  hypervisor: oneOf('none', 'xen'),
  serialPorts: wholeFrom(1, SERIAL_PORTS.length),
  keyboard: { expected: 'a Keyboard of @retrap/display', accepts: (value) => value instanceof Keyboard },
  mouse: { expected: 'a Mouse of @retrap/display', accepts: (value) => value instanceof Mouse },
  devices: arrayOf('device models', (value) => object(value) && typeof value['attach'] === 'function'),
  devicePlacement: {
    expected: "'inline', 'deferred' or a function that starts a server",
    accepts: (value) => value === 'inline' || value === 'deferred' || typeof value === 'function',
  },
  controllerPlacement: callback,
  deviceMemoryBytes: wholeFrom(0, 2 ** 32),
  deviceServers: arrayOf('functions that start a server', (value) => typeof value === 'function'),
  devicePolicy: oneOf('crash', 'detach'),
  deviceDeadlineMs: {
    expected: 'a number of milliseconds above 0',
    accepts: (value) => typeof value === 'number' && value > 0,
  },
  onDeviceFailure: callback,
  trace: callback,
  sharedMemory: flag,
  smm: flag,
  checkMappings: flag,
  profile: flag,
  sampling: {
    expected: '{ onSample: function, onIdle?: function, intervalMs?: number above 0 }',
    accepts: (value) =>
      object(value) &&
      typeof value['onSample'] === 'function' &&
      ['undefined', 'function'].includes(typeof value['onIdle']) &&
      (value['intervalMs'] === undefined || (typeof value['intervalMs'] === 'number' && value['intervalMs'] > 0)),
  },
  jit: { expected: 'a boolean or JitOptions', accepts: (value) => typeof value === 'boolean' || object(value) },
  clock: oneOf('real', 'deterministic'),
  epochSeconds: wholeFrom(0, Number.MAX_SAFE_INTEGER),
  codeCacheBytes: wholeFrom(64 << 10, 2 ** 32),
  cpu: { expected: 'a name or a CpuModel', accepts: (value) => typeof value === 'string' || object(value) },
}

/**
 * Checks what a caller without a type checker may have got wrong.
 *
 * @throws MachineError `ERR_OPTION`, `ERR_CPUS` or `ERR_NOTHING_TO_RUN`, naming the option, its value and what was expected
 */
export function checkPcOptions(options: PcOptions): void {
  if (!object(options)) throw new MachineError('ERR_OPTION', `options ${show(options)}: expected an object`)
  checkOptionValues(options)
  const cpus = options.cpus ?? 1
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > 128) {
    throw new MachineError('ERR_CPUS', `${show(cpus)} CPUs: expected 1–128`)
  }
  checkCpu(options.cpu ?? 'max', cpus)
  const firmware = options.firmware !== undefined || (options.flash?.length ?? 0) > 0
  if (options.kernel === undefined && !firmware) {
    throw new MachineError('ERR_NOTHING_TO_RUN', 'neither a kernel nor a firmware image was given')
  }
  if (options.firmware !== undefined && (options.flash?.length ?? 0) > 0) {
    throw new MachineError('ERR_OPTION', 'both a firmware image and flash were given: expected one')
  }
  if (options.smm === true && (options.devicePlacement ?? 'inline') !== 'inline') {
    throw new MachineError(
      'ERR_OPTION',
      "smm true: expected devicePlacement 'inline', as an SMI comes with its instruction; leave one of them out",
    )
  }
  if (options.smm !== true && options.flash?.some(({ secure }) => secure) === true) {
    throw new MachineError('ERR_OPTION', 'flash: secure: expected smm true; nothing could write to the flash')
  }
  if (options.kernel !== undefined && firmware && options.drives?.some(({ bootIndex }) => bootIndex === 0) === true) {
    throw new MachineError('ERR_OPTION', 'drives: bootIndex 0: expected 1 or more; firmware starts the kernel first')
  }
}

/** Checks each option by itself. @throws MachineError `ERR_OPTION` */
export function checkOptionValues(options: PcOptions): void {
  for (const [name, rule] of Object.entries(RULES)) {
    const value: unknown = options[name as keyof PcOptions]
    if (value !== undefined && !rule.accepts(value)) {
      throw new MachineError('ERR_OPTION', `${name} ${show(value)}: expected ${rule.expected}`)
    }
  }
}

/** The processor: with system-management mode its state save area is the one that firmware for QEMU knows. */
export function processorOf({ cpu = 'max', smm }: PcOptions): CpuModel | string {
  return smm === true ? { ...(typeof cpu === 'string' ? cpuModel(cpu) : cpu), saveArea: 'amd' } : cpu
}

/** The kernel and what belongs to it, where there is one. */
export function kernelImages({ kernel, initrd, modules, commandLine }: PcOptions): KernelImages | undefined {
  return kernel === undefined ? undefined : { kernel, initrd, modules, commandLine }
}

/** Whether a kernel starts without firmware. */
export const startsDirectly = ({ kernel, firmware, flash }: PcOptions): boolean =>
  kernel !== undefined && firmware === undefined && (flash?.length ?? 0) === 0

/** @throws MachineError `ERR_OPTION` for a processor that cannot be, `ERR_CPUS` for several that could not start each other */
function checkCpu(cpu: CpuModel | string, cpus: number): void {
  let processor: Processor
  try {
    processor = new Processor(typeof cpu === 'string' ? cpuModel(cpu) : cpu)
  } catch (error) {
    if (!(error instanceof X86CpuError)) throw error
    throw new MachineError('ERR_OPTION', `cpu ${show(cpu)}: ${error.message}`, { cause: error })
  }
  if (cpus > 1 && !processor.has('APIC')) {
    throw new MachineError('ERR_CPUS', `${cpus} CPUs of ${processor.model.name}: without apic expected 1`)
  }
}

/** A value in a message, however large it is. */
function show(value: unknown): string {
  if (typeof value === 'string') return `'${value.length > 60 ? `${value.slice(0, 60)}…` : value}'`
  if (typeof value !== 'object' || value === null) return String(value)
  return Array.isArray(value) ? `an array of ${value.length}` : 'an object'
}

/** The part of an `AbortSignal` that is used. */
export interface StopSignal {
  /** Whether the signal has been given. */
  readonly aborted: boolean
  /** Calls `listener` when the signal is given. */
  addEventListener(type: 'abort', listener: () => void): void
  /** Takes a listener back. */
  removeEventListener(type: 'abort', listener: () => void): void
}
