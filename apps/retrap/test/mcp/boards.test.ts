/** Machines of `retrap mcp` as guests find them. */
import { MemoryStorage, RawImage } from '@retrap/block'
import type { ArmMachine } from '@retrap/machine/arm'
import { Hub } from '@retrap/network'
import { expect, test } from 'vitest'
import { makeBoard } from '../../src/commands/mcp/boards.ts'

/** The transitional device ID of a virtio console. Source: VIRTIO 1.2, §4.1.2.1, "PCI Device Discovery". */
const CONSOLE = 0x1003
/** The bits of a function's number below its device's. */
const SLOT = 3

test('the console of the agent is the first virtio device of an Arm board, also of its clones: Linux numbers ports by that', async () => {
  // An arm64 Image that is not run.
  const kernel = new Uint8Array(4096)
  new DataView(kernel.buffer).setUint32(56, 0x644d_5241, true)
  new DataView(kernel.buffer).setUint32(16, kernel.length, true)
  const medium = new RawImage(new MemoryStorage(new Uint8Array(1 << 20)))
  const options = {
    memoryBytes: 16 << 20,
    kernel,
    clock: 'deterministic' as const,
    drives: [{ medium, interface: 'virtio' as const }],
    virtio: [{ kind: 'net' as const, network: new Hub().port() }],
  }
  const made = await makeBoard({ kind: 'virt', options }, { clones: 1, writtenBytes: 1 << 20 })
  const clone = await made.fork(10_000)
  for (const { machine, agent } of [made, clone]) {
    const { functions } = (machine as ArmMachine).domain.devices
    expect(functions.read(1 << SLOT, 2, 2)).toBe(CONSOLE)
    expect([2, 3].map((slot) => functions.ownerAt(slot << SLOT) !== undefined)).toEqual([true, true])
    expect(agent!.device).toBe('/dev/vport0p1')
    machine.close()
  }
  expect(made.agent!.port).not.toBe(clone.agent!.port)
})
