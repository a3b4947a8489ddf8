/** Runs a program in a guest, as if it ran on the host. */
import { randomBytes } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { plainLine } from '@retrap/basics'
import type { ByteStreamBackend, PacketBackend } from '@retrap/device'
import { MemoryShare } from '@retrap/virtio/p9'
import type { CreateDevices } from '@retrap/linux-guest/machine/machine-contract'
import { ENDING_SIGNALS, type EndingSignal } from '../../machine/session/session-host.ts'
import { EXEC_TIME } from '@retrap/linux-guest/linux/exec-initramfs'
import { LocalShare } from '@retrap/linux-guest/machine/share/local-share'
import { ENDS, ExecError, explain, NOT_MOUNTED } from '@retrap/linux-guest/jobs/errors'
import type { FailureRecording } from './failure-recording.ts'
import type { EmptyFolder } from '../../options/container-options.ts'
import { ExecGuest, type ExecOutside, type GuestStreams, unused } from '@retrap/linux-guest/jobs/guest'
import {
  encodeJob,
  encodeSignal,
  encodeSize,
  encodeStart,
  type Job,
  NETWORK_COMMANDS,
  type SharedFolder,
  type TerminalSize,
} from '@retrap/linux-guest/jobs/job'
import { dropMachine } from '@retrap/linux-guest/jobs/kept-machine'
import { guestMounts, guestShares, keepKind, pathOfKept } from '@retrap/linux-guest/jobs/kept-machine'
import { lackOf, type RefusedInstruction } from '@retrap/linux-guest/jobs/lacks'
import { HeldOutput } from './held-output.ts'
import { GuestFiles } from '@retrap/linux-guest/jobs/lookup'
import { type ExecKind, folderName, growCommands, keptKind, runBytes } from '@retrap/linux-guest/jobs/machine'
import { bothWays, SentPort, TakenPort } from '@retrap/linux-guest/jobs/ports'
import { type Program, readProgram, type WantedProgram } from '@retrap/linux-guest/jobs/program'
import { openModules } from '@retrap/linux-guest/jobs/module-share'
import type { ExecRoot } from '@retrap/linux-guest/jobs/root'
import { isWithin } from '@retrap/linux-guest/jobs/visible-folder'

/** A program to run in a guest, and how to run it. */
export interface ExecRequest extends WantedProgram {
  readonly kind: ExecKind
  readonly hasNetwork: boolean
  readonly devices: CreateDevices | undefined
  readonly shares: readonly SharedFolder[]
  /** Paths of kernel modules that are loaded before the program starts. */
  readonly modules: readonly string[]
  readonly emptyFolders: readonly EmptyFolder[]
  readonly timeoutMs: number
  /** The recording that stays where the program fails. */
  readonly record: { readonly path: string; readonly arguments: readonly string[] } | undefined
  readonly version: string
}

/** The process around a run. */
export interface ExecHost {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: Writable & { readonly columns?: number; readonly rows?: number }
  readonly stderr: Writable
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  /** Switches the terminal of `stdin` to raw mode, or back. */
  setRaw(on: boolean): void
  on(signal: NodeJS.Signals, listener: () => void): void
  off(signal: NodeJS.Signals, listener: () => void): void
  /** Ends the process soon, unless it ends by itself, after a second signal. */
  endSoon(signal: EndingSignal): void
  /** The user's process is another one. */
  readonly elsewhere?: {
    /** Called when the program may have been started. */
    begun(): void
    /** Aborted when that process has ended. */
    readonly gone: AbortSignal
  }
}

/** Makes the guest of a run, which waits for its job. @param onLost - hears that a part of the machine cannot be read */
export type MakeGuest = (
  path: string,
  kind: ExecKind,
  streams: GuestStreams,
  ends: ExecOutside,
  onLost: (message: string) => void,
) => Promise<ExecGuest>

/** Time for a program to end after it was asked to. */
const GRACE_MS = 10_000
const USUAL_SIZE: TerminalSize = { columns: 80, rows: 24 }

/**
 * Runs a program.
 *
 * @param make - makes its guest; default: from the kept machine's file
 * @returns the exit code: the program's, or one that `readProgram` or a timeout has
 * @throws ExecError, CliError for errors outside the program
 */
