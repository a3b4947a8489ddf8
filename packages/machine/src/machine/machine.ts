import type { Keyboard, Mouse, Screen } from '@retrap/display'
import type { MachineMemory } from '@retrap/memory'
import type { XenGuest } from '@retrap/xen'
import type { PlacedBoard } from '../board/placed-board.ts'
import type { SerialPort } from '../board/serial-port.ts'
import { type MachineVerb, requireSupported } from '../refusals/refusals.ts'
import { runOf, traitsOf } from '../refusals/traits.ts'
import type { MachineDebugger } from '../debugger/machine-debugger.ts'
import type { MachineRemovableDrive, RemovableDrive } from '../devices/removable-drive.ts'
import { MachineError } from '../errors.ts'
import type { ForkFamily, ForkOrigin } from '../fork/fork-family.ts'
import type { MachineExit } from '../lifecycle/machine-exit.ts'
import type {
  FirstFailure,
  MachineActivity,
  MachineLife,
  MachineRestoreOptions,
  MachineRunOptions,
  MachineSaveOptions,
  ResetImages,
} from '../lifecycle/machine-life.ts'
import type { CheckpointOptions, MachineCheckpoint } from '../snapshot/checkpoint.ts'
import type { MachineSnapshot, MachineSnapshotSource, SnapshotHost, Snapshots } from '../snapshot/snapshots.ts'
import type { Board, MachineDevices, MachineKind, MachineParts } from './board.ts'
import type { HotPlug, MachinePluggable, MachineUnplugOptions } from './hot-plug.ts'
import type { MachineGate } from './machine-gate.ts'

type SnapshotsOf<K extends MachineKind> = Snapshots<K['state']['domain'], K['state']>
type HostOf<K extends MachineKind> = SnapshotHost<K['state']['domain'], K['state']>

/** The {@link Snapshots} of a machine, which are loaded when it is first saved or restored. */
export class LazySnapshots<K extends MachineKind> {
  readonly #host: Omit<HostOf<K>, 'board'>
  readonly #loadState: () => Promise<HostOf<K>['board']>
  loaded: SnapshotsOf<K> | undefined

  constructor(host: Omit<HostOf<K>, 'board'>, loadState: () => Promise<HostOf<K>['board']>) {
    this.#host = host
    this.#loadState = loadState
  }

