import { SPEAKER_FORMAT } from '@retrap/devices'
import { type DomainOptions, type DomainVapic, X86Domain, type X86DomainState } from '@retrap/hvm'
import { CODE_CACHE_BYTES, prepareX86Engine } from '@retrap/x86-cpu'
import type { plugXen, XenGuest } from '@retrap/xen'
import type { AcpiBoard } from '../acpi/index.ts'
import type { BoardDescription, BoardInput } from '../board/board.ts'
import { describeBoard, GENERATION } from '../board/board-description.ts'
import { type BoardKinds, placeBoard, type PlacedBoard } from '../board/placed-board.ts'
import { SERIAL_PORTS } from '../board/serial-port.ts'
import type { MachineDebugger } from '../debugger/machine-debugger.ts'
import { type DividedKinds, loadDividedKinds, placeDividedDevices } from '../divided-devices.ts'
import { PciSlots, wantedSlots } from '../devices/pci-slots.ts'
import { mapResetVector } from '../firmware/after-bios.ts'
import { kernelRomPaths } from '../firmware/firmware-configuration.ts'
import { checkOptionRom, isKernelRom, type OptionRom } from '../firmware/option-roms.ts'
import type { Smram } from '../firmware/smram.ts'
import type { PcForkOptions } from '../fork/fork-options.ts'
import type { InputSwitches } from '../input/input-switch.ts'
import { describeCrash, standstill } from '../lifecycle/crash.ts'
import { epochOf, type RandomSource } from '../lifecycle/host.ts'
import type { LifeOptions, MachineLife } from '../lifecycle/machine-life.ts'
import { type FirmwareKernel, pcMemoryMap, type PcMemoryMap } from '../loaders/index.ts'
import type { Board, CommonHooks, DevicePlace, InputGroup, MachineDevices, MachineKind } from '../machine/board.ts'
import { xenOptions } from '../machine/xen.ts'
import { CHIPSETS, type MachineType } from '../machine-type.ts'
import { cloneBytes, machineMemoryBytes } from '../memory-size.ts'
import { bootOrder } from '../options/drives.ts'
import { generationAfter, isShared } from '../options/machine-options.ts'
import { kernelImages, type PcOptions, processorOf, startsDirectly } from '../options/pc-options.ts'
import type { PcSnapshotState } from '../options/pc-snapshot.ts'
import { hasRamfb, hasVga } from '../options/vga.ts'
import type { BoardState } from '../snapshot/snapshots.ts'
import { PcBoot } from './pc-boot.ts'
import { loadFlash } from '../firmware/flash.ts'
import { loadChipset } from '../board/chipsets.ts'
import type { samplePc } from '../lifecycle/call-stack.ts'
import type { kernelForFirmware } from '../loaders/firmware-kernel.ts'
import type { createVapic } from '../firmware/vapic.ts'

/** The parts of a PC that are loaded before it is composed. */
interface PcParts extends BoardKinds {
  /** Kinds of the devices. */
  readonly kinds: DividedKinds
  /** The option ROM of the TPR patcher, if the machine has one. */
  readonly vapicRoms: readonly OptionRom[]
  /** Makes the patcher for a machine with option ROMs. */
  readonly createVapic: typeof createVapic | undefined
  /** Contents of the flash memories. */
  readonly flash: readonly Uint8Array[]
  /** Hands a kernel to firmware, if the machine has both. */
  readonly kernelForFirmware: typeof kernelForFirmware | undefined
  /** Memory of system-management mode, if the machine has any. */
  readonly Smram: typeof Smram | undefined
  /** Plugs Xen in, where the guest sees Xen. */
  readonly plugXen: typeof plugXen | undefined
  /** The sampling profiler, if the options ask for samples. */
  readonly samplePc: typeof samplePc | undefined
}

