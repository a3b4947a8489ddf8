/** A run in a process that stays: this one passes streams, signals and the exit code on, and loads nothing of a machine. */
import { shownPull } from '../../../host/files/shown-pull.ts'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { availableParallelism, constants } from 'node:os'
import { resolve } from 'node:path'
import { ENDING_SIGNALS } from '../../../machine/session/session-host.ts'
import { explainError } from '../../../errors.ts'
import { type ExecCall, type ExecFlags, OURS } from '../flags.ts'
import type { ExecHost } from '../run.ts'
import { type ClientTerminal, closed, connectTo, hear, type Role, type RunRequest, send, type Told } from './channel.ts'
import { openDescriptors, socketOf, stayFolder, stayKind, staySecret } from './place.ts'

/** RAM of the runs of a process: see `PreparedMachine`. A run with more has a process of its own. */
const MOST_MEMORY = 1536 << 20
/** A run that is late has so long to end by itself. */
const LATE_MS = 5000

/**
 * Runs a program in a process that stays, which is started where there is none.
 *
 * @returns the exit code; undefined: the run is to be made here, and nothing of it has begun
 */
export async function runStaying(given: ExecCall, host: ExecHost): Promise<number | undefined> {
  if (isApart(given.flags)) return undefined
  const tell = (text: string): void => void host.stderr.write(`retrap: ${text}; this run has a process of its own\n`)
  if (process.platform !== 'linux') {
    tell('--stay: processes stay on Linux alone')
    return undefined
  }
  try {
    const call = await wholeCall(given, host.cwd)
    const folder = stayFolder()
    const secret = staySecret(folder)
    const name = randomBytes(16).toString('hex')
    const asked: RunRequest = {
      op: 'run',
      run: name,
      evenBusy: false,
      call,
      env: host.env,
      cwd: host.cwd,
      terminal: terminalOf(host),
    }
    const run = await findPlace(folder, stayKind(call.flags), secret, asked, host)
    return await run?.run()
  } catch (error) {
    const known = explainError(error)
    if (known === undefined) throw error
    tell(known.message)
    return undefined
  }
}

/** Runs that have a process of their own in any case: their machines are no forks of a kept one. */
const isApart = ({ cpus, memory, device, recordOnFailure, explain }: ExecFlags): boolean =>
  cpus > 1 || memory > MOST_MEMORY || device !== undefined || recordOnFailure !== undefined || explain === true

/** The call with paths that hold in any folder, and with its image here, as a pull shows its progress and can be stopped. */
async function wholeCall({ words, flags, given }: ExecCall, here: string): Promise<ExecCall> {
  const { root, image, kernel, hide, module: modules, envFile, arch, pull } = flags
  const whole = (path: string): string => resolve(here, path)
  let found: Pick<ExecFlags, 'image' | 'pull'> = {}
  if (image !== undefined) {
    const { pulled } = await import('@retrap/linux-guest/jobs/root')
    const kept = await pulled(image, arch === 'arm64' ? 'arm64' : 'amd64', { policy: pull, shown: shownPull }, here)
    found = kept !== undefined ? { image, pull: 'never' } : { image: whole(image) }
  }
  return {
    words,
    given,
    flags: {
      ...flags,
      ...found,
      ...(root !== 'host' && { root: whole(root) }),
      ...(kernel?.file !== undefined && { kernel: { ...kernel, file: whole(kernel.file) } }),
      ...(hide && { hide: hide.map(whole) }),
      ...(modules && { module: modules.map(whole) }),
      ...(envFile && { envFile: envFile.map(whole) }),
    },
  }
}

const terminalOf = ({ stdin, stdout }: ExecHost): ClientTerminal => ({
  isTTY: stdin.isTTY === true,
  columns: stdout.columns,
  rows: stdout.rows,
})

/** Looks for a process that has taken a run: of the processors' number the first that is free, else one beside its other runs. */
async function findPlace(
  folder: string,
  kind: string,
  secret: Buffer,
  asked: RunRequest,
  host: ExecHost,
): Promise<StayingRun | undefined> {
  const slots = Array.from({ length: availableParallelism() }, (_, slot) => socketOf(folder, kind, slot))
  const any = process.pid % slots.length
  const inTurn = [...slots.slice(any), ...slots.slice(0, any)]
  for (const [i, path] of [...slots, ...inTurn].entries()) {
    const run = await connectRun(path, secret, { ...asked, evenBusy: i >= slots.length }, host)
    if (run !== undefined && (await run.accepted)) return run
  }
  return undefined
}

/** Asks a process for a run, and starts the process where there is none. @returns undefined if it cannot be reached */
async function connectRun(
  path: string,
  secret: Buffer,
  asked: RunRequest,
  host: ExecHost,
): Promise<StayingRun | undefined> {
  const connect = async (): Promise<StayingRun> => {
    const roles: Role[] = ['control', `stdin ${asked.run}`, `stdout ${asked.run}`, `stderr ${asked.run}`]
    const [control, ...streams] = await Promise.all(roles.map((role) => connectTo(path, secret, role)))
    return new StayingRun(control!, streams, asked, host)
  }
  try {
    return await connect()
  } catch (error) {
    if (!NOBODY.has((error as NodeJS.ErrnoException).code ?? '') || !(await start(path))) return undefined
    return connect().catch(() => undefined)
  }
}

