import { createWriteStream, type WriteStream } from 'node:fs'
import { constants } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import { CliError } from './cli-error.ts'
import { formatCrash, type Disassemble } from './crash-report.ts'
import { flushDevices, type CreateDevices } from './devices.ts'
import { ExitCode } from './exit-codes.ts'
import type { MachineExit } from '@retrap/machine'
import type { CreateMachine, Machine, MachineOptions, MachineSerial } from './machine-contract.ts'
import { SerialInput, type InputPolicy } from './serial-input.ts'
import { formatStatistics, measure, Stopwatch } from './statistics.ts'
import type { SerialTarget } from './values.ts'

/** What the system under a machine is. */
export type MachineImages = Pick<
  MachineOptions,
  'kernel' | 'initrd' | 'modules' | 'firmware' | 'commandLine' | 'optionRoms'
>

/** One machine to run, and how it meets the outside. */
export interface SessionSettings {
  readonly machine: Omit<MachineOptions, 'devices' | 'deviceServers' | keyof MachineImages>
  /** Reads what the machine starts; asked anew after a reset, since a machine may take them to pieces. */
  readonly images: () => Promise<MachineImages>
  readonly devices: CreateDevices
  readonly serial: SerialTarget
  /** Which of the guest's consoles gets what is typed. Both are printed. */
  readonly console: 'serial' | 'xen'
  readonly input: InputPolicy
  readonly timeoutMs?: number
  readonly stats?: 'json' | 'text'
}

export type EndingSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'

/** The process around a session, as a value so that tests can stand in for it. */
export interface SessionHost {
  readonly createMachine: CreateMachine
  readonly disassemble: Disassemble
  readonly stdin: SessionInput
  readonly stdout: SessionOutput
  readonly stderr: SessionOutput
  /** Calls back when the process is asked to end; returns how to stop listening. */
  onSignal(listener: (signal: EndingSignal) => void): () => void
}

export interface SessionInput {
  readonly isTTY?: boolean
  setRawMode?(raw: boolean): unknown
  on(event: 'data', listener: (bytes: Uint8Array) => void): unknown
  on(event: 'end', listener: () => void): unknown
  removeAllListeners(): unknown
  resume(): unknown
  pause(): unknown
  unref?(): unknown
}

export interface SessionOutput {
  write(data: Uint8Array | string): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
}

const KEYS = '\r\nCtrl-A x  leave\r\nCtrl-A Ctrl-A  send Ctrl-A\r\nCtrl-A h  this help\r\n'

/**
 * Runs a machine with the terminal as its serial console until the guest or the user ends it.
 *
 * @returns the exit code for the process; see {@link ExitCode}
 */
