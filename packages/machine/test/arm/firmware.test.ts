import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BlockBackend } from '@retrap/device'
import { debianMembers } from '@retrap/tooling/debian'
import { skipNote } from '@retrap/tooling/skip'
import { expect, test } from 'vitest'
import { createArmMachine, VIRT } from '../../src/arm/index.ts'

const wanted = { package: 'qemu-efi-aarch64', members: ['./usr/share/qemu-efi-aarch64/QEMU_EFI.fd'] }
const [folder] = (await debianMembers([wanted])) ?? []
const note = skipNote(folder !== undefined, 'there is no apt')
const DEADLINE_MS = 120_000

/** Bytes that are read and written. */
function mediumOf(bytes: Uint8Array, readOnly = false): BlockBackend {
  const properties = { bytes: bytes.length, blockBytes: 512, physicalBlockBytes: 512, maximumBytes: 1 << 20 }
  return {
    properties: { ...properties, readOnly, discards: false },
    read: async (at, into) => into.set(bytes.subarray(at, at + into.length)),
    write: async (at, from) => bytes.set(from, at),
    flush: async () => undefined,
    discard: async () => undefined,
    writeZeroes: async () => undefined,
    onChange: () => () => undefined,
  }
}

test.runIf(folder !== undefined)(
  `UEFI firmware starts from flash, keeps its variables there, and finds a disk to start${note}`,
  { timeout: DEADLINE_MS },
  async () => {
    const firmware = new Uint8Array(readFileSync(join(folder!, wanted.members[0]!)))
    const variables = new Uint8Array(VIRT.flash.bytes).fill(0xff)
    const machine = await createArmMachine({
      memoryBytes: 256 << 20,
      jit: true,
      flash: [{ medium: mediumOf(firmware, true) }, { medium: mediumOf(variables) }],
      drives: [{ interface: 'virtio', medium: mediumOf(new Uint8Array(1 << 20)) }],
    })
    const stop = new AbortController()
    let text = ''
    machine.serial.onTransmit((bytes) => {
      text += String.fromCharCode(...bytes)
      if (text.includes('Boot0002')) stop.abort()
    })
    await machine.run({ signal: stop.signal, timeoutMs: DEADLINE_MS - 10_000 })
    machine.close()
    expect(text).toMatch(/^UEFI firmware \(version .*built at/)
    // It has waited for its timer, and has driven the disk by the lowest ports there are.
    expect(text).toContain('failed to load Boot0001 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x1,0x0): Not Found')
    const kept = Buffer.from(variables.buffer)
    // The header of a firmware volume, and a variable by its name.
    expect(kept.toString('latin1', 0x28, 0x2c)).toBe('_FVH')
    expect(kept.indexOf(Buffer.from('ConOut', 'utf16le'))).toBeGreaterThan(0)
  },
)
