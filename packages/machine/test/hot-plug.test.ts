import { behindPort, type BlockBackend, type DeviceModel, type PacketBackend } from '@retrap/device'
import { TEST_JIT } from '@retrap/tooling/jit'
import { afterEach, describe, expect, test } from 'vitest'
import { createPc, type Pc, type PcOptions, type MachinePluggable } from '../src/index.ts'
import { firmwareImage } from './support/kernels.ts'

const firmware = firmwareImage((asm) => void asm.hlt())
const SMALL = {
  memoryBytes: 32 << 20,
  codeCacheBytes: 4 << 20,
  jit: TEST_JIT,
  firmware,
  machine: 'q35',
  vga: 'none',
} as const
const NOBODY = 0xffff_ffff
const NVME = 0x0010_1b36
const E1000 = 0x100e_8086
const SLOT_CONTROL = 0x18
/** Enables events, and takes power; the indicator is out. */
const TAKES_POWER = 0x07f1
const GIVES_POWER = 0x01f1
const ROUNDS = 2000

let pc: Pc
afterEach(() => pc.close())

const properties = { bytes: 1 << 20, blockBytes: 512, physicalBlockBytes: 512, maximumBytes: 1 << 16 }
const medium = { properties, onChange() {}, read() {}, write() {}, flush() {} } as unknown as BlockBackend
const network = (): PacketBackend => ({ linkUp: true, maximumBytes: 1514, connect() {} }) as unknown as PacketBackend
const disk = { drive: { medium, interface: 'nvme', nvme: { port: 'rp' } } } satisfies MachinePluggable

/** The guest's accesses to configuration space. */
function config(requester: number, register: number, value?: number, size = 4): number {
  const { dispatch } = pc.domain
  dispatch.portWrite(0xcf8, 4, 0x8000_0000 + requester * 256 + (register & ~3))
  if (value !== undefined) dispatch.portWrite(0xcfc + (register & 3), size, value)
  dispatch.portRead(0xcfc + (register & 3), size)
  return dispatch.lo >>> 0
}

const PORT = 3 << 3
const CARD = 1 << 8

function express(): number {
  let at = config(PORT, 0x34, undefined, 1)
  while (config(PORT, at, undefined, 1) !== 0x10) at = config(PORT, at + 1, undefined, 1)
  return at
}

/** What a driver of the port does: gives or takes power, when the machine's other work has been done. */
async function power(control: number): Promise<void> {
  config(PORT, express() + SLOT_CONTROL, control, 2)
  await pc.domain.saveDevices(1000)
}

async function start(options: Partial<PcOptions> = {}): Promise<void> {
  pc = await createPc({ ...SMALL, rootPorts: [{ id: 'rp' }], ...options })
  config(PORT, 0x18, 0x0001_0100)
}

test('a drive is plugged in, given up, and another device takes its place', async () => {
  await start()
  await pc.plug(disk)
  expect(config(CARD, 0)).toBe(NOBODY)
  await power(GIVES_POWER)
  expect(config(CARD, 0)).toBe(NVME)
  const leaving = pc.unplug('rp')
  await power(TAKES_POWER)
  await leaving
  expect([config(CARD, 0), pc.domain.devices.model('nvme-rp')]).toEqual([NOBODY, undefined])
  await pc.plug({ networkCard: { model: 'e1000', network: network(), port: 'rp' } })
  await power(GIVES_POWER)
  expect(config(CARD, 0)).toBe(E1000)
  await pc.unplug('rp', { force: true })
  expect(config(CARD, 0)).toBe(NOBODY)
})

/** What the guest of a PC finds in a register of hot plug by ACPI, or writes there. */
function acpi(register: number, value?: number, size = register < STATUS ? 4 : 1): number {
  const { dispatch } = pc.domain
  if (value !== undefined) dispatch.portWrite(register, size, value)
  dispatch.portRead(register, size)
  return dispatch.lo >>> 0
}
const [UP, DOWN, EJECT, REMOVABLE, PULLED, STATUS, ENABLE] = [0xae00, 0xae04, 0xae08, 0xae0c, 0xae18, 0xafe0, 0xafe2]

