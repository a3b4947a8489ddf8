/** A machine with an agent, which runs while there is anything to do. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { PacketBackend } from '@retrap/device'
import { NOT_MOUNTED } from '@retrap/linux-guest/jobs/errors'
import { ExecGuest, type ExecOutside, unused } from '@retrap/linux-guest/jobs/guest'
import { encodeAgent, type Job, type JobProgram } from '@retrap/linux-guest/jobs/job'
import { keepKind, pathOfKept } from '@retrap/linux-guest/jobs/kept-machine'
import { type ExecKind, keptKind, runBytes } from '@retrap/linux-guest/jobs/machine'
import { AGENT_PROGRAM } from './agent/agent-program.ts'
import { Request } from './agent/protocol.ts'
import { AgentLink } from './agent-link.ts'
import { SandboxError } from './errors.ts'

/** A machine's memory, in bytes: that of a WebAssembly.Memory. It also holds decoded code and tables. */
const MACHINE_BYTES = 4 * 2 ** 30
const OTHER_BYTES = 160 << 20
/** How long a guest may take for its folders and its agent. */
const READY_MS = 120_000
const ENTROPY_BYTES = 32

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  readonly version: string
}

/** The common parts of a sandbox and its forks: the machine in whose memory they are, and their files. */
export class Family {
  readonly parts: FamilyParts
  readonly #original: ExecGuest
  readonly #kind: ExecKind
  #boxes = 0

  private constructor(parts: FamilyParts, kind: ExecKind, original: ExecGuest) {
    this.parts = parts
    this.#kind = kind
    this.#original = original
  }

  /** Reads the kept machine of a kind; where there is none, it is booted. @throws CliError, DebianError */
  static async open(kind: ExecKind, parts: FamilyParts): Promise<Family> {
    // Forks have the processors of the machine that they are forks of: each takes memory and time.
    const kept = { ...keptKind(kind), cpus: 1 }
    const path = pathOfKept(kept, version, false)
    await keepKind(path, kept, parts.outside, parts.tell)
    const run = { ...kept, memoryBytes: runBytes(kind) }
    const room = Math.floor((MACHINE_BYTES - OTHER_BYTES - run.memoryBytes) / 2)
    // All forks share the room of one. Their number depends on the memory that they write.
    const original = await ExecGuest.original(path, run, parts.outside, { clones: 1, writtenBytes: room })
    return new Family(parts, run, original)
  }

