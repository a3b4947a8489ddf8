import { defined } from '@retrap/basics'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { GdbSession, type GdbTarget } from '@retrap/gdb'
import { linuxCommands, LinuxNames } from '@retrap/symbols'
import { CliError } from '@retrap/linux-guest/errors'
import type { SessionDebugger, SessionOutput } from '../session/session-host.ts'
import type { Machine, MachineRunner } from '@retrap/linux-guest/machine/machine-contract'
import { usage, didYouMean, parseWhole, splitPairs } from '../../options/values.ts'

/** The address for gdb, from `--gdb`. */
export interface GdbOption {
  readonly host: string
  readonly port: number
  /** The machine does not start before gdb says so. */
  readonly wait: boolean
  /** The registers in the description for gdb; `x86-64` is for guests in all modes. */
  readonly architecture?: 'x86-64' | 'i386'
}

const LOOPBACK = '127.0.0.1'
const ARCHITECTURES = ['x86-64', 'i386'] as const
const EXAMPLE = 'tcp:127.0.0.1:1234,wait'

/** Reads `tcp:[HOST:]PORT[,wait][,arch=x86-64|i386]`. @throws CliError `ERR_USAGE` */
export function parseGdb(text: string): GdbOption {
  const [place = '', ...words] = splitPairs(text)
  const [, host, digits = ''] = /^tcp:(?:(.*):)?(\w+)$/.exec(place) ?? []
  const port = parseWhole(digits)
  if (port === undefined || port > 0xffff) throw usage(`--gdb ${text}: expected a TCP port, as in ${EXAMPLE}`)
  let wait = false
  let architecture: GdbOption['architecture']
  for (const word of words) {
    const arch = ARCHITECTURES.find((name) => word === `arch=${name}`)
    if (word === 'wait') wait = true
    else if (arch !== undefined) architecture = arch
    else {
      const known = ['wait', ...ARCHITECTURES.map((name) => `arch=${name}`)]
      throw usage(`--gdb has no '${word}'; it has ${known.join(', ')}${didYouMean(word, known)}`)
    }
  }
  return {
    host: host === undefined || host === '' ? LOOPBACK : host.replace(/^\[(.*)\]$/, '$1'),
    port,
    wait,
    ...defined({ architecture }),
  }
}

/** Most bytes that wait for a client that does not read. */
const MOST_UNREAD = 8 << 20
/** Host time that a client has to read the last replies. */
const LAST_REPLY_MS = 1000
/** The bytes that gdb begins with: `+`, `-`, `$` and an interrupt. */
const FIRST_BYTES: readonly (number | undefined)[] = [0x2b, 0x2d, 0x24, 0x03]

/** Lets gdb attach to the machines of a session, one client at a time. */
export class SessionGdb implements SessionDebugger {
  readonly #option: GdbOption
  #kill: () => void = () => {}
  #say: SessionOutput | undefined
  readonly #server: Server
  #target: GdbTarget | undefined
  #session: GdbSession | undefined
  #socket: Socket | undefined
  /** The command to attach, until it has been printed. */
  #invitation = ''
  /** The first machine waits for gdb. */
  #waits: boolean

  constructor(option: GdbOption) {
    this.#option = option
    this.#waits = option.wait
    this.#server = createServer((socket) => this.#connected(socket))
  }

  /** Listens. How to attach is said when there is a machine. @param kill - gdb's user has said `kill` @throws CliError `ERR_INPUT` */
  async open(say: SessionOutput, kill: () => void): Promise<void> {
    this.#say = say
    this.#kill = kill
    const { host, port, wait } = this.#option
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', ({ message }) => reject(new CliError('ERR_INPUT', `--gdb cannot listen: ${message}`)))
      this.#server.listen({ host, port }, resolve)
    })
    const place = `${host.includes(':') ? `[${host}]` : host}:${(this.#server.address() as AddressInfo).port}`
    const what = wait ? 'the machine waits for gdb' : 'gdb can attach'
    this.#invitation = `retrap: ${what}: gdb -ex 'target remote ${place}'\n`
  }

  /** Attaches gdb to a machine that has not run yet. @throws CliError `ERR_USAGE` for a machine without a debugger */
  async adopt(machine: Machine, runner: MachineRunner = machine): Promise<void> {
    const { architecture } = this.#option
    const commands = linuxCommands(() => machine)
    const onTrouble = (sentence: string): void => void this.#say?.write(`retrap: ${sentence}\n`)
    const { addressOf: find, nameOf } = new LinuxNames(() => machine)
    const options = { kill: this.#kill, onTrouble, commands, find, nameOf, ...defined({ architecture }) }
    const target = await runner.gdbTarget?.(options)
    if (target === undefined) throw usage('--gdb: this machine has no debugger')
    this.#target = target
    // A replay has got to its place only now: gdb does not wait for long.
    this.#say?.write(this.#invitation)
    this.#invitation = ''
    if (this.#session !== undefined) this.#session.retarget(target)
    else {
      if (this.#waits) target.stop()
      if (this.#socket !== undefined) this.#begin(this.#socket, target)
    }
    this.#waits = false
  }

  /** The session is over. */
  async close(): Promise<void> {
    this.#session?.exited(0)
    const socket = this.#socket
    socket?.destroySoon()
    const timer = setTimeout(() => socket?.destroy(), LAST_REPLY_MS)
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve))
    clearTimeout(timer)
  }

  #connected(socket: Socket): void {
    socket.on('error', () => socket.destroy())
    if (this.#socket !== undefined) return void socket.destroy()
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('close', () => {
      if (this.#socket === socket) this.#socket = undefined
    })
    // An early client waits for the machine.
    if (this.#target !== undefined) this.#begin(socket, this.#target)
  }

  #begin(socket: Socket, target: GdbTarget): void {
    const session = new GdbSession(target, {
      write: (bytes) => {
        if (socket.destroyed) return
        socket.write(bytes)
        if (socket.writableLength > MOST_UNREAD) socket.destroy()
      },
      end: () => {
        this.#left(session)
        socket.destroySoon()
      },
    })
    this.#session = session
    let isClient = false
    socket.on('data', (bytes) => {
      // A web page can make a browser send any data to this port, but only as an HTTP request.
      isClient ||= FIRST_BYTES.includes(bytes[0])
      if (isClient) session.receive(bytes)
      else socket.destroy()
    })
    socket.on('close', () => {
      session.closed()
      this.#left(session)
    })
  }

  #left(session: GdbSession): void {
    if (this.#session === session) this.#session = undefined
  }
}
