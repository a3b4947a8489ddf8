import { SPEAKER_FORMAT } from '@retrap/devices'
import type { DeviceModel } from '@retrap/device'
import { Keyboard, Mouse, Screen } from '@retrap/display'
import { DeterministicClock, RealClock, X86Domain, type X86DomainOptions, type X86DomainState } from '@retrap/hvm'
import { MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { CODE_CACHE_BYTES, prepareX86Engine } from '@retrap/x86-cpu'
import type { XenGuest } from '@retrap/xen'
import { describeBoard, GENERATION } from '../board/board-description.ts'
import { type PlacedBoard, placeBoard } from '../board/placed-board.ts'
import { PciSlots, wantedSlots } from '../devices/pci-slots.ts'
import { type RemovableDrive, withTrays } from '../devices/removable-drive.ts'
import { SerialLine, type SerialPort, SERIAL_PORTS } from '../board/serial-port.ts'
import { hasVga, hasRamfb } from '../options/vga.ts'
import { mapResetVector } from '../firmware/after-bios.ts'
import { checkOptionRom, type OptionRom } from '../firmware/option-roms.ts'
import { inSystemManagement, smramOf } from '../firmware/smram.ts'
import type { ForkFamily, ForkOrigin } from '../fork/fork-family.ts'
import { InputSwitch } from '../input/input-switch.ts'
import type { PcSite, PlacedDevices } from '../kinds/placed-devices.ts'
import { describeCrash, standstill } from '../life/crash.ts'
import { epochOf, hostClock, HostSleeper, laterTurn, type RandomSource, randomOf } from '../life/host.ts'
import { pacingOf } from '../life/host-pacing.ts'
import { FirstFailure, MachineLife } from '../life/machine-life.ts'
import { type FirmwareKernel, pcMemoryMap, type PcMemoryMap } from '../loaders/index.ts'
import { machineMemoryBytes } from '../memory-size.ts'
import type { PcInputs } from '../machine/machine-gate.ts'
import type { SnapshotParts } from './pc-state.ts'
import type { SnapshotHost, Snapshots } from '../snapshot/snapshots.ts'
import { CHIPSETS } from '../machine-type.ts'
import { PcBoot } from './pc-boot.ts'
import type { PcSnapshotState } from '../options/pc-snapshot.ts'
import { kernelImages, type PcOptions, processorOf, startsDirectly } from '../options/pc-options.ts'
import { type PcParts, placePcDevices } from './pc-parts.ts'
import { XEN_IOAPIC_PINS, xenConsole, xenOptions } from '../machine/xen.ts'
import type { AcpiBoard } from '../acpi/index.ts'
import type { BoardDescription } from '../board/board.ts'
import { bootOrder } from '../options/drives.ts'
import { kernelRomPaths } from '../firmware/firmware-configuration.ts'

/** Behind the bridges and the graphics card, and Xen's platform device. */
const FIRST_FREE_SLOT = 3
const XEN_FIRST_FREE_SLOT = 4

type PcSnapshots = Snapshots<X86DomainState, PcSnapshotState>
type PcSnapshotHost = Omit<SnapshotHost<X86DomainState, PcSnapshotState>, 'board'> & { readonly parts: SnapshotParts }

/** The {@link Snapshots} of a PC, which are loaded when it is first saved or restored. */
class LazySnapshots {
  readonly #host: PcSnapshotHost
  #loaded: PcSnapshots | undefined

  constructor(host: PcSnapshotHost) {
    this.#host = host
  }

  async load(): Promise<PcSnapshots> {
    const [{ Snapshots }, { pcState }] = await Promise.all([
      import('../snapshot/snapshots.ts'),
      import('./pc-state.ts'),
    ])
    return (this.#loaded ??= new Snapshots({ ...this.#host, board: pcState(this.#host.parts) }))
  }

  close(): void {
    this.#loaded?.close()
  }
}

/** A PC whose parts are there and connected; nothing has run yet. */
export interface ComposedPc {
  readonly gate: PcInputs | undefined
  /** The machines in its memory, where it can be forked. */
  readonly family: ForkFamily | undefined
  readonly failures: FirstFailure
  readonly removableDrives: readonly RemovableDrive[]
  readonly xen: XenGuest | undefined
  readonly xenConsole: SerialPort
  readonly life: MachineLife
  /** The parts that a snapshot has. The options have the back ends of the models: behind trays, and behind the gate. */
  readonly state: SnapshotParts & { readonly boot: PcBoot }
  readonly snapshots: LazySnapshots
  readonly serialPorts: readonly SerialPort[]
  readonly screen: Screen
  readonly keyboard: Keyboard
  readonly mouse: Mouse
  /** The place of devices that are plugged in later. */
  readonly site: PcSite
  readonly board: PlacedBoard
  readonly pressPower: () => boolean | Promise<boolean>
}

/**
 * Makes the parts of a PC in the order of their dependencies, and connects them. Where this throws, no thread of it is left.
 *
 * @param gate - stands between the machine and its back ends
 * @param origin - of a clone
 */
export function composePc(
  given: PcOptions,
  parts: PcParts,
  gate: PcInputs | undefined,
  origin: ForkOrigin | undefined,
): ComposedPc {
  const map = pcMemoryMap(given.memoryBytes, CHIPSETS[given.machine ?? 'pc'].lowRamLimit)
  const failures = new FirstFailure()
  let isWarned = false
  const random = randomOf(given)
  const sleeper = new HostSleeper()
  const memory =
    origin?.domain.memory ??
    MachineMemory.create({
      bytes: machineMemoryBytes(given, parts.flash),
      // A recording has the frames of models elsewhere: they reach no memory by themselves.
      shared: gate === undefined && isShared(given),
    })
  const domain = new X86Domain({
    ...domainOptions(given, origin),
    memory,
    random: random.next,
    sleeper,
    onFailure: (failure) => {
      failures.note(failure)
      given.onDeviceFailure?.(failure)
    },
    onStandstill: (vcpu) => {
      if (!isWarned) given.onWarning?.(standstill(vcpu))
      isWarned = true
    },
  })
  if (origin !== undefined) origin.clone = domain
  try {
    // Clones have it even where the room for what they write is used up.
    if (origin === undefined && given.forks !== undefined)
      domain.engine.reserveVcpus(given.forks.clones * (given.cpus ?? 1))
    return compose(given, parts, { map, domain, random, failures, sleeper, gate, origin })
  } catch (error) {
    // Servers may have been started.
    domain.close()
    throw error
  }
}

/** The domain of a PC, and what is there before it. */
interface PcBase extends Pick<ComposedPc, 'failures' | 'gate'> {
  readonly domain: X86Domain
  readonly random: RandomSource
  readonly map: PcMemoryMap
  readonly sleeper: HostSleeper
  readonly origin: ForkOrigin | undefined
}

function compose(given: PcOptions, parts: PcParts, base: PcBase): ComposedPc {
  const { map, domain, random, sleeper, gate, origin } = base
  const wake = (): void => domain.wake()
  const { drives, removable } = withTrays(given.drives ?? [], wake)
  const connected = { ...given, ...(given.drives !== undefined && { drives }) }
  const options = gate?.options(connected) ?? connected

  // RAM, and what stands in for firmware.
  const machine = options.machine ?? 'pc'
  const epochSeconds = epochOf(options)
  const isXen = options.hypervisor === 'xen'
  if (options.sampling !== undefined) parts.samplePc?.(domain, options.sampling)
  const xen = parts.plugXen?.(domain, xenOptions(map, epochSeconds, random.next))
  for (const range of map.ram) {
    const [gfn, count] = [range.gpa / PAGE_BYTES, range.bytes / PAGE_BYTES]
    if (origin === undefined) domain.p2m.populate(gfn, count)
    else origin.memory.populate(domain, gfn, count)
  }
  if (startsDirectly(options)) mapResetVector(domain)
  const apicIds = domain.vcpus.map((vcpu) => vcpu.apic.apicId)
  const acpi: AcpiBoard = {
    ...describeBoard(map, apicIds, options.serialPorts ?? 1, machine, hasVga(options), !isXen),
    generation: options.generation && GENERATION,
  }
  const optionRoms = [...parts.vapicRoms, ...(options.optionRoms ?? [])].map((rom) => ({
    ...rom,
    bytes: checkOptionRom(rom),
  }))
  const boot = new PcBoot(domain, options, { map, acpi, optionRoms, flash: parts.flash })

  // Its life, its other instants, and when inputs enter.
  const life = new MachineLife(domain, {
    boot,
    sleeper,
    onSleep: options.onSleep,
    models: options.devices ?? [],
    describe: (vcpu, message) => describeCrash(domain, vcpu, message),
  })
  const vapic = parts.createVapic?.(domain, options.vapic, boot)
  const state = { domain, options, random, boot, vapic, sleep: life.sleep, inputs: () => switches }
  // A recorded run goes on as it did.
  const goesOn = (): void => {
    if (gate === undefined) devices.goesOn(random)
  }
  const snapshots = new LazySnapshots({
    ...{ life, goesOn, parts: state },
    catchesUp: options.generation?.after !== 'same',
    isRecorded: gate?.isRecording === true,
  })
  gate?.start({ domain, pause: (action) => life.pause(action), snapshots: () => snapshots.load() })
  const inputs = gate?.gate ?? pacingOf(domain, options.keepsPace)
  if (inputs !== undefined) domain.takeInputs(inputs)

  // Its consoles and inputs, in the order in which a recording numbers them.
  const lines = Array.from(acpi.serialPorts, (_, port) => {
    const receive = (bytes: Uint8Array): void => {
      board.receive(port, bytes)
      wake()
    }
    return new SerialLine(gate?.serial(port, receive) ?? receive)
  })
  const hvc = xenConsole(xen?.consoleRing, gate)
  const { keyboard = new Keyboard(), mouse = new Mouse(), screen = new Screen() } = options
  const keys = gate?.input('keyboard', keyboard) ?? keyboard
  const pointer = gate?.input('mouse', mouse) ?? mouse
  const switches = {
    keyboard: new InputSwitch(keys, { wake, pressed: () => domain.asleep && board.wake() }),
    mouse: new InputSwitch(pointer, { wake }),
  }
  // The board's own come first.
  const boardInput = { keyboard: switches.keyboard.join(), mouse: switches.mouse.join() }

  // Devices, then the board, which tells firmware of them.
  const devices = placePcDevices(domain, options, parts, {
    slots: new PciSlots(
      isXen ? XEN_FIRST_FREE_SLOT : FIRST_FREE_SLOT,
      wantedSlots(options),
      CHIPSETS[machine].lastSlot,
    ),
    random: random.next,
    ...switches,
    screen,
    inSystemManagement: () => inSystemManagement(domain),
  })
  const images = kernelImages(options)
  const kernel = images && parts.kernelForFirmware?.(images, map)
  for (const { gpa, bytes } of kernel?.loaded ?? []) domain.guestMemory.load(gpa, bytes)
  const board = placeBoard(
    domain,
    boardOf(options, { map, acpi, epochSeconds, optionRoms, devices, kernel }),
    options.devicePlacement,
    boardInput,
    {
      transmit: (port, bytes) => lines[port]?.transmit(bytes),
      taken: (port, count) => lines[port]?.taken(count),
      shadow: (range) => boot.area?.shadow(range),
      ramfb: devices.onRamfb,
      speaker: (samples) => options.speaker?.play(samples, SPEAKER_FORMAT),
      sleep: () => life.sleep.begin(),
      wake: () => life.sleep.end(),
    },
  )
  const press = (): boolean | Promise<boolean> => board.pressPowerButton()
  const pressPower = gate?.button(press) ?? press
  for (const ready of [...devices.ready, board.ready]) life.ready.push(ready)
  // In this thread wherever the board is: media are objects of the caller's.
  const models = [...devices.models, ...(options.devices ?? [])]
  const runsAgain = (model: DeviceModel): boolean =>
    options.devices?.includes(model) === true ? model.deterministic === true : !devices.fromHost.includes(model)
  const placed = gate?.place(domain, models, runsAgain) ?? { models }
  for (const model of parts.watchModels?.(placed.models, options.devices ?? [], domain) ?? placed.models)
    domain.attach(model)
  if (placed.server !== undefined) {
    domain.addServer(placed.server)
    life.ready.push(placed.server.remote.ready)
  }

  // The parts that the end of a run, and the machine's own end, concern.
  life.outlets.push(board)
  life.outlets.push({ flush: devices.settled })
  for (const drive of removable) life.leavers.push(drive)
  const { family } = parts
  if (origin !== undefined) life.leavers.push({ leave: () => origin.closeMedia() })
  if (family !== undefined) life.leavers.push({ leave: () => family.leave(domain, () => giveBack(domain, boot)) })

  return {
    gate,
    family,
    failures: base.failures,
    removableDrives: removable,
    xen,
    xenConsole: hvc,
    life,
    state,
    snapshots,
    serialPorts: lines,
    screen,
    keyboard,
    mouse,
    site: devices.site,
    board,
    pressPower,
  }
}

/** Gives back what is not the domain's own of its machine memory. */
function giveBack(domain: X86Domain, boot: PcBoot): void {
  boot.area?.close()
  smramOf(domain)?.close()
}

/** How the domain of a PC is made. */
function domainOptions(
  options: PcOptions,
  origin: ForkOrigin | undefined,
): Omit<X86DomainOptions, 'memory' | 'random' | 'sleeper'> {
  return {
    frameCounts: origin?.domain.frameCounts,
    engine: origin?.domain.engine,
    vcpus: options.cpus ?? 1,
    clock: options.clock === 'deterministic' ? new DeterministicClock() : new RealClock(hostClock),
    codeCacheBytes: options.codeCacheBytes ?? CODE_CACHE_BYTES,
    profile: options.profile ?? false,
    jit: options.jit,
    ioApicPins: options.hypervisor === 'xen' ? XEN_IOAPIC_PINS : undefined,
    cpu: processorOf(options),
    deferDevices: options.devicePlacement === 'deferred' ? laterTurn() : undefined,
    policy: options.devicePolicy,
    deviceDeadlineMs: options.deviceDeadlineMs,
    checkMappings: options.checkMappings ?? false,
    trace: options.trace,
  }
}

/**
 * Generates what all PCs of a process share, such as the interpreter: the first {@link createPc} does it otherwise, and takes
 * a fifth of a second or more for it. For programs that have the time before their user has chosen a machine.
 *
 * @param options - as the machines will have them
 */
export function preparePc(options: Pick<PcOptions, 'controllerPlacement' | 'jit' | 'sharedMemory'> = {}): void {
  prepareX86Engine(isShared(options), options.jit !== undefined && options.jit !== false)
}

/** Whether machine memory is shared between threads. */
const isShared = ({
  sharedMemory,
  controllerPlacement,
}: Pick<PcOptions, 'controllerPlacement' | 'sharedMemory'>): boolean =>
  sharedMemory === true || controllerPlacement !== undefined

/** The parts of a machine that its board must know of, beside the options. */
interface BoardParts {
  readonly map: PcMemoryMap
  readonly acpi: AcpiBoard
  readonly epochSeconds: number
  readonly optionRoms: readonly OptionRom[]
  readonly devices: Required<Pick<PlacedDevices, 'bootPaths' | 'floppies'>>
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
      ...(kernel !== undefined && { kernel: kernel.keys }),
    },
    serialPorts: acpi.serialPorts.length,
    floppies: devices.floppies,
    xen: options.hypervisor === 'xen',
    smm: options.smm === true,
    ramfb: hasRamfb(options),
    speaker: options.speaker !== undefined,
  }
}
