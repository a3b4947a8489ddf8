/** Readers of a recording, each by its own interface. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { openAsBlob } from 'node:fs'
import { PAGE_BYTES } from '@retrap/memory'
import type { Pc } from '@retrap/machine'
import { saveVcpuRegisters } from '@retrap/x86-cpu'
import { DebugClient } from '@vscode/debugadapter-testsupport'
import type { DebugProtocol } from '@vscode/debugprotocol'
import { ReplayMachine } from '../../../src/machine/recording/replay-machine.ts'
import { runHere } from '../in-process.ts'
import { retrapCommand } from '../processes.ts'
import { GdbClient } from './gdb-client.ts'
import { WRITTEN } from './guest.ts'
import { loadPage } from './page.ts'

/** The state of the machine at an instant, as a reader shows it. */
export interface Seen {
  readonly ns: number
  readonly registers: readonly string[]
  /** Of the memory that the guest writes. */
  readonly ram: string
  /** All that the guest had printed since the recording begins; undefined: the reader does not show it there. */
  readonly printed: string | undefined
}

/** A recording that is open. */
export interface Reader {
  at(place: number | 'end'): Promise<Seen>
  close(): Promise<unknown> | void
}

const DEADLINE_MS = 200_000
const REGISTERS = ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp', 'rip'] as const
const hashOf = (pieces: readonly Uint8Array[]): string => {
  const hash = createHash('sha256')
  for (const piece of pieces) hash.update(piece)
  return hash.digest('hex').slice(0, 16)
}

/** Returns a register of a guest of 32 bits. */
export const registerOf = ({ domain }: Pc, name: (typeof REGISTERS)[number]): number =>
  Number((saveVcpuRegisters(domain.vcpus[0]!.cpu) as unknown as Record<string, string>)[name])

/** Returns the state of a machine that stands still. */
export function stateOf(pc: Pc, printed?: string): Seen {
  const { domain } = pc
  const registers = REGISTERS.map((name) => registerOf(pc, name).toString(16))
  const pages = WRITTEN.flatMap(([from, bytes]) =>
    Array.from({ length: bytes / PAGE_BYTES }, (_, page) => {
      const ma = domain.secondLevel.peek(from + page * PAGE_BYTES)
      return domain.memory.u8.subarray(ma, ma + PAGE_BYTES)
    }),
  )
  return { ns: domain.clock.now() + domain.spent, registers, ram: hashOf(pages), printed }
}

/** Does something, and looks at each object of a class that is closed meanwhile, before that. */
export async function lookAtClosing<T extends { close(): void }, R>(
  prototype: T,
  look: (closing: T) => void,
  act: () => Promise<R>,
): Promise<R> {
  // oxlint-disable-next-line typescript/unbound-method -- it is called with its `this`
  const { close } = prototype
  prototype.close = function (this: T) {
    look(this)
    close.call(this)
  }
  try {
    return await act()
  } finally {
    prototype.close = close
  }
}

/** `retrap replay --goto`, anew for each place: its standard output, and the machine as the command leaves it. */
function replayCommand(file: string): Reader {
  return {
    async at(place) {
      let seen: Seen | undefined
      const { code, stdout, stderr } = await lookAtClosing(
        ReplayMachine.prototype,
        ({ replay }) => (seen = stateOf(replay.pc as unknown as Pc)),
        () => runHere(['replay', file, '--goto', `${place}`], { deadlineMs: DEADLINE_MS }),
      )
      if (code !== 0 || seen === undefined) throw new Error(`replay --goto ${place}: ${stderr}`)
      return { ...seen, printed: stdout }
    },
    close: () => undefined,
  }
}

const NS = /at (\d+) ns/
const nsOf = (said: string): number => Number(NS.exec(said)?.[1] ?? NaN)

