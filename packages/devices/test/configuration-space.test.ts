/** What software finds in the configuration space of each PCI function, and which of its bits it can change. */
import { Instant, type DeviceModel, type Word64 } from '@retrap/device'
import { TestNetwork } from '@retrap/device/test-machine'
import { DeviceHost, type DevicePlatform } from '@retrap/device-hosting'
import { IoDispatch } from '@retrap/ioreq'
import { expect, test } from 'vitest'
import { Ac97 } from '../src/ac97/index.ts'
import { Ahci } from '../src/ahci/index.ts'
import { E1000 } from '../src/e1000/index.ts'
import { PiixIde } from '../src/ide/index.ts'
import { AcpiPm, HostBridge, IchLpc, IsaBridge, MchHostBridge, XenPlatform } from '../src/index.ts'
import { Nvme } from '../src/nvme/index.ts'
import { PcieRootPort } from '../src/pcie/index.ts'
import { StandardVga } from '../src/vga/index.ts'
import { FakeMemory } from './support/fake-memory.ts'
import { TestMedium } from './support/test-medium.ts'

const MODELS: readonly (() => DeviceModel)[] = [
  () => new HostBridge(),
  () => new MchHostBridge({ ecamBase: 0xb000_0000 }),
  () => new IsaBridge(),
  () => new IchLpc({ smm: true }),
  () => new AcpiPm({ pciDevice: 1 }),
  () => new PiixIde(),
  () => new Ahci(),
  () => new XenPlatform(),
  () => new StandardVga(),
  () => new Ac97({ device: 5 }),
  () => new E1000({ device: 4, network: new TestNetwork() }),
  () => new Nvme({ device: 6, medium: new TestMedium(4096), serialNumber: 'S-17' }),
  () => new PcieRootPort({ device: 7, busName: 'port0' }),
]

const CONFIG_ADDRESS = 0xcf8
const CONFIG_DATA = 0xcfc
const ONES = 0xffff_ffff

/** A model alone on a real device host. */
function hostOf(model: DeviceModel): IoDispatch {
  const dispatch = new IoDispatch({ vcpus: 1, onFailure: ({ cause }) => expect.fail(String(cause)) })
  const timer = { armed: false, deadline: null, arm: () => {}, armAt: () => {}, cancel: () => {}, dispose: () => {} }
  const host = new DeviceHost(dispatch, {
    clock: { now: () => 0, read: (into: Word64) => void Object.assign(into, new Instant().save()) },
    timer: () => timer,
    dma: { read: () => false, write: () => false },
    ownMemory: (_device: string, options: { name: string; bytes: number }) => new FakeMemory(options),
    interruptLine: () => ({ set: () => {}, pulse: () => {} }),
    pciInterrupt: () => ({ set: () => {}, pulse: () => {} }),
    signalMsi: () => {},
    powerOff: () => {},
    reset: () => {},
    exit: () => {},
  } as unknown as DevicePlatform)
  host.attach(model)
  return dispatch
}

const hex = (value: number): string => value.toString(16).padStart(8, '0')

/** Each word that is not always 0: its value after power-on, and after all ones were written to it. */
function configurationOf(model: DeviceModel): string {
  const dispatch = hostOf(model)
  const select = (device: number, register: number): void =>
    void dispatch.portWrite(CONFIG_ADDRESS, 4, (0x8000_0000 | (device << 8) | register) >>> 0)
  const read = (): number => {
    dispatch.portRead(CONFIG_DATA, 4)
    return dispatch.lo
  }
  const lines: string[] = []
  for (let device = 0; device < 256; device++) {
    select(device, 0)
    if (read() === ONES) continue
    lines.push(`${model.name} ${device >> 3}.${device & 7}`)
    const registers = Array.from({ length: 64 }, (_, i) => 4 * i)
    const initial = registers.map((register) => (select(device, register), read()))
    registers.forEach((register, i) => {
      select(device, register)
      dispatch.portWrite(CONFIG_DATA, 4, ONES)
      const after = read()
      if (initial[i] !== 0 || after !== 0) {
        lines.push(`  ${register.toString(16).padStart(2, '0')} ${hex(initial[i]!)} ${hex(after)}`)
      }
    })
  }
  return lines.map((line) => `${line}\n`).join('')
}

// Data sheets give both columns; a change of either shows in the file.
test('words of configuration space after power-on, and what is left of all ones', async () => {
  const found = MODELS.map((make) => configurationOf(make())).join('')
  await expect(found).toMatchFileSnapshot('configuration-space.txt')
})
