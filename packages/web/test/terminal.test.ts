/** Terminals at a machine's serial port, without a page. */
import { expect, test } from 'vitest'
import { attachTerminal, type TerminalLike } from '../src/terminal.ts'

test('the guest does not wait for a terminal that is gone', () => {
  const dones: (() => void)[] = []
  const terminal: TerminalLike = {
    write: (_bytes, done) => void dones.push(done!),
    onData: () => ({ dispose: () => {} }),
  }
  let serial: (bytes: Uint8Array) => void = () => {}
  let waits = 0
  const machine = {
    on: (_event: 'serial', listener: typeof serial) => {
      serial = listener
      return () => (serial = () => {})
    },
    write: () => {},
  }
  const detach = attachTerminal(machine, terminal, (bytes) => (waits -= bytes))
  for (const length of [5, 7, 11]) {
    waits += length
    serial(new Uint8Array(length))
  }
  dones[0]!()
  expect(waits).toBe(18)
  detach()
  expect(waits).toBe(0)
  // A terminal that prints what it has after all counts once.
  dones[1]!()
  expect(waits).toBe(0)
})
