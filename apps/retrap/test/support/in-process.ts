// The command line in this process: what is about options, listings, files and guests needs no other one. Exit codes of a
// process, its signals, its terminal and how it ends are shown by `runRetrap` (processes.ts).
import { EventEmitter } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import { buildGuestImage } from '@retrap/embedded-guest'
import { decode, formatIntel } from '@retrap/x86-decoder'
import { type CliHost, runCli } from '../../src/cli.ts'
import { createMachine } from '../../src/machine-main.ts'
import { packedInterpreters } from '@retrap/linux-guest/machine/interpreters'
import type { EndingSignal } from '../../src/machine/session/session-host.ts'
import { plainOutput } from '../../src/print-lines.ts'
import type { Machine, MachineOptions } from '@retrap/linux-guest/machine/machine-contract'
import { besideBundle, type Finished, testOptions } from './processes.ts'

export interface HereOptions {
  /** Typed at once; without it, and without answers, the input is empty. */
  readonly input?: string
  /** Typed when the output first contains the text, one after the other. */
  readonly answers?: readonly { readonly to: string; readonly type: string }[]
  /** Told of each piece of output: all that was printed so far, and how to send the program a signal. */
  readonly onOutput?: (output: string, signal: SendSignal) => void
  /** Told of what it says on stderr, likewise. */
  readonly onError?: (output: string, signal: SendSignal) => void
  /** The machine goes on from there. */
  readonly snapshot?: MachineOptions['snapshot']
  /** Told of each machine that is made, before it runs. */
  readonly onMachine?: (machine: Machine) => void
  /** After this it is ended, and the promise rejects. */
  readonly deadlineMs: number
}

export type SendSignal = (signal: EndingSignal) => void

// No test depends on what an earlier one has compiled.
process.env['RETRAP_UNIT_CACHE'] = 'off'

const used = new Set<string>()

/** Interpreters that the bundle has: to generate them takes longer than many a test. A mutation may have others. */
export async function useInterpreters(architecture: 'x86' | 'arm64'): Promise<void> {
  if (used.has(architecture) || process.env['RETRAP_MUTATION'] !== undefined) return
  used.add(architecture)
  const file = besideBundle(`interpreters-${architecture}.br`)
  if (file === undefined || !existsSync(file)) return
  const packed = packedInterpreters(readFileSync(file), new Uint8Array())
  const load = {
    x86: () => import('@retrap/x86-cpu/interpreters'),
    arm64: () => import('@retrap/arm-cpu/interpreters'),
  }
  if (packed !== undefined) (await load[architecture]()).useInterpreters(packed)
}

/** An output that takes all at once: what was written, as text. */
class Output extends EventEmitter {
  readonly #decoder = new TextDecoder()
  readonly #heard: (text: string) => void
  text = ''

  constructor(heard: (text: string) => void) {
    super()
    this.#heard = heard
  }

  write(data: Uint8Array | string): boolean {
    this.text += typeof data === 'string' ? data : this.#decoder.decode(data, { stream: true })
    this.#heard(this.text)
    return true
  }
}

/** Runs the command line in this process. */
export async function runHere(args: readonly string[], options: HereOptions): Promise<Finished> {
  const stdin = new PassThrough()
  const listeners = new Set<(signal: EndingSignal) => void>()
  const send: SendSignal = (signal) => {
    for (const listener of listeners) listener(signal)
  }
  const answers = [...(options.answers ?? [])]
  let answeredUpTo = 0
  const stdout = new Output((text) => {
    options.onOutput?.(text, send)
    for (let next = answers[0]; next !== undefined && text.includes(next.to, answeredUpTo); next = answers[0]) {
      answeredUpTo = text.indexOf(next.to, answeredUpTo) + next.to.length
      stdin.write(next.type)
      answers.shift()
    }
  })
  const stderr = new Output((text) => options.onError?.(text, send))
  const host: CliHost = {
    async createMachine(asked) {
      await useInterpreters(asked.architecture === 'arm64' ? 'arm64' : 'x86')
      const machine = await createMachine(
        options.snapshot === undefined ? asked : { ...asked, snapshot: options.snapshot },
      )
      options.onMachine?.(machine)
      return machine
    },
    disassemble: ({ bytes, mode, address }) => formatIntel(decode(bytes, { mode, address })),
    embeddedGuest: buildGuestImage,
    stdin,
    stdout,
    stderr: plainOutput(stderr),
    onSignal(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    // Vitest reports it.
    onUncaught: () => () => {},
    onStuck: () => () => {},
    abandon() {},
  }
  // A replay makes its machine by itself.
  await useInterpreters('x86')
  if (options.answers === undefined) stdin.end(options.input ?? '')
  let isLate = false
  const deadline = setTimeout(() => {
    isLate = true
    // The first may press a power button.
    send('SIGTERM')
    send('SIGTERM')
  }, options.deadlineMs)
  try {
    const code = await runCli(testOptions(args), host)
    if (isLate)
      throw new Error(
        `${args.join(' ')} ran for over ${options.deadlineMs} ms; it printed:\n${stdout.text}${stderr.text}`,
      )
    return { code, stdout: stdout.text, stderr: stderr.text }
  } finally {
    clearTimeout(deadline)
  }
}
