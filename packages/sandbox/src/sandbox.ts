import { USUAL_RELEASE } from '@retrap/debian'
import { openFolderRoot, openHostRoot } from '@retrap/linux-guest/jobs/host-root'
import { NETWORK_COMMANDS, setClock, type SharedFolder } from '@retrap/linux-guest/jobs/job'
import { filesOf, guestMounts, guestShares } from '@retrap/linux-guest/jobs/kept-machine'
import { type ExecKind, growCommands } from '@retrap/linux-guest/jobs/machine'
import { openModules } from '@retrap/linux-guest/jobs/module-share'
import { type ProgramPlace, readPlace } from '@retrap/linux-guest/jobs/program'
import { type ExecRoot, openImageRoot } from '@retrap/linux-guest/jobs/root'
import { shownHost } from '@retrap/linux-guest/jobs/visible-folder'
import { LocalShare } from '@retrap/linux-guest/machine/share/local-share'
import { randomBytes } from 'node:crypto'
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { Box, Family } from './box.ts'
import { Command, type CommandEnd, type CommandOptions, type HearOutput } from './command.ts'
import { SandboxError, type SandboxErrorCode } from './errors.ts'
import { SandboxFiles } from './files.ts'
import { openNetwork } from './network.ts'
import { SandboxProcess, type SpawnOptions } from './process.ts'

/** A folder of the host in a sandbox. */
export interface SandboxShare {
  /** The host's folder. */
  readonly path: string
  /** The sandbox's path; default the host's. */
  readonly at?: string
  /** Writes go to the host; default false. */
  readonly writable?: boolean
}

/** Options of {@link Sandbox.open}. */
export interface SandboxOptions {
  /** An image of a container: its name in a registry, or the path of an archive or an OCI layout. */
  readonly image?: string
  /** A folder of the host that is `/`. Without one and without an image, programs are the host's, of which nothing else is seen. */
  readonly root?: string
  /** Folders of the host; default none. Forks share them. */
  readonly share?: readonly SandboxShare[]
  /** Names that it reaches, such as `pypi.org` or `*.debian.org`; default `false`: no network. */
  readonly network?: false | readonly string[]
  /** RAM in bytes, from 128 MiB to 3 GiB; default 512 MiB. */
  readonly memoryBytes?: number
  /** As whom commands run: `UID`, `UID:GID` or names; default the image's, or root. */
  readonly user?: string
  /** Variables of all commands, beside the image's. */
  readonly env?: Readonly<Record<string, string>>
  /** The folder that commands start in; default the image's, or `/`. */
  readonly cwd?: string
  /** The milliseconds that a command may take; default 120,000. */
  readonly timeout?: number
  /** Bytes that a command may print; default 16 MiB. */
  readonly maxOutputBytes?: number
  /** Called with a message before a long step: fetching a kernel, or the first boot. */
  readonly onProgress?: (text: string) => void
}

/** Options of {@link Sandbox.run}. */
export interface RunOptions extends CommandOptions {
  /** Standard input; default empty. */
  readonly stdin?: string | Uint8Array | undefined
  /** The milliseconds that it may take; default the sandbox's. `Infinity`: any. */
  readonly timeout?: number | undefined
  /** Kills the command. */
  readonly signal?: AbortSignal | undefined
  /** Bytes that it may print; default the sandbox's. */
  readonly maxOutputBytes?: number | undefined
}

/** The end of a command, with its output. */
export interface RunResult extends CommandEnd {
  /** Standard output, decoded as UTF-8. */
  readonly stdout: string
  /** Standard error, decoded as UTF-8. */
  readonly stderr: string
}

const MIB = 2 ** 20
const USUAL_BYTES = 512 * MIB
const [LEAST_BYTES, MOST_BYTES] = [128 * MIB, 3072 * MIB]
const USUAL_TIMEOUT_MS = 120_000
const USUAL_OUTPUT_BYTES = 16 * MIB
/** The longest time of a timer. */
const MOST_MS = 2 ** 31 - 1

/** The common settings of a sandbox and its forks. */
interface Settings {
  readonly place: ProgramPlace
  readonly timeout: number
  readonly maxOutputBytes: number
}

/** An instant of a sandbox that others can begin at. It is made by {@link Sandbox.checkpoint}. */
export class Checkpoint {
  /** The checkpoint that its sandbox came from, or was at last; undefined: the beginning. */
  readonly parent: Checkpoint | undefined
  /** Checkpoints that came after it, and are not closed. */
  readonly children: Set<Checkpoint> = new Set()
  readonly #box: Box
  readonly #settings: Settings

  /** @internal */
  constructor(box: Box, settings: Settings, parent: Checkpoint | undefined) {
    this.#box = box
    this.#settings = settings
    this.parent = parent
    parent?.children.add(this)
  }

