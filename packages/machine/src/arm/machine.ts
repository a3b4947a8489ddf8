import type { DeviceModel } from '@retrap/device'
import type { GdbTarget } from '@retrap/gdb'
import type { CfiFlash } from '@retrap/devices/flash'
import { type Keyboard, type Mouse, Screen } from '@retrap/display'
import { closePages, DeterministicClock, RealClock } from '@retrap/hvm'
import { ArmDomain } from '@retrap/hvm/arm'
import type { ArmDomainOptions, ArmDomainState, GicPlace } from '@retrap/hvm/arm'
import { PortWindow } from '@retrap/ioreq'
import { MachineMemory, PAGE_BYTES } from '@retrap/memory'
import type { XenGuest } from '@retrap/xen'
import type { plugXenArm } from '@retrap/xen/arm'
import type { MachineDebugger } from '../debugger/machine-debugger.ts'
import { loadDeviceKinds } from '../kinds/device-kinds.ts'
import { type MachineRun, type MachineVerb, requireSupported } from '../combinations/combinations.ts'
import { runOf, traitsOf } from '../combinations/traits.ts'
import type { PlaceDevices } from '../kinds/placed-devices.ts'
import { bootOrder } from '../options/drives.ts'
import { MachineError } from '../errors.ts'
import { checkOptionValues } from '../option-values.ts'
import { epochOf, hostClock, HostSleeper, laterTurn, type RandomSource, randomOf } from '../life/host.ts'
import { pacingOf } from '../life/host-pacing.ts'
import type { MachineExit } from '../life/machine-exit.ts'
import {
  FirstFailure,
  MachineLife,
  type MachineRunOptions,
  type PcRestoreOptions,
  type PcSaveOptions,
  type PcState,
} from '../life/machine-life.ts'
import type { PcOptions } from '../options/pc-options.ts'
import type { PlacedBoard } from '../board/placed-board.ts'
import type { PcRemovableDrive } from '../devices/removable-drive.ts'
import { SerialLine, type SerialPort } from '../board/serial-port.ts'
import { Sampler } from '../life/sampling.ts'
import { hasRamfb } from '../options/vga.ts'
import { xenArmOptions, xenConsole } from '../machine/xen.ts'
import { sampledArmVcpus } from './call-stack.ts'
import { describeArmCrash } from './crash.ts'
import type { ArmGdbOptions } from './debugger/arm-gdb-target.ts'
import { armDeviceTree } from './device-tree.ts'
import { type ArmGate, type ArmPciDevices, pciOptions, placeArmDevices } from './devices.ts'
import { type ArmFirmwareKernel, firmwareKernel } from './firmware-configuration.ts'
import type { ArmForkOptions, ArmMachineOptions } from './machine-options.ts'
import { type ArmBoard, checkArmBoard, gsiOfPpi, gsiOfSpi, VIRT } from './layout.ts'
import { type LoadedArmKernel, loadArmKernel } from './load-kernel.ts'
import { armCloneBytes, armMemoryBytes } from './memory-size.ts'
import type { ForkFamily, ForkOrigin } from '../fork/fork-family.ts'
import type { watchModels } from '../devices/watched-models.ts'
import { forkFamily, loadWatch } from '../pc/pc-parts.ts'
import type { CheckpointOptions, MachineCheckpoint } from '../snapshot/checkpoint.ts'
import type { Snapshots } from '../snapshot/snapshots.ts'
import type { ArmSnapshot, ArmSnapshotParts, ArmSnapshotSource, ArmSnapshotState } from './snapshot.ts'
import { type ArmStatistics, measureArm } from './statistics.ts'
import { createArmTransports } from './models.ts'
import { placeArmBoard } from './placed-board.ts'

/** Where Xen's pages are, and its interrupt. */
const XEN_PLACES = {
  storeFrame: VIRT.xenPages.base / PAGE_BYTES,
  consoleFrame: VIRT.xenPages.base / PAGE_BYTES + 1,
  eventInterrupt: gsiOfPpi('xenEvents'),
} as const

