import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Pc } from '@retrap/machine'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { parseDrive } from '../../src/machine/drives/drives.ts'
import { connectDrives } from '../../src/machine/devices/disk-devices.ts'
import { parseNetdev } from '../../src/machine/network/netdevs.ts'
import { virtioDevices } from '../../src/machine/devices/pci-devices.ts'
import { parseDevice } from '../../src/options/values.ts'
import { openMonitor } from '../support/monitor.ts'

const folder = temporaryFolder('hot-plug')
const file = (name: string): string => join(folder, name)
const RAW = fileURLToPath(new URL('../support/raw-device.mjs', import.meta.url))
const PORTS = ['pcie-root-port,id=rp1', 'pcie-root-port,id=rp2', 'pcie-root-port,id=fixed,hotplug=off']

beforeEach(() => {
  writeFileSync(file('disk.img'), Buffer.alloc(1 << 20, 1))
  writeFileSync(file('other.img'), Buffer.alloc(1 << 20, 3))
  const model = "{ name: 'x', attach() {} }"
  writeFileSync(file('two.mjs'), `export const a = ${model}, b = ${model}`)
  writeFileSync(file('no-card.mjs'), `export const a = ${model}`)
  writeFileSync(file('cold.img'), Buffer.alloc(1 << 20, 2))
})

const models = (pc: Pc): readonly string[] => pc.domain.devices.models().map(({ name }) => name)

/** A machine with a disk in rp2. */
async function machine() {
  const cold = ['virtio-blk-pci,drive=cold,bus=rp2,id=colddev']
  const drives = connectDrives(
    [parseDrive(`if=none,id=cold,file=${file('cold.img')}`)],
    cold.map((text) => parseDevice(text)),
  )
  const monitor = await openMonitor({ drives }, [...PORTS, ...cold])
  const pc = await monitor.make()
  return { ...monitor, pc, run: (line: string, on: Pc = pc): Promise<string> => monitor.run(line, on) }
}

test('a disk is opened, plugged in, in the machine after a reset as well, and its file closed when it is out', async () => {
  const { pc, run, make, told, backEnds } = await machine()
  const add = `drive_add 0 if=none,id=d1,file=${file('disk.img')},format=raw`
  expect(await run(add)).toBe('d1: open\n')
  expect(await run('info block')).toBe(
    `cold: ${file('cold.img')} (disk)\nd1: ${file('disk.img')} (disk, of no device yet)\n`,
  )
  expect(await run('device_add nvme,drive=d1,bus=rp1,id=n1,serial=S1')).toBe('n1: in rp1; the guest is told\n')
  expect(models(pc)).toContain('nvme-rp1')
  expect(await run(`savevm ${file('a.snapshot')}`)).toContain('device_add has changed it')
  expect(await run('drive_del d1')).toBe("retrap: a device has drive 'd1'; device_del of it closes both\n")
  expect(backEnds.images.drives.at(-1)).toMatchObject({ interface: 'nvme', serialNumber: 'S1', nvme: { port: 'rp1' } })
  const after = await make()
  expect(models(after)).toContain('nvme-rp1')
  await backEnds.images.drives.at(-1)!.medium!.write(512, new Uint8Array(512).fill(9))
  expect(await run('device_del -f n1')).toBe('n1: out\n')
  expect(models(pc)).not.toContain('nvme-rp1')
  expect(readFileSync(file('disk.img'))[600]).toBe(9)
  // It is not locked any more, and its id is free.
  expect(await run(add)).toBe('d1: open\n')
  expect(await run('drive_del d1')).toBe('d1: closed\n')
  expect(await run('device_del -f colddev')).toBe('colddev: out\n')
  expect(await run('info block')).toBe('There is no CD or floppy drive, and no disk with an id.\n')
  expect(models(await make()).filter((name) => /nvme|blk/.test(name))).toEqual([])
  expect(told).toEqual([])
})

