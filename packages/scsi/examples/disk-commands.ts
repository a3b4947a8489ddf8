// A transport of your own: it gives a unit commands, and moves their data. Here it reads the second block of a disk.
import type { BlockBackend } from '@retrap/device'
import { performScsi, ScsiDisk } from '@retrap/scsi'

const blocks = new Uint8Array(64 * 512)
blocks.set(new TextEncoder().encode('second block'), 512)

const medium: BlockBackend = {
  properties: {
    bytes: blocks.length,
    blockBytes: 512,
    physicalBlockBytes: 512,
    maximumBytes: 1 << 16,
    readOnly: false,
    discards: false,
  },
  read: async (offset, into) => into.set(blocks.subarray(offset, offset + into.length)),
  write: async (offset, from) => blocks.set(from, offset),
  flush: async () => {},
  discard: async () => {},
  writeZeroes: async (offset, bytes) => void blocks.fill(0, offset, offset + bytes),
  onChange: () => () => {},
}

const disk = new ScsiDisk({ medium, model: 'EXAMPLE' })
console.log(disk.execute(Uint8Array.of(0x00))) // TEST UNIT READY: it has been switched on

const outcome = disk.execute(Uint8Array.of(0x28, 0, 0, 0, 0, 1, 0, 0, 1)) // READ(10)
console.log(outcome)

if (outcome.kind === 'blocks') {
  const data = new Uint8Array(outcome.count * disk.blockBytes)
  const failed = await performScsi(outcome, { medium, blockBytes: 512, data }, new AbortController().signal)
  console.log(failed ?? new TextDecoder().decode(data.subarray(0, 12)))
}

// Output:
// { kind: 'failed', sense: { key: 6, code: 41, qualifier: 0 } }
// { kind: 'blocks', first: 1, count: 1 }
// second block
