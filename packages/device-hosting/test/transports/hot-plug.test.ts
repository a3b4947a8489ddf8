import type { DeviceModel } from '@retrap/device'
import { afterEach, describe, expect, test } from 'vitest'
import type { UnplugOptions } from '../../src/index.ts'
import * as index from '@retrap/ioreq'
import { createIoRequest } from '@retrap/ioreq'
import { startDeviceProcess, startDeviceWorker } from '../../src/node/index.ts'
import { makeMachine } from '../machine.ts'
import * as hotPlugModels from './hot-plug-models.ts'
import { pluggable, port } from './hot-plug-models.ts'

const MODULE = new URL('./hot-plug-models.ts', import.meta.url).href
const CARD = 1 << 8
const PORT = hotPlugModels.PORT_DEVICE << 3
const NOBODY = 0xffff_ffff
const TARGET_GPA = 0x100

/** What plugs devices in and out: a server in the same thread, in a Worker or in a process. */
interface Plugger {
  plug(name: string): void | Promise<void>
  unplug(busName: string, options?: UnplugOptions): Promise<boolean>
}

type Machine = ReturnType<typeof makeMachine>

interface Far {
  readonly plugger: Plugger
  stop(): void | Promise<void>
}

const KINDS: readonly (readonly [name: string, start: (machine: Machine) => Promise<Far>])[] = [
  [
    'in process',
    async ({ host }) => {
      host.attach(port)
      const plugger: Plugger = {
        plug: (name) => {
          const make = pluggable[name]
          if (make === undefined) throw new Error(`no device '${name}' is offered`)
          host.plug(make())
        },
        unplug: (busName, options) => host.unplug(busName, options),
      }
      return { plugger, stop: () => {} }
    },
  ],
  [
    'Worker',
    async ({ dispatch, platform }) => {
      const transport = startDeviceWorker(dispatch, platform, { name: 'far', modules: [MODULE], realTime: false })
      const watched = transport.watch()
      await transport.remote.ready
      const stop = async (): Promise<void> => {
        transport.close()
        await watched
      }
      return { plugger: transport.remote, stop }
    },
  ],
  [
    'process',
    async ({ dispatch, platform }) => {
      const started = startDeviceProcess(dispatch, platform, { name: 'far', modules: [MODULE], realTime: false })
      const process = await started
      await process.remote.ready
      return { plugger: process.remote, stop: () => process.close() }
    },
  ],
]

describe.each(KINDS)('a card in a slot, %s', { timeout: 60_000 }, (_name, start) => {
  let far: Far
  afterEach(() => far.stop())

  const boot = async () => {
    const machine = makeMachine()
    far = await start(machine)
    const { dispatch, ram } = machine
    const access = async (fields: object, vcpu = 0): Promise<number> => {
      let status = dispatch.submit(vcpu, { ...createIoRequest(), count: 1, size: 4, ...fields })
      while (status === index.STATUS_RETRY) {
        await new Promise((resolve) => void setTimeout(resolve, 1))
        status = dispatch.requests.take(vcpu)
      }
      return dispatch.lo >>> 0
    }
    const config = async (requester: number, register: number, dataLo?: number): Promise<number> => {
      dispatch.portWrite(0xcf8, 4, 0x8000_0000 + requester * 256 + register)
      const direction = dataLo === undefined ? index.IOREQ_READ : index.IOREQ_WRITE
      return access({ type: index.IOREQ_TYPE_PIO, addressLo: 0xcfc, direction, dataLo: dataLo ?? 0 })
    }
    const mmio = (offset: number, dataLo?: number, vcpu = 0): Promise<number> => {
      const direction = dataLo === undefined ? index.IOREQ_READ : index.IOREQ_WRITE
      const addressLo = hotPlugModels.CARD_BAR + offset
      return access({ type: index.IOREQ_TYPE_COPY, addressLo, direction, dataLo: dataLo ?? 0 }, vcpu)
    }
    /** As a driver brings a port and the card up. */
    const bringUp = async (): Promise<void> => {
      await config(PORT, 4, 7)
      await config(PORT, 0x18, 0x0001_0100)
      await config(PORT, 0x20, 0xe000_e000)
      await config(PORT, hotPlugModels.POWER, 1)
      await config(CARD, 0x10, hotPlugModels.CARD_BAR)
      await config(CARD, 4, 7)
    }
    const event = (): Promise<number> => config(PORT, hotPlugModels.EVENT)
    return { ...machine, ram, config, mmio, bringUp, event }
  }

  test('comes, is reached, is given up while its work ends late, and comes again', async () => {
    const { config, mmio, bringUp, event, ram } = await boot()
    const { plugger } = far
    await plugger.plug('card')
    expect([await event(), await config(CARD, 0)]).toEqual([1, NOBODY])
    await bringUp()
    expect([await config(CARD, 0), await mmio(hotPlugModels.IDENTITY)]).toEqual([
      0x0002_1234,
      hotPlugModels.CARD_IDENTITY,
    ])
    await mmio(hotPlugModels.TARGET, TARGET_GPA)
    expect(await plugger.unplug('slot', { deadlineMs: 20 })).toBe(false)
    expect(await event()).toBe(2)
    let out = false
    const leaving = plugger.unplug('slot').then((is) => (out = is))
    await config(PORT, hotPlugModels.POWER, 0)
    expect([await config(CARD, 0), await mmio(hotPlugModels.IDENTITY)]).toEqual([NOBODY, NOBODY])
    await new Promise((resolve) => void setTimeout(resolve, 20))
    expect([out, await event()]).toEqual([false, 2])
    await config(PORT, hotPlugModels.FINISH, 1)
    expect(await leaving).toBe(true)
    expect([await event(), ram[TARGET_GPA]]).toEqual([3, 0])
    await plugger.plug('card')
    await bringUp()
    expect(await mmio(hotPlugModels.IDENTITY)).toBe(hotPlugModels.CARD_IDENTITY)
    await mmio(hotPlugModels.TARGET, TARGET_GPA)
    await config(PORT, hotPlugModels.FINISH, 1)
    await expect.poll(() => ram[TARGET_GPA]).toBe(0xff)
  })

  test('is pulled while a vCPU waits for it, and another works', async () => {
    const { config, mmio, bringUp, event, ram } = await boot()
    const { plugger } = far
    await plugger.plug('card')
    await bringUp()
    await mmio(hotPlugModels.TARGET, TARGET_GPA)
    const late = mmio(hotPlugModels.LATE, undefined, 1)
    const pulled = plugger.unplug('slot', { force: true })
    expect(await late).toBe(NOBODY)
    expect([await config(CARD, 0), await event()]).toEqual([NOBODY, 1])
    await config(PORT, hotPlugModels.FINISH, 1)
    expect(await pulled).toBe(true)
    expect([await event(), ram[TARGET_GPA]]).toEqual([3, 0])
  })

  test('is refused where it cannot be', async () => {
    await boot()
    const { plugger } = far
    await expect(async () => plugger.plug('nothing')).rejects.toThrow("no device 'nothing' is offered")
    await expect(plugger.unplug('slot')).rejects.toThrow('the slot is empty')
    await expect(plugger.unplug('nowhere')).rejects.toThrow('there is no slot of this name')
    await expect(async () => plugger.unplug('slot', { deadlineMs: -1 })).rejects.toThrow('deadline')
    await plugger.plug('card')
    await expect(async () => plugger.plug('card')).rejects.toThrow('attached already')
  })
})