test('a node of blockdev-add stays open when its device goes, until blockdev-del', async () => {
  const { pc, qmp, run, backEnds } = await machine()
  const node = { 'node-name': 'n1' }
  await qmp('blockdev-add', { ...node, driver: 'raw', file: { driver: 'file', filename: file('disk.img') } }, pc)
  for (const id of ['first', 'second']) {
    await qmp('device_add', { driver: 'virtio-blk-pci', bus: 'rp1', drive: 'n1', id }, pc)
    await expect(qmp('blockdev-del', node, pc)).rejects.toThrow("has drive 'n1'; device_del of it comes first")
    const flush = vi.spyOn(backEnds.images.drives.at(-1)!.medium!, 'flush').mockClear()
    expect([await run(`device_del -f ${id}`), flush.mock.calls.length]).toEqual([`${id}: out\n`, 1])
    expect(await run('info block')).toContain(`n1: ${file('disk.img')} (disk, of no device yet)\n`)
  }
  await qmp('blockdev-del', node, pc)
  expect(await run('info block')).not.toContain('n1')
})

test('what a guest ejects by itself is told as what it was asked for, and its disk closed', async () => {
  const { pc, run, hot } = await machine()
  hot.onRemoved = vi.fn<(id: string) => void>()
  pc.domain.devices.functions.slot('rp2')!.release()
  await expect.poll(() => hot.onRemoved).toHaveBeenCalledExactlyOnceWith('colddev')
  expect(await run('info block')).toBe('There is no CD or floppy drive, and no disk with an id.\n')
  expect(await run('device_del colddev')).toContain("there is no device 'colddev'")
})

test('a guest is asked for a device, and one whose machine ends has given it up', async () => {
  const { pc, run, told, backEnds } = await machine()
  // The guest of this machine does not run, and does not answer.
  const said = run('device_del colddev')
  await expect.poll(() => told).toEqual(['colddev: the guest is asked to give it up\n'])
  pc.close()
  expect(await said).toBe('colddev: out, since its machine has ended\n')
  expect(backEnds.images.drives).toEqual([])
})

test('networks are opened for cards and closed after them', async () => {
  const { pc, run, make } = await machine()
  expect(await run('netdev_add hubport,id=net,hubid=3')).toBe('net: open\n')
  expect(await run('netdev_add hubport,id=net,hubid=3')).toBe("retrap: there is a network 'net' already\n")
  expect(await run('info network')).toBe('net: no card has it\n')
  expect(await run('device_add e1000,netdev=net,bus=rp1,id=card')).toBe('card: in rp1; the guest is told\n')
  expect(await run('netdev_del net')).toBe("retrap: a card has network 'net'; device_del of it comes first\n")
  expect(await run('info network')).toBe('net: a card has it\n')
  expect(models(pc)).toContain('e1000-rp1')
  expect(models(await make())).toContain('e1000-rp1')
  await run('device_del -f card')
  expect(await run('device_add virtio-net-pci,netdev=net,bus=rp1,id=card')).toBe('card: in rp1; the guest is told\n')
  await run('device_del -f card')
  expect(await run('netdev_del net')).toBe('net: closed\n')
  expect(await run('info network')).toBe('There is no network.\n')
  for (const one of ['virtio-rng-pci', 'AC97', 'virtio-tablet-pci,serial=x']) {
    expect(await run(`device_add ${one},bus=rp1,id=one`)).toBe('one: in rp1; the guest is told\n')
    expect(await run('device_del -f one')).toBe('one: out\n')
  }
})

