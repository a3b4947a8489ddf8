import { type Clock, type DeviceContext, type DeviceModel, Instant, type Word64 } from '@retrap/device'
import { TimerQueue } from '@retrap/device/host'
import { DeviceHost } from '@retrap/device-hosting'
import { IoDispatch } from '@retrap/ioreq'
import { describe, expect, test } from 'vitest'
import * as devices from '../src/index.ts'
import { TestInput } from './support/test-input.ts'

const CLAIMS = [
  ...['i8254 ports 40+4', 'i8254 ports 61+1', 'mc146818 ports 70+2', 'hpet memory fed00000+400'],
  ...['serial-3f8 ports 3f8+8', 'serial-2f8 ports 2f8+8', 'isa-debugcon-402 ports 402+1', 'isa-debug-exit ports f4+4'],
  ...['reset-control ports cf9+1', 'reset-control ports 92+1', 'i8042 ports 60+1', 'i8042 ports 64+1'],
  ...['post-code ports 80+1', 'fw-cfg ports 510+2', 'fw-cfg ports 514+8'],
]

/** Every device of a PC. */
function pcDevices(isaBridge = new devices.IsaBridge()): DeviceModel[] {
  const pit = new devices.I8254()
  const rtc = new devices.Mc146818({ epochSeconds: 0, lowRamBytes: 1 << 29, highRamBytes: 0, cpus: 2 })
  return [
    pit,
    rtc,
    new devices.Hpet({ legacySources: [pit, rtc] }),
    new devices.AcpiPm({ pciDevice: 1 }),
    new devices.Uart16550(),
    new devices.Uart16550({ iobase: 0x2f8, irq: 3 }),
    new devices.DebugConsole({ stream: { send: () => {} } }),
    new devices.DebugExit({ iobase: 0xf4, iosize: 4 }),
    new devices.ResetControl(),
    new devices.I8042({ keyboard: new TestInput(), mouse: new TestInput() }),
    new devices.PostCodePort(),
    new devices.HostBridge(),
    isaBridge,
    new devices.FwCfg(),
  ]
}

/** Every device of a PC on a real device host. */
function board(): { dispatch: IoDispatch; host: DeviceHost; requests: string[]; clock: Clock & { time: number } } {
  const clock = {
    time: 0,
    now: () => clock.time,
    read: (into: Word64) => void Object.assign(into, Instant.from(clock.time).save()),
  }
  const requests: string[] = []
  const timers = new TimerQueue(clock)
  const dispatch = new IoDispatch({ vcpus: 1, onFailure: (failure) => requests.push(JSON.stringify(failure)) })
  const isaBridge = new devices.IsaBridge()
  const host = new DeviceHost(dispatch, {
    clock,
    timer: (callback) => timers.create(callback),
    dma: { read: () => false, write: () => false },
    interruptLine: () => ({ set: () => {}, pulse: () => {} }),
    pciInterrupt: (device, pin) => isaBridge.interruptInput(device, pin),
    signalMsi: () => {},
    powerOff: () => requests.push('power-off'),
    reset: () => requests.push('reset'),
    exit: (code) => requests.push(`exit ${code}`),
  })
  for (const model of pcDevices(isaBridge)) host.attach(model)
  return { dispatch, host, requests, clock }
}

const input = (dispatch: IoDispatch, port: number, size: number): number => (dispatch.portRead(port, size), dispatch.lo)
const config = (dispatch: IoDispatch, device: number, register: number): number => {
  dispatch.portWrite(0xcf8, 4, 0x8000_0000 + device * 0x800 + register)
  return input(dispatch, 0xcfc, 4)
}

/** The ranges that models claim when they are attached. */
function claims(models: readonly DeviceModel[]): string[] {
  const found: string[] = []
  const nothing = (): unknown => new Proxy(() => 0, { get: () => nothing, apply: () => nothing() })
  for (const model of models) {
    const claim =
      (space: string) =>
      (base: number, size: number): void =>
        void found.push(`${model.name} ${space} ${base.toString(16)}+${size.toString(16)}`)
    const own: Record<string, unknown> = { mapPorts: claim('ports'), mapMmio: claim('memory') }
    model.attach(new Proxy(own, { get: (_, name) => own[String(name)] ?? nothing() }) as unknown as DeviceContext)
  }
  return found
}

test('each device claims the addresses that its data sheet gives it, and none beside them', () => {
  // PCI functions claim theirs when the guest says so.
  const functions = [devices.AcpiPm, devices.HostBridge, devices.IsaBridge]
  const fixed = pcDevices().filter((model) => !functions.some((type) => model instanceof type))
  expect(claims(fixed)).toEqual(CLAIMS)
})

