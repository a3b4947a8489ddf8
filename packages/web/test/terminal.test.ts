/** Terminals at a machine's serial port, without a page. */
import { expect, test } from 'vitest'
import { PrintedBytes, attachTerminal, type TerminalLike } from '../src/terminal.ts'

/** A machine whose guest sends bytes, and waits for them. */
function sending() {
  const listeners = new Set<(bytes: Uint8Array) => void>()
  const state = { waits: 0 }
  const printed = new PrintedBytes((bytes) => (state.waits -= bytes))
  const machine = {
    console: null,
    on: (event: 'serial' | 'console', listener: (bytes: Uint8Array) => void) => {
      if (event === 'serial') listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    write: () => {},
  }
  const send = (...lengths: number[]): void => {
    for (const length of lengths) {
      state.waits += length
      printed.sent(length)
      for (const listener of listeners) listener(new Uint8Array(length))
    }
  }
  /** A terminal that prints when it is told to. */
  const attach = () => {
    const dones: (() => void)[] = []
    const terminal: TerminalLike = {
      write: (_bytes, done) => void dones.push(done!),
      onData: () => ({ dispose: () => {} }),
    }
    return { print: (): void => dones.shift()?.(), detach: attachTerminal(machine, terminal, printed.open()) }
  }
  return { state, send, attach }
}

test('the guest does not wait for a terminal that is gone', () => {
  const { state, send, attach } = sending()
  const terminal = attach()
  send(5, 7, 11)
  terminal.print()
  expect(state.waits).toBe(18)
  terminal.detach()
  expect(state.waits).toBe(0)
  // A terminal that prints what it has after all counts once.
  terminal.print()
  expect(state.waits).toBe(0)
  send(3)
  expect(state.waits).toBe(0)
})

test('the guest waits for the slowest of its terminals', () => {
  const { state, send, attach } = sending()
  const fast = attach()
  send(2)
  const slow = attach()
  send(5, 7)
  expect(state.waits).toBe(14)
  for (let i = 0; i < 3; i++) fast.print()
  // The second terminal has never seen the first two bytes.
  expect(state.waits).toBe(12)
  slow.print()
  expect(state.waits).toBe(7)
  slow.detach()
  expect(state.waits).toBe(0)
  fast.detach()
  expect(state.waits).toBe(0)
})

test('a terminal that shows what was printed before answers no questions of it', () => {
  const written: string[] = []
  let type: (text: string) => void = () => undefined
  const dones: (() => void)[] = []
  const terminal: TerminalLike = {
    write: (bytes, done) => {
      // The terminal is asked for the cursor's place.
      if (Buffer.from(bytes).includes('[6n')) type('\u001b[1;1R')
      if (done !== undefined) dones.push(done)
    },
    onData: (listener) => {
      type = listener
      return { dispose: () => {} }
    },
  }
  let show: (bytes: Uint8Array) => void = () => undefined
  const machine = {
    console: null,
    on: (event: 'serial' | 'console', listener: (bytes: Uint8Array) => void) => {
      if (event === 'console') show = listener
      return () => undefined
    },
    write: (text: string) => void written.push(text),
  }
  attachTerminal(machine, terminal, new PrintedBytes(() => undefined).open())
  show(Buffer.from('/ # \u001b[6n'))
  expect(written).toEqual([])
  dones.shift()!()
  type('a')
  expect(written).toEqual(['a'])
})
