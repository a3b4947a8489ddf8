import { SPEAKER_FORMAT } from '@retrap/devices'
import type { DeviceModel } from '@retrap/device'
import type { GdbTarget } from '@retrap/gdb'
import { Keyboard, Mouse, Screen } from '@retrap/display'
import { closePages, X86Domain } from '@retrap/hvm'
import type { DomainVapic } from '@retrap/hvm'
import { MachineMemory, PAGE_BYTES } from '@retrap/memory'
import type { XenGuest } from '@retrap/xen'
import { describeBoard } from '../board/board-description.ts'
import { describeCrash } from '../life/crash.ts'
import { mapResetVector } from '../firmware/after-bios.ts'
import type { MachineDebugger } from '../debugger/machine-debugger.ts'
import type { PcGdbOptions } from '../debugger/gdb-target.ts'
import type { PcSite } from '../kinds/placed-devices.ts'
import { MachineError } from '../errors.ts'
import type { ForkFamily, ForkOrigin } from '../fork/fork-family.ts'
import type { PcForkOptions } from '../fork/fork-options.ts'
import type { HotPlug, PcPluggable, PcUnplugOptions } from '../devices/hot-plug.ts'
import { epochOf, HostSleeper, type RandomSource, randomOf } from '../life/host.ts'
import { InputSwitch } from '../input/input-switch.ts'
import { waking } from '../input/relay.ts'
import { kernelForFirmware, pcMemoryMap } from '../loaders/index.ts'
import { CHIPSETS } from './machine-type.ts'
import type { MachineExit } from '../life/machine-exit.ts'
import {
  MachineLife,
  type MachineRunOptions,
  type PcRestoreOptions,
  type PcSaveOptions,
  type PcState,
} from '../life/machine-life.ts'
import { machineMemoryBytes } from '../memory-size.ts'
import { checkOptionRom, isKernelRom } from '../firmware/option-roms.ts'
import { boardOf } from './pc-board.ts'
import { PcBoot } from './pc-boot.ts'
import { pcDomainOptions } from './pc-domain.ts'
import { checkPcOptions } from './pc-option-rules.ts'
import { kernelImages, type PcOptions, startsDirectly } from './pc-options.ts'
import { forkFamily, loadPcParts, type PcParts, placePcDevices } from './pc-parts.ts'
import { type PlacedBoard, placeBoard } from '../board/placed-board.ts'
import { isShared } from '../life/prepare.ts'
import { type PcRemovableDrive, withTrays } from '../devices/removable-drive.ts'
import { sampledVcpus } from '../life/call-stack.ts'
import { Sampler } from '../life/sampling.ts'
import { inSystemManagement, smramOf } from '../firmware/smram.ts'
import { Sleep } from '../life/sleep.ts'
import type { PcSnapshot, PcSnapshotSource } from '../snapshot/pc-snapshot.ts'
import type { PcInputs } from '../recording/pc-inputs.ts'
import type { SnapshotParts } from '../snapshot/snapshot.ts'
import type { Snapshots } from '../snapshot/snapshots.ts'
import { SerialLine, type SerialPort } from '../devices/serial-port.ts'
import { measurePc, type PcStatistics } from '../life/statistics.ts'
import { hasVga } from '../devices/vga.ts'
import { createVapic } from '../firmware/vapic.ts'
import { PciSlots, wantedSlots } from '../devices/pci-slots.ts'
import { xenConsole, xenOptions } from './xen.ts'

/** Behind the bridges and the graphics card, and Xen's platform device. */
const FIRST_FREE_SLOT = 3
const XEN_FIRST_FREE_SLOT = 4

/**
 * Assembles a PC: memory, vCPUs, interrupt controllers, board devices, ACPI tables, and what it starts.
 *
 * @throws MachineError, LoaderError, MemoryError or DeviceError, naming the value and what was expected
 */