  /** Makes a fork of the machine that is never run. */
  async fork(of: ExecGuest | undefined, link: AgentLink, network: PacketBackend | undefined): Promise<ExecGuest> {
    const told = (line: string): void => {
      const [, why] = /^end (.*)$/.exec(line) ?? []
      if (why !== undefined) link.fail(new SandboxError('ERR_SANDBOX_OPTION', whyNot(why)))
    }
    const streams = { ...unused(told), stdin: link.input, stdout: link.output }
    this.#boxes++
    try {
      return await (of ?? this.#original).fork(this.#kind, streams, { ...this.parts.outside, network })
    } catch (cause) {
      await this.leave()
      if (!(cause instanceof Error && 'code' in cause && cause.code === 'ERR_FORK')) throw cause
      throw new SandboxError('ERR_SANDBOX_ROOM', 'there is no room for another fork: close some', { cause })
    }
  }

  /** Counts the end of a box. The last one closes the family. */
  async leave(): Promise<void> {
    if (--this.#boxes > 0) return
    this.#original.close()
    await this.parts.close()
  }
}

/** Says why a guest has not come up. @param why - its word: `mount` or `link` with a folder's name, or another */
const whyNot = (why: string): string =>
  `the sandbox has not come up: ${why.startsWith('link') ? NOT_MOUNTED['link'] : why.startsWith('mount') ? NOT_MOUNTED['mount'] : why}`

/** Parts of a {@link Family}. */
export interface FamilyParts {
  readonly outside: ExecOutside
  /** Opens a network for a box; undefined: boxes have none. */
  readonly openNetwork: (() => Promise<PacketBackend & { close(): void }>) | undefined
  readonly tell: (text: string) => void
  /** Gives its files back. */
  readonly close: () => Promise<void>
}

const CLOSED = (): SandboxError => new SandboxError('ERR_SANDBOX_CLOSED', 'the sandbox is closed')

/** A machine with an agent. */
export class Box {
  readonly link: AgentLink
  readonly #family: Family
  readonly #guest: ExecGuest
  readonly #network: { close(): void } | undefined
  /** Ends the run that is under way. */
  #running: AbortController | undefined
  /** Bytes that the kernel is to have before anything else. */
  #entropy: Uint8Array | undefined
  #isClosed = false

  private constructor(
    family: Family,
    guest: ExecGuest,
    link: AgentLink,
    network: { close(): void } | undefined,
    isFork: boolean,
  ) {
    this.#family = family
    this.#guest = guest
    this.link = link
    this.#network = network
    if (isFork) this.#entropy = randomBytes(ENTROPY_BYTES)
  }

  static async #make(family: Family, of?: Box): Promise<Box> {
    const link: AgentLink = new AgentLink(() => box?.changed(), of?.link)
    let box: Box | undefined
    const network = await family.parts.openNetwork?.()
    try {
      const guest = await family.fork(of === undefined ? undefined : of.#guest, link, network)
      box = new Box(family, guest, link, network, of !== undefined)
      return box
    } catch (error) {
      network?.close()
      throw error
    }
  }

  /** Makes the first box of a family. @throws SandboxError `ERR_SANDBOX_ENDED` */
  static async first(family: Family, job: Omit<Job, keyof JobProgram | 'terminal'>): Promise<Box> {
    const box = await Box.#make(family)
    const late = setTimeout(
      () => box.link.fail(new SandboxError('ERR_SANDBOX_ENDED', 'the sandbox has not come up in its time')),
      READY_MS,
    )
    try {
      const ready = box.link.ready()
      box.#guest.jobs.say(encodeAgent(job, AGENT_PROGRAM))
      box.changed()
      await ready
      return box
    } catch (error) {
      await box.close()
      throw error
    } finally {
      clearTimeout(late)
      box.changed()
    }
  }

  /** Makes a box that goes on from this one's instant. @param isStill - it is only forked */
  async fork(isStill = false): Promise<Box> {
    if (this.#isClosed) throw CLOSED()
    const box = await Box.#make(this.#family, this)
    // The copied processes run on.
    if (!isStill) box.changed()
    return box
  }

  /** The machine runs or stands still, as there is something to do. */
  changed(): void {
    if (this.#isClosed) return
    if (!this.link.isWorking) {
      // A request that follows at once finds the machine still running.
      setImmediate(() => {
        if (!this.link.isWorking) this.#running?.abort()
      })
    } else if (this.#running === undefined) this.#run()
  }

  #run(): void {
    const running = new AbortController()
    this.#running = running
    const entropy = this.#entropy
    this.#entropy = undefined
    if (entropy !== undefined) this.link.send(Request.Entropy, 0, 8 * entropy.length, entropy.length, entropy)
    this.#guest.run(running.signal, Infinity).then(
      ({ reason, detail }) => {
        this.#running = undefined
        // Forks that stand still have a tenth of the memory.
        if (!this.#isClosed) this.#guest.leaveMemory()
        if (reason !== 'stopped') {
          const why = detail === undefined ? reason : `${reason}: ${detail.message}`
          this.link.fail(new SandboxError('ERR_SANDBOX_ENDED', `the sandbox has ended: ${why}`))
        } else if (this.link.isWorking) this.changed()
      },
      (cause: unknown) => {
        this.#running = undefined
        this.link.fail(new SandboxError('ERR_SANDBOX_ENDED', 'the sandbox has failed', { cause }))
      },
    )
  }

  /** Ends the machine. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.link.fail(CLOSED())
    this.#running?.abort()
    this.#guest.close()
    this.#network?.close()
    await this.#family.leave()
  }
}