  async load(): Promise<SnapshotsOf<K>> {
    if (this.loaded !== undefined) return this.loaded
    const [{ Snapshots }, board] = await Promise.all([import('../snapshot/snapshots.ts'), this.#loadState()])
    return (this.loaded ??= new Snapshots({ ...this.#host, board }))
  }
}

/** A machine whose parts exist and are connected, before its first run. */
export interface ComposedMachine<K extends MachineKind> extends MachineParts<K> {
  readonly board: Board<K>
  readonly gate: MachineGate<K> | undefined
  /** Machines within the same machine memory, if the machine can be forked. */
  readonly family: ForkFamily | undefined
  /** The options, with the back ends of the models: behind trays, and behind the gate. */
  readonly options: K['options']
  /** The options with trays, and without a gate: a clone has back ends of its own. */
  readonly ungated: K['options']
  readonly failures: FirstFailure
  readonly life: MachineLife
  readonly snapshots: LazySnapshots<K>
  readonly removableDrives: readonly RemovableDrive[]
  readonly xen: XenGuest | undefined
  readonly xenConsole: SerialPort
  readonly serialPorts: readonly SerialPort[]
  readonly screen: Screen
  readonly keyboard: Keyboard
  readonly mouse: Mouse
  readonly devices: MachineDevices
  readonly placed: PlacedBoard
  readonly pressPower: () => boolean | Promise<boolean>
  readonly moveWallClock: (ns: number) => void
  /** Checks each option by itself. @throws MachineError `ERR_OPTION` */
  readonly checkValues: (options: K['options']) => void
  /** Makes a machine of the same kind that continues from an instant of this one. */
  readonly clone: (
    options: K['options'],
    gate: MachineGate<K> | undefined,
    origin: ForkOrigin<K['domain'], K['state']>,
  ) => Promise<object>
}

/** A machine of any board: a `Pc`, or an `ArmMachine`. `REFUSALS` lists the calls that a board does not support. */
export abstract class Machine<K extends MachineKind> {
  /** The machine's inside: vCPUs, memory map, devices. */
  readonly domain: K['domain']
  /** Machine memory, which guest RAM is part of. */
  readonly memory: MachineMemory
  /** The first serial port, which is the console. */
  readonly serial: SerialPort
  /** All serial ports: COM1 and so on of a PC. */
  readonly serialPorts: readonly SerialPort[]
  /** The console that Xen gives its guests, hvc0 of Linux; without Xen it is silent. */
  readonly xenConsole: SerialPort
  /** The keyboard: type on it, press keys. */
  readonly keyboard: Keyboard
  /** The mouse: moves and button presses. */
  readonly mouse: Mouse
  /** The Xen that the guest sees, with `hypervisor: 'xen'`. */
  readonly xen: XenGuest | undefined
  /** The graphics card's picture; always off in a machine without a card. */
  readonly screen: Screen
  /** Drives whose medium can be exchanged: CD and floppy drives, in the order of the options. */
  readonly removableDrives: readonly MachineRemovableDrive[]
  readonly #machine: ComposedMachine<K>
  /** Loaded on first use. */
  #debugger: Promise<MachineDebugger> | undefined
  /** Loaded when a device is plugged in or out. */
  #hotPlug: Promise<HotPlug> | undefined

  /** @internal Machines are made by `createPc` and `createArmMachine`. */
  constructor(parts: MachineParts<K>) {
    const machine = parts as ComposedMachine<K>
    this.#machine = machine
    this.domain = machine.domain
    this.memory = machine.domain.memory
    this.serialPorts = machine.serialPorts
    this.serial = machine.serialPorts[0]!
    this.xenConsole = machine.xenConsole
    this.keyboard = machine.keyboard
    this.mouse = machine.mouse
    this.xen = machine.xen
    this.screen = machine.screen
    this.removableDrives = machine.removableDrives
  }

  /**
   * Ends the threads and processes of device models. A machine that can be forked, and a clone, is stopped, and gives its
   * memory back.
   */
  close(): void {
    const { snapshots, family, life } = this.#machine
    snapshots.loaded?.close()
    if (family !== undefined) life.stop()
    life.close()
  }

  /**
   * Resets the machine in place, as its reset button does: a running one goes on with its firmware or kernel, and one that its
   * guest has ended can be run again. RAM and the contents of batteries and media stay; a new machine has none of them.
   *
   * @param images - replace the options' images: a machine that continues from a snapshot has no kernel
   * @throws MachineError `ERR_STATE` for a machine that is recorded, replayed, or was closed; `ERR_OPTION` where there is no
   * kernel; errors of loading a kernel
   */
  async reset(images: ResetImages = {}): Promise<void> {
    const { gate, life } = this.#machine
    if (gate !== undefined)
      throw new MachineError('ERR_STATE', 'a machine whose run is recorded or replayed is reset by its guest alone')
    await life.inTurn.do(() => life.reset(images))
  }

  /** Whether the machine runs, sleeps in S3 until its alarm, the power button or a key wakes it, or is stopped. */
  get state(): MachineActivity {
    return this.#machine.life.state
  }

  /**
   * Runs until the guest or the caller ends it.
   *
   * @param options.timeoutMs - host time after which the run is stopped
   * @throws MachineError `ERR_STATE` if it runs already, or was closed and has given its memory back
   */
  async run(options: MachineRunOptions = {}): Promise<MachineExit> {
    if (this.#machine.family?.left.has(this.domain) === true)
      throw new MachineError('ERR_STATE', 'the machine was closed')
    return this.#machine.life.run(options)
  }

  /**
   * Presses the power button of the running machine: a system with ACPI powers off in good order, one that sleeps wakes.
   *
   * @returns whether the guest has enabled the button's event; otherwise the press has no effect
   */
  async powerButton(): Promise<boolean> {
    const listens = await this.#machine.pressPower()
    this.domain.wake()
    return listens
  }

  /**
   * Moves the guest's real-time clock by whole seconds, and Xen's wall clock to the nanosecond; of a recorded run it is an input. Guests read
   * these when they start, and some when they wake.
   *
   * @param ns - nanoseconds forward, or back
   */
  moveWallClock(ns: number): void {
    this.#machine.moveWallClock(ns)
  }

  /**
   * A CD or floppy drive, whose medium can be exchanged.
   *
   * @param id - as in the options, or the usual one: `cd0`, `cd1`, `floppy0`, `floppy1`
   * @throws MachineError `ERR_OPTION` for an unknown name
   */
  drive(id: string): MachineRemovableDrive {
    const found = this.removableDrives.find((drive) => drive.id === id)
    if (found !== undefined) return found
    const there = this.removableDrives.map((drive) => drive.id).join(', ') || 'none'
    throw new MachineError('ERR_OPTION', `drive '${id}': drives with a medium to exchange are: ${there}`)
  }

  /**
   * Plugs a device into a root port while the machine runs: `pc.plug({ drive: { …, nvme: { port: 'rp1' } } })`. The guest is
   * notified, and brings it up in its own time. While the run is recorded it comes when the machine runs on, and the recording
   * has it; a replay plugs the devices of its recording, and ignores this call.
   *
   * @throws MachineError `ERR_OPTION` for a device without a free port, one that cannot be made, or a board without hot plug
   */
  async plug(device: MachinePluggable): Promise<void> {
    this.#require('plug')
    const hotPlug = await this.hotPlug()
    await hotPlug.plug(device)
  }

  /**
   * Asks the guest for the device behind a root port, and waits until it has given it up; with `force` takes it. No byte
   * of the device's reaches guest memory after that.
   *
   * @param port - the `id` of the root port
   * @throws MachineError `ERR_UNPLUG` for a guest that does not give it up in time: it may still do so; `ERR_OPTION` for a
   * port that has no device, or a board without hot plug; `ERR_STATE` at once when the machine ends or is closed
   */
  async unplug(port: string, options?: MachineUnplugOptions): Promise<void> {
    this.#require('plug')
    const hotPlug = await this.hotPlug()
    await hotPlug.unplug(port, options)
  }

  /**
   * Saves all of the machine, between two instructions of its vCPUs: for the option `snapshot` of a machine with the same options,
   * here or elsewhere. A running machine stands still for a moment, and runs on while its RAM is copied: later writes are not in
   * the snapshot.
   *
   * @param options.deadlineMs - host time that devices may take to bring their work to rest; default 10 seconds
   * @throws MachineError `ERR_SNAPSHOT` if a named part cannot be saved, a device does not come to rest in time, or the host lacks
   * memory for the copy: the machine can run on. A recorded machine with a busy device also fails so: try again. A replay does
   * without recorded models: a snapshot that it saves has no state of them, and is refused. `ERR_STATE` for a machine that has ended
   */
  async save(options: MachineSaveOptions = {}): Promise<MachineSnapshot<K['state']>> {
    this.#require('save')
    const snapshots = await this.#machine.snapshots.load()
    return snapshots.save(options)
  }

  /**
   * Puts the machine back to the instant of a snapshot, in its own memory: of its own, or of any machine with the same options. A
   * running machine continues from the instant; one that its guest has ended can be run again. Requests that its devices have in
   * flight end, and nothing of them is seen. Media are as they are now: to go back with disks that were written since, bring
   * those back too, in `atRest`. Only frames written since `save` with `forRestore`, or since the last `restore`, are restored,
   * the frames that are used first before others.
   *
   * @throws MachineError `ERR_SNAPSHOT` for a snapshot of another machine, and for a device that is too late: the machine is
   *   as it was. Where a device refuses its state later, the machine is closed. `ERR_STATE` for a machine that was closed
   */
  async restore(snapshot: MachineSnapshotSource<K['state']>, options: MachineRestoreOptions = {}): Promise<void> {
    this.#require('restore')
    const snapshots = await this.#machine.snapshots.load()
    await snapshots.restore(snapshot, options)
  }

  /**
   * Notes this instant, for the machine to be put back to it as often as wanted: `checkpoint.reset()`. RAM is copied a frame at a
   * time where the guest writes it, and only written frames are restored, in a fraction of a millisecond.
   *
   * @throws MachineError `ERR_SNAPSHOT` for a machine with a part that cannot be saved, by name, for a device that is too late,
   * and for a machine that is recorded or replayed; `ERR_STATE` for one that has ended
   */
  async checkpoint(options: CheckpointOptions = {}): Promise<MachineCheckpoint> {
    this.#require('checkpoint')
    const snapshots = await this.#machine.snapshots.load()
    return snapshots.checkpoint(options)
  }

  /**
   * Makes a clone: a machine in the same machine memory that goes on from this instant, as this one does, by itself. RAM is
   * shared, and copied a frame at a time where either of them writes it. Media that the guest may write have their present
   * contents in the clone, which keeps its writes in memory. Consoles are the clone's own; its network cards are on no network,
   * unless `options` say otherwise. A guest of Xen has the same domain number in the clone, which is the only guest of its
   * host; ports and watches of the original's host are not the clone's. The machine needs room for it: the option `forks`. A
   * clone of a recorded machine is a branch of its run: not recorded, or by `recordClone` with a recording of its own that
   * begins here.
   *
   * @throws MachineError `ERR_FORK` for a machine that cannot be forked, with a remedy; `ERR_STATE` for one that has ended
   */
  fork(options: K['forkOptions'] = {}): Promise<this> {
    return this.forkBehind(options)
  }

  /** @internal Use `recordClone`. @param gateFor - makes the gate between the clone and its back ends, from its options */
  async forkBehind(
    changes: K['forkOptions'],
    gateFor?: (options: K['options']) => Promise<MachineGate<K>>,
  ): Promise<this> {
    const [{ forkMachine }, snapshots, hotPlug] = await Promise.all([
      import('./fork-machine.ts'),
      this.#machine.snapshots.load(),
      this.#hotPlug,
    ])
    const { board, ungated: options, domain, family, life, checkValues, clone } = this.#machine
    return forkMachine(
      {
        ...{ options, domain, family, board, life, snapshots, check: checkValues },
        require: () => {
          this.#require('fork')
          const port = hotPlug?.changedPort
          if (port !== undefined)
            throw new MachineError(
              'ERR_FORK',
              `root port '${port}' has another device than its options say: save and restore`,
            )
        },
        create: async (given, origin) => (await clone(given, await gateFor?.(given), origin)) as this,
      },
      changes,
    )
  }

  #require(verb: MachineVerb): void {
    const { gate, options, board } = this.#machine
    requireSupported(verb, traitsOf({ ...options, machine: board.name }, runOf(gate)))
  }

  /** @internal Bytes that the guest has sent by an output of its console since power-on; see `RunHistoryKeeper`. */
  sentBy(output: number): number {
    const heard = this.#machine.gate?.console.heard[output] ?? 0
    return output === 0 ? (this.serial.sent ?? heard) : heard
  }

  /** The machine's debugger: breakpoints, steps, registers, memory. Exceptions of an Arm board are classes, as in ESR_EL1. */
  debugger(): Promise<MachineDebugger> {
    const { board, life, gate } = this.#machine
    return (this.#debugger ??= board.attachDebugger(life, gate !== undefined))
  }

  /** @internal Plugs devices in and out; loaded when first used. */
  hotPlug(): Promise<HotPlug> {
    const { devices, life, domain, gate } = this.#machine
    return (this.#hotPlug ??= import('./hot-plug.ts').then(
      (module) => new module.HotPlug(domain, devices.site, life, gate),
    ))
  }
}
