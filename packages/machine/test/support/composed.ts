/** Machines of the table of combinations, as small as they can be. */
import { MemoryStorage, RawImage } from '@retrap/block'
import type { DeviceModel, PacketBackend } from '@retrap/device'
import { startDeviceWorker } from '@retrap/device-hosting/node'
import { vcpuThreads } from '@retrap/hvm/threads'
import { VirtioRng } from '@retrap/virtio'
import { MemoryShare } from '@retrap/virtio/p9'
import { UsbKeyboard } from '@retrap/usb'
import type { ArmMachineOptions } from '../../src/arm/index.ts'
import type { PcOptions, MachinePluggable, StartControllerServer, StartDeviceServer } from '../../src/index.ts'
import { startLocalServer } from '@retrap/device-hosting'
import { armImage as image } from '@retrap/tooling/arm-image'
import type { CombinedDevice, CombinedMachine } from './combinations.ts'
import { firmwareImage } from './kernels.ts'

/** The options of a machine of either kind. */
export type ComposedOptions = PcOptions & Omit<ArmMachineOptions, 'devicePlacement' | 'snapshot' | 'jit'>

const silent: PacketBackend = { linkUp: true, maximumBytes: 1514, connect() {}, send: () => true, ready() {} }
const disk = (readOnly = false, bytes = 1 << 20) => new RawImage(new MemoryStorage(new Uint8Array(bytes)), { readOnly })
const usbKeyboard = () => new UsbKeyboard({ input: { connect: () => undefined } as never })

/** A card of the caller's: one PCI function with a counter. */
function card(deterministic: boolean, name = 'card'): DeviceModel {
  let count = 0
  return {
    name,
    deterministic,
    synchronous: true,
    attach: ({ pci }) =>
      void pci.add({
        device: 20,
        vendorId: 0x1234,
        deviceId: 0x5678,
        classCode: 0xff0000,
        bars: [{ index: 0, kind: 'memory', bytes: 4096, handler: { read: () => ++count, write() {} } }],
      }),
    save: () => ({ version: 1, count }),
    restore: (state) => void ({ count } = state as { count: number }),
  } as DeviceModel
}

/** The options of each device, behind a root port where that has a name. */
const DEVICES: Readonly<Record<CombinedDevice, (port?: string) => Partial<ComposedOptions>>> = {
  board: () => ({}),
  ide: () => ({ drives: [{ medium: disk() }] }),
  sata: () => ({ drives: [{ medium: disk() }] }),
  floppy: () => ({ drives: [{ medium: disk(true, 1_474_560), interface: 'floppy' }] }),
  'virtio-disk': (port) => ({ drives: [{ medium: disk(), interface: 'virtio', virtio: { port } }] }),
  nvme: (port) => ({ drives: [{ medium: disk(), interface: 'nvme', nvme: { port } }] }),
  scsi: () => ({ drives: [{ medium: disk(), interface: 'scsi' }] }),
  'scsi-controller': (port) => ({ virtio: [{ kind: 'scsi', port }] }),
  'usb-disk': () => ({ drives: [{ medium: disk(), interface: 'usb' }] }),
  'usb-input': (port) => ({ usb: { port, devices: [{ kind: 'tablet' }] } }),
  'usb-device': (port) => ({ usb: { port, devices: [{ kind: 'device', device: usbKeyboard() }] } }),
  'usb-device, usb-input': () => ({
    usb: { devices: [{ kind: 'device', device: usbKeyboard() }, { kind: 'tablet' }] },
  }),
  'usb-device behind a port': () => ({ rootPorts: [{ id: 'used' }], ...DEVICES['usb-device']('used') }),
  rng: (port) => ({ virtio: [{ kind: 'rng', port }] }),
  console: (port) => ({ virtio: [{ kind: 'console', ports: [{ stream: { send() {} } }], port }] }),
  net: (port) => ({ virtio: [{ kind: 'net', network: silent, port }] }),
  'net behind a port': () => ({ rootPorts: [{ id: 'used' }], ...DEVICES.net('used') }),
  'virtio-input': (port) => ({ virtio: [{ kind: 'keyboard', port }] }),
  share: (port) => ({ virtio: [{ kind: 'share', share: new MemoryShare(), tag: 'host', port }] }),
  'share behind a port': () => ({ rootPorts: [{ id: 'used' }], ...DEVICES.share('used') }),
  vsock: (port) => ({ virtio: [{ kind: 'vsock', cid: 3, port }] }),
  'virtio-device': (port) => ({
    virtio: [{ kind: 'device', device: new VirtioRng({ name: port ?? 'own', random: () => 7 }), port }],
  }),
  'virtio-mmio': () => ({ virtioMmio: [new VirtioRng({ random: () => 7 })] }),
  e1000: (port) => ({ networkCards: [{ model: 'e1000', network: silent, port }] }),
  ac97: (port) => ({ sound: [{ model: 'ac97', port }] }),
  vga: () => ({ vga: 'std' }),
  ramfb: () => ({ vga: 'ramfb' }),
  flash: () => ({}),
  'root-port': () => ({ rootPorts: [{ id: 'used' }] }),
  generation: () => ({ generation: {} }),
  model: (port) => ({ devices: [card(false, port)] }),
  'deterministic-model': (port) => ({ devices: [card(true, port)] }),
}

