import { EventEmitter } from 'node:events'
import type { P2mLeaf } from '@retrap/p2m'
import type { MachineExit } from '@retrap/machine'
import type { Machine, MachineOptions } from '@retrap/linux-guest/machine/machine-contract'
import type { EndingSignal, SessionHost } from '../../src/machine/session/session-host.ts'

// No test depends on what an earlier one has compiled, or on a file of tests that ran before it.
process.env['RETRAP_UNIT_CACHE'] = 'off'

/** What a test's guest can do: print, hear what is typed, and decide how the machine ends. */
export interface FakeGuest {
  readonly print: (text: string) => void
  readonly printXen: (text: string) => void
  /** Resolves with what was typed so far once it satisfies `until`. */
  readonly typed: (until: (all: string) => boolean) => Promise<string>
}

/** The guest's program; each machine that is created, and each reset, runs it once more, with its number. */
export type FakeProgram = (guest: FakeGuest, boot: number) => Promise<MachineExit>

class FakeStdin extends EventEmitter {
  isTTY = false
  rawModes: boolean[] = []
  setRawMode(raw: boolean): void {
    this.rawModes.push(raw)
  }
  resume(): void {}
  pause(): void {}
}

class FakeOutput extends EventEmitter {
  isTTY = false
  text = ''
  /** What the reader has not taken. */
  writableLength = 0
  write(data: Uint8Array | string): void {
    this.text += typeof data === 'string' ? data : new TextDecoder().decode(data)
  }
}

/** A process with a machine that the test plays. */
export class FakeHost implements SessionHost {
  readonly stdin: FakeStdin = new FakeStdin()
  readonly stdout: FakeOutput = new FakeOutput()
  readonly stderr: FakeOutput = new FakeOutput()
  readonly created: MachineOptions[] = []
  /** What the machine's map of guest frames says. */
  leaves: readonly P2mLeaf[] = []
  /** What the machine's devices have written too late. */
  keptViews: readonly { readonly device: string; readonly gpa: number; readonly length: number }[] = []
  readonly timeouts: (number | undefined)[] = []
  /** What was typed on Xen's console. */
  typedXen = ''
  signal: ((signal: EndingSignal) => void) | undefined
  /** How often the machine was reset from outside. */
  resets = 0
  readonly #program: FakeProgram
  #boots = 0

  constructor(program: FakeProgram) {
    this.#program = program
  }

  readonly disassemble = ({ bytes }: { bytes: Uint8Array }): string => `<${bytes.length} bytes>`
  readonly embeddedGuest = (): Uint8Array => new TextEncoder().encode('embedded guest')

  uncaught: ((thrown: unknown) => void) | undefined
  /** Whether the guest has asked for the power button's event, and how often it was pressed. */
  heedsPowerButton = false
  /** Whether what the button is wired to answers at all. */
  answersPowerButton = true
  pressed = 0
  /** Whether the process ends although output waits. */
  abandoned = false

  onUncaught(listener: (thrown: unknown) => void): () => void {
    this.uncaught = listener
    return () => (this.uncaught = undefined)
  }

  stuck: Parameters<SessionHost['onStuck']>[0] | undefined

  onStuck(listener: Parameters<SessionHost['onStuck']>[0]): () => void {
    this.stuck = listener
    return () => (this.stuck = undefined)
  }

  abandon(): void {
    this.abandoned = true
  }

  onSignal(listener: (signal: EndingSignal) => void): () => void {
    this.signal = listener
    return () => (this.signal = undefined)
  }

  readonly createMachine = async (options: MachineOptions): Promise<Machine> => {
    this.created.push(options)
    let transmit: (bytes: Uint8Array) => void = () => {}
    let transmitXen = transmit
    let typed = ''
    const waiting = new Set<() => void>()
    const guest: FakeGuest = {
      print: (text) => transmit(new TextEncoder().encode(text)),
      printXen: (text) => transmitXen(new TextEncoder().encode(text)),
      typed(until) {
        const { promise, resolve } = Promise.withResolvers<string>()
        const look = (): void => {
          if (!until(typed)) return
          waiting.delete(look)
          resolve(typed)
        }
        waiting.add(look)
        look()
        return promise
      },
    }
    const { leaves } = this
    return {
      memory: { u8: new Uint8Array() },
      domain: {
        keptViews: () => this.keptViews,
        secondLevel: { peek: () => -1 },
        p2m: {
          isRam: () => true,
          root: 0x1000,
          format: 'ept',
          tableBytes: 0x5000,
          *leaves(from = 0, to = Infinity) {
            for (const leaf of leaves) if (leaf.gfn + 2 ** leaf.order > from && leaf.gfn < to) yield leaf
          },
        },
      },
      serialPorts: [
        {
          onTransmit: (listener) => (transmit = listener),
          receive(bytes) {
            typed += new TextDecoder().decode(bytes)
            for (const look of waiting) look()
            return true
          },
          onDrain() {},
        },
      ],
      xenConsole: {
        onTransmit: (listener) => (transmitXen = listener),
        receive: (bytes) => {
          this.typedXen += new TextDecoder().decode(bytes)
          return true
        },
        onDrain() {},
      },
      powerButton: async () => {
        this.pressed++
        return this.answersPowerButton ? this.heedsPowerButton : new Promise<boolean>(() => {})
      },
      reset: async () => void this.resets++,
      run: async ({ signal, timeoutMs }) => {
        this.timeouts.push(timeoutMs)
        const { promise: stopped, resolve } = Promise.withResolvers<MachineExit>()
        signal?.addEventListener('abort', () => resolve({ reason: 'stopped' }))
        const timer = timeoutMs === undefined ? undefined : setTimeout(() => resolve({ reason: 'timeout' }), timeoutMs)
        for (;;) {
          const exit = await Promise.race([this.#program(guest, ++this.#boots), stopped])
          const goesOn = exit.reason === 'reset' && options.onReset !== undefined
          if (!goesOn) clearTimeout(timer)
          if (!goesOn) return exit
          await options.onReset()
          await new Promise((resolve) => setImmediate(resolve))
          if (signal?.aborted === true) return stopped
        }
      },
      statistics: () => ({
        instructions: 123_456,
        tlbMisses: 78,
        tprTraps: 0,
        exits: { hlt: 2, port: 40 },
        p2m: {
          format: 'ept',
          tableBytes: 0x5000,
          leaves: { '4K': 416, '2M': 31, '1G': 0 },
          frames: { 0: 16_000, 3: 288 },
        },
      }),
    }
  }
}
