/** The process that stays: it holds a prepared machine, and runs programs in forks of it. */
import { EventEmitter } from 'node:events'
import { closeSync, linkSync, statSync, unlinkSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { inspect } from 'node:util'
import { plainLine } from '@retrap/basics'
import { plainOutput } from '../../../print-lines.ts'
import { perform } from '../act.ts'
import { type ExecFlags, OURS } from '../flags.ts'
import type { ExecHost, MakeGuest } from '../run.ts'
import {
  acceptProof,
  type Asked,
  type ClientTerminal,
  closed,
  hear,
  type Role,
  type RunRequest,
  send,
  type StayStatus,
} from './channel.ts'
import { openDescriptors, staySecret } from './place.ts'
import { PreparedMachine } from './prepared-machine.ts'

/** Time for a stream's run to come. */
const UNCLAIMED_MS = 10_000
/** Time for the first run to come. */
const UNUSED_MS = 60_000

/** Serves runs at a socket until it ends itself. */
export async function main([, path = '', inherited = '{}']: readonly string[]): Promise<number> {
  closeInherited(JSON.parse(inherited) as Readonly<Record<string, string>>)
  await new StayingProcess(path).listen()
  process.send?.('listens', () => process.disconnect())
  return new Promise(() => undefined)
}

/** Closes descriptors that a client's own parent has left open: readers of such a pipe would wait for this process. */
function closeInherited(inherited: Readonly<Record<string, string>>): void {
  const here = openDescriptors()
  for (const [fd, file] of Object.entries(inherited)) if (here[fd] === file) closeSync(Number(fd))
}

class StayingProcess {
  readonly #path: string
  readonly #secret: Buffer
  readonly #server = createServer({ allowHalfOpen: true }, (socket) => void this.#connected(socket))
  readonly #machine = new PreparedMachine(() => this.#replaced())
  /** Streams, for the request of their run. */
  readonly #streams = new Map<Role, Socket>()
  #inode = 0
  #runs = 0
  #done = 0
  #about = ''
  #isEnding = false
  #idleSince = 0
  #idleMs = 0
  #idle: NodeJS.Timeout | undefined

  constructor(path: string) {
    this.#path = path
    this.#secret = staySecret(dirname(path))
  }

  /** Listens at the socket's path, in place of a process that does not answer. */
  async listen(): Promise<void> {
    const own = `${this.#path}.${process.pid}`
    await new Promise<void>((resolve, reject) => this.#server.once('error', reject).listen(own, resolve))
    this.#inode = statSync(own).ino
    try {
      linkSync(own, this.#path)
    } catch {
      // A killed process has left its socket, or two were started at once: without runs the other one ends.
      unlinkSync(this.#path)
      linkSync(own, this.#path)
    } finally {
      unlinkSync(own)
    }
    this.#endAfter(UNUSED_MS)
  }

  async #connected(socket: Socket): Promise<void> {
    try {
      const role = await acceptProof(socket, this.#secret)
      if (role !== 'control') {
        this.#streams.set(role, socket)
        // The run is not taken, or the client has gone.
        setTimeout(() => this.#streams.delete(role) && socket.destroy(), UNCLAIMED_MS).unref()
        return
      }
      let run: ServedRun | undefined
      hear<Asked>(socket, (asked) => {
        if (asked.op === 'run') run ??= this.#take(socket, asked)
        else if (asked.op === 'signal' || asked.op === 'size') run?.hear(asked)
        else if (asked.op === 'status') send(socket, { op: 'status', status: this.#status() })
        else this.#end()
      })
    } catch {
      // Somebody without the secret, or a client that has gone.
      socket.destroy()
    }
  }

  /** Takes a run, if there is room. */
  #take(control: Socket, asked: RunRequest): ServedRun | undefined {
    const roles = (['stdin', 'stdout', 'stderr'] as const).map((name): Role => `${name} ${asked.run}`)
    const [stdin, stdout, stderr] = roles.map((role) => this.#streams.get(role))
    const isFull = this.#runs >= (asked.evenBusy ? this.#machine.mostGuests(asked.call.flags.memory) : 1)
    if (this.#isEnding || isFull || !stdin || !stdout || !stderr) {
      send(control, { op: 'busy' })
      return undefined
    }
    for (const role of roles) this.#streams.delete(role)
    send(control, { op: 'accepted' })
    this.#runs++
    clearTimeout(this.#idle)
    const run = new ServedRun({ control, stdin, stdout, stderr }, asked)
    void run.run(this.#machine.make).finally(() => this.#ended(asked.call.flags))
    return run
  }

  #ended({ stay = UNUSED_MS, stayMemory, ...flags }: ExecFlags): void {
    this.#runs--
    this.#done++
    this.#about = [flags.arch, mebibytes(flags.memory), flags.kernel?.name ?? ''].join(' ').trim()
    this.#isEnding ||= process.memoryUsage.rss() > stayMemory || !this.#isReachable()
    if (this.#runs > 0) return
    if (this.#isEnding) this.#end()
    this.#machine.prepareNext()
    this.#endAfter(stay)
  }

  /** Another process may have taken the place. */
  #isReachable(): boolean {
    return statSync(this.#path, { throwIfNoEntry: false })?.ino === this.#inode
  }

  #endAfter(ms: number): void {
    this.#idleSince = Date.now()
    this.#idle = setTimeout(() => this.#end(), (this.#idleMs = ms))
  }

  #status(): StayStatus {
    const rss = process.memoryUsage.rss()
    const leftMs = this.#runs > 0 ? undefined : this.#idleSince + this.#idleMs - Date.now()
    return { pid: process.pid, about: this.#about, runs: this.#runs, done: this.#done, memory: mebibytes(rss), leftMs }
  }

  /** No more runs are taken, and the process ends: with its runs, or behind them. */
  #replaced(): void {
    this.#isEnding = true
    if (this.#runs === 0) this.#end()
  }

  #end(): never {
    if (this.#isReachable()) unlinkSync(this.#path)
    process.exit(0)
  }
}

const mebibytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)}M`

/** A run of a client's: its streams, terminal and signals are the connection's. */
class ServedRun {
  readonly #control: Socket
  readonly #stdin: Socket
  readonly #ends: readonly Socket[]
  readonly #asked: RunRequest
  readonly #signals = new EventEmitter()
  readonly #host: ExecHost
  readonly #stdout: Socket & { columns?: number | undefined; rows?: number | undefined }

  constructor(
    { control, stdin, stdout, stderr }: Readonly<Record<'control' | 'stdin' | 'stdout' | 'stderr', Socket>>,
    asked: RunRequest,
  ) {
    const gone = new AbortController()
    void closed(control).then(() => gone.abort())
    this.#control = control
    this.#stdin = stdin
    this.#ends = [stdout, stderr]
    this.#asked = asked
    this.#stdout = stdout
    this.#resize(asked.terminal)
    this.#host = {
      stdin: Object.assign(stdin, { isTTY: asked.terminal.isTTY }),
      stdout: plainOutput(stdout),
      stderr: plainOutput(stderr),
      env: asked.env,
      cwd: asked.cwd,
      setRaw: (on) => send(control, { op: 'raw', on }),
      on: (signal, listener) => void this.#signals.on(signal, listener),
      off: (signal, listener) => void this.#signals.off(signal, listener),
      endSoon: () => undefined,
      elsewhere: { begun: () => send(control, { op: 'begun' }), gone: gone.signal },
    }
  }

  async run(make: MakeGuest): Promise<void> {
    const code = await perform(this.#asked.call, this.#host, make).catch((error: unknown) => {
      this.#host.stderr.write(`retrap: ${plainLine(inspect(error), Infinity)}\n`)
      return OURS
    })
    this.#stdin.destroy()
    for (const end of this.#ends) end.end()
    send(this.#control, { op: 'exit', code })
    this.#control.end()
  }

  hear(asked: Extract<Asked, { op: 'signal' | 'size' }>): void {
    if (asked.op === 'size') this.#resize(asked)
    this.#signals.emit(asked.op === 'size' ? 'SIGWINCH' : asked.signal)
  }

  #resize({ columns, rows }: ClientTerminal): void {
    Object.assign(this.#stdout, { columns, rows })
  }
}