const own = (data: string) => new URL(data, import.meta.url)
/** In this thread, by the frames that a process or another host would get. */
const elsewhere: StartDeviceServer = (dispatch, platform) =>
  startLocalServer({ dispatch, platform }, { name: 'elsewhere', realTime: false }, (server) =>
    server.attach({ name: 'far', stateless: true, attach() {} }),
  )
const worker: StartDeviceServer = (dispatch, platform, realTime) =>
  startDeviceWorker(dispatch, platform, { name: 'far', realTime, modules: [own('./device-module.ts').href] })

/** Starts a part of the machine in a Worker. @param data - for its program, of what the part is started with */
const part = (program: string, data: (given: never, platform: never) => unknown): never => {
  const start: StartControllerServer = (dispatch, platform, given) => {
    const { name, realTime, onMessage } = given
    const more = { modules: [], program: own(program), data: data(given as never, platform as never) }
    return startDeviceWorker(dispatch, platform, { name, realTime, onMessage, ...more })
  }
  // A board's server is started in the same way.
  return start as never
}

function placed({ placement, board }: CombinedMachine): Partial<ComposedOptions> {
  const program = board === 'virt' ? './arm-board-worker.ts' : './board-worker.ts'
  switch (placement) {
    case 'inline':
    case 'deferred':
      return { devicePlacement: placement }
    case 'worker':
      return { devicePlacement: part(program, ({ board }: never) => board) }
    case 'controllers':
      return {
        controllerPlacement: part('./controllers-worker.ts', ({ controllers }: never, platform: never) => ({
          controllers,
          guest: (platform as { readonly sharedMemory?: unknown }).sharedMemory,
        })),
      }
    case 'threads':
      return { smp: vcpuThreads(() => undefined as never) }
    case 'model-worker':
      return { deviceServers: [worker], sharedMemory: true }
    default:
      return { deviceServers: [elsewhere] }
  }
}

/** What starts it: code that halts. */
function guest({ board, device }: CombinedMachine): Partial<ComposedOptions> {
  const code = board === 'virt' ? image(0xd503_207f, 0x17ff_ffff) : firmwareImage((asm) => void asm.jmp(asm.here()))
  if (device !== 'flash') return board === 'virt' ? { kernel: code } : { firmware: code }
  const bytes = board === 'virt' ? new Uint8Array(1 << 18) : code
  if (board === 'virt') bytes.set(code)
  return { flash: [{ medium: new RawImage(new MemoryStorage(bytes), { readOnly: true }), readOnly: true }] }
}

/** The options of a machine of the table. @param more - `forks`, or a root port */
export function composedOptions(machine: CombinedMachine, more: Partial<ComposedOptions> = {}): ComposedOptions {
  const { board, xen, smm, device, clock } = machine
  return {
    memoryBytes: (board === 'virt' ? 4 : 2) << 20,
    codeCacheBytes: 1 << 20,
    jit: false,
    clock,
    hypervisor: xen ? 'xen' : 'none',
    ...(board !== 'virt' && { machine: board, smm }),
    ...placed(machine),
    ...guest(machine),
    ...DEVICES[device](),
    ...more,
  } as ComposedOptions
}

/** What a clone of it has of its own. */
export function ofClone({ device }: CombinedMachine): object {
  const { devices, virtio, virtioMmio, usb } = DEVICES[device](device.endsWith('a port') ? 'used' : undefined)
  return {
    ...(devices && { devices }),
    ...(virtio && { virtio }),
    ...(virtioMmio && { virtioMmio }),
    ...(usb && { usb }),
  }
}

/** A device of the table as one that is plugged. */
export function pluggable(device: CombinedDevice, port: string): MachinePluggable {
  const { drives, virtio, networkCards, sound, usb, devices } = DEVICES[device](port)
  if (drives) return { drive: drives[0]! }
  if (virtio) return { virtio: virtio[0]! }
  if (networkCards) return { networkCard: networkCards[0]! }
  if (sound) return { sound: sound[0]! }
  return usb ? { usb: [usb].flat()[0]! } : { device: devices![0]!, port }
}