export async function runExec(request: ExecRequest, root: ExecRoot, host: ExecHost, make?: MakeGuest): Promise<number> {
  const shares = request.shares.map((one) => ({ ...one, local: new LocalShare(one.path) }))
  const closing: (() => Promise<void> | void)[] = shares.map(
    ({ local }) =>
      () =>
        local.close(),
  )
  try {
    const files = new GuestFiles(root.share, [
      ...shares.map(({ at, local }) => ({ path: at, share: local })),
      ...request.emptyFolders.map(({ at }) => ({ path: at, share: new MemoryShare() })),
    ])
    const program = await readProgram(request, root.config, files)
    const kind = keptKind(request.kind)
    const modules = await openModules(kind, request.modules, (text) => void host.stderr.write(`retrap: ${text}\n`))
    closing.push(() => modules.close())
    let network: PacketBackend | undefined
    if (request.hasNetwork) {
      const { OpenNetworks } = await import('../../machine/network/open-networks.ts')
      const { parseNetdev } = await import('../../machine/network/netdevs.ts')
      const opened = await OpenNetworks.open([parseNetdev('user,id=net0')])
      closing.push(() => void opened.close())
      network = opened.plug('net0')
    }
    const recording = await openRecording(request)
    if (recording !== undefined) closing.push(() => recording.close())
    const ends = {
      shares: guestShares(root.share, modules.share, shares),
      network,
      devices: request.devices,
    }
    const path = pathOfKept(kind, request.version, request.hasNetwork)
    for (let tries = 0; ; tries++) {
      await keepKind(path, kind, ends, (text) => void host.stderr.write(`retrap: ${text}\n`))
      const run = new Run({
        request,
        program,
        host,
        recording,
        commands: modules.commands,
        missed: root.missed ?? new Set(),
        make: make ?? ((...given) => ExecGuest.restore(...given, recording, request.kind.cpus)),
      })
      try {
        return await run.run(path, { ...kind, memoryBytes: runBytes(request.kind) }, ends)
      } catch (error) {
        if (run.hasBegun && !run.isDamaged) throw error
        dropMachine(path)
        if (run.hasBegun || tries > 0) throw error
        host.stderr.write('retrap: the machine that was kept is damaged; it is made anew\n')
      }
    }
  } finally {
    await Promise.all(closing.map(async (close) => close()))
  }
}

/** Loaded on demand. */
const openRecording = async ({ record }: ExecRequest): Promise<FailureRecording | undefined> =>
  record && (await import('./failure-recording.ts')).FailureRecording.open(record.path, record.arguments)

interface RunParts {
  readonly request: ExecRequest
  readonly program: Program
  readonly host: ExecHost
  readonly recording: FailureRecording | undefined
  /** Come before the program. */
  readonly commands: readonly string[]
  /** Paths that the program has looked for, and that the guest lacks. */
  readonly missed: Set<string>
  readonly make: MakeGuest
}

class Run {
  /** The program may have been started. */
  hasBegun = false
  /** A part of the machine cannot be read. */
  get isDamaged(): boolean {
    return this.#lost !== undefined
  }
  readonly #parts: RunParts
  readonly #over = new AbortController()
  #answer: string | undefined
  /** The guest's reason for an answer. */
  #why = ''
  #signalled: NodeJS.Signals | undefined
  #lost: string | undefined
  /** The last instruction that has raised #UD. */
  #refused: RefusedInstruction | undefined
  /** The reader of the output has gone. */
  #isUnread = false
  /** The beginning of stderr, held until it is certain not to be the guest's own message. */
  #held: Buffer | undefined = Buffer.alloc(0)

  constructor(parts: RunParts) {
    this.#parts = parts
  }