test('a PC is told of devices by ACPI, ejects what it is asked for, and is told of what is pulled', async () => {
  const rootPorts = [{ id: 'rp' }, { id: 'cold', hotPlug: false }, { id: 'rp2', slot: 31 }]
  const rng = { kind: 'rng', port: 'rp2' } as const
  await start({ machine: 'pc', rootPorts, virtio: [rng] })
  const last = 31 << 3
  expect([acpi(ENABLE, 0xff), acpi(REMOVABLE), acpi(UP), acpi(STATUS)]).toEqual([2, 0x8000_0008, 0, 0])
  await pc.plug(disk)
  expect([config(PORT, 0), config(last, 0), acpi(STATUS)]).toEqual([NVME, 0x1005_1af4, 2])
  expect([acpi(UP), acpi(UP), acpi(DOWN), acpi(STATUS, 2)]).toEqual([8, 0, 0, 0])
  // A guest may eject what nobody has asked it for, as on QEMU's PC.
  acpi(EJECT, 8)
  expect([config(PORT, 0), acpi(PULLED), acpi(STATUS)]).toEqual([NOBODY, 0, 0])
  await pc.plug(disk)
  expect([acpi(UP), acpi(STATUS, 2)]).toEqual([8, 0])
  const leaving = [pc.unplug('rp'), pc.unplug('rp2')]
  const saved = await pc.domain.saveDevices(1000)
  expect([config(PORT, 0), acpi(DOWN), acpi(STATUS, 2)]).toEqual([NVME, 0x8000_0008, 0])
  ;(await pc.domain.restoreDevices(saved)).end()
  expect([acpi(STATUS), acpi(STATUS, 2)]).toEqual([2, 0])
  acpi(EJECT, 0x8000_0000)
  await leaving[1]
  // The guest that was asked for it is gone.
  pc.domain.devices.reset()
  expect(config(PORT, 0)).toBe(NOBODY)
  await leaving[0]
  expect([config(last, 0), acpi(PULLED), acpi(STATUS)]).toEqual([NOBODY, 0, 0])
  await pc.plug({ virtio: rng })
  await pc.unplug('rp2', { force: true })
  expect([acpi(UP), acpi(PULLED), acpi(STATUS)]).toEqual([0, 0x8000_0000, 2])
})

test('a disk and a second USB controller that are plugged in are in a snapshot, for machines that have them as options', async () => {
  const others = { rootPorts: [{ id: 'rp' }, { id: 'usb' }], usb: [{}, { port: 'usb' }] } as const
  await start({ ...others, usb: {}, drives: [{ medium, interface: 'virtio' }] })
  await pc.plug(disk)
  await pc.plug({ usb: others.usb[1] })
  await power(GIVES_POWER)
  const saved = await pc.save()
  await pc.restore(saved)
  pc.close()
  const drives = [{ medium, interface: 'virtio' }, disk.drive] as const
  await start({ ...others, drives, snapshot: saved })
  expect(config(CARD, 0)).toBe(NVME)
  await start({ ...others, drives, snapshot: await pc.save() })
  const small = { ...medium, properties: { ...medium.properties, bytes: 1 << 19 } }
  await expect(
    start({ ...others, drives: [drives[0], { ...disk.drive, medium: small }], snapshot: saved }),
  ).rejects.toThrow('sizes of media 1048576, expected 1048576,524288')
  await expect(start({ ...others, drives: [drives[0]], snapshot: saved })).rejects.toThrow('nvme-rp')
})

