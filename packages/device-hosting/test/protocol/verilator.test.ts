/** The bridge to Verilator, with a design that counts its cycles: both buses, memory, interrupts, and when all of it happens. */
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { skipNote } from '@retrap/tooling/skip'
import { buildDesign, hasVerilator } from '@retrap/tooling/verilator'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterEach, expect, test } from 'vitest'
import { startDeviceProgram } from '../../src/node/index.ts'
import { IOREQ_READ, IOREQ_TYPE_COPY, IOREQ_TYPE_PIO, IOREQ_WRITE, STATUS_DONE, STATUS_RETRY } from '@retrap/ioreq'
import type { ProtocolDevices } from '../../src/protocol/index.ts'
import { makeMachine } from '../machine.ts'
import { turn } from './fake-server.ts'

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const PROBE = {
  top: 'probe',
  sources: [at('probe/probe.v')],
  main: at('probe/main.cpp'),
  include: [at('../../sdk/c'), at('../../sdk/verilator')],
}
const program = hasVerilator ? await buildDesign(PROBE) : ''
const note = skipNote(hasVerilator, 'there is no verilator or g++')
const scratch = temporaryFolder('verilator')

const COUNT = 0
const WORD = 4
const ALARM = 8
const CONTROL = 12
const ADDRESS = 16
const TRANSFER = 20

const started: ProtocolDevices[] = []
afterEach(() => started.splice(0).forEach((devices) => devices.close()))

/** The design in a machine whose clock stands where a test puts it. */
async function start(options = '') {
  const machine = makeMachine()
  let output = ''
  const devices = startDeviceProgram(machine.dispatch, machine.platform, {
    name: 'probe',
    realTime: false,
    command: `exec ${program} ${options}`,
    onOutput: (bytes) => void (output += Buffer.from(bytes).toString()),
  })
  started.push(devices)
  await devices.remote.ready
  const access = async (
    type: number,
    addressLo: number,
    direction: number,
    size: number,
    dataLo = 0,
  ): Promise<number> => {
    const { dispatch, request } = machine
    let status = dispatch.submit(0, request({ type, addressLo, direction, size, dataLo }))
    while (status === STATUS_RETRY) {
      await turn()
      status = dispatch.requests.take(0)
    }
    expect(status).toBe(STATUS_DONE)
    return dispatch.lo
  }
  return {
    machine,
    remote: devices.remote,
    output: () => output,
    read: (offset: number, size = 4) => access(IOREQ_TYPE_COPY, 0xfed9_0000 + offset, IOREQ_READ, size),
    write: (offset: number, value: number, size = 4) =>
      access(IOREQ_TYPE_COPY, 0xfed9_0000 + offset, IOREQ_WRITE, size, value),
    inPort: (offset: number, size: number) => access(IOREQ_TYPE_PIO, 0x300 + offset, IOREQ_READ, size),
    outPort: (offset: number, size: number, value: number) =>
      access(IOREQ_TYPE_PIO, 0x300 + offset, IOREQ_WRITE, size, value),
    /** Moves the guest's clock, and handles what falls due. */
    at: async (ns: number): Promise<void> => {
      machine.clock.time = ns
      machine.timers.expire()
      await devices.remote.settle()
    },
  }
}

test.skipIf(!hasVerilator)(`a design is built once, and kept${note}`, async () => {
  const { mtimeMs } = statSync(program)
  expect(statSync(await buildDesign(PROBE)).mtimeMs).toBe(mtimeMs)
})

test.skipIf(!hasVerilator)(
  `registers are reached over AXI4-Lite and Wishbone, at any size and lane${note}`,
  async () => {
    const { read, write, inPort, outPort } = await start()
    await write(WORD, 0x1122_3344)
    expect(await inPort(0, 4)).toBe(0x1122_3344)
    await outPort(1, 1, 0x99)
    await outPort(2, 2, 0xaabb)
    expect(await read(WORD)).toBe(0xaabb_9944)
    await write(WORD + 1, 0x55, 1)
    await write(WORD + 2, 0x77, 1)
    expect(await read(WORD + 1, 2)).toBe(0x7755)
    expect(await inPort(1, 2)).toBe(0x7755)
    // Across two words of the bus; a refused one reads as ones.
    expect(await read(2, 4)).toBe(0x5544_0000)
    expect(await read(0x40)).toBe(0xffff_ffff)
  },
)

