import { describeThrown } from '@retrap/device/host'
import type { DeviceModel } from '@retrap/device'
import { SPEAKER_FORMAT } from '@retrap/devices'
import { Keyboard, Mouse, Screen } from '@retrap/display'
import { X86Domain } from '@retrap/hvm'
import type { DomainVapic } from '@retrap/hvm'
import type { DeviceFailure } from '@retrap/ioreq'
import { MachineMemory } from '@retrap/memory'
import type { plugXen, XenGuest } from '@retrap/xen'
import type { AcpiBoard } from './acpi/index.ts'
import { describeBoard } from './board-description.ts'
import { loadDirectly, mapResetVector, resumeDirectly, setDevices } from './direct-boot.ts'
import { loadDeviceKinds, type PcSite, type PlaceDevices, placeDevices } from './device-kinds.ts'
import { bootOrder } from './drives.ts'
import type { startControllers } from './elsewhere/start-controllers.ts'
import { type MovedControllers, splitControllers } from './elsewhere/split.ts'
import { MachineError } from './errors.ts'
import { FirmwareArea } from './firmware-area.ts'
import { kernelRomPaths } from './firmware-configuration.ts'
import { flashBelowOneMib, loadFlash } from './flash.ts'
import type { HotPlug, PcPluggable, PcUnplugOptions } from './hot-plug.ts'
import { HostSleeper, fixedRandom, hostRandom } from './host.ts'
import { InputSwitch } from './input/input-switch.ts'
import { waking } from './input/relay.ts'
import { belowOneMib, kernelForFirmware, loadFirmware, pcMemoryMap, resetState } from './loaders/index.ts'
import type { InitialState, PcMemoryMap } from './loaders/index.ts'
import { CHIPSETS } from './machine-type.ts'
import { machineExit, type MachineExit } from './machine-exit.ts'
import { machineMemoryBytes } from './memory-size.ts'
import { handOverMemoryTypes } from './mtrr.ts'
import { checkOptionRom, isKernelRom } from './option-roms.ts'
import type { OptionRom } from './option-roms.ts'
import { pcDomainOptions } from './pc-domain.ts'
import { checkPcOptions, kernelImages, type PcOptions, startsDirectly, type StopSignal } from './pc-options.ts'
import { type PlacedBoard, placeBoard } from './placed-board.ts'
import { type PcRemovableDrive, withTrays } from './removable-drive.ts'
import { Sampler } from './sampling.ts'
import { inSystemManagement } from './smram.ts'
import { Sleep } from './sleep.ts'
import { SERIAL_PORTS, SerialLine, type SerialPort } from './serial-port.ts'
import { measurePc, type PcStatistics } from './statistics.ts'
import { hasRamfb, hasVga } from './vga.ts'
import { createVapic, vapicRom } from './vapic.ts'
import { PciSlots, wantedSlots } from './pci-slots.ts'
import { xenConsole, xenOptions } from './xen.ts'

/** Behind the bridges and the graphics card, and Xen's platform device. */
const FIRST_FREE_SLOT = 3
const XEN_FIRST_FREE_SLOT = 4
/** 2026-01-01, for machines whose runs must agree. */
const DETERMINISTIC_EPOCH = 1_767_225_600

/** What is loaded before a machine is composed. */
interface PcParts {
  /** Of the devices in this thread. */
  readonly kinds: readonly PlaceDevices[]
  /** Of the controllers in a thread of their own. */
  readonly moved: readonly PlaceDevices[]
  /** What starts them. */
  readonly elsewhere: typeof startControllers | undefined
  /** Contents of the flash memories. */
  readonly flash: readonly Uint8Array[]
  /** Of `@retrap/xen`, where the guest sees Xen. */
  readonly plugXen: typeof plugXen | undefined
}

/**
 * Assembles a PC: memory, vCPUs, interrupt controllers, board devices, ACPI tables, and what it starts.
 *
 * @throws MachineError, LoaderError, MemoryError or DeviceError, naming the value and what was expected
 */
export async function createPc(options: PcOptions): Promise<Pc> {
  return Pc.create(options)
}