/** Codes of a socket that nobody listens at. */
const NOBODY = new Set(['ENOENT', 'ECONNREFUSED'])

/** Starts a process that stays, which keeps nothing of this one. @returns whether it listens */
function start(path: string): Promise<boolean> {
  const [, program = ''] = process.argv
  const child = spawn(
    process.execPath,
    [...process.execArgv, program, 'exec-stay', path, JSON.stringify(openDescriptors())],
    {
      detached: true,
      cwd: '/',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    },
  )
  return new Promise((resolve) => {
    const heard = (listens: boolean) => (): void => {
      if (child.connected) child.disconnect()
      child.unref()
      resolve(listens)
    }
    child.once('message', heard(true)).once('exit', heard(false)).once('error', heard(false))
  })
}

/** A run elsewhere, from its request on. */
class StayingRun {
  /** Whether the process has taken the run. */
  readonly accepted: Promise<boolean>
  readonly #control: Socket
  readonly #streams: readonly Socket[]
  readonly #host: ExecHost
  readonly #asked: RunRequest
  #hasBegun = false
  #isRaw = false
  #code: number | undefined
  readonly #undo: (() => void)[] = []

  constructor(control: Socket, streams: readonly Socket[], asked: RunRequest, host: ExecHost) {
    this.#control = control
    this.#streams = streams
    this.#host = host
    this.#asked = asked
    this.accepted = new Promise((accept) => {
      hear<Told>(control, (told) => {
        if (told.op === 'accepted' || told.op === 'busy') accept(told.op === 'accepted')
        else this.#told(told)
      })
      void closed(control).then(() => accept(false))
    })
    void this.accepted.then((isTaken) => isTaken || this.#close())
    send(control, asked)
  }

  /** Passes everything on until the run has ended. @returns its exit code; undefined: it has not begun */
  async run(): Promise<number | undefined> {
    const { stdout, stderr } = this.#host
    const [, output, errors] = this.#streams as [Socket, Socket, Socket]
    this.#passSignals()
    // A reader that has gone is told to the process as a broken pipe.
    stdout.on('error', () => output.destroy())
    const outputs = Promise.all(
      [output.pipe(stdout, { end: false }), errors.pipe(stderr, { end: false })].map((_, i) =>
        closed(this.#streams[i + 1]!),
      ),
    )
    await closed(this.#control)
    if (this.#code !== undefined) await outputs
    for (const undo of this.#undo) undo()
    this.#setRaw(false)
    this.#close()
    this.#host.stdin.pause()
    if (this.#code !== undefined || !this.#hasBegun) return this.#code
    stderr.write('retrap: the process that stays has ended, and with it this run; the next run starts another one\n')
    return OURS
  }

  #told(told: Told): void {
    if (told.op === 'begun') {
      this.#hasBegun = true
      // Before, another process may have to run the program, which gets all input.
      this.#host.stdin.pipe(this.#streams[0]!)
    }
    if (told.op === 'raw') this.#setRaw(told.on)
    if (told.op === 'exit') this.#code = told.code
  }

  #setRaw(on: boolean): void {
    if (on !== this.#isRaw) this.#host.setRaw(on)
    this.#isRaw = on
  }

  #passSignals(): void {
    let signals = 0
    for (const signal of ENDING_SIGNALS)
      this.#on(signal, () => {
        if (!this.#hasBegun) {
          // The process may be busy with a boot, and hears no signal.
          this.#code = 128 + constants.signals[signal]
          return this.#close()
        }
        send(this.#control, { op: 'signal', signal })
        if (signals++ > 0) this.#host.endSoon(signal)
      })
    this.#on('SIGWINCH', () => send(this.#control, { op: 'size', ...terminalOf(this.#host) }))
    // The guest stands still as this process does.
    this.#on('SIGTSTP', () => {
      send(this.#control, { op: 'signal', signal: 'SIGTSTP' })
      setImmediate(() => process.kill(process.pid, 'SIGSTOP'))
    })
    this.#on('SIGCONT', () => send(this.#control, { op: 'signal', signal: 'SIGCONT' }))
    const { timeout } = this.#asked.call.flags
    if (timeout === undefined) return
    const late = setTimeout(() => this.#close(), Math.min(timeout + LATE_MS, 2 ** 31 - 1)).unref()
    this.#undo.push(() => clearTimeout(late))
  }

  #on(signal: NodeJS.Signals, listener: () => void): void {
    this.#host.on(signal, listener)
    this.#undo.push(() => this.#host.off(signal, listener))
  }

  #close(): void {
    for (const socket of [this.#control, ...this.#streams]) socket.destroy()
  }
}
