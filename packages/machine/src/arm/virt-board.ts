import type { CfiFlash } from '@retrap/devices/flash'
import type { DomainOptions } from '@retrap/hvm'
import { ArmDomain, type ArmDomainState, type GicPlace } from '@retrap/hvm/arm'
import { PortWindow } from '@retrap/ioreq'
import { PAGE_BYTES } from '@retrap/memory'
import type { XenGuest } from '@retrap/xen'
import type { plugXenArm } from '@retrap/xen/arm'
import type { PlacedBoard } from '../board/placed-board.ts'
import type { MachineDebugger } from '../debugger/machine-debugger.ts'
import type { InputSwitches } from '../input/input-switch.ts'
import { type DividedKinds, loadDividedKinds, placeDividedDevices } from '../divided-devices.ts'
import { epochOf, type RandomSource } from '../lifecycle/host.ts'
import type { LifeOptions, MachineLife } from '../lifecycle/machine-life.ts'
import { Sampler } from '../lifecycle/sampling.ts'
import type { Board, CommonHooks, DevicePlace, InputGroup, MachineDevices, MachineKind } from '../machine/board.ts'
import { xenOptions } from '../machine/xen.ts'
import { bootOrder } from '../options/drives.ts'
import { generationAfter, isShared, type MachineOptions } from '../options/machine-options.ts'
import { hasRamfb, hasVga } from '../options/vga.ts'
import type { BoardState } from '../snapshot/snapshots.ts'
import { sampledArmVcpus } from './call-stack.ts'
import { type ArmFirmwareKernel, firmwareKernel } from './firmware-configuration.ts'
import { type ArmBoard, checkArmBoard, gsiOfPpi, gsiOfSpi, VIRT } from './layout.ts'
import type { ArmForkOptions, ArmMachineOptions } from './machine-options.ts'
import { armCloneBytes, armMemoryBytes } from './memory-size.ts'
import { createArmTransports } from './models.ts'
import { placeArmBoard } from './placed-board.ts'
import type { ArmSnapshotState } from './snapshot.ts'
import { VirtBoot } from './virt-boot.ts'
import type { CrashDetail } from '../lifecycle/crash.ts'
import { PciSlots, wantedSlots } from '../devices/pci-slots.ts'
import type { PcOptions } from '../options/pc-options.ts'

/** System registers that tell of the last exception. */
const SYSTEM = ['elr_el1', 'esr_el1', 'far_el1', 'spsr_el1'] as const

/** Registers of a vCPU. */
function describeArmCrash(domain: ArmDomain, vcpu: number, message: string): CrashDetail {
  const hvm = domain.vcpus[vcpu]
  if (hvm === undefined) return { message, vcpu }
  const { registers } = hvm.processor
  const general = Array.from({ length: 31 }, (_, i) => [`X${i}`, registers.x(i)] as const)
  const system = SYSTEM.map((name) => [name.toUpperCase(), registers.get(name)] as const)
  return {
    message,
    vcpu,
    registers: Object.fromEntries([...general, ['SP', registers.sp], ['PC', registers.pc], ...system]),
  }
}

/** The host bridge has the first number, and the SATA controller the last. */
const FIRST_FREE_SLOT = 1
const LAST_FREE_SLOT = 30
const SATA = { device: 31, function: 0 } as const
/** The graphics card's slot. */
const VGA_SLOT = LAST_FREE_SLOT

/** Returns the options of a PC with the same devices on the PCI bus; SATA and root ports are a `q35`'s. */
function pciOptions(given: MachineOptions): PcOptions {
  const { memoryBytes, drives, virtio, rootPorts, sound, networkCards, usb, keyboard, mouse } = given
  const { vga = 'none', preferredMode, screen, boot, generation, clock, controllerPlacement } = given
  const options = { drives, virtio, rootPorts, sound, networkCards, usb, keyboard, mouse, preferredMode, screen, boot }
  return { memoryBytes, ...options, generation, clock, controllerPlacement, machine: 'q35', vga }
}

/**
 * Makes the devices on the PCI bus; they are not attached yet.
 *
 * @throws MachineError `ERR_OPTION`
 */