/** gdb's protocol, to a process. It has been at the end: what the guest prints is handed over once. */
async function gdb(file: string): Promise<Reader> {
  const args = retrapCommand(['replay', file, '--', '--gdb', 'tcp:0,wait'])
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let printed = ''
  child.stdout.on('data', (bytes) => (printed += String(bytes)))
  const client = await GdbClient.of(child.stderr)
  await client.ask('qSupported')
  await client.ask('c')
  return {
    async at(place) {
      const ns = nsOf(await client.monitor(`goto ${place}`))
      const packet = await client.ask('g')
      const word = (at: number): string =>
        BigInt(
          `0x${Buffer.from(packet.slice(at, at + 16), 'hex')
            .reverse()
            .toString('hex')}`,
        ).toString(16)
      // rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8 to r15, rip.
      const registers = REGISTERS.map((_, number) => word(16 * (number < 8 ? number : 16)))
      const pieces: Buffer[] = []
      for (const [from, bytes] of WRITTEN)
        for (let at = from; at < from + bytes; at += PAGE_BYTES)
          pieces.push(Buffer.from(await client.ask(`m${at.toString(16)},${PAGE_BYTES.toString(16)}`), 'hex'))
      return { ns, registers, ram: hashOf(pieces), printed: place === 'end' ? printed : undefined }
    },
    close: () => void child.kill('SIGKILL'),
  }
}

/** The Debug Adapter Protocol, to a process. It has been at the end, likewise. */
class Dap extends DebugClient implements Reader {
  readonly #process: ChildProcess
  #printed = ''

  private constructor(process_: ChildProcess) {
    super('', '', 'retrap')
    this.#process = process_
    this.defaultTimeout = DEADLINE_MS
    this.connect(process_.stdout!, process_.stdin!)
    this.on('output', ({ body }: DebugProtocol.OutputEvent) => {
      if (body.category === 'stdout') this.#printed += body.output
    })
  }

  static async of(file: string): Promise<Dap> {
    const client = new Dap(spawn(process.execPath, retrapCommand(['dap']), { stdio: ['pipe', 'pipe', 'ignore'] }))
    await client.initializeRequest()
    const initialized = client.waitForEvent('initialized')
    await client.launchRequest({ recording: file, at: 'begin' } as never)
    await initialized
    const stopped = client.waitForEvent('stopped')
    await client.configurationDoneRequest()
    await stopped
    const ended = client.waitForEvent('stopped')
    await client.continueRequest({ threadId: 1 })
    await ended
    return client
  }

  async at(place: number | 'end'): Promise<Seen> {
    const ask = async (expression: string): Promise<string> =>
      (await this.evaluateRequest({ expression, context: 'repl' })).body.result
    await ask(`goto ${place}`)
    const ns = nsOf(await ask('when'))
    const registers: string[] = []
    const pieces: Buffer[] = []
    for (const name of REGISTERS) registers.push(BigInt((await ask(`$${name}`)).split(' ')[0]!).toString(16))
    for (const [from, count] of WRITTEN) {
      const { body } = await this.customRequest('readMemory', { memoryReference: `0x${from.toString(16)}`, count })
      pieces.push(Buffer.from(body.data as string, 'base64'))
    }
    return { ns, registers, ram: hashOf(pieces), printed: place === 'end' ? this.#printed : undefined }
  }

  close(): void {
    this.#process.kill('SIGKILL')
  }
}

/** The page's model, without the page. */
async function page(file: string): Promise<Reader> {
  const code = await loadPage()
  const opened = await code.openRecordingFile(await openAsBlob(file))
  const machine = new code.RecordedMachine(await code.replayedRun(opened.options, opened), () => undefined)
  return {
    async at(place) {
      await machine.travel({ to: place === 'end' ? 'now' : place })
      const pc = await machine.seen()
      return stateOf(pc, Buffer.from(machine.run.history.consoleOf(pc)).toString())
    },
    close: () => machine.close(),
  }
}

/** By name: opens a recording. A site and `retrap web` have the page's. */
export const READERS: Readonly<Record<string, (file: string) => Promise<Reader> | Reader>> = {
  replay: replayCommand,
  gdb,
  dap: (file) => Dap.of(file),
  page,
}
