/** Notes on a run: its console, its lines, and how much has happened when. */
import { expect, test } from 'vitest'
import { GuestConsole } from '../src/machine/machine-gate.ts'
import { type NotedGate, RunHistoryKeeper } from '../src/recording/run-history.ts'

/** A machine that prints and computes as it is told. */
class Noted {
  readonly gate: NotedGate = { console: new GuestConsole(), moved: null }
  readonly domain = { instructions: 0, spent: 0, clock: { now: () => this.ns }, vcpus: [] } as never as {
    instructions: number
  }
  ns = 0
  /** Bytes that the serial port has sent; it is heard later. */
  #sent = 0
  #waiting: number[] = []

  constructor(outputs: number) {
    while (this.gate.console.heard.length < outputs) this.gate.console.heard.push(0)
  }

  sentBy = (output: number): number => (output === 0 ? this.#sent : (this.gate.console.heard[output] ?? 0))

  send(text: string): void {
    this.#sent += text.length
    this.#waiting.push(...Buffer.from(text, 'latin1'))
  }

  /** The host hears what the serial port has sent. */
  hear(): void {
    this.gate.console.hear(0, Uint8Array.from(this.#waiting.splice(0)))
  }

  /** Goes on, to where the next round begins. */
  on(instructions: number, ns: number): void {
    this.domain.instructions += instructions
    this.ns += ns
    this.gate.moved?.()
  }

  followed(history: RunHistoryKeeper): this {
    history.follow(this as never, this.gate)
    return this
  }
}

const textOf = (history: RunHistoryKeeper, ...sent: readonly number[]): string =>
  Buffer.from(history.consoleOf({ sentBy: (output: number) => sent[output] ?? 0 } as never)).toString('latin1')

test('all outputs make one console, whose text at an instant is what each had sent there', () => {
  const history = new RunHistoryKeeper()
  const machine = new Noted(2).followed(history)
  machine.send('one\ntw')
  machine.on(10, 1000)
  machine.gate.console.hear(1, Buffer.from('three\n'))
  machine.on(10, 1000)
  machine.hear()
  machine.send('o\n')
  machine.hear()
  machine.on(10, 1000)
  const again = new RunHistoryKeeper()
  again.restore(history.save(0), [{ name: 'here', instructions: 15, round: 1 }])
  for (const one of [history, again])
    expect([textOf(one, 8, 6), textOf(one, 5, 2), textOf(one, 2)]).toEqual([
      'three\r\none\r\ntwo\r\n',
      'thone\r\nt',
      'on',
    ])
  // A line ends where the first round begins that has it, whenever the host gets it.
  const lines = again.view(0).marks.map(({ kind, instruction, text }) => [kind, instruction, text])
  expect(lines).toEqual([
    ['serial', 10, 'one'],
    ['own', 15, 'here'],
    ['serial', 20, 'three'],
    ['serial', 30, 'two'],
  ])
})

test('lines of a pipe begin in the first column of a terminal, and lines of a terminal stay as they are', () => {
  const history = new RunHistoryKeeper()
  const machine = new Noted(2).followed(history)
  machine.send('one\r\ntwo\r\n\n')
  machine.gate.console.hear(1, Buffer.from('HTTP/1.1 200\r\n<p>\n</p>\n'))
  machine.hear()
  expect(textOf(history, 11, 23)).toBe('HTTP/1.1 200\r\r\n<p>\r\n</p>\r\none\r\ntwo\r\n\n')
})

test('what was printed while nobody looked is zeros, and what follows is in its place', () => {
  const history = new RunHistoryKeeper()
  const machine = new Noted(1).followed(history)
  machine.send('begin')
  machine.hear()
  history.leave()
  machine.send('unheard')
  machine.hear()
  machine.on(1, 1)
  machine.followed(history)
  machine.send('end')
  machine.hear()
  expect(textOf(history, 15)).toBe('begin\0\0\0\0\0\0\0end')
  expect(textOf(history, 5)).toBe('begin')
})

test('samples are of the same instants of guest time in each run, and all stays within bounds', () => {
  for (const ns of [100_000, 377_700]) {
    const history = new RunHistoryKeeper()
    const machine = new Noted(1).followed(history)
    for (let i = 0; i < 30_000_000_000 / ns; i++) {
      machine.on(1000, ns)
      if (i % 8 === 0) machine.send('forty characters of a line, and its end\n')
      if (i % 80 === 0) machine.hear()
    }
    machine.hear()
    const { samples, marks, output } = history.save(0)
    const steps = samples.slice(1, -1).map(({ guestMs }, i) => guestMs - samples[i]!.guestMs)
    // Those of the last part have not been thinned yet.
    expect(Math.max(...steps) / Math.min(...steps)).toBeLessThan(2.3)
    expect(samples.length).toBeGreaterThan(1000)
    expect([samples.length <= 2049, marks.length <= 10_000]).toEqual([true, true])
    expect(output.characters.length).toBeLessThanOrEqual(1 << 20)
    expect(output.from + output.characters.length).toBe(machine.sentBy(0))
  }
})
