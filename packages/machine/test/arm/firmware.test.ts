import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BlockBackend } from '@retrap/device'
import { debianMembers } from '@retrap/tooling/debian'
import { skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { expect } from 'vitest'
import { createArmMachine, VIRT } from '../../src/arm/index.ts'

const test = sliceTests(3)

const wanted = { package: 'qemu-efi-aarch64', members: ['./usr/share/qemu-efi-aarch64/QEMU_EFI.fd'] }
const linux = { package: 'linux-image-arm64:arm64', members: ['./boot/vmlinuz-*'], dependency: 'linux-image-' }
const [folder, boot] = (await debianMembers([wanted, linux])) ?? []
const note = skipNote(folder !== undefined, 'cannot fetch it')
const DEADLINE_MS = 120_000

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
  `UEFI firmware starts from flash, keeps its variables there, and looks for a system on disks${note}`,
  { timeout: DEADLINE_MS },
  async () => {
    const firmware = new Uint8Array(readFileSync(join(folder!, wanted.members[0]!)))
    const variables = new Uint8Array(VIRT.flash.bytes).fill(0xff)
    const machine = await createArmMachine({
      memoryBytes: 256 << 20,
      jit: true,
      flash: [{ medium: mediumOf(firmware, true) }, { medium: mediumOf(variables) }],
      drives: [
        { interface: 'virtio', medium: mediumOf(new Uint8Array(1 << 20)) },
        { interface: 'virtio', medium: mediumOf(new Uint8Array(1 << 20)), bootIndex: 1 },
      ],
    })
    const stop = new AbortController()
    let text = ''
    machine.serial.onTransmit((bytes) => {
      text += String.fromCharCode(...bytes)
      if (text.includes('EFI Internal Shell')) stop.abort()
    })
    await machine.run({ signal: stop.signal, timeoutMs: DEADLINE_MS - 10_000 })
    machine.close()
    expect(text).toMatch(/^UEFI firmware \(version .*built at/)
    // It has waited for its timer, and has driven disks by the lowest ports there are, in the order that it was told.
    const tried = [
      ...text.matchAll(/failed to load Boot\d+ "UEFI Misc Device[ \d]*" from PciRoot\(0x0\)\/Pci\((\w+),/g),
    ]
    expect(tried.map(([, device]) => device)).toEqual(['0x2', '0x1'])
    const kept = Buffer.from(variables.buffer)
    // The header of a firmware volume, and a variable by its name.
    expect(kept.toString('latin1', 0x28, 0x2c)).toBe('_FVH')
    expect(kept.indexOf(Buffer.from('ConOut', 'utf16le'))).toBeGreaterThan(0)
  },
)

test.runIf(folder !== undefined)(
  `UEFI firmware draws a picture in guest RAM, and starts a kernel that it is given with its command line${note}`,
  { timeout: DEADLINE_MS },
  async () => {
    const firmware = new Uint8Array(readFileSync(join(folder!, wanted.members[0]!)))
    const machine = await createArmMachine({
      memoryBytes: 512 << 20,
      jit: true,
      flash: [{ medium: mediumOf(firmware, true) }],
      kernel: new Uint8Array(readFileSync(globSync(join(boot!, 'boot/vmlinuz-*'))[0]!)),
      initrd: new TextEncoder().encode('no file system'),
      commandLine: 'console=ttyAMA0 earlycon answer=42',
      vga: 'ramfb',
    })
    const stop = new AbortController()
    let text = ''
    machine.serial.onTransmit((bytes) => {
      text += String.fromCharCode(...bytes)
      if (/Kernel command line: .*\r/.test(text)) stop.abort()
    })
    await machine.run({ signal: stop.signal, timeoutMs: DEADLINE_MS - 10_000 })
    machine.screen.refresh()
    const { width, height } = machine.screen
    machine.close()
    expect(text).toContain('EFI stub: Booting Linux Kernel')
    expect(text).toMatch(/Kernel command line: .*console=ttyAMA0 earlycon answer=42/)
    expect([width, height]).toEqual([800, 600])
  },
)