/** What a PC does. */
export type PcState = 'running' | 'asleep' | 'stopped'

/** A PC. Made by {@link createPc}. */
export class Pc {
  /** The machine’s inside: vCPUs, memory map, devices. */
  readonly domain: X86Domain
  /** Machine memory, which guest RAM is part of. */
  readonly memory: MachineMemory
  /** The first serial port, which is the console. */
  readonly serial: SerialPort
  /** All serial ports: COM1 and so on. */
  readonly serialPorts: readonly SerialPort[]
  /** The console that Xen gives its guests, hvc0 of Linux; without Xen it is silent. */
  readonly xenConsole: SerialPort
  /** The keyboard: type on it, press keys. */
  readonly keyboard: Keyboard
  /** The mouse: move it, press its buttons. */
  readonly mouse: Mouse
  /** The Xen that the guest sees, with `hypervisor: 'xen'`. */
  readonly xen: XenGuest | undefined
  /** The graphics card's picture; it stays off in a machine without one. */
  readonly screen: Screen
  /** Drives whose medium can be exchanged: CD and floppy drives, in the order of the options. */
  readonly removableDrives: readonly PcRemovableDrive[]
  /** The TPR patcher, where there is one. */
  readonly vapic: DomainVapic | undefined
  readonly #board: PlacedBoard
  readonly #sleep: Sleep
  /** Settle when the servers that live elsewhere have their models. */
  readonly #ready: Promise<void>[] = []
  #failure: DeviceFailure | undefined
  readonly #models: readonly DeviceModel[]
  #firmware: FirmwareArea | undefined
  readonly #settled: () => Promise<unknown>
  #running = false
  readonly #map: PcMemoryMap
  readonly #acpi: AcpiBoard
  readonly #lines: readonly SerialLine[]
  readonly #optionRoms: readonly OptionRom[]
  readonly #site: PcSite
  /** Closed, or ended by its guest: nothing runs it again. */
  #over = false
  /** Loaded when a device is plugged in or out. */
  #hotPlug: Promise<HotPlug> | undefined