test('a device that the machine refuses is not in the next one, and its disk is free again', async () => {
  const { run, make } = await machine()
  await run(`drive_add if=none,id=d1,file=${file('disk.img')}`)
  expect(await run('device_add virtio-blk-pci,drive=d1,bus=rp1,addr=4')).toContain('retrap: ')
  expect(await run('info block')).toContain('d1: ')
  expect(models(await make()).filter((name) => name.includes('rp1'))).toEqual(['pcie-root-port-rp1'])
  // Another one that is in its place is the one that is closed with its device.
  await run(`drive_add if=none,id=d2,file=${file('other.img')}`)
  expect(await run('device_add virtio-blk-pci,drive=d2,bus=rp1,id=v2')).toBe('v2: in rp1; the guest is told\n')
  expect(await run('device_del -f v2')).toBe('v2: out\n')
  expect(await run('info block')).toContain('d1: ')
  expect(await run('info block')).not.toContain('d2: ')
  expect(await run('drive_del d1')).toBe('d1: closed\n')
  await run('netdev_add hubport,id=net,hubid=3')
  expect(await run('device_add e1000,netdev=net,bus=rp1,addr=4')).toContain('retrap: ')
  expect(await run('device_add AC97,bus=rp1,addr=4')).toContain('retrap: ')
  expect(models(await make()).filter((name) => name.includes('rp1'))).toEqual(['pcie-root-port-rp1'])
  expect(await run('info network')).toBe('net: no card has it\n')
})

test(
  'a program is plugged in with its device, is pulled when it dies, and plugged in again',
  { timeout: 60_000 },
  async () => {
    const { pc, run, told } = await machine()
    const program = `exec:${process.execPath} ${RAW} pci-waits`
    const add = (): Promise<string> => run(`device_add "${program},bus=rp1,id=p"`)
    expect(await add()).toBe('p: in rp1; the guest is told\n')
    expect(pc.domain.devices.isOccupied('rp1')).toBe(true)
    expect(models(pc)).toContain('thermometer')
    expect(await add()).toContain("root port 'rp1' is occupied by p")
    const [pid] = told.splice(0).flatMap((text) => /processes (\d+)/.exec(text)?.[1] ?? [])
    process.kill(Number(pid), 'SIGKILL')
    await expect
      .poll(() => told.join(''))
      .toMatch(/raw-device.mjs: its program was ended by SIGKILL: p is out of rp1\n/)
    await expect.poll(() => pc.domain.devices.isOccupied('rp1')).toBe(false)
    expect(await add()).toBe('p: in rp1; the guest is told\n')
    const again = Number(told.flatMap((text) => /processes (\d+)/.exec(text)?.[1] ?? []).at(-1))
    expect(await run('device_del -f p')).toBe('p: out\n')
    await expect.poll(() => isThere(again)).toBe(false)
    expect(pc.domain.devices.isOccupied('rp1')).toBe(false)
    expect(await add()).toBe('p: in rp1; the guest is told\n')
  },
)

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const CARD = `
export const card = {
  name: 'card',
  attach: ({ pci }) => void pci.add({ device: 9, vendorId: 0x1234, deviceId: 0x5678, classCode: 0xff0000 }),
}`

test('a module of the user is plugged in, is in the machine after a reset as well, and goes', async () => {
  const path = file('card.mjs')
  writeFileSync(path, CARD)
  const { pc, run, make } = await machine()
  expect(await run(`device_add ${path},bus=rp1,id=c1`)).toBe('c1: in rp1; the guest is told\n')
  expect(pc.domain.devices.isOccupied('rp1')).toBe(true)
  expect(await run(`device_add ${path},bus=rp2`)).toContain("'rp2' is occupied by colddev")
  const after = await make()
  expect(after.domain.devices.isOccupied('rp1')).toBe(true)
  // Each machine has a model of its own.
  const given = (one: Pc): unknown => Object.getPrototypeOf(one.domain.devices.model('card'))
  expect(given(after)).not.toBe(given(pc))
  expect(await run('device_del -f c1')).toBe('c1: out\n')
  expect(models(pc)).not.toContain('card')
  expect(models(await make())).not.toContain('card')
  // A module that has left comes again anew.
  expect(await run(`device_add ${path},bus=rp1,id=c1`)).toBe('c1: in rp1; the guest is told\n')
})

test('a module of the command line behind a root port is taken out as well', async () => {
  const path = file('card.mjs')
  writeFileSync(path, CARD)
  const given = `${path},bus=rp1,id=c1`
  const { run, make } = await openMonitor({ modules: [parseDevice(given)] }, [...PORTS, given])
  const pc = await make()
  expect(pc.domain.devices.isOccupied('rp1')).toBe(true)
  expect(await run('device_del -f c1', pc)).toBe('c1: out\n')
  expect(models(await make())).not.toContain('card')
})