export async function createPc(options: PcOptions): Promise<Pc> {
  return Pc.create(options)
}

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
  readonly #options: PcOptions
  readonly #random: RandomSource
  readonly #board: PlacedBoard
  readonly #boot: PcBoot
  readonly #life: MachineLife
  readonly #sleep: Sleep
  readonly #gate: PcInputs | undefined
  /** The machines in its memory, where it can be forked. */
  readonly #family: ForkFamily | undefined
  readonly #pressPower: () => boolean | Promise<boolean>
  readonly #site: PcSite
  /** Loaded when the machine is saved or restored. */
  #snapshots: Snapshots | undefined
  /** Loaded when it is asked for. */
  #debugger: Promise<MachineDebugger> | undefined
  /** Loaded when a device is plugged in or out. */
  #hotPlug: Promise<HotPlug> | undefined

  /** @param begun - told of the domain, which may have servers in other threads when this throws */
  private constructor(
    given: PcOptions,
    parts: PcParts,
    begun: (domain: X86Domain) => void,
    gate?: PcInputs,
    origin?: ForkOrigin,
  ) {
    const { drives: withMedia, removable } = withTrays(given.drives ?? [], () => this.domain.wake())
    const connected = { ...given, ...(given.drives !== undefined && { drives: withMedia }) }
    const options = gate?.options(connected) ?? connected
    this.#gate = gate
    this.#family = parts.family
    this.removableDrives = removable
    const machine = options.machine ?? 'pc'
    const map = pcMemoryMap(options.memoryBytes, CHIPSETS[machine].lowRamLimit)
    this.memory =
      origin?.domain.memory ??
      MachineMemory.create({
        bytes: machineMemoryBytes(options, parts.flash),
        // What is recorded of models elsewhere is what they say: they reach no memory by themselves.
        shared: gate === undefined && isShared(options),
      })
    const epochSeconds = epochOf(options)
    const source = randomOf(options)
    const random = source.next
    const xen = options.hypervisor === 'xen'
    const sleeper = new HostSleeper()
    this.domain = new X86Domain({
      ...pcDomainOptions(options, { memory: this.memory, random, sleeper, forked: origin?.domain }),
      onFailure: (failure) => {
        this.#life.failed(failure)
        options.onDeviceFailure?.(failure)
      },
    })
    begun(this.domain)
    if (origin !== undefined) origin.clone = this.domain
    this.#life = new MachineLife(this.domain, {
      models: options.devices ?? [],
      run: () => sleep.run(),
      settle: async () => {
        await this.#board.flush()
        await devices.settled()
      },
      leave: () => {
        for (const drive of removable) drive.leave()
        origin?.closeMedia()
        if (this.#family !== undefined) this.#giveBack(this.#family)
      },
      describe: (vcpu, message) => describeCrash(this.domain, vcpu, message),
    })
    if (options.sampling !== undefined)
      this.domain.watchTurns(new Sampler(this.domain, sampledVcpus(this.domain), options.sampling))
    this.xen = parts.plugXen?.(this.domain, xenOptions(map, epochSeconds, random))
    for (const range of map.ram) {
      const [gfn, count] = [range.gpa / PAGE_BYTES, range.bytes / PAGE_BYTES]
      if (origin === undefined) this.domain.p2m.populate(gfn, count)
      else origin.memory.populate(this.domain, gfn, count)
    }
    if (startsDirectly(options)) mapResetVector(this.domain)
    const sleep = (this.#sleep = new Sleep(this.domain, {
      resume: () => this.#boot.resume(),
      changed: (asleep) => options.onSleep?.(asleep),
      turn: () => sleeper.sleep(0),
      paused: () => this.#life.paused(),
    }))
    gate?.start({
      domain: this.domain,
      pause: (action) => this.#life.pause(action),
      snapshots: () => this.#loadSnapshots(),
    })
    if (gate !== undefined) this.domain.takeInputs(gate.gate)
    const lines = Array.from({ length: options.serialPorts ?? 1 }, (_, port) => {
      const receive = (bytes: Uint8Array): void => {
        this.#board.receive(port, bytes)
        this.domain.wake()
      }
      return new SerialLine(gate?.serial(port, receive) ?? receive)
    })
    this.serialPorts = lines
    this.serial = lines[0]!
    this.xenConsole = xenConsole(this.xen?.consoleRing, gate)
    const acpi = describeBoard(
      map,
      this.domain.vcpus.map((vcpu) => vcpu.apic.apicId),
      lines.length,
      machine,
      hasVga(options),
      !xen,
    )
    this.keyboard = options.keyboard ?? new Keyboard()
    this.mouse = options.mouse ?? new Mouse()
    const optionRoms = [...parts.vapicRoms, ...(options.optionRoms ?? [])].map((rom) => ({
      ...rom,
      bytes: checkOptionRom(rom),
    }))
    this.#options = options
    this.#random = source
    this.#boot = new PcBoot(this.domain, options, { map, acpi, optionRoms, flash: parts.flash })
    if (optionRoms.some((rom) => !isKernelRom(rom)))
      this.vapic = createVapic(this.domain, options.vapic, () => this.#boot.area)
    const firstSlot = xen ? XEN_FIRST_FREE_SLOT : FIRST_FREE_SLOT
    const slots = new PciSlots(firstSlot, wantedSlots(options), CHIPSETS[machine].lastSlot)
    this.screen = options.screen ?? new Screen()
    const wake = (): void => this.domain.wake()
    const keys = gate?.input('keyboard', this.keyboard) ?? this.keyboard
    const pointer = gate?.input('mouse', this.mouse) ?? this.mouse
    const keyboard = new InputSwitch(waking(keys, wake, () => this.domain.asleep && this.#board.wake()))
    const mouse = new InputSwitch(waking(pointer, wake))
    // The board's own come first.
    const boardInput = { keyboard: keyboard.join(), mouse: mouse.join() }
    const devices = placePcDevices(this.domain, options, parts, {
      slots,
      random,
      keyboard,
      mouse,
      screen: this.screen,
      inSystemManagement: () => inSystemManagement(this.domain),
    })
    this.#site = devices.site
    const images = kernelImages(options)
    const kernel = images === undefined || startsDirectly(options) ? undefined : kernelForFirmware(images, map)
    for (const { gpa, bytes } of kernel?.loaded ?? []) this.domain.guestMemory.load(gpa, bytes)
    this.#board = placeBoard(
      this.domain,
      boardOf(options, { map, acpi, epochSeconds, optionRoms, devices, kernel }),
      options.devicePlacement,
      boardInput,
      {
        transmit: (port, bytes) => lines[port]?.transmit(bytes),
        taken: (port, count) => lines[port]?.taken(count),
        shadow: (range) => this.#boot.shadow(range),
        ramfb: devices.onRamfb,
        speaker: (samples) => options.speaker?.play(samples, SPEAKER_FORMAT),
        sleep: () => sleep.begin(),
        wake: () => sleep.end(),
      },
    )
    const press = (): boolean | Promise<boolean> => this.#board.pressPowerButton()
    this.#pressPower = gate?.button(press) ?? press
    for (const ready of [...devices.ready, this.#board.ready]) this.#life.waitFor(ready)
    // In this thread wherever the board is: media are objects of the caller's.
    const models = [...devices.models, ...(options.devices ?? [])]
    const runsAgain = (model: DeviceModel): boolean =>
      options.devices?.includes(model) === true ? model.deterministic === true : !devices.fromHost.includes(model)
    const placed = gate?.place(this.domain, models, runsAgain) ?? { models }
    for (const model of placed.models) this.domain.attach(model)
    if (placed.server !== undefined) {
      this.domain.addServer(placed.server)
      this.#life.waitFor(placed.server.remote.ready)
    }
  }

  /** @internal Use {@link createPc}. @param gate - stands between the machine and its back ends */
  static create(given: PcOptions, gate?: PcInputs): Promise<Pc> {
    return Pc.#create(given, gate).catch((error: unknown) => {
      // What was given may be no options at all.
      const { pages } = (given as PcOptions | undefined)?.snapshot ?? {}
      if (pages !== undefined) closePages(pages)
      throw error
    })
  }

  static async #create(given: PcOptions, gate?: PcInputs, origin?: ForkOrigin): Promise<Pc> {
    if (origin === undefined) checkPcOptions(given, gate !== undefined)
    // The machine neither keeps the snapshot, which has all of its RAM, nor loads a kernel over it.
    const { snapshot, ...all } = given
    const goesOn = snapshot !== undefined || origin !== undefined
    const kept = goesOn && startsDirectly(all) ? { ...all, kernel: undefined } : all
    const { family, options } = await forkFamily(kept, origin)
    const parts = await loadPcParts(options)
    origin?.checkRoom()
    let domain: X86Domain | undefined
    let pc: Pc
    try {
      pc = new Pc(options, { ...parts, family }, (begun) => (domain = begun), gate, origin)
    } catch (error) {
      domain?.close()
      throw error
    }
    try {
      await pc.#life.startServers(pc.#options.deviceServers ?? [])
      await pc.#boot.setDevices()
    } catch (error) {
      pc.close()
      throw pc.#life.notStarted(error)
    }
    try {
      await pc.#boot.start()
      if (origin !== undefined) await (await pc.#loadSnapshots()).beginFork(origin.state, origin.memory)
      if (snapshot !== undefined) await (await pc.#loadSnapshots()).begin(snapshot)
    } catch (error) {
      pc.close()
      throw error
    }
    return pc
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

  /** Whether it runs, sleeps in S3 until its alarm, the power button or a key wakes it, or is stopped. */
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
   * Presses the power button of the running machine: a system with ACPI powers off in good order, one that sleeps wakes.
   *
   * @returns whether the guest has asked for the button's event; where it has not, nothing will happen
   */
  async powerButton(): Promise<boolean> {
    const listens = await this.#pressPower()
    this.domain.wake()
    return listens
  }

  /**
   * Presses the sleep button of the running machine: a system that acts on it (Debian's does where systemd-logind runs) goes
   * to sleep, and one that sleeps wakes. Of a machine that was restored, the guest finds that the time has passed meanwhile for
   * which the machine was away, so its clock is right afterwards.
   *
   * @returns whether the guest has asked for the button's event; where it has not, nothing will happen
   * @throws MachineError `ERR_OPTION` while the run is recorded or replayed
   */
  async sleepButton(): Promise<boolean> {
    if (this.#gate !== undefined)
      throw new MachineError('ERR_OPTION', 'the sleep button is not pressed while the run is recorded or replayed')
    const listens = await this.#board.pressSleepButton()
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

  /**
   * Saves all of the machine, between two instructions of its vCPUs: for `PcOptions.snapshot` of a machine with the same
   * options, here or elsewhere. One that runs stands still for a moment, and runs on while its RAM is copied: what it
   * writes meanwhile is not in the snapshot.
   *
   * @param options.deadlineMs - host time that devices may take to bring their work to rest; default 10 seconds
   * @throws MachineError `ERR_SNAPSHOT` for a machine with what cannot be saved, by name, for a device that is too late, and
   *   where the host has no memory for the copy: the machine can run on; so can one whose run is recorded, and that has a
   *   device at work: try again; `ERR_STATE` for one that has ended
   */
  async save(options: PcSaveOptions = {}): Promise<PcSnapshot> {
    const snapshots = await this.#loadSnapshots()
    return snapshots.save(options)
  }

  /**
   * Puts the machine back to the instant of a snapshot, in its own memory: of its own, or of any machine with the same
   * options. One that runs goes on from there; one that its guest has ended can be run again. What its devices have in
   * flight ends, and nothing of it is seen. Media are as they are now: to go back with disks that were written since, bring
   * those back too, in `atRest`. Only what was written since `save` with `forRestore`, or since the last `restore`, is
   * brought back, and of that what is used first comes first.
   *
   * @throws MachineError `ERR_SNAPSHOT` for a snapshot of another machine, and for a device that is too late: the machine is
   *   as it was. Where a device refuses its state later, the machine is closed. `ERR_STATE` for a machine that was closed
   */
  async restore(snapshot: PcSnapshot | PcSnapshotSource, options: PcRestoreOptions = {}): Promise<void> {
    if (this.#gate !== undefined) {
      const why = 'its recording would not be of one run'
      throw new MachineError('ERR_SNAPSHOT', `a machine that is recorded or replayed cannot go back: ${why}`)
    }
    const snapshots = await this.#loadSnapshots()
    await snapshots.restore(snapshot, options)
  }

  /**
   * Makes a clone: a machine in the same machine memory that goes on from this instant, as this one does, by itself. RAM is
   * shared, and copied a frame at a time where either of them writes it. Media that the guest may write are as they were for
   * the clone, and keep what it writes in memory. Consoles are the clone's own; its network cards are on no network, unless
   * `options` say otherwise. The machine needs room for it: the option `forks`.
   *
   * @throws MachineError `ERR_FORK` for a machine that cannot be forked, saying what to do; `ERR_STATE` for one that has ended
   */
  fork(options: PcForkOptions = {}): Promise<Pc> {
    return this.forkBehind(options)
  }

  /** @internal Use `recordClone`. @param gateFor - makes what stands between the clone and its back ends, by its options */
  async forkBehind(options: PcForkOptions, gateFor?: (options: PcOptions) => Promise<PcInputs>): Promise<Pc> {
    const [{ forkPc }, snapshots] = await Promise.all([import('../fork/fork-pc.ts'), this.#loadSnapshots()])
    return forkPc(
      {
        options: this.#options,
        isRecorded: this.#gate !== undefined,
        family: this.#family,
        snapshots,
        parts: () => this.#snapshotParts(),
        create: async (clone, origin) => Pc.#create(clone, await gateFor?.(clone), origin),
      },
      options,
    )
  }

  #giveBack(family: ForkFamily): void {
    family.leave(this.domain, () => {
      this.#boot.close()
      smramOf(this.domain)?.close()
    })
  }

  /** The machine's debugger: breakpoints, steps, registers, memory. */
  debugger(): Promise<MachineDebugger> {
    return (this.#debugger ??= import('../debugger/pc-debugger.ts').then((module) =>
      module.attachPcDebugger(this.domain, this.#life),
    ))
  }

  /** Shows the machine to gdb. @returns what a `GdbSession` of `@retrap/gdb` takes */
  async gdbTarget(options: PcGdbOptions): Promise<GdbTarget> {
    const [{ pcGdbTarget }, debug] = await Promise.all([import('../debugger/gdb-target.ts'), this.debugger()])
    return pcGdbTarget(this.domain, debug, options)
  }

  #snapshotParts(): SnapshotParts {
    const { area } = this.#boot
    const { domain, vapic } = this
    return { domain, options: this.#options, random: this.#random, area, vapic, sleep: this.#sleep }
  }

  async #loadSnapshots(): Promise<Snapshots> {
    const { Snapshots } = await import('../snapshot/snapshots.ts')
    return (this.#snapshots ??= new Snapshots({
      life: this.#life,
      parts: () => this.#snapshotParts(),
      isRecorded: this.#gate?.isRecording === true,
      slept: (asleep) => this.#options.onSleep?.(asleep),
    }))
  }

  async #loadHotPlug(): Promise<HotPlug> {
    if (this.#gate !== undefined)
      throw new MachineError('ERR_OPTION', 'devices cannot be plugged in or out while the run is recorded or replayed')
    return (this.#hotPlug ??= import('../devices/hot-plug.ts').then(
      (module) => new module.HotPlug(this.domain, this.#site, () => this.#life.isOver),
    ))
  }

  /** Returns counts since power-on. */
  statistics(): PcStatistics {
    return measurePc(this)
  }
}
