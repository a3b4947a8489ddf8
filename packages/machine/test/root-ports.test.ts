import { TEST_JIT } from '@retrap/tooling/jit'
import { expect, test } from 'vitest'
import { createPc, type PcOptions } from '../src/index.ts'
import { firmwareImage } from './support/kernels.ts'

const firmware = firmwareImage((asm) => void asm.hlt())
const SMALL = { memoryBytes: 32 << 20, codeCacheBytes: 4 << 20, jit: TEST_JIT, firmware, machine: 'q35' } as const

test('a device behind a root port is reached by the bus number that the guest gives', async () => {
  const pc = await createPc({
    ...SMALL,
    rootPorts: [{ id: 'rp1', slot: 5 }, { id: 'rp2' }],
    virtio: [{ kind: 'rng', port: 'rp1' }],
  })
  const { dispatch } = pc.domain
  const config = (bus: number, device: number, register: number, value?: number): string => {
    dispatch.portWrite(0xcf8, 4, 0x8000_0000 + bus * 0x1_0000 + device * 0x800 + register)
    if (value !== undefined) dispatch.portWrite(0xcfc, 4, value)
    dispatch.portRead(0xcfc, 4)
    return dispatch.lo.toString(16)
  }
  // The lowest free number is that of the port which asks for none.
  expect([config(0, 3, 0), config(0, 5, 0), config(0, 4, 0)]).toEqual(['c1b36', 'c1b36', 'ffffffff'])
  expect(config(1, 0, 0)).toBe('ffffffff')
  config(0, 5, 0x18, 0x0001_0100)
  expect([config(1, 0, 0), config(1, 1, 0)]).toEqual(['10051af4', 'ffffffff'])
  // Presence in the slot's status, and the link's.
  const express = (device: number): number => {
    let at = Number.parseInt(config(0, device, 0x34), 16)
    while ((Number.parseInt(config(0, device, at), 16) & 0xff) !== 0x10)
      at = (Number.parseInt(config(0, device, at), 16) >> 8) & 0xff
    return at
  }
  const [used, empty] = [express(5), express(3)]
  expect([config(0, 5, used + 0x18), config(0, 3, empty + 0x18)]).toEqual(['4001c0', '7c0'])
  expect([config(0, 5, used + 0x10), config(0, 3, empty + 0x10)]).toEqual(['20110000', '110000'])
  pc.close()
})

const rng = { kind: 'rng', port: 'rp' } as const
const ports = [{ id: 'rp' }]
test.each<[string, Partial<PcOptions>]>([
  ['PCI device number 32: expected 3 to 31', { machine: 'pc', rootPorts: [{ id: 'rp', slot: 32 }] }],
  ["id 'rp': two root ports have it", { rootPorts: [...ports, ...ports] }],
  ["id '1': expected a letter", { rootPorts: [{ id: '1' }] }],
  ["root port 'rp': there is none of that id", { virtio: [rng] }],
  ["root port 'rp': it has a device already", { rootPorts: ports, virtio: [rng, rng] }],
  ['a device behind it has number 0: leave slot 4 out', { rootPorts: ports, virtio: [{ ...rng, slot: 4 }] }],
  ['PCI device number 31: expected 3 to 30', { rootPorts: [{ id: 'rp', slot: 31 }] }],
])('%s', async (why, options) => {
  await expect(createPc({ ...SMALL, ...options })).rejects.toThrow(why)
})
