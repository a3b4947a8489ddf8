import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { skipNote } from '@retrap/tooling/skip'
import { afterAll, expect, test } from 'vitest'
import { linuxWith } from '../support/disk-linux.ts'
import { runRetrap } from '../support/processes.ts'

const AUTO = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
cat /proc/cmdline
poweroff -f
`

const linux = await linuxWith([], AUTO)
const folder = mkdtempSync(join(tmpdir(), 'retrap-netboot-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** A multiboot kernel that ends the machine with exit code 67. */
function smallKernel(): Uint8Array {
  const [magic, flags, start] = [0x1bad_b002, 0x1_0000, 0x10_0000]
  const header = Uint32Array.of(magic, flags, -(magic + flags), start, start, 0, 0, start + 32)
  // mov dx, 0x501; mov al, 0x21; out dx, al; hlt
  return Uint8Array.from([...new Uint8Array(header.buffer), 0x66, 0xba, 0x01, 0x05, 0xb0, 0x21, 0xee, 0xf4])
}

const note = skipNote(linux !== undefined, 'there is no apt')

test.skipIf(linux === undefined)(
  `SeaBIOS runs iPXE from the ROM of an e1000, which boots Linux by TFTP${note}`,
  { timeout: 300_000 },
  async () => {
    copyFileSync(linux!.kernelPath, join(folder, 'vmlinuz'))
    writeFileSync(join(folder, 'initrd'), linux!.initrd)
    const script = [
      '#!ipxe',
      'kernel vmlinuz console=ttyS0 quiet rdinit=/auto card=${net0/chip}',
      'initrd initrd',
      'boot',
    ]
    writeFileSync(join(folder, 'boot.ipxe'), script.join('\n'))
    const { stdout, stderr, code } = await runRetrap(
      ['run', '--boot', 'n', '--nic', `user,model=e1000,tftp=${folder},bootfile=boot.ipxe`],
      { deadlineMs: 280_000 },
    )
    expect(stdout + stderr).toContain('card=82540em')
    expect(code).toBe(0)
  },
)

test.skipIf(linux === undefined)(
  `the ROM of a virtio card boots a kernel by TFTP${note}`,
  { timeout: 120_000 },
  async () => {
    writeFileSync(join(folder, 'kernel'), smallKernel())
    const { stdout, stderr, code } = await runRetrap(
      [
        ...['run', '--device', 'isa-debug-exit', '--netdev', `user,id=n,tftp=${folder},bootfile=kernel`],
        ...['--device', 'virtio-net-pci,netdev=n,bootindex=1', '--boot', 'n'],
      ],
      { deadlineMs: 100_000 },
    )
    expect(code, stdout + stderr).toBe(67)
  },
)
