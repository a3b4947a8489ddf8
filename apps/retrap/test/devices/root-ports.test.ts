import { expect, test } from 'vitest'
import { connectDrives } from '../../src/machine/devices/disk-devices.ts'
import { e1000Cards, rootPorts, virtioDevices, usbController } from '../../src/machine/devices/pci-devices.ts'
import { listSound } from '../../src/machine/devices/sound.ts'
import { parseDevice } from '../../src/options/values.ts'

test('--device pcie-root-port has an id, which bus= of a virtio device names', () => {
  const devices = ['pcie-root-port,id=a,addr=1c,chassis=1', 'pcie-root-port,id=b'].map(parseDevice)
  expect(rootPorts(devices)).toEqual([{ id: 'a', slot: 0x1c }, { id: 'b' }])
  const fixed = rootPorts(['id=a,hotplug=off', 'id=b,hotplug=on'].map((text) => parseDevice(`pcie-root-port,${text}`)))
  expect(fixed).toEqual([
    { id: 'a', hotPlug: false },
    { id: 'b', hotPlug: true },
  ])
  expect(() => rootPorts([parseDevice('pcie-root-port')])).toThrow('pcie-root-port has no id')
  const place = (text: string): unknown => virtioDevices([parseDevice(`virtio-rng-pci,${text}`)])[0]
  expect(place('bus=a,addr=0')).toEqual({ kind: 'rng', port: 'a' })
  expect(place('bus=a,addr=4')).toEqual({ kind: 'rng', port: 'a', slot: 4 })
  expect(place('bus=pcie.0,addr=4')).toEqual({ kind: 'rng', slot: 4 })
})

test('bus= of other devices names it as well', () => {
  const parse = (text: string): [ReturnType<typeof parseDevice>] => [parseDevice(`${text},bus=a,addr=0`)]
  const drive = { id: 'd', file: 'disk', forDevice: true } as unknown as Parameters<typeof connectDrives>[0][number]
  expect(connectDrives([drive], parse('nvme,drive=d'))[0]!.nvme).toEqual({ port: 'a' })
  expect(e1000Cards(parse('e1000,netdev=n'))).toEqual([{ netdev: 'n', port: 'a' }])
  expect(usbController(parse('qemu-xhci'))).toEqual({ port: 'a', devices: [] })
  expect(listSound({ device: parse('AC97') }).sound).toEqual([{ model: 'ac97', port: 'a' }])
})
