import { defined, printable } from '@retrap/basics'
import { rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { constants } from 'node:os'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import {
  describeThrown,
  GuestWatch,
  type MachineExit,
  type MachineTrait,
  requireSupported,
  traitsOf,
} from '@retrap/machine'
import { BackEnds } from '../back-ends/back-ends.ts'
import { SessionDisplay } from '../display/session-display.ts'
import { flushDevices } from '../devices/devices.ts'
import type { MachineDevices } from '@retrap/linux-guest/machine/machine-contract'
import { ExitCode } from '../../exit-codes.ts'
import { CliError, troubled } from '@retrap/linux-guest/errors'
import { explainError } from '../../errors.ts'
import { SessionGdb } from '../gdb/session-gdb.ts'
import type { EndingSignal, SessionDebugger, SessionHost } from './session-host.ts'
import type { Machine, MachineImages, MachineOptions } from '@retrap/linux-guest/machine/machine-contract'
import { runCommand } from '../monitor/commands.ts'
import { HotDevices } from '../monitor/hot-devices.ts'
import { openMonitor } from '../monitor/monitor-sockets.ts'
import type { QmpSite } from '../monitor/qmp-commands.ts'
import { RunControl } from '../../host/run-control.ts'
import { openControl } from '../migration/control.ts'
import { SessionMigration } from '../migration/session-migration.ts'
import { OutputWatch } from '../../host/output-watch.ts'
import { Chardevs } from '../serial/chardevs.ts'
import { SerialWires } from '../serial/serial-wires.ts'
import { usage } from '../../options/values.ts'
import { exitCodeOf, linesOfEnd, timeoutLine, type Ending } from './session-end.ts'
import type { SessionSettings } from './session-settings.ts'
import { bundledOptions } from '../recording/bundled-run.ts'
import { SessionRecording } from '../recording/session-recording.ts'
import { GuestClock, SessionSnapshots } from '../snapshots/session-snapshots.ts'
import { SessionTerminal } from './session-terminal.ts'
import { formatStatistics, measure, Stopwatch } from './statistics.ts'

const ASLEEP = 'retrap: the guest sleeps; its alarm, a key or Ctrl-A p wakes it\r\n'
/** The end of a run whose machine is to start anew for a command. */
const ASKED_RESET: MachineExit = { reason: 'reset' }
const AWAKE = 'retrap: the guest wakes\r\n'

/** A machine, and the models of this process that it was given. */
interface Made {
  readonly machine: Machine
  readonly models: MachineOptions['devices']
}

/**
 * Runs a machine with the terminal as its serial console until the guest or the user ends it.
 *
 * @returns the exit code for the process; see {@link ExitCode}
 */
export async function runSession(settings: SessionSettings, host: SessionHost): Promise<number> {
  const session = new Session(settings, host)
  let code: number
  let kept = false
  try {
    code = await session.run(await session.open())
  } finally {
    kept = await session.close()
  }
  // An exit code that already tells of trouble says more than this one.
  return kept || code !== ExitCode.PowerOff ? code : ExitCode.Input
}

class Session {
  readonly #settings: SessionSettings
  readonly #host: SessionHost
  readonly #stopwatch = new Stopwatch()
  /** Aborted when the session is to end, whatever the machine does. */
  readonly #stop = new AbortController()
  /** Rejects when the session ends, after a turn in which commands that end it are answered. */
  readonly #over = Promise.withResolvers<never>()
  /** The user has ended the run: output that waits for its reader waits no longer. */
  readonly #lastCall = new AbortController()
  readonly #closing: (() => void)[] = []
  readonly #terminal: SessionTerminal
  readonly #wires = new SerialWires()
  readonly #chardevs = new Chardevs()
  #backEnds: BackEnds | undefined
  #devices: HotDevices | undefined
  readonly #display: SessionDisplay | undefined
  /** Why the last picture is not in its file. */
  #unseen: string | undefined
  #watch: OutputWatch | undefined
  readonly #snapshots: SessionSnapshots
  /** The clock of a restored guest that has to set its time. */
  #clock: GuestClock | undefined
  readonly #debugger: SessionDebugger | undefined
  readonly #recording: SessionRecording
  readonly #migration: SessionMigration
  readonly #control: RunControl
  /** Ends the run, as a user who leaves. */
  readonly #leave = (): void => this.#end({ code: ExitCode.PowerOff }, false)
  /** The machine could not be saved. */
  #unsaved = false
  /** The devices that the user's modules and programs make. */
  #loaded: MachineDevices | undefined
  /** Number of resets of the machine. */
  #resets = 0
  #machine: Machine | undefined
  /** The traits of the machine, by which combinations are refused. */
  #traits: ReadonlySet<MachineTrait> = new Set()
  #ending: Ending | undefined
  /** A part of the saved machine cannot be read. */
  #lost: Ending | undefined
  #running: Machine | undefined
  #signalledBefore = false
  /** Pauses the machine for readers that stall. */
  #pause = new AbortController()

  constructor(settings: SessionSettings, host: SessionHost) {
    this.#settings = settings
    this.#host = host
    this.#over.promise.catch(() => {})
    this.#stop.signal.addEventListener('abort', () => void this.#isOver())
    const { display } = settings
    if (display !== undefined) {
      this.#display = new SessionDisplay(display, host.stdout, (message) =>
        this.#end({ code: ExitCode.Input, message }, true),
      )
    }
    if (host.debugger !== undefined && settings.gdb !== undefined)
      throw usage('--gdb: the machine has another debugger; leave it out')
    this.#debugger = host.debugger ?? (settings.gdb && new SessionGdb(settings.gdb))
    this.#snapshots = new SessionSnapshots(
      settings.snapshots,
      settings.drives ?? [],
      (text) => this.#terminal.answer(`retrap: ${text}\n`),
      () => this.#backEnds?.images,
      () => this.#control.status !== 'running',
    )
    const isTyped = host.stdin.isTTY === true
    const tell = (text: string): void => {
      if (isTyped) this.#terminal.answer(`retrap: ${text}\n`)
      else host.stderr.write(`retrap: ${text}\n`)
    }
    this.#control = new RunControl(settings.paused === true)
    this.#control.interrupt = () => this.#pause.abort()
    if (settings.wasPaused === true) this.#control.hold()
    if (settings.events !== undefined) settings.events.tell = (...event) => this.#control.tell(...event)
    this.#recording = new SessionRecording(settings.recording ?? { arguments: [] }, isTyped, tell, this.#leave)
    this.#migration = new SessionMigration({
      check: (machine) => {
        requireSupported('migrate', this.#traits)
        this.#snapshots.check(machine, true)
      },
      images: () => this.#backEnds?.images,
      over: this.#over.promise,
      isPaused: () => this.#control.status !== 'running',
      gone: (message) => this.#end({ code: ExitCode.PowerOff, message }, false),
    })
    this.#terminal = new SessionTerminal(settings, host, this.#display?.terminal, {
      left: () => this.#end({ code: ExitCode.PowerOff }, true),
      power: () => void this.#pressPowerButton(),
      command: (line) => void this.#command(line),
      save: () => void this.#command('savevm'),
      panicked: (reason) =>
        this.#end({ code: ExitCode.GuestPanic, message: `the guest's kernel has panicked: ${reason}` }, false),
    })
  }

  /** Gives readers a moment for the remaining output. */
  #callLast(): void {
    setTimeout(() => this.#lastCall.abort(), LAST_CALL_MS).unref()
  }

  async #isOver(): Promise<void> {
    await setImmediate()
    this.#over.reject(new CliError('ERR_INPUT', 'the run has ended before the command was done'))
  }

  /** @param hurry - output does not wait for its readers for longer than a moment */
  #end(ending: Ending, hurry: boolean): void {
    this.#ending ??= ending
    this.#stop.abort()
    if (hurry) this.#callLast()
  }

  /** Ends a machine that cannot run without the lost resource. */
  #lose(message: string): void {
    this.#lost ??= { code: ExitCode.Input, message }
    this.#end(this.#lost, false)
  }

  /** SIGTERM presses the power button of a guest that heeds it. Everything else, and the second SIGTERM, ends the run. */
  async #signalled(signal: EndingSignal): Promise<void> {
    const isFirst = !this.#signalledBefore
    this.#signalledBefore = true
    // The process may end before the display is closed.
    if (!isFirst) this.#display?.terminal?.close()
    if (isFirst && signal === 'SIGTERM' && (await this.#pressPowerButton())) {
      this.#host.stderr.write('retrap: SIGTERM presses the power button; another one ends the run\n')
    } else this.#end({ code: ExitCode.signal(constants.signals[signal]) }, true)
  }

  /** Carries out a command that was typed after Ctrl-A c. @param line - the command; null: the user has cancelled it */
  async #command(line: string | null): Promise<void> {
    if (this.#backEnds !== undefined)
      this.#terminal.answer(line === null ? '' : await this.#answer(line), line !== null)
  }

  /** Carries out a command. @returns the text for the user */
  async #answer(line: string): Promise<string> {
    return this.#backEnds === undefined ? '' : runCommand(line, this.#site())
  }

  /** The surroundings of a command, once the back ends are open. */
  #site(): QmpSite {
    const { memoryBytes, cpus, smbios } = this.#settings.machine
    return {
      ...{ machine: this.#running, backEnds: this.#backEnds!, devices: this.#devices!, control: this.#control },
      ...{ snapshots: this.#snapshots, recording: this.#recording, migration: this.#migration, leave: this.#leave },
      over: this.#over.promise,
      tell: (text) => this.#terminal.answer(text),
      power: () => this.#pressPowerButton(),
      facts: { memoryBytes, cpus, uuid: smbios?.uuid, isArm: this.#settings.machine.architecture === 'arm64' },
    }
  }

  async #pressPowerButton(): Promise<boolean> {
    const answer = this.#running?.powerButton() ?? false
    // A board in a Worker may hang, or its Worker: then the answer never comes.
    return Promise.race([answer, sleep(BUTTON_MS, false, { ref: false })])
  }

  /**
   * Opens the session's files, networks and devices.
   *
   * @returns false if the session has to end first
   * @throws CliError if a serial port cannot be opened
   */
  async open(): Promise<boolean> {
    return (await this.#inTime(this.#open().then(() => true))) ?? false
  }

  async #open(): Promise<void> {
    // Until handlers are installed, signals end the process, even while a module loops at its top level.
    this.#loaded = await this.#settings.devices(this.#millisecondsLeft())
    const { serial, chardevs = [] } = this.#settings
    const { stdout, stderr } = this.#host
    const failed = (message: string): void => this.#end({ code: ExitCode.Input, message }, true)
    await this.#chardevs.open(chardevs, this.#terminal.farEnd(), stderr, failed)
    const { recording } = this.#settings
    const isReplay = recording?.replay !== undefined && recording.goLive !== true
    const isIncoming = this.#settings.takeOver !== undefined
    this.#backEnds = await BackEnds.open({ ...this.#settings, isReplay, isIncoming }, this.#chardevs)
    const { machine, portDevices = [] } = this.#settings
    this.#devices = new HotDevices(machine.rootPorts ?? [], portDevices, this.#backEnds, stderr)
    this.#devices.onRemoved = (device) => {
      this.#snapshots.changed(`the removal of ${device}`)
      this.#control.tell('DEVICE_DELETED', { device, path: `/machine/peripheral/${device}` })
    }
    for (const note of this.#backEnds.images.notes) stderr.write(`retrap: ${note}\n`)
    this.#closing.push(
      this.#host.onSignal((signal) => void this.#signalled(signal)),
      this.#host.onUncaught((thrown) => this.#uncaught(thrown)),
      this.#host.onStuck((ms, exit) => this.#stuck(ms, exit)),
    )
    await this.#wires.open(serial, stderr, failed)
    stdout.on('error', (error) => this.#unwritable(error))
    // An error of stderr itself cannot be reported.
    stderr.on('error', () => {})
    const outputs = [stdout, stderr, ...this.#wires.outputs, ...this.#chardevs.outputs]
    await this.#display?.open(stderr)
    await this.#snapshots.open()
    await this.#debugger?.open(stderr, () => this.#end({ code: ExitCode.PowerOff }, true))
    const { pidFile } = this.#settings
    if (pidFile !== undefined) {
      await writeFile(pidFile, `${process.pid}\n`).catch(troubled(`--pidfile ${pidFile}`, 'write'))
      this.#closing.push(() => rmSync(pidFile, { force: true }))
    }
    if (this.#settings.control !== undefined)
      this.#closing.push(await openControl(this.#settings.control, (line) => this.#answer(line)))
    const { monitor = [], qmp = [] } = this.#settings
    const monitors = [...monitor.map((at) => [at, false] as const), ...qmp.map((at) => [at, true] as const)]
    for (const [target, isQmp] of monitors) {
      if (target.kind === 'stdio') continue
      this.#closing.push(await openMonitor(target, isQmp, () => this.#site(), stderr))
    }
    this.#watch = new OutputWatch(outputs, () => this.#pause.abort())
  }

  /** The reader of stdout has gone, or stdout cannot be written. */
  #unwritable(error: Error): void {
    const gone = 'code' in error && error.code === 'EPIPE'
    if (gone) this.#end({ code: ExitCode.signal(constants.signals.SIGPIPE) }, true)
    else this.#end({ code: ExitCode.Input, message: `cannot write the output: ${error.message}` }, true)
  }

  /** Ends the session after an error outside of any request, of a device module or of ours. */
  #uncaught(thrown: unknown): void {
    const message = `nothing caught what was thrown, by a device module or by retrap: ${describeThrown(thrown, true)}`
    this.#end({ code: ExitCode.InternalError, message }, false)
  }

  /** A user's device model does not return: `--timeout` ends the process, without the actions after a run. */
  #stuck(ms: number, exit: (code: number) => void): void {
    const { timeoutMs = Infinity } = this.#settings
    const past = this.#stopwatch.wallSeconds() * 1000 - timeoutMs
    // Actions after a run, such as a save, may be slow.
    const isClosing = this.#machine !== undefined && this.#running === undefined
    if (past < LATE_MS || (isClosing && ms < CLOSING_MS)) return
    this.#host.stderr.write(timeoutLine(timeoutMs))
    exit(ExitCode.Timeout)
  }

  /** Runs the machine, over its resets, until it ends. @param isOpen - the back ends are open already @returns the exit code */
  async run(isOpen: boolean): Promise<number> {
    const { noReboot, profile } = this.#settings
    const host = this.#host
    const made = isOpen ? await this.#make() : null
    let exit: MachineExit = { reason: this.#stop.signal.aborted ? 'stopped' : 'timeout' }
    if (made !== null) {
      await this.#takeOver()
      this.#closing.push(this.#terminal.open())
      this.#host.begun?.()
      exit = await this.#runMachine(made.machine)
      await this.#resolveProfile(made.machine)
      flushDevices(made.models)
      this.#reportKeptViews(made.machine)
      if (exit.reason !== 'reset' && !this.#migration.isGone) await this.#saveOnExit(made.machine, exit)
      if (exit.reason === 'reset') {
        this.#tellReset(exit !== ASKED_RESET)
        host.stderr.write(`retrap: the guest has reset the machine${noReboot === true ? ' (--no-reboot)' : ''}\n`)
      }
    }
    const isGuests = exit.reason !== 'stopped' && exit.reason !== 'timeout'
    this.#control.tell('SHUTDOWN', { guest: isGuests, reason: isGuests ? 'guest-shutdown' : 'host-qmp-quit' })
    profile?.write()
    await this.#recording.close()
    if (this.#machine !== undefined) this.#unseen = await this.#display?.finish()
    if (this.#unseen !== undefined) host.stderr.write(`retrap: ${this.#unseen}\n`)
    return this.#report(exit)
  }

  #tellReset(isGuest: boolean): void {
    this.#control.tell('RESET', { guest: isGuest, reason: isGuest ? 'guest-reset' : 'host-qmp-system-reset' })
  }

  /** The machine is reset in place. @returns its images: it has given up the images that it was made with */
  #wasReset(isGuest: boolean): Promise<MachineImages> {
    this.#resets++
    this.#tellReset(isGuest)
    this.#debugger?.restarted?.()
    return this.#settings.images()
  }

  /** Takes over a machine that has arrived from another process. */
  async #takeOver(): Promise<void> {
    const claim = async (writes: unknown): Promise<void> => this.#backEnds?.images.claim(writes ?? [])
    const arrived = await this.#settings.takeOver?.(claim)
    if (arrived === undefined) return
    if (arrived.isPaused) this.#control.hold()
    const how = this.#control.status === 'running' ? 'runs' : 'is paused'
    this.#host.stderr.write(`retrap: the machine has arrived, and ${how} here\n`)
  }

  async #saveOnExit(machine: Machine, { reason }: MachineExit): Promise<void> {
    try {
      const told = await this.#snapshots.saveOnExit(machine, reason !== 'stopped' && reason !== 'timeout')
      if (told !== undefined) this.#host.stderr.write(`retrap: ${told}\n`)
    } catch (error) {
      const known = explainError(error)
      if (known === undefined) throw error
      this.#host.stderr.write(`retrap: ${known.message}\n`)
      this.#unsaved = true
    }
  }

  async #resolveProfile(machine: Machine): Promise<void> {
    const { profile, images } = this.#settings
    if (profile === undefined) return
    profile.resolve(machine, (await images()).kernel)
    if (profile.isFull) this.#host.stderr.write('retrap: the profile has room for no more samples and ends early\n')
  }

  /**
   * Makes a machine.
   *
   * @returns null if the session has to end before the machine exists
   */
  async #make(): Promise<Made | null> {
    if (this.#millisecondsLeft() <= 0 || this.#stop.signal.aborted) return null
    const made = this.#create()
    const first = await this.#inTime(made)
    if (first === null) made.then(({ machine }) => machine.close?.()).catch(() => {})
    else this.#machine = first.machine
    return first
  }

  /**
   * Waits for work that the session needs, but not beyond an interrupt by the user or `--timeout`.
   *
   * @returns null where the session is to end before `work` has
   */
  async #inTime<T>(work: Promise<T>): Promise<T | null> {
    const left = this.#millisecondsLeft()
    const over = new AbortController()
    const end = AbortSignal.any([this.#stop.signal, over.signal])
    const timer = left === Infinity ? undefined : setTimeout(() => over.abort(), left)
    try {
      const first = await Promise.race([work, new Promise<null>((resolve) => (end.onabort = () => resolve(null)))])
      // The work that is waited for may keep the process for long.
      if (first === null) this.#host.abandon()
      return first
    } finally {
      clearTimeout(timer)
      end.onabort = null
    }
  }

  async #create(): Promise<Made> {
    const settings = this.#settings
    const tell = (text: string): void => this.#terminal.status(text)
    const snapshot = await settings.restore?.(tell, (message) => this.#lose(message))
    const loaded = this.#loaded ?? (await settings.devices(this.#millisecondsLeft()))
    const { behindPorts = [], ...backEnds } = (await this.#backEnds?.forMachine(this.#millisecondsLeft())) ?? {}
    const models = [...loaded.models, ...behindPorts]
    const serialPorts = Math.max(1, settings.serial.length)
    const { keyboard, mouse } = this.#display?.vnc ?? { keyboard: this.#display?.terminal?.keyboard }
    // A recorded machine must not depend on the display, which may differ in a replay.
    const isShown = (this.#display?.vnc ?? this.#display?.terminal) !== undefined && !this.#recording.isActive
    const given: MachineOptions = {
      ...settings.machine,
      ...(snapshot !== undefined && { snapshot }),
      ...(await settings.images()),
      ...(serialPorts > 1 && { serialPorts }),
      ...backEnds,
      ...(this.#display !== undefined && { screen: this.#display.screen }),
      ...(isShown && { boot: { ...settings.machine.boot, mirrorsScreen: false } }),
      ...defined({ keyboard, mouse }),
      devices: models,
      deviceServers: loaded.servers,
      ...(settings.noReboot !== true && { onReset: () => this.#wasReset(true) }),
      onSleep: (asleep) => {
        this.#control.tell(asleep ? 'SUSPEND' : 'WAKEUP')
        if (this.#clock?.slept(asleep) !== true) this.#host.stderr.write(asleep ? ASLEEP : AWAKE)
      },
      onWarning: (warning) => void this.#host.stderr.write(`\r\nretrap: ${warning}\r\n`),
    }
    const inside = settings.recording?.machine
    const options = inside === undefined ? given : bundledOptions(inside, given)
    this.#traits = traitsOf(
      { ...options, machine: options.architecture === 'arm64' ? 'virt' : 'pc' },
      this.#recording.run,
    )
    // A recorded machine waits for its debugger, which can go back.
    if (this.#debugger !== undefined) requireSupported(this.#recording.isActive ? 'reverse' : 'gdb', this.#traits)
    const machine = await this.#recording.create(options, this.#host.createMachine)
    try {
      if (snapshot !== undefined && settings.setsClock === true) {
        this.#clock = new GuestClock((text) => this.#host.stderr.write(`retrap: ${text}\r\n`))
        void this.#clock.ask(machine)
      }
      this.#connect(machine)
      settings.trace?.attach(machine, options.kernel)
      await this.#debugger?.adopt(machine, this.#recording.runnerOf(machine))
      this.#sayArchitecture(options.kernel)
    } catch (error) {
      machine.close?.()
      throw error
    }
    return { machine, models }
  }

  /** Runs one machine to its end, pausing while readers of its output stall. */
  async #runMachine(machine: Machine): Promise<MachineExit> {
    for (;;) {
      this.#pause = new AbortController()
      const left = this.#millisecondsLeft()
      const signal = AbortSignal.any([this.#stop.signal, this.#pause.signal])
      this.#running = machine
      const over = left === Infinity ? [] : [AbortSignal.timeout(Math.ceil(left))]
      await this.#control.released(AbortSignal.any([this.#stop.signal, ...over]))
      if (this.#stop.signal.aborted) return { reason: 'stopped' }
      if (this.#control.takesReset()) {
        if (this.#settings.noReboot === true || machine.reset === undefined || this.#recording.isActive)
          return ASKED_RESET
        await machine.reset(await this.#wasReset(false))
        // A machine that a debugger keeps still is not resumed.
        continue
      }
      if (over.some(({ aborted }) => aborted)) return { reason: 'timeout' }
      const exit: MachineExit = await this.#migration.run.run(
        this.#recording.runnerOf(machine),
        { signal, ...(left === Infinity ? {} : { timeoutMs: left }) },
        { reason: 'stopped' },
      )
      this.#running = undefined
      if (exit.reason !== 'stopped' || this.#stop.signal.aborted) return exit
      if (this.#control.isAsked) continue
      await this.#watch?.drained(this.#stop.signal, this.#millisecondsLeft())
      if (this.#stop.signal.aborted) return exit
      if (this.#millisecondsLeft() <= 0) return { reason: 'timeout' }
    }
  }

  /** Making the machine may already have taken the whole time limit. */
  #millisecondsLeft(): number {
    const { timeoutMs } = this.#settings
    return timeoutMs === undefined ? Infinity : Math.max(0, timeoutMs - this.#stopwatch.wallSeconds() * 1000)
  }

  #connect(machine: Machine): void {
    const watch = new GuestWatch(({ message }) => void this.#host.stderr.write(`\r\nretrap: ${printable(message)}\r\n`))
    const looking = setInterval(() => watch.look(machine.isHaltedForGood === true), LOOK_MS).unref()
    this.#closing.push(() => clearInterval(looking))
    const print = (bytes: Uint8Array): void => {
      this.#terminal.print(bytes)
      watch.printed(bytes)
    }
    this.#wires.connect(machine, print)
    this.#devices?.follow(machine)
    machine.xenConsole?.onTransmit(this.#terminal.isConsole ? print : (bytes) => this.#wires.ends[0]?.write(bytes))
    this.#terminal.connect(machine)
  }

  /** Warns that gdb has x86-64 registers wrong after it has read a 32-bit kernel. */
  #sayArchitecture(kernel: Uint8Array | undefined): void {
    const { gdb } = this.#settings
    const is32 = kernel?.[0] === ELFMAG0 && kernel[EI_CLASS] === ELFCLASS32
    const isI386 = kernel?.[E_MACHINE] === EM_386
    if (gdb === undefined || gdb.architecture !== undefined || !is32 || !isI386 || this.#machine !== undefined) return
    this.#host.stderr.write(
      `retrap: the kernel is of 32 bits: write --gdb tcp:${gdb.host}:${gdb.port},arch=i386, so that gdb reads its registers so\n`,
    )
  }

  #reportKeptViews(machine: Machine): void {
    for (const { device, gpa, length } of machine.domain.keptViews?.() ?? []) {
      const where = `${length} bytes at guest address 0x${gpa.toString(16)}`
      this.#host.stderr.write(`device ${device} has written a view of guest memory after its release: ${where}\n`)
    }
  }

  /** Prints why the run has ended, unless obvious, on stderr. @returns the exit code */
  #report(ended: MachineExit): number {
    const { stderr, disassemble } = this.#host
    const { timeoutMs, stats, machine } = this.#settings
    // A machine reports an unreadable file as its own error.
    const exit: MachineExit = this.#lost === undefined ? ended : { reason: 'stopped' }
    const ending = this.#lost ?? (exit.reason === 'stopped' ? this.#ending : undefined)
    const exitCode = ending?.code ?? exitCodeOf(exit)
    if (exit.reason === 'timeout') this.#callLast()
    for (const line of linesOfEnd(exit, ending, { timeoutMs, disassemble })) stderr.write(line)
    if (stats !== undefined && this.#machine !== undefined) {
      const stopwatch = this.#stopwatch
      const guestBytes = machine.memoryBytes
      const statistics = measure({
        machine: this.#machine,
        stopwatch,
        exit,
        exitCode,
        guestBytes,
        resets: this.#resets,
      })
      stderr.write(stats === 'json' ? `${JSON.stringify(statistics)}\n` : formatStatistics(statistics))
    }
    return exitCode
  }

  /**
   * Ends the session's activities. A guest's last output waits for its reader, unless the user has ended the run.
   *
   * @returns whether all writes of the guest are in its images, and the last picture and the machine in their files
   */
  async close(): Promise<boolean> {
    this.#settings.trace?.end()
    this.#machine?.close?.()
    this.#settings.unitCache?.close()
    const failed = (await this.#backEnds?.close()) ?? []
    for (const { path, error } of failed) {
      this.#host.stderr.write(`retrap: not all that the guest wrote is in ${path}: ${describeThrown(error)}\n`)
    }
    this.#terminal.stop()
    if (this.#watch !== undefined) {
      const { stdout, stderr } = this.#host
      const left = await this.#watch.empty([stdout, stderr], this.#lastCall.signal)
      if (left > 0) {
        this.#host.stderr.write(`retrap: ${left} bytes of output are lost: their reader did not take them\n`)
        this.#host.abandon()
      }
      this.#watch.stop()
    }
    await this.#display?.close()
    await this.#debugger?.close()
    await this.#isOver()
    // The answers go out first.
    await setImmediate()
    for (const close of this.#closing.toReversed()) close()
    await this.#chardevs.close()
    await this.#wires.close()
    return failed.length === 0 && this.#unseen === undefined && !this.#unsaved
  }
}

// Bytes of an ELF file's header (System V ABI, chapter 4).
const ELFMAG0 = 0x7f
const EI_CLASS = 4
const ELFCLASS32 = 1
const E_MACHINE = 18
const EM_386 = 3
/** Time for readers to take output after the user has ended the run. */
const LAST_CALL_MS = 150
/** Milliseconds between checks for a halted guest. */
const LOOK_MS = 1000
/** Milliseconds for the run to notice `--timeout` by itself. */
const LATE_MS = 500
/** Longest time that the cleanup after a run may block the event loop. */
const CLOSING_MS = 10_000
/** Milliseconds in which a machine answers the power button; without an answer the button counts as ignored. */
const BUTTON_MS = 2000
