import type { BlockBackend } from '@retrap/device'
import { expect, test } from 'vitest'
import { createPc, type MachineDrive } from '../src/index.ts'

/** A medium of 1.44 MB that counts who listens to it. */
function watched(): BlockBackend & { readonly listeners: ReadonlySet<() => void> } {
  const listeners = new Set<() => void>()
  const none = async (): Promise<void> => {}
  return {
    listeners,
    properties: {
      bytes: 1440 << 10,
      blockBytes: 512,
      physicalBlockBytes: 512,
      maximumBytes: 1 << 20,
      readOnly: true,
      discards: false,
    },
    read: none,
    write: none,
    flush: none,
    discard: none,
    writeZeroes: none,
    onChange(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}

const plain = { memoryBytes: 1 << 21, firmware: new Uint8Array(65_536) }

test.each<Omit<MachineDrive, 'medium'>>([
  { interface: 'virtio' },
  { interface: 'nvme' },
  { interface: 'scsi' },
  { interface: 'usb' },
  { interface: 'scsi', media: 'cdrom' },
  { interface: 'usb', media: 'cdrom' },
  { media: 'cdrom' },
  { interface: 'floppy' },
])('a medium keeps no listener of a machine that was closed: $interface $media', async (drive) => {
  const medium = watched()
  const pc = await createPc({ ...plain, drives: [{ medium, ...drive }] })
  expect(medium.listeners.size).toBeGreaterThan(0)
  pc.close()
  expect(medium.listeners.size).toBe(0)
  pc.close()
})

test('a machine that is closed while it runs keeps its media until it has stopped', async () => {
  const medium = watched()
  const pc = await createPc({ ...plain, drives: [{ medium, interface: 'nvme' }] })
  const stop = new AbortController()
  const run = pc.run({ signal: stop.signal })
  pc.close()
  expect(medium.listeners.size).toBe(1)
  stop.abort()
  await run
  expect(medium.listeners.size).toBe(0)
})

test('a disc that is put in after the end is not listened to', async () => {
  const [first, second] = [watched(), watched()]
  const pc = await createPc({ ...plain, drives: [{ medium: first, media: 'cdrom' }] })
  pc.close()
  await pc.drive('cd0').insert(second)
  expect([first.listeners.size, second.listeners.size]).toEqual([0, 0])
})