  async run(path: string, kind: ExecKind, ends: ExecOutside): Promise<number> {
    const { terminal, timeoutMs } = this.#parts.request
    const { stdin, stdout } = this.#parts.host
    const hasTerminal = terminal !== undefined
    const input = new SentPort()
    const gone = (): void => {
      this.#isUnread = true
      this.#over.abort()
    }
    const output = TakenPort.to(stdout, gone)
    const errors = TakenPort.to(this.#parts.host.stderr)
    const held = this.#parts.recording && new HeldOutput()
    const watched = (stream: ByteStreamBackend): ByteStreamBackend => held?.watch(stream) ?? stream
    const streams: GuestStreams = {
      ...unused((line) => (line === EXEC_TIME ? guest.jobs.say(encodeStart(Date.now() / 1000)) : this.#told(line))),
      stderr: watched({
        send: (bytes) => this.#release(bytes, errors),
        connect: (client) => errors.connect(client),
      }),
      ...(hasTerminal ? { terminal: watched(bothWays(input, output)) } : { stdin: input, stdout: watched(output) }),
    }
    const guest: ExecGuest = await this.#parts.make(path, kind, streams, ends, (message) => {
      this.#lost = message
      this.#over.abort()
    })
    guest.onRefused((refused) => (this.#refused = refused))
    const undo = this.#listen(guest)
    let code: number | undefined
    try {
      guest.jobs.say(encodeJob({ ...this.#job(), ...(guest.isStirred && { entropy: undefined }) }))
      this.hasBegun = true
      this.#parts.host.elsewhere?.begun()
      this.#parts.missed.clear()
      if (hasTerminal) this.#parts.host.setRaw(true)
      input.readFrom(stdin, hasTerminal)
      const { signal } = this.#over
      const exit = await (held?.run(guest, signal, timeoutMs, () => this.#answer !== undefined) ??
        guest.run(signal, timeoutMs))
      // Messages from here on have the terminal's own line ends.
      if (hasTerminal) this.#parts.host.setRaw(false)
      code = await this.#code(exit.reason)
      return code
    } finally {
      undo()
      stdin.pause()
      if (hasTerminal) this.#parts.host.setRaw(false)
      if (code === 0) this.#parts.recording?.discard()
      else if (this.#parts.recording !== undefined) {
        const why = code === undefined ? 'the machine has failed' : `exit code ${code}`
        const line = await this.#parts.recording.keep(`${this.#parts.program.program.join(' ')}: ${why}`)
        this.#parts.host.stderr.write(`retrap: ${line}\n`)
      }
      guest.close()
    }
  }

  #job(): Job {
    const { shares, emptyFolders, terminal, hasNetwork } = this.#parts.request
    return {
      ...this.#parts.program,
      mounts: [
        ...guestMounts(shares),
        ...emptyFolders.map(({ at, options }, i) => ({ path: at, options, name: memoryName(i) })),
      ],
      terminal: terminal === undefined ? undefined : this.#size(),
      preparation: [
        ...growCommands(this.#parts.request.kind),
        ...this.#parts.commands,
        ...(hasNetwork ? NETWORK_COMMANDS : []),
      ],
      entropy: randomBytes(64),
    }
  }

  #size(): TerminalSize {
    const { columns, rows } = this.#parts.host.stdout
    return { columns: columns ?? USUAL_SIZE.columns, rows: rows ?? USUAL_SIZE.rows }
  }

  /** Passes signals on to the guest. @returns a function that stops this */
  #listen(guest: ExecGuest): () => void {
    const undo = ENDING_SIGNALS.map((signal) => {
      const listener = (): void => {
        if (this.#signalled !== undefined) {
          this.#parts.host.endSoon(signal)
          return this.#over.abort()
        }
        this.#signalled = signal
        guest.signals.say(encodeSignal(signal))
        if (signal !== 'SIGINT') setTimeout(() => this.#over.abort(), GRACE_MS).unref()
      }
      this.#parts.host.on(signal, listener)
      return () => this.#parts.host.off(signal, listener)
    })
    const { elsewhere } = this.#parts.host
    if (elsewhere !== undefined) {
      const end = (): void => this.#over.abort()
      if (elsewhere.gone.aborted) end()
      elsewhere.gone.addEventListener('abort', end)
      this.#parts.host.on('SIGTSTP', () => void guest.pause(true))
      this.#parts.host.on('SIGCONT', () => void guest.pause(false))
    }
    if (this.#parts.request.terminal !== undefined) {
      const resized = (): void => guest.signals.say(encodeSize(this.#size()))
      this.#parts.host.on('SIGWINCH', resized)
      undo.push(() => this.#parts.host.off('SIGWINCH', resized))
    }
    return () => {
      for (const act of undo) act()
    }
  }

  #told(line: string): void {
    const [, answer, why = ''] = /^end (\w+)(?: (.*))?$/.exec(line) ?? []
    if (answer === undefined) return
    this.#answer ??= answer
    this.#why = why
    // Outputs that wait for their readers come first.
    setImmediate(() => this.#over.abort())
  }

  /** Holds back the guest's message that the program cannot be run. */
  #release(bytes: Uint8Array, errors: TakenPort): boolean {
    if (this.#held === undefined) return errors.send(bytes)
    this.#held = Buffer.concat([this.#held, bytes])
    if (CANNOT.startsWith(this.#held.toString('latin1', 0, CANNOT.length)) && this.#held.length < MOST_HELD) return true
    return this.#flush(errors)
  }

  /** Names what a program that fails has looked for last, where the host has it and the guest has not. */
  #tellMissed(name: string): void {
    const { home, workingDirectory } = this.#parts.program
    const own = [home?.path ?? '/root', workingDirectory, ...this.#job().mounts.map(({ path }) => path)]
    const folderOf = (path: string): string =>
      statSync(path, { throwIfNoEntry: false })?.isDirectory() === true ? path : dirname(path)
    // A file directly in the home folder is a setting: no reason to share the folder.
    const isOwn = (path: string): boolean =>
      GUEST_FOLDERS.test(path) || own.some((mine) => isWithin(mine, folderOf(path)))
    const path = [...this.#parts.missed].findLast((missed) => !isOwn(missed) && existsSync(missed))
    if (path === undefined) return
    const found = `${plainLine(path)}, which this host has and the guest has not`
    this.#parts.host.stderr.write(
      `retrap: ${name} looked for ${found}; --share ${plainLine(folderOf(path))} gives it\n`,
    )
  }

  #flush(errors: { send(bytes: Uint8Array): boolean }): boolean {
    const held = this.#held ?? Buffer.alloc(0)
    this.#held = undefined
    return held.length === 0 || errors.send(held)
  }

  async #code(reason: string): Promise<number> {
    const { timeoutMs } = this.#parts.request
    const [name = ''] = this.#parts.program.program
    const held = this.#held?.toString() ?? ''
    const [, why] = /^nsenter: can't execute '[^\n]*': ([^\n]*)\n$/.exec(held) ?? []
    const code = Number(this.#answer)
    if (why !== undefined && (code === 126 || code === 127)) throw new ExecError(code, `${name}: ${explain(why)}`)
    this.#flush({ send: (bytes) => this.#parts.host.stderr.write(bytes) })
    if (this.#answer === 'lost')
      throw new ExecError(125, `${name} ended what takes its outputs out of the guest; the rest of them is lost`)
    const [, number] = /^module(\d+)$/.exec(this.#answer ?? '') ?? []
    if (number !== undefined)
      throw new ExecError(
        125,
        `--module ${this.#parts.request.modules[Number(number)]}: the guest's kernel refuses it: ${this.#why}`,
      )
    const [, how = '', folder] = /^(link|mount)(.*)$/.exec(this.#answer ?? '') ?? []
    const share = this.#parts.request.shares.find((_, i) => folderName(i) === folder)
    if (share !== undefined) throw new ExecError(125, `--share ${share.at}: ${NOT_MOUNTED[how]}`)
    const empty = this.#parts.request.emptyFolders.find((_, i) => memoryName(i) === folder)
    if (empty !== undefined) throw new ExecError(125, `--tmpfs ${empty.at}: ${NOT_MOUNTED[how]}`)
    if (this.#answer === 'memory')
      throw new ExecError(125, `the guest's kernel does not add memory; --memory 512M boots with what it has`)
    if (this.#answer === 'directory')
      throw new ExecError(125, `${this.#parts.program.workingDirectory}: there is no such folder in the guest`)
    if (code === ILLEGAL && this.#refused !== undefined) {
      const lack = await lackOf(this.#refused, this.#parts.request.kind.cpu)
      if (lack !== undefined) this.#parts.host.stderr.write(`retrap: ${name}: ${lack}\n`)
    }
    if (code > 0) this.#tellMissed(name)
    if (this.#answer !== undefined) return code
    if (this.#lost !== undefined) throw new ExecError(125, this.#lost)
    if (this.#isUnread) return 128 + constants.signals.SIGPIPE
    if (this.#signalled !== undefined) return 128 + constants.signals[this.#signalled]
    if (reason === 'timeout') throw new ExecError(124, `${name} did not end in ${timeoutMs / 1000} s (--timeout)`)
    throw new ExecError(125, `the guest has ended before ${name} did: ${ENDS[reason] ?? reason}`)
  }
}

const memoryName = (number: number): string => `memory${number}`

/** The exit code of a program that SIGILL has ended. */
const ILLEGAL = 128 + constants.signals.SIGILL

const GUEST_FOLDERS = /^\/(?:proc|sys|dev|run|tmp)(?:\/|$)/
const CANNOT = "nsenter: can't execute '"
const MOST_HELD = 8192
