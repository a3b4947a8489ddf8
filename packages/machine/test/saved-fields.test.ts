/** The names of all that a machine saves: a field that is lost from a state, or comes to it, shows here. */
import type { PacketBackend } from '@retrap/device'
import { expect, test } from 'vitest'
import { createPc, type PcOptions } from '../src/index.ts'
import { firmwareImage } from './support/kernels.ts'
import { medium } from './support/media.ts'

/** A network that takes all frames and brings none. */
const silent: PacketBackend = { linkUp: true, maximumBytes: 1514, connect() {}, send: () => true, ready() {} }

function optionsOf(machine: 'pc' | 'q35'): PcOptions {
  const disk = medium(new Uint8Array(1 << 20))
  return {
    memoryBytes: 16 << 20,
    codeCacheBytes: 4 << 20,
    jit: false,
    clock: 'deterministic',
    machine,
    cpus: 2,
    ...(machine === 'q35' ? { smm: true, rootPorts: [{ id: 'port' }] } : { vapic: true }),
    firmware: firmwareImage((asm) => void asm.hlt()),
    vga: 'std',
    serialPorts: 2,
    drives: [
      { medium: disk },
      { medium: disk, media: 'cdrom' },
      { medium: disk, interface: 'virtio' },
      { medium: disk, interface: 'nvme' },
      { medium: disk, interface: 'scsi' },
      { medium: disk, interface: 'usb' },
      { medium: medium(new Uint8Array(1_474_560)), interface: 'floppy' },
    ],
    virtio: [
      { kind: 'rng' },
      { kind: 'console', ports: [{ stream: { send() {} } }] },
      { kind: 'net', network: silent },
      { kind: 'keyboard' },
    ],
    networkCards: [{ model: 'e1000', network: silent }],
    usb: { devices: [{ kind: 'keyboard' }, { kind: 'tablet' }] },
    sound: [{ model: 'ac97' }],
  }
}

/** Adds the names of fields to a list, each once; positions in arrays are `*`. */
function namesOf(value: unknown, path: string, names: Set<string>): void {
  if (path !== '') names.add(path)
  if (value === null || typeof value !== 'object' || ArrayBuffer.isView(value)) return
  const prefix = path === '' ? '' : `${path}.`
  for (const [name, each] of Object.entries(value)) {
    namesOf(each, `${prefix}${Array.isArray(value) ? '*' : name}`, names)
  }
}

test.each(['pc', 'q35'] as const)('a new %s saves these', async (machine) => {
  const pc = await createPc(optionsOf(machine))
  const names = new Set<string>()
  namesOf((await pc.save()).state, '', names)
  pc.close()
  await expect(`${[...names].sort().join('\n')}\n`).toMatchFileSnapshot(`saved-fields-${machine}.txt`)
})