export async function runSession(settings: SessionSettings, host: SessionHost): Promise<number> {
  const stopwatch = new Stopwatch()
  const stop = new AbortController()
  let endedBy: number | undefined
  const end = (code: number): void => {
    endedBy ??= code
    stop.abort()
  }

  let devices = await settings.devices()
  const create = async (): Promise<Machine> => {
    const { models, servers } = devices
    const images = await settings.images()
    return host.createMachine({ ...settings.machine, ...images, devices: models, deviceServers: servers })
  }
  const terminalOf = (of: Machine): MachineSerial =>
    settings.console === 'xen' ? of.xenConsole : (of.serialPorts[0] as MachineSerial)
  let machine = await create()
  const output = await openOutput(settings.serial, host)
  output.onError(() => end(ExitCode.signal(constants.signals.SIGPIPE)))
  const input = new SerialInput({
    policy: settings.serial.kind === 'stdio' ? settings.input : { kind: 'pass' },
    interactive: host.stdin.isTTY === true,
    send: (bytes) => terminalOf(machine).receive(bytes),
    onLeave: () => end(ExitCode.PowerOff),
    onHelp: () => host.stderr.write(KEYS),
    onRoom: () => host.stdin.resume(),
  })
  const connect = (to: Machine): void => {
    const print = (bytes: Uint8Array): void => {
      output.write(bytes)
      input.transmitted(bytes)
    }
    to.serialPorts[0]?.onTransmit(print)
    to.xenConsole.onTransmit(print)
  }
  connect(machine)
  const forgetSignals = host.onSignal((signal) => end(ExitCode.signal(constants.signals[signal])))
  // A guest that halts for good leaves nothing else that would keep the process; it is still the user's to end.
  const alive = setInterval(() => {}, 0x7fff_ffff)
  const closeInput = settings.serial.kind === 'stdio' ? openInput(host, input) : () => {}

  try {
    let resets = 0
    let exit: MachineExit
    for (;;) {
      // Making the machine may already have taken all the time there was.
      const left =
        settings.timeoutMs === undefined ? undefined : Math.max(0, settings.timeoutMs - stopwatch.wallSeconds() * 1000)
      exit = await machine.run({ signal: stop.signal, ...(left === undefined ? {} : { timeoutMs: left }) })
      flushDevices(devices.models)
      for (const { device, gpa, length } of machine.domain.keptViews?.() ?? []) {
        const where = `${length} bytes at guest address 0x${gpa.toString(16)}`
        host.stderr.write(`device ${device} has written a view of guest memory after its release: ${where}\n`)
      }
      if (exit.reason !== 'reset') break
      // A PC starts again when it is reset. Memory would survive, but what is loaded into it would not.
      resets++
      // One that does nothing else leaves no room for keys and timers otherwise.
      await setImmediate()
      if (settings.timeoutMs !== undefined && stopwatch.wallSeconds() * 1000 >= settings.timeoutMs) {
        exit = { reason: 'timeout' }
        break
      }
      machine.close?.()
      devices = await settings.devices()
      machine = await create()
      connect(machine)
    }
    const exitCode = exit.reason === 'stopped' ? (endedBy ?? ExitCode.PowerOff) : exitCodeOf(exit)
    const title = CRASHES[exit.reason]
    if (title !== undefined) {
      host.stderr.write(formatCrash(title, exit.detail, host.disassemble))
    }
    if (settings.stats !== undefined) {
      const guestBytes = settings.machine.memoryBytes
      const statistics = measure({ machine, stopwatch, exit, exitCode, guestBytes, resets })
      host.stderr.write(settings.stats === 'json' ? `${JSON.stringify(statistics)}\n` : formatStatistics(statistics))
    }
    return exitCode
  } finally {
    machine.close?.()
    clearInterval(alive)
    input.stop()
    closeInput()
    forgetSignals()
    await output.close()
  }
}

/** Exits that registers are shown for, as people read them. */
const CRASHES: Readonly<Partial<Record<MachineExit['reason'], string>>> = {
  'triple-fault': 'triple fault',
  'guest-crash': 'guest crash',
  'internal-error': 'internal error',
}

function exitCodeOf(exit: MachineExit): number {
  switch (exit.reason) {
    case 'debug-exit':
      // A process's status has eight bits.
      return (exit.code ?? ExitCode.debugExit(0)) & 0xff
    case 'triple-fault':
      return ExitCode.TripleFault
    case 'guest-crash':
      return ExitCode.GuestCrash
    case 'timeout':
      return ExitCode.Timeout
    case 'internal-error':
      return ExitCode.InternalError
    case 'power-off':
    case 'suspend':
    case 'stopped':
    case 'reset':
      return ExitCode.PowerOff
  }
}

/** Connects the terminal, in raw mode so that the guest gets every key. */
function openInput(host: SessionHost, input: SerialInput): () => void {
  const { stdin } = host
  const terminal = stdin.isTTY === true
  if (terminal) stdin.setRawMode?.(true)
  stdin.on('data', (bytes) => {
    input.typed(bytes)
    if (input.isFull) stdin.pause()
  })
  stdin.on('end', () => input.ended())
  stdin.resume()
  return () => {
    stdin.removeAllListeners()
    stdin.pause()
    // An open pipe must not keep a finished process alive.
    stdin.unref?.()
    if (terminal) stdin.setRawMode?.(false)
  }
}

interface Output {
  write(bytes: Uint8Array): void
  onError(listener: () => void): void
  close(): Promise<void>
}

async function openOutput(target: SerialTarget, host: SessionHost): Promise<Output> {
  switch (target.kind) {
    case 'none':
      return { write() {}, onError() {}, close: async () => {} }
    case 'stdio':
      return {
        write: (bytes) => void host.stdout.write(bytes),
        onError: (listener) => void host.stdout.on('error', listener),
        close: async () => {},
      }
    case 'file': {
      const file = await openFile(target.path)
      return {
        write: (bytes) => void file.write(bytes),
        onError: (listener) => void file.on('error', listener),
        close: () => new Promise((resolve) => file.end(resolve)),
      }
    }
  }
}

/** Opens a file for writing, or says in a line why it cannot be. */
export async function openFile(path: string): Promise<WriteStream> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const file = createWriteStream(path)
  file.once('open', () => resolve())
  file.once('error', (error) => reject(new CliError('ERR_INPUT', `cannot write ${path}: ${error.message}`)))
  await promise
  return file
}