/** Loads the parts that the options ask for, and no others. @throws MachineError `ERR_OPTION` */
export async function loadPcParts(options: PcOptions): Promise<PcParts> {
  const isPatched = (options.vapic ?? false) !== false || (options.optionRoms ?? []).some((rom) => !isKernelRom(rom))
  const [flash, vapicRoms, vapic, kinds, xen, kernel, sampling, smram, createChipset, remote] = await Promise.all([
    loadFlash(options.flash ?? []),
    loadVapicRoms(options),
    isPatched ? import('../firmware/vapic.ts') : undefined,
    loadDividedKinds(options),
    options.hypervisor === 'xen' ? import('@retrap/xen') : undefined,
    options.kernel === undefined || startsDirectly(options) ? undefined : import('../loaders/firmware-kernel.ts'),
    options.sampling && import('../lifecycle/call-stack.ts'),
    options.smm === true ? import('../firmware/smram.ts') : undefined,
    loadChipset({ machine: options.machine ?? 'pc', xen: options.hypervisor === 'xen' }),
    typeof options.devicePlacement === 'function' ? import('../board/remote-board.ts') : undefined,
  ])
  return {
    createChipset,
    Remote: remote?.RemoteBoard,
    kinds,
    flash,
    vapicRoms,
    createVapic: vapic?.createVapic,
    plugXen: xen?.plugXen,
    kernelForFirmware: kernel?.kernelForFirmware,
    samplePc: sampling?.samplePc,
    Smram: smram?.Smram,
  }
}

async function loadVapicRoms({ vapic = false }: PcOptions): Promise<readonly OptionRom[]> {
  if (vapic === false) return []
  const { vapicRom } = await import('../firmware/vapic-rom.ts')
  return [vapicRom(vapic)]
}

/** PCI device numbers from here on are free: lower ones are for the bridges, the graphics card and Xen's platform device. */
const FIRST_FREE_SLOT = 3
const XEN_FIRST_FREE_SLOT = 4

/** Inputs of the I/O APIC that a hardware guest of Xen finds (Xen's public header arch-x86/hvm/save.h, `VIOAPIC_NUM_PINS`). */
const XEN_IOAPIC_PINS = 48

/** The types of PCs. */
export interface PcKind extends MachineKind {
  readonly options: PcOptions
  /** The options of a clone's own. */
  readonly forkOptions: PcForkOptions
  /** The inside: vCPUs, memory map, devices. */
  readonly domain: X86Domain
  /** All saved state except the contents of RAM. */
  readonly state: PcSnapshotState
}

export class PcBoard implements Board<PcKind> {
  readonly name: MachineType
  readonly memoryBytes: number
  readonly isShared: boolean
  readonly cloneBytes: number
  readonly serialPorts: number
  readonly catchesUp: boolean
  readonly inputGroups: readonly InputGroup[] = ['back-ends', 'serial', 'xen']
  boot!: PcBoot
  /** The TPR patcher, if the machine has one. */
  vapic: DomainVapic | undefined
  readonly #given: PcOptions
  readonly #parts: PcParts
  readonly #map: PcMemoryMap
  #domain!: X86Domain
  #acpi!: AcpiBoard
  #optionRoms: readonly OptionRom[] = []
  #input!: BoardInput
  #slots!: PciSlots
  /** Memory of system-management mode, if the machine has any. */
  #smram: Smram | undefined

  constructor(given: PcOptions, parts: PcParts) {
    this.#given = given
    this.#parts = parts
    this.name = given.machine ?? 'pc'
    this.#map = pcMemoryMap(given.memoryBytes, CHIPSETS[this.name].lowRamLimit)
    this.memoryBytes = machineMemoryBytes(given, parts.flash)
    this.isShared = isShared(given)
    this.cloneBytes = cloneBytes(given)
    this.serialPorts = given.serialPorts ?? 1
    this.catchesUp = given.generation?.catchesUp !== false && generationAfter(given) !== 'same'
  }

  get ram(): PcMemoryMap['ram'] {
    return this.#map.ram
  }

