import { expect, test } from 'vitest'
import { rootPorts, virtioDevices } from '../src/pci-devices.ts'
import { parseDevice } from '../src/values.ts'

test('--device pcie-root-port has an id, which bus= of a virtio device names', () => {
  const devices = ['pcie-root-port,id=a,addr=1c,chassis=1', 'pcie-root-port,id=b'].map(parseDevice)
  expect(rootPorts(devices)).toEqual([{ id: 'a', slot: 0x1c }, { id: 'b' }])
  expect(() => rootPorts([parseDevice('pcie-root-port')])).toThrow('pcie-root-port has no id')
  const place = (text: string): unknown => virtioDevices([parseDevice(`virtio-rng-pci,${text}`)])[0]
  expect(place('bus=a,addr=0')).toEqual({ kind: 'rng', port: 'a' })
  expect(place('bus=a,addr=4')).toEqual({ kind: 'rng', port: 'a', slot: 4 })
  expect(place('bus=pcie.0,addr=4')).toEqual({ kind: 'rng', slot: 4 })
})