function placeArmDevices(
  domain: ArmDomain,
  kinds: DividedKinds,
  given: ArmMachineOptions,
  place: DevicePlace,
): { readonly devices: MachineDevices; readonly slots: PciSlots } {
  const options = pciOptions(given)
  const transports = { ...VIRT.virtio, irq: gsiOfSpi(VIRT.virtio.spi), taken: given.virtioMmio?.length ?? 0 }
  const slots = new PciSlots(FIRST_FREE_SLOT, wantedSlots(options), LAST_FREE_SLOT, transports)
  const devices = placeDividedDevices(domain, kinds, {
    ...{ ...place, options, slots, sata: SATA, flash: [] },
    generation: { address: VIRT.generation.base, irq: gsiOfSpi(VIRT.generation.spi) },
    ...(hasVga(options) && { vga: { device: slots.take('vga', VGA_SLOT) } }),
    inSystemManagement: () => false,
  })
  return { devices, slots }
}

/** The types of Arm machines. */
export interface ArmKind extends MachineKind {
  /** The options of an Arm machine. */
  readonly options: ArmMachineOptions
  /** The options of a clone's own. */
  readonly forkOptions: ArmForkOptions
  /** The inside: vCPUs, memory map, devices. */
  readonly domain: ArmDomain
  /** All saved state except the contents of RAM. */
  readonly state: ArmSnapshotState
}

/** Addresses of Xen's pages, and its interrupt. */
const XEN_PLACES = {
  storeFrame: VIRT.xenPages.base / PAGE_BYTES,
  consoleFrame: VIRT.xenPages.base / PAGE_BYTES + 1,
  eventInterrupt: gsiOfPpi('xenEvents'),
} as const

/** The parts of an Arm machine that are loaded before it is composed. */
interface VirtParts {
  readonly kinds: DividedKinds
  readonly flash: readonly CfiFlash[]
  /** Connects Xen, where the guest sees Xen. */
  readonly plugXen: typeof plugXenArm | undefined
  /** The kernel that firmware starts. */
  readonly kernel: ArmFirmwareKernel | undefined
}

/** Loads the parts that the options ask for, and no others. @throws MachineError `ERR_OPTION` */
export async function loadVirtParts(options: ArmMachineOptions): Promise<VirtParts> {
  const { kernel, initrd, commandLine, flash = [], memoryBytes, hypervisor } = options
  const [kinds, models, xen, started] = await Promise.all([
    loadDividedKinds(pciOptions(options)),
    flash.length === 0 ? [] : import('./flash.ts').then(({ armFlash }) => armFlash(flash)),
    hypervisor === 'xen' ? import('@retrap/xen/arm') : undefined,
    flash.length > 0 && kernel !== undefined ? firmwareKernel({ kernel, initrd, commandLine }, memoryBytes) : undefined,
  ])
  return { kinds, flash: models, plugXen: xen?.plugXenArm, kernel: started }
}

/** The board `virt` of one Arm machine. */
export class VirtBoard implements Board<ArmKind> {
  readonly name = 'virt'
  readonly memoryBytes: number
  readonly isShared: boolean
  readonly cloneBytes: number
  readonly ram: Board<ArmKind>['ram']
  readonly serialPorts = 1
  readonly inputGroups: readonly InputGroup[] = ['xen', 'serial', 'back-ends']
  readonly catchesUp: boolean
  boot!: VirtBoot
  readonly #given: ArmMachineOptions
  readonly #parts: VirtParts
  readonly #board: ArmBoard
  #domain!: ArmDomain
  #slots!: PciSlots

  /** @throws MachineError `ERR_CPUS`, `ERR_MEMORY_SIZE` */
  constructor(given: ArmMachineOptions, parts: VirtParts) {
    const { memoryBytes, cpus = 1, gic, hypervisor, deviceNodes, generation } = given
    this.#given = given
    this.#parts = parts
    this.catchesUp = generation?.catchesUp !== false && generationAfter(given) !== 'same'
    this.#board = {
      cpus,
      memoryBytes,
      gic,
      flash: parts.flash.length > 0,
      hypervisor,
      deviceNodes,
      generation: generation !== undefined,
    }
    checkArmBoard(this.#board)
    this.isShared = isShared(given)
    this.memoryBytes = armMemoryBytes(given)
    this.cloneBytes = armCloneBytes(given)
    this.ram = [{ gpa: VIRT.ram.base, bytes: memoryBytes }]
  }

