import type { GdbTarget } from '@retrap/gdb'
import type { Keyboard, Mouse, Screen } from '@retrap/display'
import { closePages, type DomainVapic, type X86Domain, type X86DomainState } from '@retrap/hvm'
import type { MachineMemory } from '@retrap/memory'
import type { XenGuest } from '@retrap/xen'
import type { MachineDebugger } from '../debugger/machine-debugger.ts'
import type { PcGdbOptions } from '../debugger/gdb-target.ts'
import { MachineError } from '../errors.ts'
import { cloneBytes } from '../memory-size.ts'
import { checkOptionValues } from '../option-values.ts'
import type { ForkOrigin } from '../fork/fork-family.ts'
import type { PcForkOptions } from '../fork/fork-options.ts'
import type { HotPlug, PcPluggable, PcUnplugOptions } from './hot-plug.ts'
import type { MachineExit } from '../life/machine-exit.ts'
import type { MachineRunOptions, PcRestoreOptions, PcSaveOptions, PcState } from '../life/machine-life.ts'
import { measurePc, type PcStatistics } from '../life/statistics.ts'
import type { PcRemovableDrive } from '../devices/removable-drive.ts'
import type { SerialPort } from '../board/serial-port.ts'
import type { PcSnapshot, PcSnapshotSource, PcSnapshotState } from '../options/pc-snapshot.ts'
import type { PcInputs } from '../machine/machine-gate.ts'
import type { CheckpointOptions, MachineCheckpoint } from '../snapshot/checkpoint.ts'
import { composePc, type ComposedPc } from './compose-pc.ts'
import { type MachineVerb, requireSupported } from '../combinations/combinations.ts'
import { runOf, traitsOf } from '../combinations/traits.ts'
import { checkPcOptions } from './pc-option-rules.ts'
import { type PcOptions, startsDirectly } from '../options/pc-options.ts'
import { forkFamily, loadPcParts } from './pc-parts.ts'

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
  readonly #machine: ComposedPc
  /** Loaded when it is asked for. */
  #debugger: Promise<MachineDebugger> | undefined
  /** Loaded when a device is plugged in or out. */
  #hotPlug: Promise<HotPlug> | undefined

  private constructor(machine: ComposedPc) {
    const { state } = machine
    this.#machine = machine
    this.domain = state.domain
    this.memory = state.domain.memory
    this.serialPorts = machine.serialPorts
    this.serial = machine.serialPorts[0]!
    this.xenConsole = machine.xenConsole
    this.keyboard = machine.keyboard
    this.mouse = machine.mouse
    this.xen = machine.xen
    this.screen = machine.screen
    this.removableDrives = machine.removableDrives
    this.vapic = state.vapic
  }

  /** @internal Use {@link createPc}. @param gate - stands between the machine and its back ends */
  static create(given: PcOptions, gate?: PcInputs): Promise<Pc> {
    return Pc.#create(given, gate).catch((error: unknown) => {
      // The argument may be no options at all.
      const { pages } = (given as PcOptions | undefined)?.snapshot ?? {}
      if (pages !== undefined) closePages(pages)
      throw error
    })
  }

  static async #create(given: PcOptions, gate?: PcInputs, origin?: ForkOrigin): Promise<Pc> {
    if (origin === undefined) checkPcOptions(given, runOf(gate))
    // The machine neither keeps the snapshot, which has all of its RAM, nor loads a kernel over it.
    const { snapshot, ...all } = given
    const goesOn = snapshot !== undefined || origin !== undefined
    const kept = goesOn && startsDirectly(all) ? { ...all, kernel: undefined } : all
    const { family, options } = await forkFamily(kept, origin)
    const parts = await loadPcParts(options)
    origin?.checkRoom()
    const pc = new Pc(composePc(options, { ...parts, family }, gate, origin))
    const { life, state, failures, snapshots } = pc.#machine
    try {
      await life.startServers(state.options.deviceServers ?? [])
      // A clone's come as they are.
      if (origin === undefined) await state.boot.setDevices()
    } catch (error) {
      pc.close()
      throw failures.notStarted(error)
    }
    try {
      await state.boot.start()
      if (origin !== undefined) await (await snapshots.load()).beginFork(origin.state, origin.memory)
      if (snapshot !== undefined) await (await snapshots.load()).begin(snapshot)
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
    const { snapshots, family, life } = this.#machine
    snapshots.close()
    if (family !== undefined) life.stop()
    life.close()
  }

  /** Whether the machine runs, sleeps in S3 until its alarm, the power button or a key wakes it, or is stopped. */
  get state(): PcState {
    return this.#machine.life.state
  }

  /**
   * Runs until the guest or the caller ends it.
   *
   * @param options.timeoutMs - host time after which it is stopped
   * @throws MachineError `ERR_STATE` if it runs already, or was closed and has given its memory back
   */
  async run(options: MachineRunOptions = {}): Promise<MachineExit> {
    if (this.#machine.family?.hasLeft(this.domain) === true)
      throw new MachineError('ERR_STATE', 'the machine was closed')
    return this.#machine.life.run(options)
  }

  /**
   * Presses the power button of the running machine: a system with ACPI powers off in good order, one that sleeps wakes.
   *
   * @returns whether the guest has asked for the button's event; where it has not, nothing will happen
   */
  async powerButton(): Promise<boolean> {
    const listens = await this.#machine.pressPower()
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
    if (this.#machine.gate !== undefined)
      throw new MachineError('ERR_OPTION', 'the sleep button is not pressed while the run is recorded or replayed')
    const listens = await this.#machine.board.pressSleepButton()
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
   * Saves all of the machine, between two instructions of its vCPUs: for `PcOptions.snapshot` of a machine with the same options,
   * here or elsewhere. A running machine stands still for a moment, and runs on while its RAM is copied: later writes are not in
   * the snapshot.
   *
   * @param options.deadlineMs - host time that devices may take to bring their work to rest; default 10 seconds
   * @throws MachineError `ERR_SNAPSHOT` for a machine with what cannot be saved, by name, for a device that is too late, and
   *   where the host has no memory for the copy: the machine can run on; so can one whose run is recorded, and that has a
   *   device at work: try again; `ERR_STATE` for one that has ended
   */
  async save(options: PcSaveOptions = {}): Promise<PcSnapshot> {
    this.#require('save')
    const snapshots = await this.#machine.snapshots.load()
    return snapshots.save(options)
  }

  /**
   * Puts the machine back to the instant of a snapshot, in its own memory: of its own, or of any machine with the same options. A
   * running machine goes on from there; one that its guest has ended can be run again. Requests that its devices have in flight
   * end, and nothing of them is seen. Media are as they are now: to go back with disks that were written since, bring those back
   * too, in `atRest`. Only what was written since `save` with `forRestore`, or since the last `restore`, is brought back, and of
   * that what is used first comes first.
   *
   * @throws MachineError `ERR_SNAPSHOT` for a snapshot of another machine, and for a device that is too late: the machine is
   *   as it was. Where a device refuses its state later, the machine is closed. `ERR_STATE` for a machine that was closed
   */
  async restore(snapshot: PcSnapshot | PcSnapshotSource, options: PcRestoreOptions = {}): Promise<void> {
    this.#require('restore')
    const snapshots = await this.#machine.snapshots.load()
    await snapshots.restore(snapshot, options)
  }

  /**
   * Notes this instant, for the machine to be put back to it as often as wanted: `checkpoint.reset()`. RAM is copied a frame at a
   * time where the guest writes it, and only what was written is put back, in a fraction of a millisecond.
   *
   * @throws MachineError `ERR_SNAPSHOT` for a machine with what cannot be saved, by name, for a device that is too late, for RAM
   *   that other threads write, and for a machine that is recorded or replayed; `ERR_STATE` for one that has ended
   */
  async checkpoint(options: CheckpointOptions = {}): Promise<MachineCheckpoint> {
    this.#require('checkpoint')
    const snapshots = await this.#machine.snapshots.load()
    return snapshots.checkpoint(options)
  }

  /**
   * Makes a clone: a machine in the same machine memory that goes on from this instant, as this one does, by itself. RAM is
   * shared, and copied a frame at a time where either of them writes it. Media that the guest may write are as they were for
   * the clone, and keep what it writes in memory. Consoles are the clone's own; its network cards are on no network, unless
   * `options` say otherwise. A guest of Xen has the same domain number in the clone, which is the only guest of its host; ports
   * and watches of the original's host are not the clone's. The machine needs room for it: the option `forks`.
   *
   * @throws MachineError `ERR_FORK` for a machine that cannot be forked, saying what to do; `ERR_STATE` for one that has ended
   */
  fork(options: PcForkOptions = {}): Promise<Pc> {
    return this.forkBehind(options)
  }

  /** @internal Use `recordClone`. @param gateFor - makes what stands between the clone and its back ends, by its options */
  async forkBehind(options: PcForkOptions, gateFor?: (options: PcOptions) => Promise<PcInputs>): Promise<Pc> {
    const { state, family } = this.#machine
    const [{ forkMachine }, { FORK_OPTIONS }, snapshots] = await Promise.all([
      import('../fork/fork-machine.ts'),
      import('../fork/fork-options.ts'),
      this.#machine.snapshots.load(),
    ])
    return forkMachine(
      {
        options: state.options,
        domain: state.domain,
        family,
        changeable: FORK_OPTIONS,
        cloneBytes: cloneBytes(state.options),
        check: checkOptionValues,
        require: () => this.#require('fork'),
        still: (action) => snapshots.fork(action),
        stateOf: (domain: X86DomainState): PcSnapshotState => snapshots.stateWith(domain),
        create: async (clone, origin) => Pc.#create(clone, await gateFor?.(clone), origin),
      },
      options,
    )
  }

  #require(verb: MachineVerb): void {
    const { gate, state } = this.#machine
    const traits = traitsOf(state.options, runOf(gate))
    // A replay need not have the models.
    if (state.domain.hasRecordedModels) traits.add('recorded-models')
    requireSupported(verb, traits)
  }

  /** The machine's debugger: breakpoints, steps, registers, memory. */
  debugger(): Promise<MachineDebugger> {
    return (this.#debugger ??= import('../debugger/pc-debugger.ts').then((module) =>
      module.attachPcDebugger(this.domain, this.#machine.life, this.#machine.gate !== undefined),
    ))
  }

  /** Shows the machine to gdb. @returns what a `GdbSession` of `@retrap/gdb` takes */
  async gdbTarget(options: PcGdbOptions): Promise<GdbTarget> {
    const [{ pcGdbTarget }, debug] = await Promise.all([import('../debugger/gdb-target.ts'), this.debugger()])
    return pcGdbTarget(this.domain, debug, options)
  }

  async #loadHotPlug(): Promise<HotPlug> {
    this.#require('plug')
    const { site, life } = this.#machine
    return (this.#hotPlug ??= import('./hot-plug.ts').then((module) => new module.HotPlug(this.domain, site, life)))
  }

  /** Returns counts since power-on. */
  statistics(): PcStatistics {
    return measurePc(this)
  }
}
