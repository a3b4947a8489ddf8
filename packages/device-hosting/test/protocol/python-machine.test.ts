/** The examples in Python on the hypervisor's end of the device protocol, as a guest reaches them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { connectDeviceProgram, startDeviceProgram } from '../../src/node/device-program.ts'
import * as index from '@retrap/ioreq'
import type { IoRequest } from '@retrap/ioreq'
import type { ProtocolDevices } from '../../src/protocol/index.ts'
import { makeMachine, STATUS } from '../machine.ts'
import { ENV, example, LACK, PYTHON, there } from './python-programs.ts'

const SETTINGS = Object.entries(ENV)
  .map(([name, value]) => `${name}='${value}'`)
  .join(' ')
const folder = mkdtempSync(join(tmpdir(), 'retrap-python-'))
const open: { close(): void }[] = []
const children: ChildProcess[] = []
afterAll(() => {
  for (const each of open) each.close()
  for (const each of children) each.kill()
  rmSync(folder, { recursive: true, force: true })
})

/** A guest that waits for each answer, on a clock that stands still. */
async function guestOf(connect: (machine: ReturnType<typeof makeMachine>) => Promise<ProtocolDevices>) {
  const machine = makeMachine({ deadlineMs: 20_000, policy: 'detach' })
  const devices = await connect(machine)
  open.push(devices)
  await devices.remote.ready
  const { dispatch, timers, clock, request } = machine
  const turn = async (): Promise<void> => {
    timers.expire()
    await new Promise((resolve) => void setTimeout(resolve, 0))
  }
  const access = async (fields: Partial<IoRequest>): Promise<number> => {
    let status = dispatch.submit(0, request({ count: 1, direction: index.IOREQ_WRITE, ...fields }))
    while (status === index.STATUS_RETRY) {
      await turn()
      status = dispatch.requests.take(0)
    }
    expect(STATUS[status]).toBe('done')
    return dispatch.lo
  }
  const at =
    (type: number) =>
    (addressLo: number, dataLo?: number, size = 4) =>
      access({ type, addressLo, size, ...(dataLo === undefined ? { direction: index.IOREQ_READ } : { dataLo }) })
  const port = at(index.IOREQ_TYPE_PIO)
  const memory = at(index.IOREQ_TYPE_COPY)
  /** Lets the guest's clock run on, and the devices act. */
  const until = async (time: number, holds: () => boolean): Promise<void> => {
    clock.time = time
    for (const end = performance.now() + 20_000; !holds() && performance.now() < end;) {
      await turn()
    }
    expect(holds()).toBe(true)
  }
  return { ...machine, devices, port, memory, until }
}
const started = (name: string) =>
  guestOf(async ({ dispatch, platform }) =>
    startDeviceProgram(dispatch, platform, {
      ...{ name, command: `exec env ${SETTINGS} '${PYTHON}' '${example(name).join("' '")}'`, realTime: false },
      onOutput: (bytes) => void process.stderr.write(bytes),
    }),
  )

describe.runIf(there)(`Python devices of a machine${LACK}`, () => {
  test('a thermometer is read', async () => {
    const { memory } = await started('thermometer')
    expect(await memory(0xfed9_0000)).toBe(21)
    expect(await memory(0xfed9_0004)).toBe(1)
  })

  test('a PCI function copies memory for its driver, and drives INTx until the driver has seen it', async () => {
    const { port, memory, until, ram, events } = await started('dma_copy')
    const config = async (register: number, value?: number): Promise<number> => {
      await port(0xcf8, 0x8000_0000 | (16 << 11) | register)
      return port(0xcfc, value)
    }
    expect(await config(0)).toBe(0x0d3a_1234)
    await config(0x10, 0xfeb0_0000)
    await config(0x04, 6)
    ram.set([1, 2, 3, 4, 5, 6, 7, 8], 0x100)
    await memory(0xfeb0_0000, 0x100)
    await memory(0xfeb0_0008, 0x300)
    await memory(0xfeb0_0010, 8)
    await memory(0xfeb0_0014, 1)
    await until(10_000, () => events.length > 0)
    expect([...ram.subarray(0x300, 0x308)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    expect(await memory(0xfeb0_0018)).toBe(1)
    await memory(0xfeb0_0018, 1)
    expect(events).toEqual(['pci16.1=1', 'pci16.1=0'])
  })

  test('a counter counts, is saved, and goes on in another process', async () => {
    const first = await started('counter')
    await first.port(0x300, 7)
    await first.until(1_000_000, () => first.events.includes('irq5=1'))
    expect(await first.port(0x300)).toBe(8)
    const state = await first.devices.remote.save()

    const second = await started('counter')
    second.clock.time = 1_500_000
    await second.devices.remote.restore(state)
    expect(second.events).toEqual(['irq5=1'])
    await second.port(0x304, 0)
    await second.until(2_000_000, () => second.events.length === 3)
    expect(second.events).toEqual(['irq5=1', 'irq5=0', 'irq5=1'])
    expect(await second.port(0x300)).toBe(9)
  })

  test('a program that listens is reached by a socket', async () => {
    const path = join(folder, 'counter')
    const env = { ...process.env, ...ENV }
    const child = spawn(PYTHON, [...example('counter'), `unix:${path}`], { env, stdio: ['ignore', 'ignore', 'pipe'] })
    children.push(child)
    await new Promise((resolve) => child.stderr.once('data', resolve))
    const { port, devices } = await guestOf(async ({ dispatch, platform }) =>
      connectDeviceProgram(dispatch, platform, { name: 'counter', address: { path }, realTime: false }),
    )
    await port(0x300, 5)
    expect(await port(0x300)).toBe(5)
    expect(devices.end.resumable).toBe(true)
  })
})