  createDomain(common: DomainOptions, { next }: RandomSource, original: X86Domain | undefined): X86Domain {
    const { codeCacheBytes = CODE_CACHE_BYTES, profile = false, jit, hypervisor, checkMappings = false } = this.#given
    const { cpus = 1, forks, smp = 'turns' } = this.#given
    let isWarned = false
    this.#domain = new X86Domain({
      ...{ ...common, engine: original?.engine, random: next, codeCacheBytes, profile, jit, checkMappings },
      ioApicPins: hypervisor === 'xen' ? XEN_IOAPIC_PINS : undefined,
      cpu: processorOf(this.#given),
      threads: smp === 'turns' ? undefined : smp,
      onStandstill: (vcpu) => {
        if (!isWarned) this.#given.onWarning?.(standstill(vcpu))
        isWarned = true
      },
    })
    // Clones need this reserve even when their room for written pages is used up.
    if (original === undefined && forks !== undefined) this.#domain.engine.reserveVcpus(forks.clones * cpus)
    return this.#domain
  }

  connect({ next }: RandomSource, populate: () => void): XenGuest | undefined {
    const [domain, options, parts, map] = [this.#domain, this.#given, this.#parts, this.#map]
    if (options.sampling !== undefined) parts.samplePc?.(domain, options.sampling)
    const e820 = map.e820.map(({ gpa, bytes, type }) => ({ base: gpa, size: bytes, type }))
    const xen = parts.plugXen?.(domain, xenOptions(map.ram, epochOf(options), next, e820))
    populate()
    // This stands in for firmware.
    if (startsDirectly(options)) mapResetVector(domain)
    const apicIds = domain.vcpus.map((vcpu) => vcpu.apic.apicId)
    const isXen = options.hypervisor === 'xen'
    const hotPlugSlots = this.#hotPlugSlots()
    this.#acpi = {
      ...describeBoard(map, apicIds, this.serialPorts, this.name, hasVga(options), !isXen),
      generation: options.generation && GENERATION,
      ...(hotPlugSlots.length > 0 && { hotPlugSlots }),
    }
    this.#optionRoms = [...parts.vapicRoms, ...(options.optionRoms ?? [])].map((rom) => ({
      ...rom,
      bytes: checkOptionRom(rom),
    }))
    const booted = { map, acpi: this.#acpi, optionRoms: this.#optionRoms, flash: parts.flash }
    this.boot = new PcBoot(domain, options, booted)
    this.vapic = parts.createVapic?.(domain, options.vapic, this.boot)
    return xen
  }

  /** The device numbers of free choice. */
  #newSlots(options: PcOptions): PciSlots {
    const first = options.hypervisor === 'xen' ? XEN_FIRST_FREE_SLOT : FIRST_FREE_SLOT
    return new PciSlots(first, wantedSlots(options), CHIPSETS[this.name].lastSlot)
  }

  /** Numbers of the slots with hot plug by ACPI, which the tables are to name before devices are placed. */
  #hotPlugSlots(): number[] {
    const { rootPorts = [] } = this.#given
    if (this.name !== 'pc') return []
    const slots = this.#newSlots(this.#given)
    return rootPorts.flatMap(({ id, slot, hotPlug = true }) => {
      const number = slots.addPort(id, slot, false)
      return hotPlug ? [number] : []
    })
  }

  life(): Pick<LifeOptions, 'boot' | 'describe' | 'onSleep' | 'tripleFault'> {
    return {
      boot: this.boot,
      tripleFault: this.#given.tripleFault,
      onSleep: this.#given.onSleep,
      describe: (vcpu, message) => describeCrash(this.#domain, vcpu, message),
    }
  }

  placeDevices(options: PcOptions, { keyboard, mouse, ...place }: DevicePlace): MachineDevices {
    // The board's own come first.
    this.#input = { keyboard: keyboard.join(), mouse: mouse.join() }
    const domain = this.#domain
    this.#slots = this.#newSlots(options)
    const { flash, kinds } = this.#parts
    return placeDividedDevices(domain, kinds, {
      ...{ ...place, keyboard, mouse, options, flash },
      slots: this.#slots,
      inSystemManagement: () => domain.vcpus[domain.executingVcpu]?.cpu.inSystemManagement === true,
    })
  }

  placeBoard(options: PcOptions, devices: MachineDevices, life: MachineLife, hooks: CommonHooks): PlacedBoard {
    const [domain, map, acpi, optionRoms] = [this.#domain, this.#map, this.#acpi, this.#optionRoms]
    const images = kernelImages(options)
    const kernel = images && this.#parts.kernelForFirmware?.(images, map)
    this.boot.pieces = kernel?.loaded ?? []
    const { Smram: Memory } = this.#parts
    this.#smram = Memory && new Memory(domain, map.lowRamBytes)
    const description = boardOf(options, { map, acpi, epochSeconds: epochOf(options), optionRoms, devices, kernel })
    return placeBoard(domain, description, this.#parts, options.devicePlacement, this.#input, {
      ...{ ...hooks, systemManagement: this.#smram },
      shadow: (range) => this.boot.area?.shadow(range),
      speaker: (samples) => options.speaker?.play(samples, SPEAKER_FORMAT),
      sleep: () => life.sleep.begin(),
      wake: () => life.sleep.end(),
    })
  }

  async loadState(
    options: PcOptions,
    random: RandomSource,
    { sleep }: MachineLife,
    inputs: () => InputSwitches,
  ): Promise<BoardState<X86DomainState, PcSnapshotState>> {
    const { pcState } = await import('./pc-state.ts')
    const [domain, boot, vapic, smram] = [this.#domain, this.boot, this.vapic, this.#smram]
    const plugged = (): number[] => this.#slots.pluggedBytes(domain.devices)
    return pcState({ domain, options, random, boot, vapic, smram, sleep, plugged, inputs })
  }

  async attachDebugger(life: MachineLife, isRecorded: boolean): Promise<MachineDebugger> {
    const { attachPcDebugger } = await import('../debugger/pc-debugger.ts')
    return attachPcDebugger(this.#domain, life, isRecorded)
  }

  free(): void {
    this.boot.area?.close()
    this.#smram?.close()
  }
}

/**
 * Generates parts that all PCs of a process share, such as the interpreter: the first {@link createPc} does it otherwise, and
 * takes a fifth of a second or more for it. For programs that have the time before their user has chosen a machine.
 *
 * @param options - the options of the machines to come
 */
export function preparePc(options: Pick<PcOptions, 'controllerPlacement' | 'jit' | 'sharedMemory'> = {}): void {
  prepareX86Engine(isShared(options), options.jit !== undefined && options.jit !== false)
}

/** The parts of a machine that its board must know of, beside the options. */
interface BoardParts {
  readonly map: PcMemoryMap
  readonly acpi: AcpiBoard
  readonly epochSeconds: number
  readonly optionRoms: readonly OptionRom[]
  readonly devices: Pick<MachineDevices, 'bootPaths' | 'floppies'>
  /** The kernel that firmware is to start. */
  readonly kernel: FirmwareKernel | undefined
}

/** Describes the board that the options ask for. */
function boardOf(options: PcOptions, parts: BoardParts): BoardDescription {
  const { map, acpi, epochSeconds, optionRoms, devices, kernel } = parts
  const cpus = options.cpus ?? 1
  return {
    machine: options.machine ?? 'pc',
    map,
    cpus,
    epochSeconds,
    followsHost: options.clock !== 'deterministic',
    firmware: !startsDirectly(options),
    configuration: {
      map,
      cpus,
      board: acpi,
      consolePort: hasVga(options) && options.boot?.mirrorsScreen === false ? 0 : (SERIAL_PORTS[0]?.iobase ?? 0),
      optionRoms,
      bootOrder: [...kernelRomPaths(optionRoms), ...bootOrder(devices.bootPaths, options.boot?.order)],
      bootMenu: options.boot?.menu ?? false,
      graphics: hasVga(options) || hasRamfb(options),
      smbios: options.smbios,
      files: options.fwCfgFiles,
      ...(kernel !== undefined && { kernel: kernel.keys }),
    },
    serialPorts: acpi.serialPorts.length,
    floppies: devices.floppies,
    xen: options.hypervisor === 'xen',
    ramfb: hasRamfb(options),
    speaker: options.speaker !== undefined,
  }
}