  private constructor(given: PcOptions, parts: PcParts) {
    const { drives: withMedia, removable } = withTrays(given.drives ?? [], () => this.domain.wake())
    const options = { ...given, ...(given.drives !== undefined && { drives: withMedia }) }
    this.removableDrives = removable
    const cpus = options.cpus ?? 1
    const machine = options.machine ?? 'pc'
    const map = pcMemoryMap(options.memoryBytes, CHIPSETS[machine].lowRamLimit)
    this.memory = MachineMemory.create({
      bytes: machineMemoryBytes(options, parts.flash),
      shared: options.sharedMemory === true || options.controllerPlacement !== undefined,
    })
    const deterministic = options.clock === 'deterministic'
    const epoch = options.epochSeconds ?? (deterministic ? DETERMINISTIC_EPOCH : Math.floor(Date.now() / 1000))
    const random = deterministic ? fixedRandom(0x7265_7472) : hostRandom()
    const xen = options.hypervisor === 'xen'
    const sleeper = new HostSleeper()
    this.domain = new X86Domain({
      ...pcDomainOptions(options, { memory: this.memory, random, sleeper }),
      onFailure: (failure) => {
        this.#failure ??= failure
        options.onDeviceFailure?.(failure)
      },
    })
    if (options.sampling !== undefined) this.domain.watchTurns(new Sampler(this.domain, options.sampling))
    this.xen = parts.plugXen?.(this.domain, xenOptions(map, epoch, random))
    for (const range of map.ram) this.domain.p2m.populate(range.gpa / 4096, range.bytes / 4096)
    if (startsDirectly(options)) mapResetVector(this.domain)
    const serialPorts = options.serialPorts ?? 1
    this.#sleep = new Sleep(this.domain, {
      resume: () => this.#resume(options),
      changed: (asleep) => options.onSleep?.(asleep),
      turn: () => sleeper.sleep(0),
    })
    this.#lines = SERIAL_PORTS.slice(0, serialPorts).map(
      (_port, index) =>
        new SerialLine((bytes) => {
          this.#board.receive(index, bytes)
          this.domain.wake()
        }),
    )
    this.serialPorts = this.#lines
    this.serial = this.#lines[0]!
    this.xenConsole = xenConsole(this.xen?.consoleRing)
    const acpi = describeBoard(
      map,
      this.domain.vcpus.map((vcpu) => vcpu.apic.apicId),
      serialPorts,
      machine,
      hasVga(options),
      !xen,
    )
    this.#map = map
    this.#acpi = acpi
    this.keyboard = options.keyboard ?? new Keyboard()
    this.mouse = options.mouse ?? new Mouse()
    this.#optionRoms = [...vapicRom(options.vapic), ...(options.optionRoms ?? [])].map((rom) => ({
      ...rom,
      bytes: checkOptionRom(rom),
    }))
    if (this.#optionRoms.some((rom) => !isKernelRom(rom)))
      this.vapic = createVapic(this.domain, options.vapic, () => this.#firmware)
    const firstSlot = xen ? XEN_FIRST_FREE_SLOT : FIRST_FREE_SLOT
    const slots = new PciSlots(firstSlot, wantedSlots(options), CHIPSETS[machine].lastSlot)
    this.screen = options.screen ?? new Screen()
    const wake = (): void => this.domain.wake()
    const keyboard = new InputSwitch(waking(this.keyboard, wake, () => this.domain.asleep && this.#board.wake()))
    const mouse = new InputSwitch(waking(this.mouse, wake))
    // The board's own come first.
    const boardInput = { keyboard: keyboard.join(), mouse: mouse.join() }
    const { screen } = this
    const { moved, local } = divide(options)
    const site: PcSite = {
      options: local,
      slots,
      random,
      keyboard,
      mouse,
      screen,
      flash: parts.flash,
      inSystemManagement: () => inSystemManagement(this.domain),
    }
    this.#site = site
    const elsewhere =
      moved && parts.elsewhere?.(options.controllerPlacement!, this.domain, { moved, kinds: parts.moved, site })
    if (elsewhere) {
      this.domain.addServer(elsewhere.server)
      this.#ready.push(elsewhere.server.remote.ready)
    }
    const devices = placeDevices(parts.kinds, site)
    this.#settled = devices.settled
    const bootPaths = [...(elsewhere?.bootPaths ?? []), ...devices.bootPaths]
    const images = kernelImages(options)
    const kernel = images === undefined || startsDirectly(options) ? undefined : kernelForFirmware(images, map)
    for (const { gpa, bytes } of kernel?.loaded ?? []) this.domain.guestMemory.load(gpa, bytes)
    const configuration = {
      map,
      cpus,
      board: acpi,
      consolePort: SERIAL_PORTS[0]?.iobase ?? 0,
      optionRoms: this.#optionRoms,
      bootOrder: [...kernelRomPaths(this.#optionRoms), ...bootOrder(bootPaths, options.boot?.order)],
      bootMenu: options.boot?.menu ?? false,
      graphics: hasVga(options) || hasRamfb(options),
      ...(kernel !== undefined && { kernel: kernel.keys }),
    }
    const firmware = !startsDirectly(options)
    const smm = options.smm === true
    this.#board = placeBoard(
      this.domain,
      {
        machine,
        map,
        cpus,
        epochSeconds: epoch,
        firmware,
        configuration,
        serialPorts,
        floppies: devices.floppies,
        xen,
        smm,
        ramfb: hasRamfb(options),
        speaker: options.speaker !== undefined,
      },
      options.devicePlacement,
      boardInput,
      {
        transmit: (port, bytes) => this.#lines[port]?.transmit(bytes),
        taken: (port, count) => this.#lines[port]?.taken(count),
        shadow: (range) => this.#firmware?.shadow(range),
        ramfb: devices.onRamfb,
        speaker: (samples) => options.speaker?.play(samples, SPEAKER_FORMAT),
        sleep: () => this.#sleep.begin(),
        wake: () => this.#sleep.end(),
      },
    )
    this.#ready.push(this.#board.ready)
    // In this thread wherever the board is: media are objects of the caller's.
    for (const model of devices.models) this.domain.attach(model)
    this.#models = options.devices ?? []
    for (const model of this.#models) this.domain.attach(model)
  }

  /** Waits for servers that are elsewhere, and sets what firmware would have set. */
  async #prepare(options: PcOptions): Promise<void> {
    const { domain } = this
    for (const start of options.deviceServers ?? []) {
      const server = await start(domain.dispatch, domain.platform, !domain.clock.deterministic)
      domain.addServer(server)
      this.#ready.push(server.remote.ready)
    }
    await Promise.all(this.#ready)
    if (!startsDirectly(options)) return
    await setDevices(domain, this.#acpi)
  }

  /** @internal Use {@link createPc}. */
  static async create(options: PcOptions): Promise<Pc> {
    checkPcOptions(options)
    const { moved, local } = divide(options)
    const [flash, kinds, movedKinds, elsewhere, xen] = await Promise.all([
      loadFlash(options.flash ?? []),
      loadDeviceKinds(local),
      moved && loadDeviceKinds(moved),
      moved && import('./elsewhere/start-controllers.ts'),
      options.hypervisor === 'xen' ? import('@retrap/xen') : undefined,
    ])
    const parts = { kinds, flash, plugXen: xen?.plugXen }
    const pc = new Pc(options, { ...parts, moved: movedKinds ?? [], elsewhere: elsewhere?.startControllers })
    try {
      await pc.#prepare(options)
    } catch (error) {
      pc.close()
      throw new MachineError('ERR_DEVICES', `the device models cannot be started: ${pc.#whyNot(error)}`, {
        cause: error,
      })
    }
    try {
      await pc.#start(options, flash)
    } catch (error) {
      pc.close()
      throw error
    }
    return pc
  }

  #whyNot(error: unknown): string {
    return describeThrown(this.#failure?.cause ?? error)
  }

  /** Ends what runs beside the machine: threads and processes of device models. */
  close(): void {
    this.#end()
    this.domain.close()
  }

  /** The machine does not run again: ends what waits for an answer of its guest. */
  #end(): void {
    this.#over = true
    this.domain.devices.giveUpUnplugs()
  }

  /** Loads what runs first, and sets the processors to it. */
  async #start(options: PcOptions, flash: readonly Uint8Array[]): Promise<void> {
    const { domain } = this
    // SeaBIOS and its like read the reset value of EDX as the CPUID signature.
    const { signature } = domain.engine.processor.model
    let state: InitialState = resetState(signature)
    const shadowed = flashBelowOneMib(flash)
    if (shadowed !== undefined) this.#firmware = new FirmwareArea(domain, shadowed, [belowOneMib(shadowed.length)])
    if (options.firmware !== undefined) {
      const loaded = loadFirmware(options.firmware, signature)
      this.#firmware = new FirmwareArea(domain, options.firmware, loaded.regions)
      state = loaded.state
    }
    const images = kernelImages(options)
    if (images !== undefined && startsDirectly(options)) {
      const { memoryBytes } = options
      const optionRoms = this.#optionRoms
      state = await loadDirectly(domain, { map: this.#map, memoryBytes, board: this.#acpi, optionRoms, images })
    }
    for (const vcpu of this.domain.vcpus) {
      vcpu.cpu.reset(vcpu.id === 0)
      if (startsDirectly(options)) handOverMemoryTypes(vcpu.cpu, this.#acpi.ecam)
    }
    this.domain.vcpus[0]?.cpu.load(state)
  }

  /** Does what firmware does first after sleep, or has firmware do it. @returns whether the guest goes on */
  async #resume(options: PcOptions): Promise<boolean> {
    const { domain } = this
    const direct = startsDirectly(options)
    const state = direct
      ? await resumeDirectly(domain, this.#acpi)
      : resetState(domain.engine.processor.model.signature)
    if (state === null) return false
    if (direct) for (const vcpu of domain.vcpus) handOverMemoryTypes(vcpu.cpu, this.#acpi.ecam)
    domain.vcpus[0]?.cpu.load(state)
    return true
  }

  /** Whether it runs, sleeps in S3 until its alarm, the power button or a key wakes it, or is stopped. */
  get state(): PcState {
    if (this.domain.asleep) return 'asleep'
    return this.#running ? 'running' : 'stopped'
  }

  /**
   * Runs until the guest or the caller ends it.
   *
   * @param options.timeoutMs - host time after which it is stopped
   * @throws MachineError `ERR_STATE` if it runs already
   */
  async run(
    options: { readonly signal?: StopSignal | undefined; readonly timeoutMs?: number | undefined } = {},
  ): Promise<MachineExit> {
    if (this.#running) throw new MachineError('ERR_STATE', 'the machine runs already')
    this.#running = true
    let timedOut = false
    const { domain } = this
    const stop = (): void => domain.stop({ reason: 'stopped' })
    const timer =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true
            stop()
          }, options.timeoutMs)
    options.signal?.addEventListener('abort', stop)
    if (options.signal?.aborted === true) stop()
    try {
      const exit = await this.#sleep.run()
      if (exit.reason !== 'stopped') this.#end()
      await this.#board.flush()
      for (const model of this.#models) if (isBuffered(model)) model.flush()
      await this.#settled()
      return timedOut && exit.reason === 'stopped' ? { reason: 'timeout' } : machineExit(domain, exit)
    } finally {
      if (timer !== undefined) clearTimeout(timer)
      options.signal?.removeEventListener('abort', stop)
      this.#running = false
    }
  }

  /**
   * Presses the power button of the running machine: a system with ACPI powers off in good order, one that sleeps wakes.
   *
   * @returns whether the guest has asked for the button's event; where it has not, nothing will happen
   */
  async powerButton(): Promise<boolean> {
    const listens = await this.#board.pressPowerButton()
    this.domain.wake()
    return listens
  }

  /**
   * A CD or floppy drive, whose medium can be exchanged.
   *
   * @param id - as in the options, or the usual one: `cd0`, `cd1`, `floppy0`, `floppy1`
   * @throws MachineError `ERR_OPTION` where there is none of that name
   */
  drive(id: string): PcRemovableDrive {
    const found = this.removableDrives.find((drive) => drive.id === id)
    if (found !== undefined) return found
    const there = this.removableDrives.map((drive) => drive.id).join(', ') || 'none'
    throw new MachineError('ERR_OPTION', `drive '${id}': drives with a medium to exchange are: ${there}`)
  }

  /**
   * Plugs a device into a root port while the machine runs: `pc.plug({ drive: { …, nvme: { port: 'rp1' } } })`. The guest
   * is told, and brings it up in its own time.
   *
   * @throws MachineError `ERR_OPTION` for a device without a free port, or one that cannot be made
   */
  async plug(device: PcPluggable): Promise<void> {
    const hotPlug = await this.#loadHotPlug()
    await hotPlug.plug(device)
  }

  /**
   * Asks the guest for the device behind a root port, and waits until it has given it up; with `force` takes it. No byte
   * of the device's reaches guest memory after that.
   *
   * @param port - the `id` of the root port
   * @throws MachineError `ERR_UNPLUG` for a guest that does not give it up in time: it may still do so; `ERR_OPTION` for a
   * port that has no device; `ERR_STATE` at once when the machine ends or is closed
   */
  async unplug(port: string, options?: PcUnplugOptions): Promise<void> {
    const hotPlug = await this.#loadHotPlug()
    await hotPlug.unplug(port, options)
  }

  #loadHotPlug(): Promise<HotPlug> {
    return (this.#hotPlug ??= import('./hot-plug.ts').then(
      (module) => new module.HotPlug(this.domain, this.#site, () => this.#over),
    ))
  }

  /** Returns counts since power-on. */
  statistics(): PcStatistics {
    return measurePc(this)
  }
}

/** What is in a thread of its own, and what in this one. @throws MachineError `ERR_OPTION` */
function divide(options: PcOptions): { readonly moved?: MovedControllers; readonly local: PcOptions } {
  return options.controllerPlacement === undefined ? { local: options } : splitControllers(options)
}

/** A model that keeps back what it has for the host: serial ports, the debug console. */
function isBuffered(model: DeviceModel): model is DeviceModel & { flush(): void } {
  return 'flush' in model && typeof model.flush === 'function'
}