test.skipIf(!hasVerilator)(
  `cycle k is at 10 · k ns of the guest’s clock, and none is run while idle${note}`,
  async () => {
    const { machine, read, write, at } = await start('--stats')
    machine.clock.time = 1_000_000
    await write(CONTROL, 1)
    // The write is taken in cycle 100,001, and counting begins with the next.
    const counted = (ns: number): number => Math.floor(ns / 10) - 100_001
    for (const ns of [1_000_500, 1_000_529, 1_000_559, 1_234_567, 3_000_000]) {
      await at(ns)
      expect([ns, await read(COUNT)]).toEqual([ns, counted(ns)])
    }
    // Reads take two cycles each, ahead of the clock, which are not run again.
    expect(await read(COUNT)).toBe(counted(3_000_000) + 2)
    expect(await read(COUNT)).toBe(counted(3_000_000) + 4)
    await at(3_000_060)
    expect(await read(COUNT)).toBe(counted(3_000_060))
    await write(CONTROL, 0)
    const stopped = await read(COUNT)
    await at(9_000_000_000)
    expect(await read(COUNT)).toBe(stopped)
  },
)

test.skipIf(!hasVerilator)(
  `an interrupt comes in its own cycle where the design says how long it is quiet${note}`,
  async () => {
    const { machine, read, write, at } = await start()
    machine.clock.time = 1000
    await write(ALARM, 1000)
    await write(CONTROL, 1)
    // Two cycles for each write: awake in cycle 103, which counts in the next.
    await at((103 + 1000) * 10 - 1)
    expect(machine.events).toEqual([])
    await at((103 + 1000) * 10)
    expect(machine.events).toEqual(['irq5=1'])
    expect(await read(COUNT)).toBe(1000)
    await write(ALARM, 0)
    expect(machine.events).toEqual(['irq5=1', 'irq5=0'])
  },
)

test.skipIf(!hasVerilator)(`an interrupt of a design without a promise is at most a quantum late${note}`, async () => {
  const { machine, write, at } = await start('--quantum 50 --no-quiet')
  machine.clock.time = 1000
  await write(ALARM, 1000)
  await write(CONTROL, 1)
  for (let ns = 1000; ns <= 12_000 && machine.events.length === 0; ns += 10) await at(ns)
  const came = Number(machine.clock.time)
  expect(machine.events).toEqual(['irq5=1'])
  expect(came).toBeGreaterThanOrEqual(11_030)
  expect(came).toBeLessThan(11_030 + 500)
})

test.skipIf(!hasVerilator)(
  `the design reads and writes guest memory, with strobes, and is told of a failure${note}`,
  async () => {
    const { machine, read, write, at } = await start()
    machine.ram.set([1, 2, 3, 4], 0x1000)
    machine.clock.time = 1000
    await write(CONTROL, 1)
    await write(ADDRESS, 0x1000)
    await write(TRANSFER, 1)
    expect(await read(TRANSFER)).toBe(0x100)
    // Ten cycles of latency, and those of the handshakes.
    await at(1200)
    expect(await read(TRANSFER)).toBe(0)
    expect(await read(WORD)).toBe(0x0403_0201)
    await write(WORD, 0x8877_6655)
    await write(TRANSFER, 2)
    await at(1600)
    expect(await read(TRANSFER)).toBe(0)
    expect([...machine.ram.subarray(0x1000, 0x1004)]).toEqual([0x55, 0x66, 0x77, 4])
    await write(ADDRESS, 0x1_0000)
    await write(TRANSFER, 1)
    await at(2000)
    expect(await read(TRANSFER)).toBe(2)
  },
)

test.skipIf(!hasVerilator)(`a design goes on from a snapshot in another program, cycle for cycle${note}`, async () => {
  const first = await start()
  first.machine.clock.time = 1000
  await first.write(ALARM, 1000)
  await first.write(CONTROL, 1)
  await first.at(5000)
  await first.write(WORD, 77)
  await first.remote.quiesce(1000)
  const state = await first.remote.save()
  const second = await start()
  second.machine.clock.time = 5000
  await second.remote.restore(state)
  second.remote.resume()
  await second.at((103 + 1000) * 10 - 1)
  expect(second.machine.events).toEqual([])
  await second.at((103 + 1000) * 10)
  expect(second.machine.events).toEqual(['irq5=1'])
  expect([await second.read(COUNT), await second.read(WORD)]).toEqual([1000, 77])
})

test.skipIf(!hasVerilator)(`the design’s trace has the guest’s clock, and skips what was idle${note}`, async () => {
  const file = join(scratch, 'probe.vcd')
  const { machine, write, at, output } = await start(`--stats --vcd ${file}`)
  machine.clock.time = 5_000_000
  await write(CONTROL, 1)
  await at(5_000_100)
  await write(CONTROL, 0)
  await at(6_000_000)
  started[0]?.close()
  while (!/ cycles, /.test(output())) await turn()
  const text = readFileSync(file, 'utf8')
  const [, awake = ''] = /\$var wire\s+1 (\S+) awake \$end/.exec(text) ?? []
  const changes: [number, boolean][] = []
  let now = 0
  for (const line of text.split('\n'))
    if (/^#\d+$/.test(line)) now = Number(line.slice(1))
    else if (line === `0${awake}` || line === `1${awake}`) changes.push([now, line.startsWith('1')])
  expect(changes).toEqual([
    [10, false],
    [5_000_010, true],
    [5_000_110, false],
  ])
})
