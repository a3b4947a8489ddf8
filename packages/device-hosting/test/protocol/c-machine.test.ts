/** The examples in C as a machine has them: started or connected to, and reached by a guest's accesses. */
import { join } from 'node:path'
import { PATIENCE_MS } from '@retrap/tooling/patience'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { connectDeviceProgram, startDeviceProgram } from '../../src/node/device-program.ts'
import * as index from '@retrap/ioreq'
import type { IoRequest } from '@retrap/ioreq'
import { makeMachine } from '../machine.ts'
import { compile, SDK, serve } from './c-client.ts'
import { endServers } from './raw-client.ts'

const compiles = hasProgram('gcc')
const port = (addressLo: number, size = 4) => ({
  type: index.IOREQ_TYPE_PIO,
  direction: index.IOREQ_READ,
  addressLo,
  size,
})
const mmio = (addressLo: number, size = 4) => ({
  type: index.IOREQ_TYPE_COPY,
  direction: index.IOREQ_READ,
  addressLo,
  size,
})

describe.skipIf(!compiles)(`machines with devices in C${skipNote(compiles, 'gcc is not installed')}`, () => {
  const folder = temporaryFolder('c')
  afterAll(endServers)
  const example = (name: string): Promise<string> => compile(join(SDK, 'examples', `${name}.c`), join(folder, name))

  /** A guest's access. @returns what it reads */
  async function access(machine: ReturnType<typeof makeMachine>, fields: Partial<IoRequest>): Promise<number> {
    const { dispatch, request, completed } = machine
    const before = completed.length
    let status = dispatch.submit(0, request(fields))
    if (status === index.STATUS_RETRY) {
      await vi.waitUntil(() => completed.length > before, { timeout: PATIENCE_MS, interval: 1 })
      status = dispatch.requests.take(0)
    }
    expect(status).toBe(index.STATUS_DONE)
    return dispatch.lo
  }
  const out = (to: Partial<IoRequest>, dataLo: number): Partial<IoRequest> => ({
    ...to,
    direction: index.IOREQ_WRITE,
    dataLo,
  })

  test('a program that is started counts on the guest’s clock, and drives a line', async () => {
    const command = `exec ${await example('counter')}`
    const machine = makeMachine()
    const words: string[] = []
    const devices = startDeviceProgram(machine.dispatch, machine.platform, {
      ...{ name: 'counter', command, realTime: false },
      onOutput: (bytes) => void words.push(new TextDecoder().decode(bytes)),
    })
    await devices.remote.ready
    await access(machine, out(port(0x5c4), 10))
    expect(await access(machine, port(0x5c4))).toBe(10)
    machine.clock.time = 10_000
    machine.timers.expire()
    await devices.remote.settle()
    expect(await access(machine, port(0x5c0))).toBe(1)
    expect(machine.events).toEqual(['irq5=1'])
    await access(machine, out(port(0x5c8), 0))
    expect(machine.events).toEqual(['irq5=1', 'irq5=0'])
    devices.close()
    expect(words).toEqual([])
  })

  test('a PCI function copies guest memory, where the guest lets it', async () => {
    const server = await serve(await example('dma-copy'), `unix:${join(folder, 'socket')}`)
    const machine = makeMachine()
    const devices = await connectDeviceProgram(machine.dispatch, machine.platform, {
      ...{ name: 'dma-copy', address: { path: join(folder, 'socket') }, realTime: false },
    })
    await devices.remote.ready
    const config = async (register: number, value: number): Promise<void> => {
      await access(machine, out(port(0xcf8), (0x8000_0000 | (16 << 11) | register) >>> 0))
      await access(machine, out(port(0xcfc), value))
    }
    const BAR = 0xe000_0000
    await config(0x10, BAR)
    const copy = async (command: number): Promise<number> => {
      await config(4, command)
      for (const [offset, value] of [
        [0, 0x100],
        [8, 0x8000],
        [16, 5000],
        [20, 1],
      ] as const)
        await access(machine, out(mmio(BAR + offset), value))
      machine.clock.time = Number(machine.clock.time) + 5000
      machine.timers.expire()
      await devices.remote.settle()
      const status = await access(machine, mmio(BAR + 24))
      await access(machine, out(mmio(BAR + 24), 0))
      return status
    }
    machine.ram.set(
      Uint8Array.from({ length: 5000 }, (_, i) => i * 3),
      0x100,
    )
    // Without bus mastering it reaches nothing.
    expect(await copy(2)).toBe(4)
    expect(machine.ram[0x8000]).toBe(0)
    expect(await copy(6)).toBe(2)
    expect(machine.ram.subarray(0x8000, 0x8000 + 5000)).toEqual(machine.ram.subarray(0x100, 0x100 + 5000))
    expect(machine.events).toEqual(['pci16.1=1', 'pci16.1=0', 'pci16.1=1', 'pci16.1=0'])
    devices.close()
    await vi.waitUntil(() => server.errors().includes('the machine has left'), { timeout: PATIENCE_MS })
  })
})