test.each(['nvme', 'virtio'] as const)('a medium keeps no listener of a device that is out, %s', async (how) => {
  const listeners = new Set<() => void>()
  const watched = {
    ...medium,
    onChange(listener: () => void) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
  await start()
  for (let i = 0; i < 3; i++) {
    await pc.plug({ drive: { medium: watched, interface: how, [how]: { port: 'rp' } } })
    expect(listeners.size).toBe(1)
    await pc.unplug('rp', { force: true })
    expect(listeners.size).toBe(0)
  }
})

test('a machine is forked before a device comes and after it has gone, and says why not in between', async () => {
  await start({ forks: { clones: 2, writtenBytes: 1 << 20 } })
  const forked = async (): Promise<void> => (await pc.fork()).close()
  await forked()
  await pc.plug(disk)
  await expect(forked()).rejects.toMatchObject({ code: 'ERR_FORK', message: expect.stringContaining("root port 'rp'") })
  await pc.unplug('rp', { force: true })
  await forked()
})

test('a guest that does not answer is an error, and may answer later', async () => {
  await start()
  await pc.plug(disk)
  await power(GIVES_POWER)
  await expect(pc.unplug('rp', { deadlineMs: 20 })).rejects.toMatchObject({
    code: 'ERR_UNPLUG',
    message: "root port 'rp': the guest has not given it up after 20 ms: wait longer, or use force",
  })
  await power(TAKES_POWER)
  await pc.domain.saveDevices(1000)
  await expect(pc.unplug('rp')).rejects.toMatchObject({ code: 'ERR_OPTION' })
  await pc.plug(disk)
})

test.each(['is closed', 'resets itself'])('nobody waits for the guest of a machine that %s', async (how) => {
  await start({ firmware: firmwareImage((asm) => void asm.db(0xb0, 0xfe, 0xe6, 0x64, 0xf4)) })
  await pc.plug(disk)
  await power(GIVES_POWER)
  const ended = { name: 'MachineError', code: 'ERR_STATE', message: expect.stringContaining("root port 'rp'") }
  const leaving = expect(pc.unplug('rp')).rejects.toMatchObject(ended)
  // The guest has been asked.
  await pc.domain.saveDevices(1000)
  if (how === 'is closed') pc.close()
  else expect(await pc.run()).toMatchObject({ reason: 'reset' })
  await leaving
  await expect(pc.unplug('rp')).rejects.toMatchObject(ended)
})

test('the state of a machine says whether a device has power', async () => {
  await start()
  await pc.plug(disk)
  const absent = await pc.domain.saveDevices(1000)
  await power(GIVES_POWER)
  const present = await pc.domain.saveDevices(1000)
  pc.close()
  // A machine that restores the states is made with the device.
  await start({ drives: [{ medium, interface: 'nvme', nvme: { port: 'rp' } }] })
  ;(await pc.domain.restoreDevices(absent)).end()
  expect(config(CARD, 0)).toBe(NOBODY)
  ;(await pc.domain.restoreDevices(present)).end()
  expect(config(CARD, 0)).toBe(NVME)
  pc.close()
  await start()
  await expect(pc.domain.restoreDevices(present)).rejects.toThrow('nvme-rp')
})

test('a state that is saved while a device leaves is without it, and can be restored', async () => {
  await start()
  await pc.plug(disk)
  await power(GIVES_POWER)
  const leaving = pc.unplug('rp')
  config(PORT, express() + SLOT_CONTROL, TAKES_POWER, 2)
  const state = await pc.domain.saveDevices(1000)
  await leaving
  expect([...Object.keys(state.local.devices), ...Object.keys(state.local.functions)].join()).not.toMatch(/nvme|rp:/)
  ;(await pc.domain.restoreDevices(state)).end()
  expect(config(CARD, 0)).toBe(NOBODY)
})

test('no two cards have one address', async () => {
  const ids = ['rp', 'rp2', 'rp3']
  const net = { kind: 'net', network: network() } as const
  await start({ rootPorts: ids.map((id) => ({ id })), virtio: [{ ...net, slot: 9 }] })
  await pc.plug({ virtio: { ...net, port: 'rp' } })
  await pc.plug({ networkCard: { model: 'e1000', network: network(), port: 'rp2' } })
  await pc.plug({ virtio: { ...net, port: 'rp3' } })
  const { local } = await pc.domain.saveDevices(1000)
  const lastByte = (name: string): number | undefined =>
    (local.devices[name] as { readonly core: { readonly config: Uint8Array } }).core.config[5]
  expect(['virtio-net-9', 'virtio-net-rp', 'virtio-net-rp3'].map(lastByte)).toEqual([0x56, 0x57, 0x59])
})

/** A card of a caller's: an identity, and a counter behind BAR 0. */
function ownCard(name = 'card'): DeviceModel & { gone: boolean } {
  let count = 0
  return {
    name,
    gone: false,
    attach: ({ pci }) =>
      void pci.add({
        device: 9,
        vendorId: 0x1234,
        deviceId: 0x5678,
        classCode: 0xff0000,
        bars: [{ index: 0, kind: 'memory', bytes: 4096, handler: { read: () => ++count, write() {} } }],
      }),
    removed() {
      this.gone = true
    },
    save: () => ({ version: 1, count }),
    restore: (state) => void ({ count } = state as { count: number }),
  }
}
const CARD_IDENTITY = 0x5678_1234

test("a device model of the caller's is plugged in, saved with the machine, given up, and may come again", async () => {
  await start()
  const first = ownCard()
  await pc.plug({ device: first, port: 'rp' })
  expect(config(CARD, 0)).toBe(NOBODY)
  await power(GIVES_POWER)
  expect([config(CARD, 0), config(9 << 3, 0)]).toEqual([CARD_IDENTITY, NOBODY])
  const saved = await pc.save()
  const leaving = pc.unplug('rp')
  await power(TAKES_POWER)
  await leaving
  expect([config(CARD, 0), first.gone]).toEqual([NOBODY, true])
  await pc.plug({ device: ownCard(), port: 'rp' })
  pc.close()
  // A machine that goes on from there is made with the device.
  await start({ devices: [behindPort(ownCard(), 'rp')], snapshot: saved })
  expect(config(CARD, 0)).toBe(CARD_IDENTITY)
  await pc.unplug('rp', { force: true })
  await pc.plug({ device: ownCard(), port: 'rp' })
})

test('a guest that writes the registers of a slot at random meets devices of the caller that come and go', async () => {
  await start({ rootPorts: [{ id: 'rp' }, { id: 'rp2' }] })
  let seed = 7
  const below = (most: number): number => ((seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) % (most << 8)) >>> 8
  const refused = (error: unknown): void => expect(error).toMatchObject({ name: 'MachineError' })
  const waits: Promise<void>[] = []
  for (let i = 0; i < ROUNDS; i++) {
    const port = ['rp', 'rp2'][below(2)]!
    // Slot control and status, device control, link control, the bridge's command, windows, buses and reset.
    const registers = [express() + 0x18, express() + 0x1a, express() + 8, express() + 0x10, 4, 0x18, 0x20, 0x3e]
    config(below(2) === 0 ? PORT : PORT + 8, registers[below(8)]!, below(0x1_0000), 2)
    if (below(8) === 0) {
      const leaves = new Promise<void>((resolve) => setTimeout(resolve, below(3)))
      const late = Object.assign(ownCard(`card${i}`), { quiesce: () => leaves })
      waits.push(pc.plug({ device: late, port }).catch(refused))
    }
    if (below(8) === 0) waits.push(pc.unplug(port, { force: below(2) === 0, deadlineMs: below(20) }).catch(refused))
    if (below(4) === 0) await new Promise((resolve) => void setImmediate(resolve))
    if (below(32) !== 0) continue
    const saved = await pc.domain.saveDevices(1000)
    // A card that has come since is not in the state, which is refused then; nothing has changed.
    const misfit = (error: unknown): void => expect(error).toMatchObject({ code: 'ERR_NOT_FOUND' })
    await pc.domain.restoreDevices(saved).then((rest) => rest.end(), misfit)
  }
  await Promise.all(waits)
  // The slot works as before for a guest that behaves.
  config(PORT, 0x18, 0x0001_0100)
  config(PORT, 0x3e, 0, 2)
  await pc.unplug('rp', { force: true }).catch(refused)
  for (let i = 0; i < 2; i++) {
    await pc.plug({ device: ownCard(), port: 'rp' })
    await power(GIVES_POWER)
    expect(config(CARD, 0)).toBe(CARD_IDENTITY)
    await power(TAKES_POWER)
    expect(pc.domain.devices.isOccupied('rp')).toBe(false)
  }
})

describe('a device that cannot be plugged in is refused', () => {
  const card = { model: 'e1000', network: network() } as const
  test.each<[string, MachinePluggable]>([
    ['no port: expected the id of a root port', { networkCard: card }],
    ["root port 'x': there is none of that id, but rp, used, cold", { networkCard: { ...card, port: 'x' } }],
    ["root port 'used': it has a device already", { networkCard: { ...card, port: 'used' } }],
    ['nothing is plugged here while the machine runs', { networkCard: { ...card, port: 'cold' } }],
    ["a drive behind a root port has interface 'virtio' or 'nvme'", { drive: { medium } }],
    ['0 devices: expected one of drive, virtio', {} as MachinePluggable],
    ['drives an array of 1: expected an array of', { drive: { interface: 'nvme', nvme: { port: 'rp' } } } as never],
    ['no port: expected the id of a root port', { device: ownCard() } as never],
    ["root port 'x': there is none of that id", { device: ownCard(), port: 'x' }],
    ["root port 'used': it has a device already", { device: ownCard(), port: 'used' }],
    ['named virtio-rng-used is attached already', { device: ownCard('virtio-rng-used'), port: 'rp' }],
    ['expected a PCI function in a slot', { device: { name: 'none', attach() {} }, port: 'rp' }],
    ['expected an array of device models', { device: {}, port: 'rp' } as never],
    ['an NVMe drive is a disk with a medium', { drive: { medium: null, interface: 'nvme', nvme: { port: 'rp' } } }],
  ])('%s', async (why, device) => {
    await start({
      rootPorts: [{ id: 'rp' }, { id: 'used' }, { id: 'cold', hotPlug: false }],
      virtio: [{ kind: 'rng', port: 'used' }],
    })
    await expect(pc.plug(device)).rejects.toMatchObject({
      name: 'MachineError',
      code: 'ERR_OPTION',
      message: expect.stringContaining(why),
    })
    // What was refused leaves nothing behind.
    await pc.plug(disk)
  })
})