test('models are at rest only when a card that leaves is out', async () => {
  const { host } = makeMachine()
  // Its rest takes a while each time.
  const quiesce = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 10))
  const card = { ...pluggable['card']!(), quiesce }
  host.attach(port)
  host.plug(card)
  const pulled = host.unplug('slot', { force: true })
  await new Promise((resolve) => void setTimeout(resolve, 5))
  // Ends before the card's, which has begun to leave.
  Object.assign(card, { quiesce: () => {} })
  await host.quiesce(1000)
  const { functions } = await host.save()
  expect(Object.keys(functions)).toEqual([`0:${hotPlugModels.PORT_DEVICE}.0`])
  expect(await pulled).toBe(true)
})

/** Sets the secondary bus reset of the port, and clears it. */
function resetBus({ host }: Machine): void {
  host.functions.write(PORT, 0x3e, 2, 0x40)
  host.functions.write(PORT, 0x3e, 2, 0)
}

test('a snapshot waits for the end of a reset of the bus, and nothing resumes during it', async () => {
  const machine = makeMachine()
  const { host } = machine
  const log: string[] = []
  const first = Promise.withResolvers<void>()
  let end: Promise<void> | undefined = first.promise
  const card: DeviceModel = {
    ...pluggable['card']!(),
    quiesce: () => {
      log.push('quiesce')
      return end
    },
    resume: () => void log.push('resume'),
  }
  host.attach(port)
  host.plug(card)
  resetBus(machine)
  expect(log).toEqual(['quiesce'])
  end = undefined
  await expect(host.quiesce(10)).rejects.toThrow('card')
  const atRest = host.quiesce(1000)
  first.resolve()
  await atRest
  expect(log.at(-1)).toBe('quiesce')
  const before = log.length
  await new Promise((resolve) => void setTimeout(resolve, 20))
  expect(log.slice(before)).toEqual([])
})

test('a guest that resets a bus again and again has few waits for a card that hangs', async () => {
  const machine = makeMachine()
  const { host, failures } = machine
  const hung = Promise.withResolvers<void>()
  const counts = { resets: 0, waits: 0, resumes: 0 }
  const card: DeviceModel = {
    ...pluggable['card']!(),
    reset: () => void counts.resets++,
    quiesce: () => {
      counts.waits++
      return hung.promise
    },
    resume: () => {
      counts.resumes++
      throw new Error('it does not wake')
    },
  }
  host.attach(port)
  host.plug(card)
  for (let i = 0; i < 1000; i++) resetBus(machine)
  expect(counts).toEqual({ resets: 1000, waits: 1, resumes: 0 })
  hung.resolve()
  await expect.poll(() => counts).toEqual({ resets: 1000, waits: 2, resumes: 1 })
  expect(failures.map(({ device }) => device)).toEqual(['card'])
})

test('a card is out when it has been reset, and its last transfer has ended', async () => {
  const transfer = Promise.withResolvers<boolean>()
  const dma = { read: () => true, write: () => true, writeAsync: () => transfer.promise }
  const { host } = makeMachine({}, [], {}, { dma })
  let resets = 0
  const card: DeviceModel = {
    name: 'card',
    stateless: true,
    attach(context) {
      context.pci.add({ bus: 'slot', device: 0, vendorId: 1, deviceId: 2, classCode: 0x02_0000 })
      void context.dma.writeAsync(TARGET_GPA, Uint8Array.of(1))
    },
    reset: () => void resets++,
  }
  host.attach(port)
  host.plug(card)
  expect(await host.unplug('slot', { force: true, deadlineMs: 20 })).toBe(false)
  expect([resets, host.isOccupied('slot')]).toEqual([1, true])
  transfer.resolve(true)
  expect(await host.unplug('slot')).toBe(true)
  expect([host.isOccupied('slot'), host.model('card')]).toEqual([false, undefined])
})