describe('errors say what to do', () => {
  test.each([
    { line: 'device_add', says: 'write device_add NAME,bus=PORT,id=ID' },
    { line: 'device_add nvme,drive=d,bus=rp1', says: "there is no drive 'd'; write drive_add if=none,id=d,file=FILE" },
    { line: 'device_add nvme,bus=rp1', says: 'write drive_add if=none,id=NAME,file=FILE first' },
    { line: 'device_add nvme,drive=cold,bus=rp1', says: "another device has drive 'cold'; open another" },
    { line: 'device_add nvme,drive=d', says: 'behind a root port that is not occupied; write bus=rp1' },
    { line: 'device_add nvme,drive=d,bus=rp2', says: "'rp2' is occupied by colddev; write bus=rp1" },
    { line: 'device_add nvme,drive=d,bus=rp3', says: "no root port 'rp3'; there are: rp1, rp2; did you mean 'rp1'?" },
    { line: 'device_add nvme,drive=d,bus=fixed', says: "'fixed' has hotplug=off; write bus=rp1" },
    { line: 'device_add AC97,bus=rp1,id=colddev', says: "there is a device 'colddev' already" },
    { line: 'device_add AC97,bus=rp1,id=rp2', says: "there is a device 'rp2' already" },
    { line: 'device_add e100,bus=rp1', says: "'e100' cannot be added while the machine runs; these can: " },
    { line: 'device_add e100,bus=rp1', says: "did you mean 'e1000'?" },
    { line: 'device_add e1000,netdev=n,bus=rp1', says: "there is no network 'n'; write netdev_add user,id=n first" },
    { line: 'device_add e1000,bus=rp1', says: 'retrap: device_add e1000 names no network; write netdev=ID' },
    { line: 'device_add ./none.mjs,bus=rp1', says: 'device_add ./none.mjs: there is no such file' },
    { line: 'device_add ./x.ts,bus=rp1,x=1', says: "device_add ./x.ts has no 'x'; it has transport, bus, id" },
    { line: 'device_add ./x.ts,bus=rp1,transport=worker', says: "behind root port 'rp1' it runs in this process" },
    { line: `device_add ${file('two.mjs')},bus=rp1`, says: 'exports 2 device models; a root port has room for one' },
    { line: `device_add ${file('no-card.mjs')},bus=rp1`, says: 'expected a PCI function in a slot below a port' },
    { line: 'device_add exec:./no-model,bus=rp1', says: 'its program cannot be started' },
    { line: 'device_add "exec:sleep 9,bus=rp1,ready=0.1"', says: 'it was not ready within 0.1 s' },
    { line: 'device_add exec:./model,bus=rp1,x=1', says: "has no 'x'" },
    { line: 'device_add AC97,bus=rp1,x=1', says: "device_add AC97 has no 'x'" },
    { line: 'device_del', says: 'write device_del [-f] ID' },
    { line: 'device_del x', says: "no device 'x' behind a root port; there are: colddev" },
    { line: 'drive_add', says: 'write drive_add if=none,id=ID,file=FILE' },
    { line: 'drive_add file=x', says: 'it opens a disk for device_add; write if=none,id=ID,file=FILE' },
    { line: 'drive_add if=none,id=c,media=cdrom', says: 'it opens a disk for device_add' },
    { line: 'drive_add if=none,file=x', says: 'drive_add if=none,file=x has no id for a device_add' },
    { line: 'drive_add if=none,id=cold,file=x', says: "there is a drive 'cold' already" },
    { line: 'drive_add if=none,id=d,file=/nowhere', says: '/nowhere: there is no such file' },
    { line: 'drive_del x', says: "there is no drive 'x'" },
    { line: 'netdev_add user', says: 'netdev_add user has no id; write user,id=n' },
    { line: 'netdev_add hubport,id=h,hubid=0,netdev=n', says: 'a hub takes another network at the start only' },
    { line: 'netdev_del x', says: "there is no network 'x'; there are: none" },
    { line: 'info pcy', says: "write info status|version|registers|block|network|marks|pci; did you mean 'pci'?" },
  ])('$line: $says', async ({ line, says }) => {
    const { run } = await machine()
    const said = await run(line)
    expect(said).toContain(says)
    expect(said.startsWith('retrap: ')).toBe(true)
  })

  test('a machine without a root port, and ports that are all occupied', async () => {
    const without = await openMonitor()
    expect(await without.run('device_add AC97,bus=rp1', await without.make())).toBe(
      'retrap: device_add: the machine has no root port for it; start it with --device pcie-root-port,id=rp1\n',
    )
    const { run } = await machine()
    await run('device_add AC97,bus=rp1')
    expect(await run('device_add AC97,bus=rp1')).toBe(
      "retrap: device_add: root port 'rp1' is occupied by one AC97; all are; start the machine with another one: --device pcie-root-port,id=NAME\n",
    )
  })

  test('a replay', async () => {
    const { pc, run } = await machine()
    const replay = Object.create(pc, { plug: {}, unplug: {} }) as Pc
    for (const line of ['device_add AC97,bus=rp1', 'device_del colddev'])
      expect(await run(line, replay)).toContain('a replay has the devices that its recording had')
  })

  test('what stays while the machine runs', async () => {
    const devices = ['virtio-scsi-pci,bus=rp1,id=scsi', 'virtio-rng-pci,bus=fixed,id=rng']
    const virtio = virtioDevices(devices.map((text) => parseDevice(text)))
    const { run, make } = await openMonitor({ virtio }, [...PORTS, ...devices])
    const pc = await make()
    expect(await run('device_del scsi', pc)).toContain("'scsi' is a virtio-scsi-pci, which has devices of its own")
    expect(await run('device_del rng', pc)).toContain("root port 'fixed' of 'rng' has hotplug=off")
    expect(await run('device_del rng', undefined)).toBe('retrap: no machine runs\n')
  })
})