describe('the devices of a PC together', () => {
  test('fit beside each other, and answer in their places', () => {
    const { dispatch } = board()
    dispatch.portWrite(0x3ff, 1, 0x5a)
    dispatch.portWrite(0x2ff, 1, 0xa5)
    expect([input(dispatch, 0x3ff, 1), input(dispatch, 0x2ff, 1), input(dispatch, 0x402, 1)]).toEqual([
      0x5a, 0xa5, 0xe9,
    ])
  })

  test('host bridge and ISA bridge answer configuration cycles, absent functions read as ones', () => {
    const { dispatch } = board()
    expect([0, 1, 2, 31].map((device) => config(dispatch, device, 0))).toEqual([
      0x1237_8086, 0x7000_8086, 0xffff_ffff, 0xffff_ffff,
    ])
    expect([config(dispatch, 0, 8), config(dispatch, 1, 8)]).toEqual([0x0600_0002, 0x0601_0000])
    expect(config(dispatch, 1, 0x60)).toBe(0x8080_8080)
  })

  test('the ACPI block is not decoded at port 0, whatever its enable bit says', () => {
    const { dispatch } = board()
    const write = (register: number, value: number): void => {
      dispatch.portWrite(0xcf8, 4, 0x8000_0b00 + register)
      dispatch.portWrite(0xcfc, 4, value)
    }
    write(0x40, 0)
    write(0x80, 1)
    // Its timer would be here.
    expect(input(dispatch, 8, 4)).toBe(0xffff_ffff)
    write(0x40, 0x1000)
    expect(input(dispatch, 0x1008, 4)).not.toBe(0xffff_ffff)
  })

  test('configuration bytes and words are read and written where they lie', () => {
    const { dispatch } = board()
    config(dispatch, 1, 0x60)
    dispatch.portWrite(0xcfe, 1, 0x0b)
    dispatch.portWrite(0xcfc, 2, 0x050a)
    expect(config(dispatch, 1, 0x60)).toBe(0x800b_050a)
    expect([input(dispatch, 0xcfd, 1), input(dispatch, 0xcfe, 2)]).toEqual([0x05, 0x800b])
  })

  test('the reset register lies inside the configuration address and does not disturb it', () => {
    const { dispatch, requests } = board()
    config(dispatch, 1, 0)
    dispatch.portWrite(0xcf9, 1, 0x06)
    expect(requests).toEqual(['reset'])
    expect(input(dispatch, 0xcfc, 4)).toBe(0x7000_8086)
  })

  test('a 16-bit write to a byte-wide device is two byte writes', () => {
    const { dispatch } = board()
    dispatch.portWrite(0x70, 2, 0x4277)
    dispatch.portWrite(0x70, 1, 0x77)
    expect(input(dispatch, 0x71, 1)).toBe(0x42)
  })

  test('64-bit accesses reach the HPET whole', () => {
    const { dispatch } = board()
    dispatch.mmioRead(0xfed0_0000, 8)
    expect([dispatch.lo, dispatch.hi]).toEqual([0x8086_a201, 10_000_000])
  })

  test('what is saved is plain data, and restoring it gives the same again', async () => {
    const first = board()
    for (const [port, value] of [
      [0x43, 0x34],
      [0x40, 0x12],
      [0x40, 0x34],
      [0xb2, 0xf1],
      [0x3f9, 0x05],
      [0x80, 0x99],
      [0x64, 0xd2],
    ] as const)
      first.dispatch.portWrite(port, 1, value)
    config(first.dispatch, 1, 0x60)
    first.dispatch.portWrite(0xcfc, 1, 0x0a)
    first.clock.time = 123_456_789
    const saved = await first.host.save()
    const plain = JSON.parse(JSON.stringify(saved)) as typeof saved
    expect(plain).toEqual(saved)
    const second = board()
    second.clock.time = first.clock.time
    await second.host.restore(plain)
    expect(await second.host.save()).toEqual(saved)
  })

  // Data sheets give these values as those after power-on; a change of what is saved shows in the file.
  test('a device that nobody has touched has its state after power-on', async () => {
    const { version, devices: states } = await board().host.save()
    const lines = Object.entries(states).map(([name, state]) => `${name} ${JSON.stringify(state)}\n`)
    await expect(`version ${version}\n${lines.join('')}`).toMatchFileSnapshot('fresh-board.txt')
  })

  test('a reset brings every device back to what it was', async () => {
    const { dispatch, host, requests } = board()
    const fresh = await board().host.save()
    for (const [port, value] of [
      [0x43, 0x34],
      [0x40, 0x12],
      [0xb2, 0xf1],
      [0x3f9, 0x05],
      [0x80, 0x99],
      [0x64, 0xd2],
      [0x92, 0],
    ] as const)
      dispatch.portWrite(port, 1, value)
    host.reset()
    expect(await host.save()).toEqual(fresh)
    expect(requests).toEqual([])
  })
})