/** The instant that a clone goes on from. */
type ArmForkOrigin = ForkOrigin<ArmDomain, ArmSnapshotState>

/** 32-bit words of the seed that the kernel's generator gets. */
const SEED_WORDS = 8

/**
 * Assembles the Arm board `virt`: memory, vCPUs, GIC, timers, devices, device tree and kernel.
 *
 * @throws MachineError, LoaderError, MemoryError or DeviceError, naming the value and what was expected
 */
export async function createArmMachine(options: ArmMachineOptions): Promise<ArmMachine> {
  return ArmMachine.create(options)
}

type ArmSnapshots = Snapshots<ArmDomainState, ArmSnapshotState>

/** The parts of a machine that are loaded or made before it. */
interface ArmParts {
  /** The options of its devices. */
  readonly pci: PcOptions
  readonly kinds: readonly PlaceDevices[]
  readonly flash: readonly CfiFlash[]
  /** Connects Xen. */
  readonly plugXen: typeof plugXenArm | undefined
  /** Is started by firmware. */
  readonly kernel: ArmFirmwareKernel | undefined
  readonly watch: typeof watchModels | undefined
  /** Told of its domain as soon as there is one. */
  readonly begun: (domain: ArmDomain) => void
  /** Stands between it and its back ends. */
  readonly gate: ArmGate | undefined
  readonly family: ForkFamily | undefined
  /** Of a clone. */
  readonly origin: ArmForkOrigin | undefined
}

/** An Arm board with what it runs. Made by {@link createArmMachine}. */
export class ArmMachine {
  /** The machine's inside: vCPUs, memory map, devices. */
  readonly domain: ArmDomain
  /** Machine memory, which guest RAM is part of. */
  readonly memory: MachineMemory
  /** The serial port, which is the console. */
  readonly serial: SerialPort
  /** All serial ports: this one. */
  readonly serialPorts: readonly SerialPort[]
  /** The keyboard for typing on the machine's keyboards, which are USB or virtio devices. */
  readonly keyboard: Keyboard
  /** The mouse that moves its mice and tablets. */
  readonly mouse: Mouse
  /** The screen that its graphics card draws on. */
  readonly screen: Screen
  /** The Xen that the guest sees, with `hypervisor: 'xen'`. */
  readonly xen: XenGuest | undefined
  /** The console that Xen gives its guests: silent without Xen. */
  readonly xenConsole: SerialPort
  /** CD drives, whose medium can be exchanged, in the order of the options. */
  readonly removableDrives: readonly PcRemovableDrive[]
  readonly #options: ArmMachineOptions
  readonly #board: ArmBoard
  readonly #placed: Omit<PlacedBoard, 'wake' | 'pressSleepButton'>
  readonly #life: MachineLife
  readonly #failures = new FirstFailure()
  /** Loaded when the machine is saved or put back. */
  #snapshots: ArmSnapshots | undefined
  readonly #random: RandomSource
  #deviceTree: Uint8Array = new Uint8Array(0)
  readonly #drives: ArmPciDevices['drives']
  readonly #inputs: ArmPciDevices['inputs']
  readonly #run: MachineRun
  readonly #pressPower: () => boolean | Promise<boolean>
  #debugger: Promise<MachineDebugger> | undefined
  /** The machines in its memory, where it can be forked. */
  readonly #family: ForkFamily | undefined

