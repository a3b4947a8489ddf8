import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Apt } from '@retrap/debian'
import { withLong } from '@retrap/tooling/long'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { runRetrap } from '../support/processes.ts'

const hasApt = await Apt.isAvailable()
const folder = temporaryFolder('netboot')

/** A multiboot kernel that ends the machine with exit code 67. */
function smallKernel(): Uint8Array {
  const [magic, flags, start] = [0x1bad_b002, 0x1_0000, 0x10_0000]
  const header = Uint32Array.of(magic, flags, -(magic + flags), start, start, 0, 0, start + 32)
  // mov dx, 0x501; mov al, 0x21; out dx, al; hlt
  return Uint8Array.from([...new Uint8Array(header.buffer), 0x66, 0xba, 0x01, 0x05, 0xb0, 0x21, 0xee, 0xf4])
}

// PXELINUX and its menu are a row of the soak `boots`.
test
  .runIf(hasApt)
  .each(
    withLong(
      [{ name: 'an e1000', device: 'e1000,netdev=n', chip: '82540em' }],
      [{ name: 'a virtio card', device: 'virtio-net-pci,netdev=n', chip: 'virtio-net' }],
    ),
  )(
  `SeaBIOS runs iPXE from the ROM of $name, which boots a kernel by TFTP${skipNote(hasApt, 'there is no apt')}`,
  async ({ device, chip }) => {
    writeFileSync(join(folder, 'kernel'), smallKernel())
    writeFileSync(join(folder, 'boot.ipxe'), '#!ipxe\necho card=${net0/chip}\nkernel kernel\nboot\n')
    const { stdout, stderr, code } = await runRetrap(
      [
        ...['run', '--device', 'isa-debug-exit', '--netdev', `user,id=n,tftp=${folder},bootfile=boot.ipxe`],
        ...['--device', `${device},bootindex=1`, '--boot', 'n'],
      ],
      { deadlineMs: 160_000 },
    )
    expect(stdout + stderr).toContain(`card=${chip}`)
    expect(code).toBe(67)
  },
  180_000,
)
