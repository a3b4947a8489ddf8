import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import type { Machine, MachineSerial } from '@retrap/linux-guest/machine/machine-contract'
import { SerialWires } from '../../src/machine/serial/serial-wires.ts'

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** A machine's serial port, with room for so many pieces before it wants a pause. */
function port(room: number) {
  let got = ''
  let drained = (): void => {}
  const serial: MachineSerial = {
    onTransmit() {},
    onDrain: (listener) => (drained = listener),
    receive(bytes) {
      got += text(bytes)
      return --room > 0
    },
  }
  const machine = { serialPorts: [serial] } as unknown as Machine
  return {
    machine,
    got: () => got,
    drain: (): void => {
      room = Infinity
      drained()
    },
  }
}

async function listening() {
  const wires = new SerialWires()
  let said = ''
  const say = { write: (line: string | Uint8Array) => (said += String(line)), on() {} }
  await wires.open([{ kind: 'tcp', host: '127.0.0.1', port: 0 }], say, () => expect.unreachable())
  onTestFinished(() => wires.close())
  const client = connect({ host: '127.0.0.1', port: Number(/:(\d+)\n/.exec(said)?.[1]) })
  onTestFinished(() => void client.destroy())
  await once(client, 'connect')
  return { wires, client }
}

test('what a program sends before there is a machine waits for it, in order', async () => {
  const { wires, client } = await listening()
  // Far more than one piece, which must neither be lost nor kept in this process.
  const early = 'early '.repeat(200_000)
  client.end(early)
  await setTimeout(50)
  const { machine, got } = port(Infinity)
  wires.connect(machine, () => {})
  await expect.poll(() => got().length).toBe(early.length)
  expect(got()).toBe(early)
})

test('a port that is full of it holds the program back until it has drained', async () => {
  const { wires, client } = await listening()
  client.write('early')
  await setTimeout(50)
  const { machine, got, drain } = port(1)
  wires.connect(machine, () => {})
  expect(got()).toBe('early')
  client.write(' late')
  await setTimeout(50)
  expect(got()).toBe('early')
  drain()
  await expect.poll(() => got()).toBe('early late')
})