  private constructor(options: ArmMachineOptions, parts: ArmParts) {
    const { pci, kinds, flash, plugXen, kernel, watch, begun, gate, family, origin } = parts
    const { memoryBytes, cpus = 1, gic, hypervisor } = options
    this.#options = options
    this.#run = runOf(gate)
    this.#board = { cpus, memoryBytes, gic, flash: flash.length > 0, hypervisor }
    checkArmBoard(this.#board)
    this.#random = randomOf(options)
    const random = this.#random.next
    const epochSeconds = epochOf(options)
    this.#family = family
    this.memory = origin?.domain.memory ?? MachineMemory.create({ bytes: armMemoryBytes(options) })
    const sleeper = new HostSleeper()
    this.domain = new ArmDomain({
      ...domainOptions(options),
      memory: this.memory,
      frameCounts: origin?.domain.frameCounts,
      engine: origin?.domain.engine,
      sleeper,
      onFailure: (failure) => {
        this.#failures.note(failure)
        options.onDeviceFailure?.(failure)
      },
    })
    begun(this.domain)
    // Clones have it even where the room for what they write is used up.
    if (origin === undefined && options.forks !== undefined) this.domain.engine.reserveCpus(options.forks.clones * cpus)
    if (options.sampling !== undefined)
      this.domain.watchTurns(new Sampler(this.domain, sampledArmVcpus(this.domain), options.sampling))
    gate?.start(this.domain)
    const inputs = gate?.inputs ?? pacingOf(this.domain, options.keepsPace)
    if (inputs !== undefined) this.domain.takeInputs(inputs)
    this.#life = new MachineLife(this.domain, {
      sleeper,
      models: options.devices ?? [],
      describe: (vcpu, message) => describeArmCrash(this.domain, vcpu, message),
    })
    this.xen = plugXen?.(this.domain, XEN_PLACES, xenArmOptions(memoryBytes, epochSeconds, random))
    this.xenConsole = xenConsole(this.xen?.consoleRing, gate)
    const [gfn, frames] = [VIRT.ram.base / PAGE_BYTES, memoryBytes / PAGE_BYTES]
    if (origin === undefined) this.domain.p2m.populate(gfn, frames)
    else origin.memory.populate(this.domain, gfn, frames)
    const receive = (bytes: Uint8Array): void => {
      this.#placed.receive(0, bytes)
      this.domain.wake()
    }
    const line = new SerialLine(gate?.serial(0, receive) ?? receive)
    this.screen = options.screen ?? new Screen()
    const devices = placeArmDevices(this.domain, pci, { kinds, random, screen: this.screen, gate })
    this.keyboard = devices.keyboard
    this.mouse = devices.mouse
    this.removableDrives = devices.removable
    this.#drives = devices.drives
    this.#inputs = devices.inputs
    this.serial = line
    this.serialPorts = [line]
    const { boot, virtioMmio: virtio } = options
    const firmware = { kernel, bootOrder: bootOrder(devices.bootPaths, boot?.order), bootMenu: boot?.menu }
    const transports = createArmTransports(virtio)
    this.domain.dispatch.setEcam([{ base: VIRT.pcie.base, firstBus: 0, lastBus: VIRT.pcie.buses - 1 }])
    this.domain.dispatch.setPortWindow(new PortWindow(VIRT.pciePorts.base))
    const { devicePlacement: start } = options
    this.#placed = placeArmBoard(
      this.domain,
      { ...this.#board, epochSeconds, followsHost: !this.domain.clock.deterministic, firmware, ramfb: hasRamfb(pci) },
      typeof start === 'function' ? (gate?.board(start) ?? start) : undefined,
      {
        transmit: (bytes) => line.transmit(bytes),
        taken: (count) => line.taken(count),
        ramfb: (configuration) => devices.onRamfb(configuration),
      },
    )
    const press = (): boolean | Promise<boolean> => this.#placed.pressPowerButton()
    this.#pressPower = gate?.button(press) ?? press
    this.#life.ready.push(this.#placed.ready)
    this.#life.outlets.push(this.#placed)
    this.#life.outlets.push({ flush: devices.settled })
    for (const model of flash) this.#life.outlets.push({ flush: () => model.settled() })
    for (const drive of devices.removable) this.#life.leavers.push(drive)
    if (origin !== undefined) this.#life.leavers.push({ leave: () => origin.closeMedia() })
    if (family !== undefined) this.#life.leavers.push({ leave: () => family.leave(this.domain, () => undefined) })
    // In this thread wherever the board is: media are objects of the caller's.
    const models: DeviceModel[] = [...transports, ...flash, ...devices.models, ...(options.devices ?? [])]
    const runsAgain = (model: DeviceModel): boolean =>
      options.devices?.includes(model) === true ? model.deterministic === true : !devices.fromHost.includes(model)
    const placed = gate?.place(this.domain, models, runsAgain) ?? { models }
    for (const model of watch?.(placed.models, options.devices ?? [], this.domain) ?? placed.models)
      this.domain.attach(model)
    if (placed.server !== undefined) {
      this.domain.addServer(placed.server)
      this.#life.ready.push(placed.server.remote.ready)
    }
  }

  /** @internal Use {@link createArmMachine}. @param gate - stands between the machine and its back ends */
  static create(given: ArmMachineOptions, gate?: ArmGate): Promise<ArmMachine> {
    return ArmMachine.#create(given, gate)
  }

  static async #create(given: ArmMachineOptions, gate?: ArmGate, origin?: ArmForkOrigin): Promise<ArmMachine> {
    // The machine does not keep the snapshot, which has all of its RAM.
    const { snapshot, ...all } = given
    const { family, options } = await forkFamily(all, origin)
    const { kernel, initrd, commandLine, flash = [], memoryBytes } = options
    if (snapshot !== undefined && (typeof snapshot !== 'object' || snapshot === null))
      throw new MachineError('ERR_OPTION', 'snapshot: expected what save returned')
    const bytes = kernel instanceof Uint8Array
    const goesOn = snapshot !== undefined || origin !== undefined
    if (kernel === undefined ? flash.length === 0 && !goesOn : !bytes) {
      throw new MachineError('ERR_OPTION', 'kernel: expected its bytes, as a Uint8Array, or flash with firmware')
    }
    const pci = pciOptions(options)
    const flashModels = flash.length === 0 ? [] : await (await import('./flash.ts')).armFlash(flash)
    const xen = options.hypervisor === 'xen' ? await import('@retrap/xen/arm') : undefined
    const started =
      flash.length > 0 && kernel !== undefined
        ? await firmwareKernel({ kernel, initrd, commandLine }, memoryBytes)
        : undefined
    checkArmOptionValues(options)
    requireSupported('make', traitsOf({ ...options, machine: 'virt' }, runOf(gate)))
    const [kinds, watch] = await Promise.all([loadDeviceKinds(pci), loadWatch(options)])
    origin?.checkRoom()
    let domain: ArmDomain | undefined
    let machine: ArmMachine
    try {
      const begun = (made: ArmDomain): void => {
        domain = made
        if (origin !== undefined) origin.clone = made
      }
      machine = new ArmMachine(options, {
        ...{ pci, kinds, watch, begun, gate, family, origin },
        flash: flashModels,
        plugXen: xen?.plugXenArm,
        kernel: started,
      })
    } catch (error) {
      domain?.close()
      throw error
    }
    try {
      const { deviceServers = [] } = gate?.options({ deviceServers: options.deviceServers }) ?? options
      await machine.#life.startServers(deviceServers)
    } catch (error) {
      machine.close()
      throw machine.#failures.notStarted(error)
    }
    try {
      if (origin !== undefined) await machine.#goOn((snapshots) => snapshots.beginFork(origin.state, origin.memory))
      else if (snapshot !== undefined) await machine.#goOn((snapshots) => snapshots.begin(snapshot))
      else await machine.#start()
    } catch (error) {
      machine.close()
      if (snapshot !== undefined) closePages(snapshot.pages)
      throw error
    }
    return machine
  }

  async #goOn(begin: (snapshots: ArmSnapshots) => Promise<void>): Promise<void> {
    const snapshots = await this.#loadSnapshots()
    this.domain.reset()
    await begin(snapshots)
  }

  #snapshotParts(): ArmSnapshotParts {
    return {
      domain: this.domain,
      options: this.#options,
      random: this.#random,
      drives: this.#drives,
      inputs: this.#inputs,
    }
  }

  /** Loads the kernel, and has the first vCPU begin there. */
  async #start(): Promise<void> {
    const { kernel, initrd, unzstd, commandLine, flash = [] } = this.#options
    const seed = (words: number): Uint8Array =>
      new Uint8Array(Uint32Array.from({ length: words }, () => this.#random.next()).buffer)
    if (kernel === undefined || flash.length > 0) {
      // Firmware finds the tree at the beginning of RAM, and starts with the flash's first byte.
      this.#deviceTree = armDeviceTree(this.#board, { rngSeed: seed(SEED_WORDS), kaslrSeed: seed(2) })
      this.domain.guestMemory.load(VIRT.ram.base, this.#deviceTree)
      this.domain.reset()
      this.domain.vcpus[0]!.start(BigInt(VIRT.flash.base), BigInt(VIRT.ram.base))
      return
    }
    const loaded: LoadedArmKernel = await loadArmKernel(
      { ramBytes: this.#board.memoryBytes, write: (gpa, bytes) => this.domain.guestMemory.load(gpa, bytes) },
      {
        kernel,
        initrd,
        unzstd,
        deviceTree: (initrd) =>
          (this.#deviceTree = armDeviceTree(this.#board, {
            commandLine,
            initrd,
            rngSeed: seed(SEED_WORDS),
            kaslrSeed: seed(2),
          })),
      },
    )
    this.domain.reset()
    const { x, pc } = loaded.state
    this.domain.vcpus[0]!.start(BigInt(pc), BigInt(x[0]))
  }

  /**
   * Ends what runs beside the machine: threads and processes of device models. A machine that can be forked, and a clone, is
   * stopped, and gives its memory back.
   */
  close(): void {
    this.#snapshots?.close()
    if (this.#family !== undefined) this.#life.stop()
    this.#life.close()
  }

  /** The device tree that the guest finds at power-on; empty of a machine that goes on from a snapshot. */
  get deviceTree(): Uint8Array {
    return this.#deviceTree
  }

  /** Whether the machine runs or is stopped. */
  get state(): PcState {
    return this.#life.state
  }

  /**
   * Runs until the guest or the caller ends it.
   *
   * @param options.timeoutMs - host time after which it is stopped
   * @throws MachineError `ERR_STATE` if it runs already, or was closed and has given its memory back
   */
  async run(options: MachineRunOptions = {}): Promise<MachineExit> {
    if (this.#family?.hasLeft(this.domain) === true) throw new MachineError('ERR_STATE', 'the machine was closed')
    return this.#life.run(options)
  }

  /**
   * Presses the power button of the running machine.
   *
   * @returns whether the guest has asked for its event; where it has not, nothing will happen
   */
  async powerButton(): Promise<boolean> {
    const listens = await this.#pressPower()
    this.domain.wake()
    return listens
  }

  /**
   * Saves all of the machine, between two instructions of its vCPUs: for `ArmMachineOptions.snapshot` of a machine with the same
   * options, here or elsewhere. A running machine stands still for a moment, and runs on while its RAM is copied: later writes
   * are not in the snapshot.
   *
   * @param options.deadlineMs - host time that devices may take to bring their work to rest; default 10 seconds
   * @throws MachineError `ERR_SNAPSHOT` for a machine with what cannot be saved, by name, for a device that is too late, and
   *   where the host has no memory for the copy:
   *   the machine can run on; `ERR_STATE` for one that has ended
   */
  async save(options: PcSaveOptions = {}): Promise<ArmSnapshot> {
    this.#require('save')
    return (await this.#loadSnapshots()).save(options)
  }

  /** As `Pc.restore`. @throws MachineError as that */
  async restore(snapshot: ArmSnapshot | ArmSnapshotSource, options: PcRestoreOptions = {}): Promise<void> {
    this.#require('restore')
    await (await this.#loadSnapshots()).restore(snapshot, options)
  }

  /** As `Pc.checkpoint`. @throws MachineError as that */
  async checkpoint(options: CheckpointOptions = {}): Promise<MachineCheckpoint> {
    this.#require('checkpoint')
    return (await this.#loadSnapshots()).checkpoint(options)
  }

  /** Makes a clone, as `Pc.fork`; the machine needs room for it: the option `forks`. @throws MachineError as that */
  async fork(options: ArmForkOptions = {}): Promise<ArmMachine> {
    const [{ forkMachine }, { ARM_FORK_OPTIONS }, snapshots] = await Promise.all([
      import('../fork/fork-machine.ts'),
      import('./fork-options.ts'),
      this.#loadSnapshots(),
    ])
    return forkMachine(
      {
        // The drives have the media that are in them now.
        options: { ...this.#options, ...(this.#options.drives && { drives: this.#drives }) },
        domain: this.domain,
        family: this.#family,
        changeable: ARM_FORK_OPTIONS,
        cloneBytes: armCloneBytes(this.#options),
        check: checkArmOptionValues,
        require: () => this.#require('fork'),
        still: (action) => snapshots.fork(action),
        stateOf: (domain: ArmDomainState): ArmSnapshotState => snapshots.stateWith(domain),
        create: (clone, origin) => ArmMachine.#create(clone, undefined, origin),
      },
      options,
    )
  }

  #require(verb: MachineVerb): void {
    requireSupported(verb, traitsOf({ ...this.#options, machine: 'virt' }, this.#run))
  }

  async #loadSnapshots(): Promise<ArmSnapshots> {
    const [{ Snapshots }, { armState }] = await Promise.all([
      import('../snapshot/snapshots.ts'),
      import('./snapshot.ts'),
    ])
    return (this.#snapshots ??= new Snapshots({
      life: this.#life,
      board: armState(() => this.#snapshotParts()),
      catchesUp: true,
      goesOn: () => {},
      isRecorded: false,
    }))
  }

  /** The machine's debugger: breakpoints, steps, registers, memory. Exceptions are classes, as in ESR_EL1. */
  debugger(): Promise<MachineDebugger> {
    return (this.#debugger ??= import('./debugger/arm-debugger.ts').then((module) =>
      module.attachArmDebugger(this.domain, this.#life),
    ))
  }

  /**
   * Shows the machine to gdb.
   *
   * @returns what a `GdbSession` of `@retrap/gdb` takes
   * @throws MachineError `ERR_OPTION` while the run is recorded or replayed
   */
  async gdbTarget(options: ArmGdbOptions): Promise<GdbTarget> {
    this.#require('gdb')
    const [{ armGdbTarget }, debug] = await Promise.all([import('./debugger/arm-gdb-target.ts'), this.debugger()])
    return armGdbTarget(this.domain, debug, options)
  }

  /** Returns counts since power-on. */
  statistics(): ArmStatistics {
    return measureArm(this.domain)
  }
}

/** @throws MachineError `ERR_OPTION` */
function checkArmOptionValues(options: ArmMachineOptions): void {
  const { sampling, forks } = options
  checkOptionValues({ ...pciOptions(options), ...(sampling && { sampling }), ...(forks && { forks }) })
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

/** The options of the machine's domain, as far as they follow from the machine's. */
function domainOptions(options: ArmMachineOptions): Omit<ArmDomainOptions, 'memory' | 'sleeper'> {
  return {
    vcpus: options.cpus ?? 1,
    clock: options.clock === 'deterministic' ? new DeterministicClock() : new RealClock(hostClock),
    gic: gicPlace(options.gic),
    openBus: [VIRT.pcie, VIRT.pciePorts],
    ...(options.jit && { jit: options.jit === true ? {} : options.jit }),
    ...(options.codeCacheBytes !== undefined && { codeCacheBytes: options.codeCacheBytes }),
    deferDevices: options.devicePlacement === 'deferred' ? laterTurn() : undefined,
    policy: options.devicePolicy,
    deviceDeadlineMs: options.deviceDeadlineMs,
    trace: options.trace,
  }
}