  createDomain(common: DomainOptions, _random: RandomSource, original: ArmDomain | undefined): ArmDomain {
    const { gic, jit, codeCacheBytes, cpus = 1, forks } = this.#given
    this.#domain = new ArmDomain({
      ...{ ...common, engine: original?.engine, gic: gicPlace(gic) },
      openBus: [VIRT.pcie, VIRT.pciePorts, VIRT.pcieMemory, VIRT.pcieMemory64],
      ...(jit && { jit: jit === true ? {} : jit }),
      ...(codeCacheBytes !== undefined && { codeCacheBytes }),
    })
    // Clones need this reserve even when their room for written pages is used up.
    if (original === undefined && forks !== undefined) this.#domain.engine.reserveCpus(forks.clones * cpus)
    return this.#domain
  }

  connect({ next }: RandomSource, populate: () => void): XenGuest | undefined {
    const [domain, { sampling }] = [this.#domain, this.#given]
    if (sampling !== undefined) domain.watchTurns(new Sampler(domain, sampledArmVcpus(domain), sampling))
    const xen = this.#parts.plugXen?.(domain, XEN_PLACES, xenOptions(this.ram, epochOf(this.#given), next))
    populate()
    this.boot = new VirtBoot(domain, this.#given, this.#board, next)
    domain.dispatch.setEcam([{ base: VIRT.pcie.base, firstBus: 0, lastBus: VIRT.pcie.buses - 1 }])
    domain.dispatch.setPortWindow(new PortWindow(VIRT.pciePorts.base))
    return xen
  }

  life(): Pick<LifeOptions, 'describe'> {
    return { describe: (vcpu, message) => describeArmCrash(this.#domain, vcpu, message) }
  }

  placeDevices(options: ArmMachineOptions, place: DevicePlace): MachineDevices {
    const { flash, kinds } = this.#parts
    const { devices, slots } = placeArmDevices(this.#domain, kinds, options, place)
    this.#slots = slots
    const transports = createArmTransports(options.virtioMmio)
    return {
      ...devices,
      models: [...transports, ...flash, ...devices.models],
      // The last one has no devices.
      fromHost: [...transports.slice(0, -1), ...devices.fromHost],
      settled: () => Promise.all([devices.settled(), ...flash.map((model) => model.settled())]),
    }
  }

  placeBoard(options: ArmMachineOptions, devices: MachineDevices, _life: MachineLife, hooks: CommonHooks): PlacedBoard {
    const { boot, clock, devicePlacement: start, smbios, fwCfgFiles } = options
    const { kernel } = this.#parts
    const description = {
      ...this.#board,
      epochSeconds: epochOf(options),
      followsHost: clock !== 'deterministic',
      firmware: {
        ...{ kernel, bootOrder: bootOrder(devices.bootPaths, boot?.order), bootMenu: boot?.menu },
        ...{ smbios, userFiles: fwCfgFiles },
      },
      ramfb: hasRamfb(pciOptions(options)),
    }
    return placeArmBoard(this.#domain, description, typeof start === 'function' ? start : undefined, hooks)
  }

  async loadState(
    options: ArmMachineOptions,
    random: RandomSource,
    _life: MachineLife,
    inputs: () => InputSwitches,
  ): Promise<BoardState<ArmDomainState, ArmSnapshotState>> {
    const { armState } = await import('./snapshot.ts')
    const [domain, slots] = [this.#domain, this.#slots]
    return armState(domain, options, random, inputs, () => slots.pluggedBytes(domain.devices))
  }

  async attachDebugger(life: MachineLife, isRecorded: boolean): Promise<MachineDebugger> {
    const { attachArmDebugger } = await import('./debugger/arm-debugger.ts')
    return attachArmDebugger(this.#domain, life, isRecorded)
  }
}

function gicPlace(version: 2 | 3 = 3): GicPlace {
  const distributor = VIRT.gicDistributor.base
  if (version === 3) return { distributor, redistributors: VIRT.gicRedistributors.base, its: VIRT.gicIts.base }
  const { base, spi, count } = VIRT.gicMessages
  return {
    version,
    distributor,
    cpuInterface: VIRT.gicCpuInterface.base,
    messages: { base, first: gsiOfSpi(spi), count },
  }
}