test('networks of the command line are listed', async () => {
  const { run, make } = await openMonitor({
    networks: [parseNetdev('hubport,id=n,hubid=0')],
    virtio: virtioDevices([parseDevice('virtio-net-pci,netdev=n')]),
  })
  expect(await run('info network', await make())).toBe('n: a card has it\n')
})

test('help lists the commands', async () => {
  const { run } = await openMonitor()
  const help = await run('help', undefined)
  for (const name of ['device_add', 'device_del', 'drive_add', 'drive_del', 'netdev_add', 'netdev_del', 'info pci'])
    expect(help).toContain(`\n${name} `)
})

test("info pci lists functions as QEMU's monitor does", async () => {
  const { pc, run } = await machine()
  const listed = await run('info pci')
  expect(listed).toContain(`  Bus  0, device   0, function 0:
    Host bridge: PCI device 8086:29c0
      PCI subsystem 1af4:1100
      id "`)
  const port = pc.domain.devices
  const bdf = [...Array(0x1_0000).keys()].find((at) => port.functions.ownerAt(at) === 'pcie-root-port-rp2')!
  // As firmware does: numbers the bus below, places BAR 4 of the disk there.
  port.functions.write(bdf, 0x18, 4, 0x0002_0200)
  port.functions.write(0x200, 0x20, 4, 0xfe00_0000)
  port.functions.write(0x200, 0x24, 4, 0x12)
  port.functions.write(0x200, 0x10, 4, 0xc000)
  const after = await run('info pci')
  expect(after).toMatch(
    / {4}PCI bridge: PCI device .*\n(.*\n)?.* BUS 0, secondary bus 2, subordinate bus 2\n.*id "rp2"/,
  )
  expect(after).toContain('  Bus  2, device   0, function 0:\n    SCSI controller: PCI device 1af4:10')
  expect(after).toContain('BAR4: 64 bit prefetchable memory at 0x00000012fe000000\n      id "colddev"')
})