  /** Makes a sandbox that begins at this instant. @throws SandboxError */
  async open(): Promise<Sandbox> {
    return new Sandbox(await this.#box.fork(), this.#settings, this)
  }

  /** Forgets the instant. Sandboxes that have begun at it go on. */
  async close(): Promise<void> {
    this.parent?.children.delete(this)
    await this.#box.close()
  }
}

/** A real Linux in this process, which runs commands, and can be forked. */
export class Sandbox {
  /** The sandbox's files. */
  readonly files: SandboxFiles
  readonly #box: Box
  readonly #settings: Settings
  #last: Checkpoint | undefined

  /** @internal Use {@link Sandbox.open}. */
  constructor(box: Box, settings: Settings, last?: Checkpoint) {
    this.#box = box
    this.#settings = settings
    this.#last = last
    this.files = new SandboxFiles(box.link, settings.place.workingDirectory)
  }

  /**
   * Opens a sandbox. The first one with so much memory boots a Linux, in some seconds, and keeps it in the cache for later ones; Debian's
   * kernel is fetched before, once.
   *
   * @throws SandboxError `ERR_SANDBOX_OPTION`, `ERR_SANDBOX_SYSTEM`, `ERR_SANDBOX_ENDED`
   */
  static async open(options: SandboxOptions = {}): Promise<Sandbox> {
    const { image, network = false, timeout = USUAL_TIMEOUT_MS, maxOutputBytes = USUAL_OUTPUT_BYTES } = options
    const kind = kindOf(options)
    if (image !== undefined && options.root !== undefined) throw wrong('image and root: give one of them')
    if (network !== false && network.length === 0) throw wrong('network: expected names, or false')
    const tell = options.onProgress ?? (() => undefined)
    const shares = (options.share ?? []).map(sharedFolder)
    const closing: (() => Promise<unknown> | void)[] = []
    const close = async (): Promise<void> => {
      await Promise.all(closing.map(async (one) => one()))
    }
    try {
      const root = await openRoot(options)
      closing.push(() => root.close())
      const folders = shares.map((one) => ({ ...one, local: new LocalShare(one.path) }))
      closing.push(
        ...folders.map(
          ({ local }) =>
            () =>
              local.close(),
        ),
      )
      const modules = await openModules(kind, [], tell)
      closing.push(() => modules.close())
      const files = filesOf(root.share, folders)
      const env = Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`)
      const wanted = { env, user: options.user ?? '', workingDirectory: options.cwd ?? '', makesDirectory: true }
      const place = await readPlace(wanted, root.config, files)
      const outside = {
        shares: guestShares(root.share, modules.share, folders),
        network: undefined,
        devices: undefined,
      }
      const opens = network === false ? undefined : () => openNetwork(network)
      const family = await Family.open(kind, { outside, openNetwork: opens, tell, close })
      const box = await Box.first(family, {
        mounts: guestMounts(folders),
        home: place.home,
        hostname: place.hostname,
        files: place.files,
        preparation: [
          ...growCommands({ ...kind, cpus: 1 }),
          setClock(Date.now() / 1000),
          ...(network === false ? [] : NETWORK_COMMANDS),
        ],
        entropy: randomBytes(64),
      })
      const sandbox = new Sandbox(box, { place, timeout, maxOutputBytes })
      if (place.workingDirectory !== '/') await sandbox.files.makeFolder('.')
      return sandbox
    } catch (error) {
      await close()
      if (error instanceof SandboxError || !(error instanceof Error)) throw error
      throw new SandboxError('ERR_SANDBOX_SYSTEM', `the sandbox cannot be opened: ${error.message}`, { cause: error })
    }
  }

  /**
   * Runs a command, and waits for its end. Others may run meanwhile, 32 at a time; further ones wait.
   *
   * @param command - a text for the sandbox's `sh`; or a program and its arguments
   * @throws SandboxError `ERR_SANDBOX_TIMEOUT` and `ERR_SANDBOX_OUTPUT` with the output so far, after the command's process group was
   *   killed; `ERR_SANDBOX_COMMAND`, `ERR_SANDBOX_CLOSED`, `ERR_SANDBOX_ENDED`, `ERR_SANDBOX_OPTION`; or the reason of `signal`
   */
  async run(command: string | readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const { stdin, signal, timeout = this.#settings.timeout, maxOutputBytes = this.#settings.maxOutputBytes } = options
    if (!(timeout > 0)) throw wrong(`timeout ${timeout}: expected milliseconds`)
    signal?.throwIfAborted()
    const printed: Record<1 | 2, Uint8Array[]> = { 1: [], 2: [] }
    const text = (stream: 1 | 2): string => Buffer.concat(printed[stream]).toString()
    const ended = (code: SandboxErrorCode, why: string): SandboxError => {
      const what = typeof command === 'string' ? command : command.join(' ')
      return new SandboxError(code, `${what}: ${why}`, { stdout: text(1), stderr: text(2) })
    }
    let bytes = 0
    const killed = Promise.withResolvers<never>()
    const running = await this.#start(command, stdin !== undefined, options, (stream, part) => {
      bytes += part.length
      if (bytes <= maxOutputBytes) printed[stream].push(part)
      else killed.reject(ended('ERR_SANDBOX_OUTPUT', `it has printed over ${maxOutputBytes} bytes`))
    })
    killed.promise.catch(() => running.kill('SIGKILL'))
    const aborted = (): void => killed.reject(signal!.reason)
    signal?.addEventListener('abort', aborted)
    if (signal?.aborted === true) aborted()
    const late = (): void => killed.reject(ended('ERR_SANDBOX_TIMEOUT', `it has not ended in ${timeout} ms`))
    const timer = timeout > MOST_MS ? undefined : setTimeout(late, timeout)
    try {
      if (stdin !== undefined)
        void running.write(typeof stdin === 'string' ? Buffer.from(stdin) : stdin).then(() => running.end())
      const end = await Promise.race([running.ended, killed.promise])
      return { ...end, stdout: text(1), stderr: text(2) }
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', aborted)
    }
  }

  /**
   * Starts a command with streams. Read both of its outputs: unread bytes wait in memory, up to `maxOutputBytes`.
   *
   * @throws SandboxError `ERR_SANDBOX_COMMAND`, `ERR_SANDBOX_CLOSED`, `ERR_SANDBOX_ENDED`, `ERR_SANDBOX_OPTION`; or the reason of
   *   `signal`
   */
  async spawn(command: string | readonly string[], options: SpawnOptions = {}): Promise<SandboxProcess> {
    options.signal?.throwIfAborted()
    return SandboxProcess.start(options, this.#settings.maxOutputBytes, (hear) =>
      this.#start(command, options.stdin === true, options, hear),
    )
  }

  /**
   * Makes a sandbox that goes on from this one's instant, with the same processes. The two share only folders of the host. A running
   * command goes on in both, and its result comes from this one.
   *
   * @throws SandboxError `ERR_SANDBOX_ROOM`, `ERR_SANDBOX_CLOSED`
   */
  async fork(): Promise<Sandbox> {
    return new Sandbox(await this.#box.fork(), this.#settings, this.#last)
  }

  /** Keeps this instant. @throws SandboxError `ERR_SANDBOX_ROOM`, `ERR_SANDBOX_CLOSED` */
  async checkpoint(): Promise<Checkpoint> {
    const kept = new Checkpoint(await this.#box.fork(true), this.#settings, this.#last)
    this.#last = kept
    return kept
  }

  /** Makes a sandbox that begins at an instant. @throws as `fork` */
  at(checkpoint: Checkpoint): Promise<Sandbox> {
    return checkpoint.open()
  }

  /** Ends the sandbox. Waiting and later calls reject with `ERR_SANDBOX_CLOSED`. */
  async close(): Promise<void> {
    await this.#box.close()
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #start(
    command: string | readonly string[],
    hasInput: boolean,
    options: CommandOptions,
    hear: HearOutput,
  ): Promise<Command> {
    const words = typeof command === 'string' ? ['/bin/sh', '-c', command] : command
    return Command.start(this.#box.link, words, hasInput, this.#settings.place, options, hear)
  }
}

const wrong = (why: string): SandboxError => new SandboxError('ERR_SANDBOX_OPTION', why)

function kindOf({ memoryBytes = USUAL_BYTES }: SandboxOptions): ExecKind {
  if (!(memoryBytes >= LEAST_BYTES && memoryBytes <= MOST_BYTES))
    throw wrong(`memoryBytes ${memoryBytes}: expected ${LEAST_BYTES} to ${MOST_BYTES}`)
  return {
    arch: 'amd64',
    cpu: undefined,
    memoryBytes: Math.ceil(memoryBytes / MIB) * MIB,
    cpus: 1,
    debian: USUAL_RELEASE,
    kernel: undefined,
    devices: [],
  }
}

async function openRoot({ image, root }: SandboxOptions): Promise<ExecRoot> {
  if (image !== undefined) return openImageRoot(image, 'amd64')
  if (root !== undefined) return openFolderRoot(root)
  const path = process.env['PATH'] ?? ''
  return openHostRoot([], shownHost(path, []), path)
}

function sharedFolder({ path, at = path, writable = false }: SandboxShare): SharedFolder {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) throw wrong(`share: ${path} is no folder`)
  const [whole, there] = [resolve(path), resolve(at)]
  if (whole === '/' || there === '/') throw wrong('share: expected a folder other than /')
  return { path: whole, at: there, readOnly: !writable }
}
